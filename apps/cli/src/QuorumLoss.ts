/**
 * The commands of the quorum loss: plan and start.
 */
import type { PlanPreview } from "@inquorate/core/Operations"
import { Override } from "@inquorate/core/Plan"
import { formatMillis, type Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { findPartition, operatorOf } from "./Answering.ts"
import type { NamedPartition } from "./Operator.ts"
import { choose, connect, explain, print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { startFlags, startGuarded } from "./GuardedStart.ts"
import { askFlags, confirm, folded, readDuration } from "./Question.ts"
import { previewLines } from "./Report.ts"
import { canAsk, screen } from "./Screen.ts"

// --- models ---

const partition = Argument.String("partition").pipe(
  Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
)

const duration = Flag.String("duration").pipe(
  Flag.withAlias("d"),
  Flag.withDescription("How long to hold the loss, required: 5s, 2m, 10m30s, 500ms, or seconds"),
  Flag.withMetavar("LENGTH")
)

const planned = Flag.String("duration").pipe(
  Flag.withAlias("d"),
  Flag.withDescription("How long the loss would be held (10s)"),
  Flag.withMetavar("LENGTH"),
  Flag.withDefault("10s")
)

const mode = Flag.Literals("mode", ["QuorumReplicas", "AllReplicas"]).pipe(
  Flag.withDescription("The smallest cut that loses the quorum, or every replica that may be cut (QuorumReplicas)"),
  Flag.withDefault("QuorumReplicas")
)

const overrides = Flag.Literals("override", Override.literals).pipe(
  Flag.withDescription("Set a guard aside by name, where it says no; may be given more than once"),
  Flag.atLeast(0)
)

// --- make ---

/** `inq plan`: what a quorum loss would do, without touching anything. */
export const plan = Command.make(
  "plan",
  { partition, duration: planned, mode, overrides },
  Effect.fnUntraced(function* (input) {
    const hold = yield* readDuration(input.duration)
    const client = yield* connect
    const { serviceName, topology } = yield* choose(yield* client.clusters.pipe(explain("partitions")), input.partition)
    const about = { serviceName, partitionId: topology.partitionId }
    const preview = yield* client.plan(requestOf(about, input, hold)).pipe(explain("plan"))
    yield* tellPlan(preview)
  })
).pipe(Command.withDescription("Show what a quorum loss would do, without touching anything"))

/** `inq start`: starts a quorum loss. */
export const start = Command.make(
  "start",
  { partition, duration, mode, overrides, ...askFlags, ...startFlags },
  Effect.fnUntraced(function* (input) {
    const hold = yield* readDuration(input.duration)
    const { about, answering } = yield* findPartition("start", input.partition)
    const request = requestOf(about, input, hold)
    if (answering.surface === "inquorate" && (input.dryRun || (canAsk() && !input.yes))) {
      const preview = yield* answering.client.plan(request).pipe(explain("start"))
      if (input.dryRun) return yield* tellPlan(preview)
      // A plan that is refused is refused by the start in the same words; a repeated start is none.
      if (preview.plan !== null && preview.refusal === null) {
        yield* screen.lines([`${preview.plan.arithmetic}.`.replace(/\.\.$/, "."), ...preview.notes].flatMap(folded))
        yield* confirm(`Take the quorum of ${about.serviceName} for ${formatMillis(hold)}?`, false)
      }
    } else if (input.dryRun) {
      return yield* new Failure({
        exit: "usage",
        detail: "start: a Service Fabric cluster plans nothing; leave --dry-run out."
      })
    } else {
      yield* confirm(`Take the quorum of ${about.serviceName} for ${formatMillis(hold)}?`, input.yes)
    }
    yield* startGuarded("start", operatorOf(answering), input, request)
  })
).pipe(
  Command.withDescription("Start a quorum loss"),
  Command.withExamples([
    { command: "inq start orders -d 10s --watch", description: "Lose the quorum for 10 s, and see it through" },
    { command: "inq start orders -d 10s --dry-run", description: "Only say what would be done" }
  ])
)

// --- internal ---

const tellPlan = Effect.fnUntraced(function* (preview: PlanPreview) {
  yield* print(preview, () => previewLines(preview))
  if (preview.refusal !== null) return yield* new Failure({ exit: "refused", detail: "" })
})

const requestOf = (
  about: NamedPartition,
  asked: { readonly mode: "QuorumReplicas" | "AllReplicas"; readonly overrides: ReadonlyArray<Override> },
  hold: Millis
) => ({
  kind: "PartitionQuorumLoss" as const,
  ...about,
  mode: asked.mode,
  hold,
  ...(asked.overrides.length === 0 ? {} : { overrides: asked.overrides })
})
