/**
 * The command that restarts the replicas of a partition.
 */
import { RestartMode } from "@inquorate/core/Request"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { findPartition, operatorOf } from "./Answering.ts"
import { startFlags, startGuarded } from "./GuardedStart.ts"

/** `inq restart`: restarts the replicas of a partition. */
export const restart = Command.make(
  "restart",
  {
    partition: Argument.String("service").pipe(
      Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
    ),
    mode: Flag.Literals("mode", RestartMode.literals).pipe(
      Flag.withDescription("Every replica or instance, or every one but the primary"),
      Flag.withDefault("AllReplicasOrInstances")
    ),
    ...startFlags
  },
  Effect.fnUntraced(function* (input) {
    const { about, answering } = yield* findPartition("restart", input.partition)
    yield* startGuarded("restart", operatorOf(answering), input, {
      kind: "PartitionRestart",
      ...about,
      mode: input.mode
    })
  })
).pipe(Command.withDescription("Restart the replicas of a partition"))
