/**
 * A page of 100 out of a million stored operations, with and without filters, through the store's own port.
 */
import { make } from "@inquorate/core/Operation"
import * as Operation from "@inquorate/core/Operation"
import type { OperationState } from "@inquorate/core/Wire"
import { stateOf } from "@inquorate/core/Wire"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type Figure, inMillis, spread } from "./Figures.ts"

/** The page figures over `count` stored operations. */
export const measure = async (folder: string, count: number, rounds: number): Promise<ReadonlyArray<Figure>> => {
  const file = path.join(folder, "page.db")
  await Effect.runPromise(Effect.scoped(SqliteStore.make({ path: file })))
  fill(file, count)
  const filters: ReadonlyArray<readonly [string, ReadonlyArray<OperationState>]> = [
    ["all", []],
    ["Completed", ["Completed"]],
    ["Faulted, one in a thousand", ["Faulted"]],
    ["Cancelled or Faulted", ["Cancelled", "Faulted"]]
  ]
  const program = Effect.gen(function* () {
    const store = yield* SqliteStore.make({ path: file })
    const figures: Array<Figure> = []
    for (const [name, states] of filters) {
      const times: Array<number> = []
      let after: string | null = null
      for (let round = 0; round < rounds; round++) {
        const began = performance.now()
        const page: ReadonlyArray<{ readonly operation: { readonly id: string } }> = yield* store.list({
          states,
          limit: 100,
          newestFirst: true,
          after
        })
        times.push(performance.now() - began)
        after = page.at(-1)?.operation.id ?? null
      }
      const figure = spread(times.slice(5))
      figures.push({
        name: `a page of 100 from ${count} operations: ${name}`,
        measured: inMillis(figure),
        goal: "p99 ≤ 5 ms",
        met: figure.p99 <= 5
      })
    }
    return figures
  })
  return Effect.runPromise(Effect.scoped(program))
}

// --- internal ---

/** Rows as the store writes them, in one transaction: a million durable starts would measure the disk. */
const fill = (file: string, count: number): void => {
  const database = new DatabaseSync(file)
  const insert = database.prepare(
    `INSERT INTO operation (id, operation, state, partition_id, version, owner, epoch, received_at, ended_at, not_before,
       holds, standing, urgency) VALUES (?, ?, ?, ?, 1, NULL, 1, ?, ?, 0, 0, 0, 0)`
  )
  const encode = Schema.encodeSync(Schema.fromJsonString(Operation.Operation))
  const request = {
    kind: "PartitionQuorumLoss",
    serviceName: "fabric:/a/b",
    partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
    mode: "QuorumReplicas",
    hold: 1000
  } as const
  database.exec("BEGIN")
  for (let index = 0; index < count; index++) {
    const id = `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`
    const fresh = make(id, request, index)
    const error = index % 1000 === 0 ? "FABRIC_E_TIMEOUT" : undefined
    const ended =
      error !== undefined
        ? Result.getOrThrow(
            Operation.advance(Result.getOrThrow(Operation.advance(fresh, { _tag: "Taken", at: index })), {
              _tag: "StepFailed",
              at: index,
              error,
              retryable: false
            })
          )
        : index % 100 === 1
          ? Result.getOrThrow(Operation.advance(fresh, { _tag: "CancelRequested", at: index, force: false }))
          : ({ ...fresh, stage: { _tag: "Completed" }, endedAt: index } as const)
    insert.run(id, encode(ended), stateOf(ended.stage), request.partitionId, index, index)
  }
  database.exec("COMMIT; ANALYZE")
  database.close()
}
