/**
 * The simulated cluster keeps the contracts that the real targets and injectors keep. Otherwise, what is tried on it
 * would prove nothing.
 */
import { injectorContract } from "@inquorate/testkit/InjectorContract"
import { targetContract } from "@inquorate/testkit/TargetContract"
import type { FenceId } from "@inquorate/core/Injector"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Emulator from "../src/Emulator.ts"

const first = Effect.orDie(Effect.map(Emulator.make({ speed: 20 }), ({ clusters }) => clusters[0]!))

targetContract(
  "the simulated target keeps the contract of a target",
  Effect.gen(function* () {
    const { injector, target } = yield* first
    let fences: Array<readonly [host: string, fence: FenceId]> = []
    let attempt = 0
    return {
      target,
      group: "Orders",
      pause: (members) =>
        Effect.gen(function* () {
          attempt++
          for (const { name, process } of members) {
            const fence = { operationId: "11111111-1111-4111-8111-111111111111", attempt, member: name }
            fences.push([process!.host, fence])
            const now = yield* Clock.currentTimeMillis
            const startByMonotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + 10_000
            yield* Effect.orDie(
              injector.arm({ fence, process: process!, epoch: 1, deadline: Math.floor(now) + 60_000, startByMonotonic })
            )
          }
        }),
      resume: Effect.suspend(() => {
        const standing = fences
        fences = []
        return Effect.orDie(
          Effect.forEach(standing, ([host, fence]) => injector.lift(host, fence, 1), { discard: true })
        )
      })
    }
  })
)

injectorContract(
  "the simulated injector keeps the contract of an injector",
  Effect.gen(function* () {
    const { injector, target } = yield* first
    const look = Effect.orDie(Effect.map(target.discover, (groups) => groups.find(({ group }) => group === "Orders")!))
    const { name: member, process } = (yield* look).members[1]!
    return {
      injector,
      start: Effect.succeed({ member, process: process! }),
      runs: (replica) =>
        Effect.map(
          look,
          ({ members }) => members.find(({ name }) => name === replica.member)!.replica!.status !== "Down"
        )
    }
  }),
  { clock: "test" }
)
