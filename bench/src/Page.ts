/**
 * A page of 100 out of a million stored operations, with and without filters, through the port of each store.
 */
import { make } from "@inquorate/core/Operation"
import * as Operation from "@inquorate/core/Operation"
import type { OperationState } from "@inquorate/core/Wire"
import { stateOf } from "@inquorate/core/Wire"
import type { OperationStore } from "@inquorate/core/OperationStore"
import * as PostgresStore from "@inquorate/stores/PostgresStore"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import type { Client } from "pg"
import { type Figure, inMillis, spread } from "./Figures.ts"
import { withLab } from "./Labs.ts"
import * as PostgresServer from "./PostgresServer.ts"

/** The page figures over `count` stored operations. */
export const measure = async (folder: string, count: number, rounds: number): Promise<ReadonlyArray<Figure>> => {
  const file = path.join(folder, "page.db")
  await Effect.runPromise(Effect.scoped(SqliteStore.make({ path: file })))
  fill(file, count)
  return Effect.runPromise(
    Effect.scoped(Effect.flatMap(SqliteStore.make({ path: file }), pages("SQLite", count, rounds)))
  )
}

/** The same over PostgreSQL. */
export const measureShared = (count: number, rounds: number): Promise<ReadonlyArray<Figure>> =>
  withLab({ system: "postgres", name: "bench-page" }, async (lab) => {
    const url = await PostgresServer.alone(lab)
    await Effect.runPromise(Effect.scoped(PostgresStore.make({ url })))
    await PostgresServer.withClient(url, (client) => fillShared(client, count))
    return Effect.runPromise(
      Effect.scoped(Effect.flatMap(PostgresStore.make({ url }), pages("PostgreSQL", count, rounds)))
    )
  })

// --- internal ---

const filters: ReadonlyArray<readonly [string, ReadonlyArray<OperationState>]> = [
  ["all", []],
  ["Completed", ["Completed"]],
  ["Faulted, one in a thousand", ["Faulted"]],
  ["Cancelled or Faulted", ["Cancelled", "Faulted"]]
]

const pages = (where: string, count: number, rounds: number) => (store: OperationStore["Service"]) =>
  Effect.gen(function* () {
    // A worker that has just started compiles what it runs. The rows of the other end warm the code, and no cache of these.
    for (const [, states] of filters) yield* walk(store, states, rounds, false)
    const figures: Array<Figure> = []
    for (const [name, states] of filters) {
      const figure = spread(yield* walk(store, states, rounds, true))
      figures.push({
        name: `${where}: a page of 100 from ${count} operations: ${name}`,
        measured: inMillis(figure),
        goal: "p99 ≤ 5 ms",
        met: figure.p99 <= 5
      })
    }
    return figures
  })

/** How long each of so many pages takes, one after the other. */
const walk = (
  store: OperationStore["Service"],
  states: ReadonlyArray<OperationState>,
  rounds: number,
  newestFirst: boolean
) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    let after: string | null = null
    for (let round = 0; round < rounds; round++) {
      const began = performance.now()
      const page: ReadonlyArray<{ readonly operation: { readonly id: string } }> = yield* store.list({
        states,
        limit: 100,
        newestFirst,
        after
      })
      times.push(performance.now() - began)
      after = page.at(-1)?.operation.id ?? null
    }
    return times
  })

/** Rows as the store writes them, in one transaction: a million durable starts would measure the disk. */
const fill = (file: string, count: number): void => {
  const database = new DatabaseSync(file)
  const insert = database.prepare(
    `INSERT INTO operation (id, operation, state, partition_id, version, owner, epoch, received_at, ended_at, not_before,
       holds, standing, urgency) VALUES (?, ?, ?, ?, 1, NULL, 1, ?, ?, 0, 0, 0, 0)`
  )
  database.exec("BEGIN")
  for (let index = 0; index < count; index++) {
    const ended = endedOne(index)
    insert.run(ended.id, encode(ended), stateOf(ended.stage), request.partitionId, index, index)
  }
  database.exec("COMMIT; ANALYZE")
  database.close()
}

/** The same rows, a few thousand in one statement. */
const fillShared = async (client: Client, count: number): Promise<void> => {
  const atOnce = 5000
  for (let first = 0; first < count; first += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - first) }, (_, index) => endedOne(first + index))
    await client.query(
      `INSERT INTO inquorate.operation (id, operation, state, partition_id, version, written, epoch, received_at, ended_at,
         not_before, holds, standing, urgency, shares)
       SELECT id, operation, state, $4, 1, gen_random_uuid(), 1, at, at, 0, false, false, 0, true
       FROM unnest($1::text[], $2::text[], $3::text[], $5::bigint[]) AS d(id, operation, state, at)`,
      [
        some.map(({ id }) => id),
        some.map((ended) => encode(ended)),
        some.map(({ stage }) => stateOf(stage)),
        request.partitionId,
        some.map(({ receivedAt }) => receivedAt)
      ]
    )
  }
  await client.query("VACUUM ANALYZE inquorate.operation")
}

const encode = Schema.encodeSync(Schema.fromJsonString(Operation.Operation))

const request = {
  kind: "PartitionQuorumLoss",
  serviceName: "fabric:/a/b",
  partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
  mode: "QuorumReplicas",
  hold: 1000
} as const

/** An operation that has ended: one in a thousand Faulted, one in a hundred Cancelled, the others Completed. */
const endedOne = (index: number): Operation.Operation => {
  const fresh = make(`00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`, request, index)
  if (index % 1000 === 0) {
    const taken = Result.getOrThrow(Operation.advance(fresh, { _tag: "Taken", at: index }))
    const failure = { _tag: "StepFailed", at: index, error: "FABRIC_E_TIMEOUT", retryable: false } as const
    return Result.getOrThrow(Operation.advance(taken, failure))
  }
  return index % 100 === 1
    ? Result.getOrThrow(Operation.advance(fresh, { _tag: "CancelRequested", at: index, force: false }))
    : { ...fresh, stage: { _tag: "Completed" }, endedAt: index }
}
