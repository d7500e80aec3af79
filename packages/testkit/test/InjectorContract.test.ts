/**
 * The simulated injector keeps the same laws as the real ones. Otherwise, what is proven on it would prove nothing.
 */
import { injectorContract } from "../src/InjectorContract.ts"
import * as SimulatedCluster from "../src/SimulatedCluster.ts"
import * as Effect from "effect/Effect"

injectorContract(
  "the simulated injector keeps the contract of an injector",
  Effect.gen(function* () {
    const world = yield* SimulatedCluster.make()
    const topologies = yield* world.cluster.target.discover
    const { name: member, process } = topologies[0]!.members[1]!
    return {
      injector: world.cluster.injector,
      start: Effect.succeed({ member, process: process! }),
      runs: (replica) => Effect.sync(() => world.standing().every((fence) => fence.member !== replica.member))
    }
  }),
  { clock: "test" }
)
