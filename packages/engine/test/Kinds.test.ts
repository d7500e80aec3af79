/**
 * Random lives of engines that carry every kind of fault at once, from a seed: crashes, cancels, forces, hosts and answers
 * that go wrong. Whatever happens, every operation ends, no process has two fences, and every process runs in the end.
 */
import * as Seed from "@inquorate/testkit/Seed"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { grace, isTerminal } from "@inquorate/core/Operation"
import type { RequestRefused } from "@inquorate/core/Operations"
import type { StoreError } from "@inquorate/core/OperationStore"
import type { FaultRequest } from "@inquorate/core/Request"
import { nodeInstanceId } from "@inquorate/core/Topology"
import { noFaults, type SimulatedCluster } from "@inquorate/testkit/SimulatedCluster"
import {
  ask,
  assertNothingLeft,
  makeWorld,
  meanwhile,
  operationId,
  pass,
  passUntil,
  request,
  type RunningEngine,
  type World
} from "./World.ts"

const base = Number(process.env["INQUORATE_SEED"] ?? 1)
const runs = Number(process.env["INQUORATE_RUNS"] ?? 8)
const steps = 40

describe(`${runs} random lives with every kind of fault from seed ${base}`, () => {
  for (let seed = base; seed < base + runs; seed++) {
    it.effect(`leave every process running (INQUORATE_SEED=${seed} INQUORATE_RUNS=1)`, () => live(seed))
  }
})

// --- internal ---

type Random = (below: number) => number

interface Life {
  readonly world: World
  readonly sims: ReadonlyArray<SimulatedCluster>
  readonly random: Random
  engine: RunningEngine
  born: number
  started: number
}

const live = (seed: number) =>
  Effect.gen(function* () {
    const options = { restarter: true, loses: true, service: {}, hostLatency: 8, latency: 3 }
    const world = yield* makeWorld(options, [{ ...options, name: "stock" }])
    const engine = yield* world.engine("w0", { surveyEvery: 1000 })
    const sims = [world.sim, ...world.others]
    const life: Life = { world, sims, random: Seed.make(seed).below, engine, born: 1, started: 0 }
    for (let step = 0; step < steps; step++) {
      yield* happen(life)
      yield* pass(1 + life.random(life.random(2) === 0 ? 40 : 2000))
      check(life)
    }
    for (const sim of sims) yield* sim.set(noFaults)
    yield* passUntil("every operation has ended", allEnded(life), 700_000, 500)
    yield* passUntil(
      "every stopped node is back",
      Effect.sync(() => sims.every((sim) => sim.standing().length === 0 && sim.available())),
      300_000,
      500
    )
    check(life)
    sims.forEach(assertNothingLeft)
    yield* pass(1000)
    for (const { cluster } of sims) {
      const groups = yield* meanwhile(cluster.target.discover)
      assert.isTrue(groups.every(({ members }) => members.every(({ up }) => up)))
    }
  })

const allEnded = ({ world }: Life): Effect.Effect<boolean, StoreError> =>
  Effect.gen(function* () {
    const all = yield* world.store().list({ states: [], limit: 1000, newestFirst: false, after: null })
    return all.every(({ operation }) => isTerminal(operation)) && (yield* world.store().holding).length === 0
  })

const faultOf = (sim: SimulatedCluster, random: Random): FaultRequest => {
  const { partitionId, serviceName } = sim
  const nodeName = `host-m${random(3)}`
  const node = { kind: "NodeTransition", nodeName, instanceId: nodeInstanceId(nodeName) } as const
  switch (random(5)) {
    case 0:
      return request(sim, random(4000))
    case 1:
      return { kind: "PartitionDataLoss", serviceName, partitionId, mode: "FullDataLoss" }
    case 2:
      return {
        kind: "PartitionRestart",
        serviceName,
        partitionId,
        mode: random(2) === 0 ? "AllReplicasOrInstances" : "OnlyActiveSecondaries"
      }
    case 3:
      return { ...node, transition: "Stop", duration: 3000 + random(20_000) }
    default:
      return { ...node, transition: "Start" }
  }
}

const happen = (life: Life): Effect.Effect<unknown, RequestRefused | StoreError> => {
  const { random, sims } = life
  const sim = sims[random(sims.length)]!
  const member = `m${random(3)}`
  switch (random(14)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return Effect.ignore(ask(life.engine, faultOf(sim, random), ++life.started))
    case 5:
    case 6:
      return life.started === 0
        ? Effect.void
        : Effect.ignore(life.engine.operations.cancel(operationId(1 + random(life.started)), random(3) === 0))
    case 7:
      return Effect.gen(function* () {
        yield* life.engine.crash
        yield* life.world.reopen
        life.engine = yield* life.world.engine(`w${life.born++}`, { surveyEvery: 1000 })
      })
    case 8:
      return sim.set({ liftFails: random(4), liftAnswersLost: random(3) })
    case 9: {
      const faults = ["Refused", "NotApplied", "LostBefore", "LostAfter", "HangAfter", "Unreachable"] as const
      return sim.set({ arm: { [member]: faults[random(faults.length)]! } })
    }
    case 10: {
      const faults = ["FailsBefore", "FailsAfter", "HangsBefore", "HangsAfter"] as const
      return sim.set({ loseData: faults[random(faults.length)]! })
    }
    case 11:
      return sim.set(random(2) === 0 ? { hostsUnreachable: true } : { unreachable: true })
    default:
      return sim.set(noFaults)
  }
}

/** What must be so at every moment. */
const check = ({ sims }: Life): void => {
  for (const sim of sims) {
    const members = sim.standing().map(({ member }) => member.split("/").at(-1)!)
    assert.strictEqual(new Set(members).size, members.length, `two fences on one process: ${members.join(", ")}`)
    for (const { at, deadline, what } of sim.history()) {
      if (what === "Lifted") assert.isAtMost(at, deadline + grace, "a fence stood past its deadline and the grace")
    }
  }
}
