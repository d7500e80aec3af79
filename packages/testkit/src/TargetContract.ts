/**
 * The suite that every `Target` passes on a real cluster of its system. The identity is the same each time, the
 * topology is healthy, and a write is acknowledged. The quorum is lost and returns as the members are really stopped
 * and let go. The suite asserts order and states; its bounds on time are generous, for a busy machine.
 */
import type { ProbeOutcome } from "@inquorate/core/Evidence"
import { parse } from "@inquorate/core/Guid"
import { chooseCut, type QuorumLossMode } from "@inquorate/core/Plan"
import type { Probe, Target } from "@inquorate/core/Target"
import { health, type Member, type Topology } from "@inquorate/core/Topology"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Pace from "./Pace.ts"

/** A target with the means to stop the members of the cluster that it watches. */
export interface TargetLab {
  readonly target: Target
  /** A group whose members' processes can be stopped. */
  readonly group: string
  /** Stops every process of these members and returns once they stand still. */
  readonly pause: (members: ReadonlyArray<Member>) => Effect.Effect<void>
  /** Lets everything that was paused go on; harmless where nothing is paused. */
  readonly resume: Effect.Effect<void>
}

/**
 * Registers the suite. `make` opens a healthy cluster once, for all tests. Where `skip` gives a reason, such as a
 * missing binary, the suite is skipped by name.
 */
export const targetContract = <E>(
  name: string,
  make: Effect.Effect<TargetLab, E, Scope.Scope>,
  { skip }: { readonly skip?: string | undefined } = {}
): void => {
  if (skip !== undefined) {
    describe.skip(`${name} (skipped: ${skip})`, () => it("passes the contract of a target", () => {}))
    return
  }
  class Lab extends Context.Service<Lab, TargetLab>()("@inquorate/testkit/TargetContract/Lab") {}
  layer(Layer.effect(Lab, make), { timeout: Pace.within(60_000), excludeTestServices: true })(name, (it) => {
    it.effect("gives its group the same partition id each time", () =>
      Effect.gen(function* () {
        const lab = yield* Lab
        const first = yield* look(lab)
        const second = yield* look(lab)
        assert.strictEqual(first.partitionId, second.partitionId)
        assert.strictEqual(parse(first.partitionId), first.partitionId)
        const all = yield* lab.target.discover
        assert.strictEqual(new Set(all.map(({ partitionId }) => partitionId)).size, all.length)
      })
    )

    it.effect("shows a healthy group in which every member that may be cut has a process it believes", () =>
      Effect.gen(function* () {
        const lab = yield* Lab
        const topology = yield* look(lab)
        assert.strictEqual(health(topology), "Healthy", JSON.stringify(topology))
        assert.strictEqual(topology.members.filter(({ role }) => role === "Primary").length, 1)
        assert.isAtLeast(topology.members.filter(({ counts }) => counts).length, topology.needed)
        assert.strictEqual(new Set(topology.members.map(({ node }) => node)).size, topology.members.length)
        for (const { cuttable, process, processProblem } of topology.members) {
          if (cuttable === "Never") continue
          assert.strictEqual(processProblem, "")
          assert.isNotNull(process)
        }
      })
    )

    it.effect("acknowledges a write and hears of no loss while there is none", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const lab = yield* Lab
          const probe = yield* lab.target.probe(lab.group)
          for (let writes = 0; writes < 10; writes++) {
            assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
          }
          assert.notStrictEqual((yield* probe.survivors).word, "QuorumLost")
        })
      )
    )

    it.effect("refuses to probe a group it does not have", () =>
      Effect.gen(function* () {
        const lab = yield* Lab
        const opened = yield* Effect.exit(Effect.scoped(lab.target.probe("no such group")))
        assert.isTrue(Exit.isFailure(opened))
      })
    )

    for (const mode of ["QuorumReplicas", "AllReplicas"] as const) {
      it.effect(`leaves writes unacknowledged while ${mode} are stopped, and takes them again afterwards`, () =>
        Effect.gen(function* () {
          const lab = yield* Lab
          const before = yield* look(lab)
          const cut = Result.getOrThrow(chooseCut(before, mode))
          yield* Effect.scoped(
            Effect.gen(function* () {
              const probe = yield* lab.target.probe(lab.group)
              yield* lab.pause(cut)
              yield* watchLoss(lab, probe, before, cut, mode).pipe(Effect.ensuring(lab.resume))
              yield* watchRecovery(lab, probe, before)
            })
          )
        })
      )
    }

    it.effect("closes a probe whose writes hang, and opens one while all are stopped, without waiting for them", () =>
      Effect.gen(function* () {
        const lab = yield* Lab
        const before = yield* look(lab)
        const cut = Result.getOrThrow(chooseCut(before, "AllReplicas"))
        const scope = yield* Scope.make()
        const probe = yield* Scope.provide(lab.target.probe(lab.group), scope)
        yield* lab.pause(cut)
        yield* Effect.gen(function* () {
          assert.isTrue(Option.isNone(yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 200)))
          yield* within(5000, "closing the probe", Scope.close(scope, Exit.void))
          yield* within(5000, "opening another", Effect.scoped(lab.target.probe(lab.group)))
        }).pipe(Effect.ensuring(lab.resume))
        yield* Effect.scoped(Effect.flatMap(lab.target.probe(lab.group), (fresh) => watchRecovery(lab, fresh, before)))
      })
    )
  })
}

// --- internal ---

const look = Effect.fnUntraced(function* ({ group, target }: TargetLab) {
  const topologies = yield* Effect.orDie(target.discover)
  const topology = topologies.find((topology) => topology.group === group)
  assert.isDefined(topology, `no group ${group} among ${topologies.map((other) => other.group).join(", ")}`)
  return topology!
})

const within = <A, E, R>(bound: number, what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(effect, {
    duration: Pace.within(bound),
    orElse: () => Effect.die(new Error(`${what} took more than ${Pace.within(bound)} ms`))
  })

const isAcknowledged = (outcome: ProbeOutcome): boolean => outcome._tag === "Acknowledged"

const watchLoss = Effect.fnUntraced(function* (
  lab: TargetLab,
  probe: Probe,
  before: Topology,
  cut: ReadonlyArray<Member>,
  mode: QuorumLossMode
) {
  const { target } = lab
  const first = yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 500)
  assert.isFalse(Option.exists(first, isAcknowledged), "a write was acknowledged although the quorum is gone")
  if (target.survivorsSpeak && mode === "QuorumReplicas") {
    const heard = yield* within(
      10_000,
      "the survivors' word",
      Effect.repeat(within(2000, "one answer", probe.survivors), {
        until: ({ word }) => word === "QuorumLost",
        schedule: Schedule.spaced(50)
      })
    )
    assert.notStrictEqual(heard.detail, "")
  }
  // The promise is one second; the rest is for a busy machine.
  const seen = yield* within(2000, "discovery", Effect.result(target.discover))
  if (mode === "QuorumReplicas") assert.isTrue(Result.isSuccess(seen), "discovery fails although some members answer")
  if (Result.isSuccess(seen)) {
    const topology = seen.success.find(({ group }) => group === lab.group)!
    assert.strictEqual(topology.partitionId, before.partitionId)
    assert.strictEqual(health(topology), "Lost")
    const up = topology.members.filter(({ up }) => up).map(({ name }) => name)
    assert.deepStrictEqual(
      up.filter((name) => cut.some((member) => member.name === name)),
      []
    )
  }
  // Writes that hang must not use up the server or the target.
  for (let writes = 0; writes < 20; writes++) {
    const outcome = yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 20)
    assert.isFalse(Option.exists(outcome, isAcknowledged))
  }
})

const watchRecovery = Effect.fnUntraced(function* (lab: TargetLab, probe: Probe, before: Topology) {
  const { target } = lab
  const oneWrite = Effect.suspend(() =>
    Effect.timeoutOption(probe.write(probe.endpoints[0]!), target.recoveryWriteTimeout)
  )
  const again = <A, E>(effect: Effect.Effect<A, E>, until: (value: A) => boolean, what: string) =>
    within(target.recoveryBudget, what, Effect.repeat(effect, { until, schedule: Schedule.spaced(50) }))
  yield* again(oneWrite, Option.exists(isAcknowledged), "an acknowledged write")
  const healthy = yield* again(
    Effect.result(target.discover),
    (seen) => Result.isSuccess(seen) && seen.success.every((topology) => health(topology) === "Healthy"),
    "a healthy topology"
  )
  const topology = Result.getOrThrow(healthy).find(({ group }) => group === lab.group)!
  assert.strictEqual(topology.partitionId, before.partitionId)
  assert.deepStrictEqual(
    topology.members.map(({ process }) => process),
    before.members.map(({ process }) => process)
  )
  // Whoever has just run on may elect another leader, and refuses writes meanwhile.
  yield* again(oneWrite, Option.exists(isAcknowledged), "an acknowledged write of a healthy group")
  yield* again(probe.survivors, ({ word }) => word !== "QuorumLost", "survivors that hear of no loss")
})
