/**
 * A random life of engines, hosts and clusters from a seed: starts, cancels, crashes, freezes, lost answers, broken
 * fences, members that go down. Goal: whatever happens, no fence stands past its deadline and the grace, no two
 * operations stand on one partition, every operation ends, and the wire's states move only as they may.
 *
 * `INQUORATE_SEED` and `INQUORATE_RUNS` choose other runs; a failing run names its seed in its title.
 */
import * as Seed from "@inquorate/testkit/Seed"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { grace, isTerminal } from "@inquorate/core/Operation"
import type { RequestRefused } from "@inquorate/core/Operations"
import type { StoreError } from "@inquorate/core/OperationStore"
import { faultOf } from "@inquorate/core/Fault"
import { type OperationState, stateOf } from "@inquorate/core/Wire"
import type { Faults, SimulatedCluster } from "@inquorate/testkit/SimulatedCluster"
import { noFaults } from "@inquorate/testkit/SimulatedCluster"
import {
  assertNothingLeft,
  makeWorld,
  operationId,
  pass,
  passUntil,
  type RunningEngine,
  start,
  type World
} from "./World.ts"

const base = Number(process.env["INQUORATE_SEED"] ?? 1)
const steps = 40

/** Registers the tests: so many lives, unless the environment says otherwise. */
export const randomLives = (usual: number): void => {
  const runs = Number(process.env["INQUORATE_RUNS"] ?? usual)

  describe(`${runs} random lives from seed ${base}`, () => {
    for (let seed = base; seed < base + runs; seed++) {
      it.effect(`keep every promise (INQUORATE_SEED=${seed} INQUORATE_RUNS=1)`, () => live(seed))
    }
  })
}

// --- internal ---

interface Life {
  readonly world: World
  readonly sims: ReadonlyArray<SimulatedCluster>
  readonly random: (below: number) => number
  readonly engines: Array<{ readonly engine: RunningEngine; frozen: boolean }>
  readonly seen: Map<string, OperationState>
  started: number
}

type Failure = RequestRefused | StoreError

const live = (seed: number) =>
  Effect.gen(function* () {
    const world = yield* makeWorld({ hostLatency: 8, latency: 3 }, [
      { name: "ledger", members: 5, everyEndpoint: true }
    ])
    const random = Seed.make(seed).below
    const life: Life = { world, sims: [world.sim, ...world.others], random, engines: [], seen: new Map(), started: 0 }
    yield* bear(life)
    for (let step = 0; step < steps; step++) {
      yield* happen(life)
      yield* pass(1 + random(random(2) === 0 ? 60 : 2500))
      yield* check(life)
    }
    for (const one of life.engines) yield* one.engine.thaw
    for (const sim of life.sims) yield* sim.set(noFaults)
    yield* bear(life)
    yield* passUntil(
      "every operation has ended and nothing is left",
      Effect.gen(function* () {
        yield* check(life)
        const all = yield* world.store().list({ states: [], limit: 1000, newestFirst: false, after: null })
        return all.every(({ operation }) => isTerminal(operation)) && (yield* world.store().holding).length === 0
      }),
      300_000,
      500
    )
    for (const sim of life.sims) assertNothingLeft(sim)
    yield* judge(life)
  })

const bear = (life: Life): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    if (life.engines.length === 0) yield* life.world.reopen
    const engine = yield* life.world.engine(`w${life.random(3)}-${life.engines.length}`)
    life.engines.push({ engine, frozen: false })
  })

const happen = (life: Life): Effect.Effect<void, Failure> => {
  const { engines, random, sims } = life
  const pick = <A>(of: ReadonlyArray<A>): A => of[random(of.length)]!
  const sim = pick(sims)
  const member = `m${random(3)}`
  const awake = engines.filter(({ frozen }) => !frozen)
  const awakeEngine = awake.length === 0 ? undefined : pick(awake).engine
  const faults = (change: Partial<Faults>) => sim.set(change)
  switch (random(16)) {
    case 0:
    case 1:
    case 2:
      if (awakeEngine === undefined) return Effect.void
      return Effect.asVoid(start(awakeEngine, sim, ++life.started, random(4) === 0 ? 0 : random(5000)))
    case 3:
    case 4:
      if (awakeEngine === undefined || life.started === 0) return Effect.void
      return Effect.ignore(awakeEngine.operations.cancel(operationId(1 + random(life.started)), random(3) === 0))
    case 5: {
      const [dead] = engines.splice(random(engines.length), 1)
      return Effect.andThen(dead!.engine.crash, engines.length === 0 ? bear(life) : Effect.void)
    }
    case 6:
      return engines.length < 3 ? bear(life) : Effect.void
    case 7: {
      const one = pick(engines)
      one.frozen = !one.frozen
      return one.frozen ? one.engine.freeze : one.engine.thaw
    }
    case 8:
      return faults({ liftFails: random(4) })
    case 9:
      return faults({ liftAnswersLost: random(3), tightenFails: random(2) === 0 })
    case 10:
      return faults({
        arm: {
          [member]: pick([
            "Refused",
            "Late",
            "NotApplied",
            "LostBefore",
            "LostAfter",
            "HangAfter",
            "Unreachable"
          ] as const)
        }
      })
    case 11:
      return faults(
        pick([
          { hostsUnreachable: true },
          { unreachable: true },
          { recoversNever: true },
          { survivorsSilent: true },
          { refusesWrites: true }
        ])
      )
    case 12:
      return faults(pick([{ goesOn: [member] }, { broken: [member] }, { down: [member] }]))
    default:
      return faults(noFaults)
  }
}

const allowed: Readonly<Record<string, ReadonlyArray<OperationState>>> = {
  Running: ["Running", "RollingBack", "Completed", "Faulted", "Cancelled", "ForceCancelled"],
  RollingBack: ["RollingBack", "Faulted", "Cancelled", "ForceCancelled"]
}

/** What must be so at every moment. */
const check = ({ seen, sims, world }: Life): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    for (const sim of sims) {
      const operations = new Set(sim.standing().map((fence) => fence.operationId))
      assert.isAtMost(operations.size, 1, "two operations stand on one partition")
      for (const { at, deadline, what } of sim.history()) {
        if (what === "Lifted") assert.isAtMost(at, deadline + grace, "a fence stood past its deadline and the grace")
      }
    }
    const all = yield* world.store().list({ states: [], limit: 1000, newestFirst: false, after: null })
    for (const { operation } of all) {
      const state = stateOf(operation.stage)
      const before = seen.get(operation.id) ?? "Running"
      assert.include(allowed[before] ?? [before], state, `operation ${operation.id} went from ${before} to ${state}`)
      assert.strictEqual(isTerminal(operation), operation.endedAt !== null)
      seen.set(operation.id, state)
    }
  })

/** What must be so of each operation in the end, by its evidence. */
const judge = ({ engines, started }: Life): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { operations } = engines.at(-1)!.engine
    for (let n = 1; n <= started; n++) {
      const { evidence, operation } = yield* operations.detail(operationId(n))
      // Every fence that was ended is on record with its host's word, and none stood past what was stored for it.
      for (const { overrun } of evidence.fences) assert.isAtMost(overrun ?? 0, grace)
      if (operation.stage._tag !== "Completed") continue
      assert.isTrue(evidence.verdicts.some(({ about, outcome }) => about === "Recovery" && outcome === "Confirmed"))
      assert.isAtLeast(evidence.hold?.measured ?? -1, faultOf(operation.request).duration - 100)
      assert.isAtMost(evidence.hold?.measured ?? Infinity, faultOf(operation.request).duration + 2000 + grace)
    }
  })
