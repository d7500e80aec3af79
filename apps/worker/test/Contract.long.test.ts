/**
 * Goal: any sequence of start, cancel, force, progress and list, over any interleaving with the engine, is answered only
 * as the contract's tables allow. Method: a model of what a caller may know (which ids are taken, what was asked of
 * each, what was last seen of it), thousands of random sequences against the Service Fabric surface over a real engine on
 * a simulated cluster, with time passing, hosts going wrong and the engine crashing between the calls.
 *
 * INQUORATE_CONTRACT_SEQUENCES says how many; a failure names its seed, and INQUORATE_CONTRACT_SEED plays that one alone.
 */
import * as Seed from "@inquorate/testkit/Seed"
import { assert, describe, it } from "@effect/vitest"
import { Clusters } from "@inquorate/core/Cluster"
import type { Guid } from "@inquorate/core/Guid"
import { Operations } from "@inquorate/core/Operations"
import { OperationStore } from "@inquorate/core/OperationStore"
import * as Engine from "@inquorate/engine/Engine"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as SimulatedCluster from "@inquorate/testkit/SimulatedCluster"
import { parse } from "@inquorate/transport/FabricPath"
import * as FabricServer from "@inquorate/transport/FabricServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const sequences = Number(process.env.INQUORATE_CONTRACT_SEQUENCES ?? 2000)
const seeds =
  process.env.INQUORATE_CONTRACT_SEED === undefined
    ? Array.from({ length: sequences }, (_, index) => index + 1)
    : [Number(process.env.INQUORATE_CONTRACT_SEED)]
/** Sequences that share one world: a fresh one costs more than a sequence, and what the last left behind is interleaving too. */
const perWorld = 50
const callsPerSequence = 14

// --- the model ---

type State = "Running" | "RollingBack" | "Completed" | "Faulted" | "Cancelled" | "ForceCancelled"

interface Known {
  cancelled: boolean
  forced: boolean
  last: State
}

const terminal = (state: State): boolean => state !== "Running" && state !== "RollingBack"

/** What progress may show of an operation now, by everything that was asked of it and seen of it. */
const allowed = ({ cancelled, forced, last }: Known): ReadonlyArray<State> =>
  terminal(last)
    ? [last]
    : forced
      ? ["ForceCancelled"]
      : cancelled
        ? ["RollingBack", "Cancelled"]
        : last === "RollingBack"
          ? ["RollingBack", "Faulted"]
          : ["Running", "RollingBack", "Completed", "Faulted"]

/** The answers that the contract's table of CancelOperation allows, as status and code. */
const cancelAnswers = (known: Known | undefined, force: boolean): ReadonlyArray<string> => {
  const gone = "404 FABRIC_E_KEY_NOT_FOUND"
  if (known === undefined || terminal(known.last)) return [gone]
  // A live operation may have ended since it was last looked at, and then only history knows it.
  if (known.forced) return [gone, "400 FABRIC_E_INVALID_TEST_COMMAND_STATE"]
  return force && !known.cancelled ? [gone, "400 FABRIC_E_INVALID_TEST_COMMAND_STATE"] : [gone, "200 "]
}

// --- the world ---

interface World {
  readonly clusters: ReadonlyArray<SimulatedCluster.SimulatedCluster>
  readonly call: (method: string, target: string) => Effect.Effect<{ status: number; body: unknown }>
  readonly crash: Effect.Effect<void>
}

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-contract-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
)

const settle = Effect.forEach(Array.from({ length: 12 }), () => Effect.yieldNow, { discard: true })

const makeWorld = Effect.gen(function* () {
  yield* TestClock.setTime(1_700_000_000_000)
  const clusters = yield* Effect.forEach(["a", "b", "c"], (name) => SimulatedCluster.make({ name }))
  const outer = yield* Effect.scope
  const store = yield* SqliteStore.make({ path: path.join(yield* temporary, "store.db"), queueBound: 10_000 })
  const begin = Effect.gen(function* () {
    const scope = yield* Scope.fork(outer)
    const operations = yield* Scope.provide(Engine.make({ workerId: "w1" }), scope).pipe(
      Effect.provideService(OperationStore, store),
      Effect.provideService(Clusters, Clusters.of({ all: clusters.map(({ cluster }) => cluster) }))
    )
    const server = yield* Effect.provideService(FabricServer.make, Operations, operations)
    return { scope, server }
  })
  let running = yield* begin
  return {
    clusters,
    call: (method, target) =>
      Effect.gen(function* () {
        const request = parse(method, target)
        const reply = Result.isFailure(request)
          ? FabricServer.errorReply(request.failure)
          : yield* running.server.handle(request.success)
        return { status: reply.status, body: reply.body === "" ? null : JSON.parse(reply.body) }
      }),
    crash: Effect.gen(function* () {
      yield* Scope.close(running.scope, Exit.void)
      running = yield* begin
    })
  } satisfies World
})

// --- the play ---

const answers = new Map<string, number>()

const play = (world: World, seed: number, known: Map<Guid, Known>) =>
  Effect.gen(function* () {
    const random = Seed.make(seed * 0x9e3779b1).below
    const ids = Array.from(
      { length: 3 },
      (_, index) => `${seed.toString(16).padStart(8, "0")}-0000-4000-8000-00000000000${index}`
    )
    const trace: Array<string> = []
    const told = (what: string, answer: { status: number; body: unknown }): string => {
      const code = (answer.body as { Error?: { Code: string } } | null)?.Error?.Code ?? ""
      const short = `${answer.status} ${code}`
      trace.push(`${what} → ${short}`)
      const kind = `${what.split(" ")[0]} ${short}`
      answers.set(kind, (answers.get(kind) ?? 0) + 1)
      return short
    }
    const must = (ok: boolean, why: string): void => {
      assert.isTrue(ok, `seed ${seed}: ${why}\n${trace.join("\n")}`)
    }
    const see = (id: Guid, state: State, where: string): void => {
      const one = known.get(id)!
      must(allowed(one).includes(state), `${where} shows ${state} where only ${allowed(one).join(", ")} may be`)
      one.last = state
    }
    for (let step = 0; step < callsPerSequence; step++) {
      const recent = ids.find((id) => known.has(id) && !terminal(known.get(id)!.last))
      const id = recent !== undefined && random(2) === 0 ? recent : ids[random(ids.length)]!
      const one = known.get(id)
      // Each id is of a partition of its own, so that most are not refused as busy.
      const cluster = world.clusters[ids.indexOf(id)]!
      const { partitionId, serviceName } = cluster
      const at = `/Faults/Services/${serviceName.slice("fabric:/".length)}/$/GetPartitions/${partitionId}/$`
      switch (random(9)) {
        case 0:
        case 1: {
          const query = `OperationId=${id}&QuorumLossMode=${random(2) === 0 ? "QuorumReplicas" : "AllReplicas"}&QuorumLossDuration=${random(3)}`
          const answer = told(
            `start ${id}`,
            yield* world.call("POST", `${at}/StartQuorumLoss?api-version=6.0&${query}`)
          )
          if (one === undefined) {
            must(answer === "202 ", "a fresh id must be accepted")
            known.set(id, { cancelled: false, forced: false, last: "Running" })
          } else must(answer === "409 FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS", "the id is taken")
          break
        }
        case 2:
        case 3: {
          // Force is only of interest where a cancel came first, and an undo that lasts gives it the time.
          const force = random(one?.cancelled === true ? 5 : 2) > 0
          const target = `/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=${force}`
          const answer = told(`${force ? "force" : "cancel"} ${id}`, yield* world.call("POST", target))
          must(cancelAnswers(one, force).includes(answer), `only ${cancelAnswers(one, force).join(" or ")} may be`)
          if (answer === "200 " && force) one!.forced = true
          else if (answer === "200 ") one!.cancelled = true
          break
        }
        case 4:
        case 5: {
          const answer = yield* world.call("GET", `${at}/GetQuorumLossProgress?api-version=6.0&OperationId=${id}`)
          const short = told(`progress ${id}`, answer)
          if (one === undefined) must(short === "404 FABRIC_E_KEY_NOT_FOUND", "an id that nobody gave is not found")
          else {
            must(short === "200 ", "what was accepted is never lost")
            const { State, ...rest } = answer.body as { State: State; InvokeQuorumLossResult?: { ErrorCode: number } }
            see(id, State, "progress")
            const ended = State === "Completed" || State === "Faulted"
            must(Object.keys(rest).join() === (ended ? "InvokeQuorumLossResult" : ""), `the result of ${State}`)
            if (ended)
              must((rest.InvokeQuorumLossResult!.ErrorCode === 0) === (State === "Completed"), "the error code")
          }
          break
        }
        case 6: {
          const answer = yield* world.call("GET", "/Faults/?api-version=6.0&TypeFilter=65535&StateFilter=65535")
          told("list", answer)
          const lines = answer.body as ReadonlyArray<{ OperationId: Guid; State: State; Type: string }>
          must(lines.length === known.size, `${lines.length} operations are listed, ${known.size} were accepted`)
          must(lines.map(({ OperationId }) => OperationId).join() === [...known.keys()].join(), "the order of receipt")
          for (const { OperationId, State } of lines) see(OperationId, State, "the list")
          break
        }
        case 7:
          trace.push("time passes")
          yield* Effect.andThen(TestClock.adjust([5, 60, 600, 1500, 4000][random(5)]!), settle)
          break
        case 8:
          if (random(3) === 0) {
            trace.push("the engine crashes")
            yield* world.crash
          } else {
            const faults = [
              {},
              { liftFails: 60 },
              { goesOn: ["m1"] },
              { hostsUnreachable: true },
              { unreachable: true },
              { recoversNever: true }
            ][random(6)]!
            trace.push(`goes wrong: ${JSON.stringify(faults)}`)
            yield* cluster.set({ ...SimulatedCluster.noFaults, ...faults })
          }
          yield* settle
      }
    }
  })

describe("the Service Fabric surface", () => {
  const worlds = Array.from({ length: Math.ceil(seeds.length / perWorld) }, (_, index) =>
    seeds.slice(index * perWorld, (index + 1) * perWorld)
  )

  it.effect(
    `answers ${seeds.length} sequences of calls only as the contract allows`,
    () =>
      Effect.gen(function* () {
        for (const mine of worlds) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const world = yield* makeWorld
              const known = new Map<Guid, Known>()
              for (const seed of mine) yield* play(world, seed, known)
              // Once nothing goes wrong any more, everything comes to its end.
              for (const { set } of world.clusters) yield* set(SimulatedCluster.noFaults)
              const standing = () => world.clusters.flatMap((cluster) => cluster.standing())
              for (let passed = 0; passed < 300 && standing().length > 0; passed++) {
                yield* Effect.andThen(TestClock.adjust(1000), settle)
              }
              assert.deepStrictEqual(standing(), [])
            })
          )
        }
        for (const [what, count] of [...answers].sort()) process.stdout.write(`${count} × ${what}\n`)
        if (seeds.length < 1000) return
        // A property that never met an answer says nothing of it.
        for (const what of [
          "start 202 ",
          "start 409 FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS",
          "cancel 200 ",
          "cancel 404 FABRIC_E_KEY_NOT_FOUND",
          "force 200 ",
          "force 400 FABRIC_E_INVALID_TEST_COMMAND_STATE",
          "force 404 FABRIC_E_KEY_NOT_FOUND",
          "progress 200 ",
          "progress 404 FABRIC_E_KEY_NOT_FOUND"
        ]) {
          assert.isAbove(answers.get(what) ?? 0, 5, what)
        }
      }),
    300_000
  )
})
