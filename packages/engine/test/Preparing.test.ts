/** What hosts make ready by the plan of a start, while the operation looks at its group anew. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { FencePreparation, Prepared } from "@inquorate/core/Injector"
import type { Member } from "@inquorate/core/Topology"
import type { SimulatedCluster } from "@inquorate/testkit/SimulatedCluster"
import {
  armings,
  ask,
  assertNothingLeft,
  evidenceOf,
  makeWorld,
  meanwhile,
  pass,
  passUntilEnded,
  request,
  where
} from "./World.ts"

// Has the hosts of a cluster make ready first, and tells what was done, in its order. `seenAs` changes what a look sees of
// the members.
const watched = (
  { cluster }: SimulatedCluster,
  seenAs: (member: Member, look: number) => Member = (member) => member
) => {
  const done: Array<string> = []
  // Two hosts begin and let go at once.
  const say = (what: string) => Effect.sync(() => void (done.at(-1) === what || done.push(what)))
  const { injector, target } = cluster
  const { discover } = target
  let looks = 0
  Object.assign(target, {
    discover: Effect.suspend(() => {
      const look = ++looks
      return Effect.map(discover, (groups) =>
        groups.map((group) => ({ ...group, members: group.members.map((member) => seenAs(member, look)) }))
      )
    }).pipe(Effect.tap(() => say("looked")))
  })
  Object.assign(injector, {
    prepare: Effect.fnUntraced(function* (_: string, preparations: ReadonlyArray<FencePreparation>) {
      yield* say(`begins attempt ${preparations[0]!.fence.attempt}`)
      let went = false
      yield* Effect.addFinalizer(() => (went ? Effect.void : say("let go")))
      const go: Prepared["go"] = (order) => {
        went = true
        return Effect.forEach(preparations, (one) => Effect.result(injector.arm({ ...one, ...order })))
      }
      return { go }
    })
  })
  return done
}

// Tells besides when a probe is opened and when it writes, and when a process was judged.
const tellWrites = ({ cluster }: SimulatedCluster, done: Array<string>): void => {
  const { injector, target } = cluster
  const { preflight } = injector
  const { probe } = target
  Object.assign(target, {
    probe: (group: string) =>
      Effect.suspend(() => {
        done.push("opens")
        return Effect.map(
          Effect.tap(
            probe(group),
            Effect.addFinalizer(() => Effect.sync(() => void done.push("closes")))
          ),
          (open) => ({
            ...open,
            write: (endpoint: string) =>
              Effect.suspend(() => {
                done.push("writes")
                return open.write(endpoint)
              })
          })
        )
      })
  })
  Object.assign(injector, {
    preflight: (...of: Parameters<typeof preflight>) =>
      Effect.tap(preflight(...of), () => Effect.sync(() => void done.push("judged")))
  })
}

describe("the hosts of a loss", () => {
  it.effect("make ready by the plan of its start, while the group is looked at anew", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ latency: 20 })
      const done = watched(world.sim)
      const engine = yield* world.engine()
      yield* meanwhile(ask(engine, request(world.sim), 1, true))
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(done.slice(0, 3), ["looked", "begins attempt 1", "looked"])
      assert.notInclude(done, "let go")
      assertNothingLeft(world.sim)
    })
  )

  it.effect("are not asked what they think of a process, and no probe is opened, where a start has done so", () =>
    Effect.gen(function* () {
      for (const guard of [true, false]) {
        const world = yield* makeWorld({ latency: 20 })
        const done = watched(world.sim)
        tellWrites(world.sim, done)
        const engine = yield* world.engine()
        yield* meanwhile(ask(engine, request(world.sim), 1, guard))
        assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
        const own = done.slice(guard ? done.indexOf("begins attempt 1") : 0)
        const at = (what: string) => own.indexOf(what)
        for (const what of ["opens", "judged"]) assert.strictEqual(own.includes(what), !guard, what)
        assert.isBelow(at("looked"), at("writes"))
        assertNothingLeft(world.sim)
      }
    })
  )

  it.effect("are written by no probe of a start that nobody drives", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ latency: 20 })
      const done = watched(world.sim)
      tellWrites(world.sim, done)
      const engine = yield* world.engine("w1", { concurrency: 0 })
      yield* meanwhile(ask(engine, request(world.sim), 1, true))
      assert.deepStrictEqual(done.slice(-2), ["opens", "writes"])
      yield* pass(1000)
      assert.deepStrictEqual(done.slice(-3), ["opens", "writes", "closes"])
    })
  )

  it.effect("make ready by its own look where no start has planned it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ latency: 20 })
      const done = watched(world.sim)
      const engine = yield* world.engine()
      yield* meanwhile(ask(engine, request(world.sim), 1, false))
      assert.strictEqual(where(yield* passUntilEnded(world)), "Completed")
      assert.deepStrictEqual(done.slice(0, 2), ["looked", "begins attempt 1"])
      assertNothingLeft(world.sim)
    })
  )

  it.effect("let go what its own look plans otherwise, and apply nothing of it", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld({ latency: 20 })
      // Another process serves each member from the second look on.
      const done = watched(world.sim, ({ process, ...member }, look) => ({
        ...member,
        process: look === 1 || process === null ? process : { ...process, startTime: "later" }
      }))
      const engine = yield* world.engine()
      yield* meanwhile(ask(engine, request(world.sim), 1, true))
      const ended = yield* passUntilEnded(world)
      assert.strictEqual(where(ended), "Completed")
      assert.strictEqual(ended.attempt, 2)
      assert.deepStrictEqual(done.slice(0, 4), ["looked", "begins attempt 1", "looked", "let go"])
      assert.strictEqual(armings(world.sim), 2)
      const { plan } = yield* evidenceOf(engine)
      assert.isTrue(plan!.fences.every(({ process }) => process.startTime === "later"))
      assertNothingLeft(world.sim)
    })
  )
})
