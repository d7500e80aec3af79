/**
 * The command that destroys replicas of a partition with their data.
 */
import { DataLossMode } from "@inquorate/core/Request"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { findPartition, operatorOf } from "./Answering.ts"
import { startFlags, startGuarded } from "./GuardedStart.ts"
import { confirm, yes } from "./Question.ts"

/** `inq data-loss`: destroys replicas of a partition with their data. */
export const dataLoss = Command.make(
  "data-loss",
  {
    partition: Argument.String("service").pipe(
      Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
    ),
    mode: Flag.Literals("mode", DataLossMode.literals).pipe(
      Flag.withDescription("As many replicas as make the quorum, or all of them"),
      Flag.withDefault("PartialDataLoss")
    ),
    yes,
    ...startFlags
  },
  Effect.fnUntraced(function* (input) {
    const { about, answering } = yield* findPartition("data-loss", input.partition)
    yield* confirm(`Destroy data of ${about.serviceName} for good?`, input.yes)
    yield* startGuarded("data-loss", operatorOf(answering), input, {
      kind: "PartitionDataLoss",
      ...about,
      mode: input.mode
    })
  })
).pipe(Command.withDescription("Destroy replicas of a partition with their data, where that is allowed"))
