/**
 * The commands that act on operations: plan, start, show, watch, list, cancel.
 */
import { describe, describeCode, phaseOf } from "@inquorate/core/Describe"
import { isTerminal } from "@inquorate/core/Operation"
import type { PlanPreview } from "@inquorate/core/Operations"
import { Override } from "@inquorate/core/Plan"
import { faultOf } from "@inquorate/core/Fault"
import { type FaultRequest, isNodeRequest, placeOf } from "@inquorate/core/Request"
import { formatMillis, type Instant, type Millis, parseMillis } from "@inquorate/core/Time"
import { OperationState } from "@inquorate/core/Wire"
import type { OperationView } from "@inquorate/transport/Api"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { choose, connect, explain, explainFabric, print, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { clustersOf, type Front, front, type InquorateFront, type NamedPartition } from "./Front.ts"
import {
  askFlags,
  confirm,
  endOf,
  findOperation,
  folded,
  launch,
  launchFlags,
  readDuration,
  readName
} from "./Launch.ts"
import { age, localTime } from "./Moment.ts"
import { previewLines, report } from "./Report.ts"
import { canAsk, screen, width } from "./Screen.ts"
import { table } from "./Table.ts"
import { changeLines } from "./Watch.ts"

// --- models ---

const partition = Argument.String("partition").pipe(
  Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
)

const operation = Argument.String("operation").pipe(
  Argument.withDescription(
    "The id of an operation or the beginning of it, or last; the only one that lives unless given"
  ),
  Argument.optional
)

const verbose = Flag.Boolean("verbose").pipe(
  Flag.withAlias("v"),
  Flag.withDescription("Show every write of the probe too"),
  Flag.withDefault(false)
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
    const { serviceName, topology } = yield* choose(yield* clustersOf(client, "partitions"), input.partition)
    const about = { serviceName, partitionId: topology.partitionId }
    const preview = yield* client.plan(requestOf(about, input, hold)).pipe(explain("plan"))
    yield* tellPlan(preview)
  })
).pipe(Command.withDescription("Show what a quorum loss would do, without touching anything"))

/** `inq start`: starts a quorum loss. */
export const start = Command.make(
  "start",
  { partition, duration, mode, overrides, ...askFlags, ...launchFlags },
  Effect.fnUntraced(function* (input) {
    const hold = yield* readDuration(input.duration)
    const found = yield* front("start")
    const about = yield* found.partition(input.partition)
    const request = requestOf(about, input, hold)
    if (found.surface === "inquorate" && (input.dryRun || (canAsk() && !input.yes))) {
      const preview = yield* found.client.plan(request).pipe(explain("start"))
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
    yield* launch("start", found, input, request)
  })
).pipe(
  Command.withDescription("Start a quorum loss"),
  Command.withExamples([
    { command: "inq start orders -d 10s --watch", description: "Lose the quorum for 10 s, and see it through" },
    { command: "inq start orders -d 10s --dry-run", description: "Only say what would be done" }
  ])
)

/** `inq watch`: shows an operation until it has ended. Interrupting it leaves the operation alone. */
export const watch = Command.make(
  "watch",
  { operation, verbose },
  Effect.fnUntraced(function* (input) {
    const name = yield* readName(input.operation)
    const found = yield* front("watch")
    if (name === undefined) {
      const living = (yield* found.operations).filter(({ lives }) => lives)
      if (living.length !== 1) return yield* watchAll(found)
    }
    const id = yield* findOperation(found, name)
    const last = yield* found.follow(id, input)
    yield* screen.live("")
    yield* endOf(id, last)
  })
).pipe(
  Command.withDescription("Show an operation until it has ended, or everything that lives"),
  Command.withExamples([
    { command: "inq watch", description: "The only one that lives, or a table of those that do" },
    { command: "inq watch last -v", description: "The newest one, with every write" }
  ])
)

/** `inq logs`: everything that an operation told so far. */
export const logs = Command.make(
  "logs",
  {
    operation,
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on until it has ended"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* (input) {
    const name = yield* readName(input.operation)
    const found = yield* front("logs")
    const id = yield* findOperation(found, name)
    if (found.surface === "fabric") {
      return yield* new Failure({
        exit: "usage",
        detail: "logs: a Service Fabric cluster keeps no evidence; inq show tells the state."
      })
    }
    const changes = found.client.watch(id)
    const { output } = yield* root
    yield* Stream.runForEach(input.follow ? changes : Stream.take(changes, 1), (change) =>
      output === "json" ? screen.json(change) : screen.lines(changeLines(change))
    ).pipe(explain("logs"))
  })
).pipe(Command.withDescription("Show everything that an operation told, every write among it"))

/** `inq show`: an operation with its evidence; of a Service Fabric cluster, with its progress. */
export const show = Command.make(
  "show",
  { operation },
  Effect.fnUntraced(function* (input) {
    const name = yield* readName(input.operation)
    const found = yield* front("show")
    const id = yield* findOperation(found, name)
    if (found.surface === "fabric") {
      const Fabric = yield* fabricFront
      const progress = yield* Fabric.show(found.fabric, id)
      return yield* print(progress, () => [
        `Operation ${id}  ${progress.State}${Fabric.errorOf(progress)}`,
        `  type       ${progress.Type}`
      ])
    }
    const detail = yield* found.client.detail(id).pipe(explain("show"))
    const now = yield* Clock.currentTimeMillis
    yield* print(detail, () => report(detail, now))
  })
).pipe(Command.withDescription("Show an operation with its evidence"))

/** `inq list`: the newest operations. */
export const list = Command.make(
  "list",
  {
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("How many of the newest to show, 1 to 10000"),
      Flag.filter(
        (limit) => limit >= 1 && limit <= 10_000,
        () => "1 to 10000"
      ),
      Flag.withDefault(20)
    ),
    state: Flag.Literals("state", [...OperationState.literals.filter((state) => state !== "Invalid"), "live"]).pipe(
      Flag.withDescription("Only those in this state, or those that live; may be given more than once"),
      Flag.atLeast(0)
    ),
    cluster: Flag.String("cluster").pipe(
      Flag.withDescription("Only those on this cluster"),
      Flag.withMetavar("NAME"),
      Flag.optional
    ),
    since: Flag.String("since").pipe(
      Flag.withDescription("Only those of the last 10m, 2h, …, or since a moment in ISO 8601"),
      Flag.withMetavar("LENGTH"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* ({ cluster, limit, since, state }) {
    const found = yield* front("list")
    const now = yield* Clock.currentTimeMillis
    const from = yield* readSince(since, now)
    const isWanted = (one: OperationState): boolean =>
      state.length === 0 || state.some((name) => (name === "live" ? isLive(one) : name === one))
    if (found.surface === "fabric") {
      const all = yield* found.fabric.getFaultOperationList().pipe(explainFabric("list"))
      const newest = all
        .filter(({ State }) => isWanted(State))
        .slice(-limit)
        .toReversed()
      return yield* print(newest, () =>
        linesOf(
          ["OPERATION", "TYPE", "STATE"],
          newest.map(({ OperationId, State, Type }) => [OperationId, Type, State])
        )
      )
    }
    const filtered = state.length > 0 || Option.isSome(cluster) || Option.isSome(since)
    const all = yield* found.client.list(filtered ? 10_000 : limit).pipe(explain("list"))
    const newest = all
      .filter(
        ({ operation, state: one }) =>
          isWanted(one) &&
          operation.receivedAt >= from &&
          Option.match(cluster, { onNone: () => true, onSome: (name) => isOn(operation.request, name) })
      )
      .slice(-limit)
      .toReversed()
    // In this order: the worker comes across what it cannot read by listing the others.
    const unreadable = (yield* found.client.unreadable.pipe(explain("list"))).filter(({ state }) => isWanted(state))
    yield* print([...newest, ...unreadable], () => [
      ...(newest.length === 0 && filtered
        ? ["No operation is so."]
        : linesOf(
            operationHeadings,
            newest.map((view) => operationCells(view, now))
          )),
      ...unreadable.map(({ id, problem, state }) => `${id} (${state}) cannot be read: ${problem}`)
    ])
  })
).pipe(
  Command.withDescription("List the newest operations, the newest first"),
  Command.withExamples([
    { command: "inq list --state live", description: "What runs now" },
    { command: "inq list --state Faulted --since 2h --cluster orders", description: "What failed there of late" }
  ])
)

/** `inq cancel`: asks an operation to stop. */
export const cancel = Command.make(
  "cancel",
  {
    operation,
    force: Flag.Boolean("force").pipe(
      Flag.withDescription(
        "After a graceful cancel: stop waiting for the lift; every fence still ends by its deadline"
      ),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ force, operation }) {
    const name = yield* readName(operation)
    const found = yield* front("cancel")
    const id = yield* findOperation(found, name)
    const { state, value } = yield* found.cancel(id, force).pipe(
      Effect.catchIf(
        ({ exit }) => exit === "refused",
        (failure) => (found.surface === "inquorate" ? alreadyEnded(found, id, failure) : Effect.fail(failure))
      )
    )
    const summary = summaryOf(value)
    yield* print(value, () => [
      `${id}: ${state}${summary !== "" && isLive(state) ? `, ${summary}` : ""}`,
      ...(summary !== "" && !isLive(state) ? folded(summary) : [])
    ])
  })
).pipe(Command.withDescription("Lift at once and stop an operation"))

// --- internal ---

// Evaluated for a Service Fabric cluster only.
const fabricFront = Effect.promise(() => import("./FabricFront.ts"))

const tellPlan = Effect.fnUntraced(function* (preview: PlanPreview) {
  yield* print(preview, () => previewLines(preview))
  if (preview.refusal !== null) return yield* new Failure({ exit: "refused", detail: "" })
})

// A gateway's own words have none.
const summaryOf = (value: unknown): string => {
  const { summary } = value as { readonly summary?: unknown }
  return typeof summary === "string" ? summary : ""
}

// A table before a terminal has the terminal's width; JSON and pipes have all of it.
const clipped = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  screen.terminal ? lines.map((line) => (line.length < width() ? line : `${line.slice(0, width() - 2)}…`)) : lines

const isLive = (state: OperationState): boolean => state === "Running" || state === "RollingBack"

const isOn = (request: FaultRequest, cluster: string): boolean =>
  isNodeRequest(request)
    ? request.nodeName.startsWith(`${cluster}-`)
    : request.serviceName === `fabric:/${cluster}` || request.serviceName.startsWith(`fabric:/${cluster}/`)

const readSince = (said: Option.Option<string>, now: Instant): Effect.Effect<Instant, Failure> => {
  if (Option.isNone(said)) return Effect.succeed(0)
  const length = parseMillis(said.value)
  const moment = length === undefined ? Date.parse(said.value) : now - length
  return Number.isFinite(moment)
    ? Effect.succeed(Math.max(0, moment))
    : Effect.fail(
        new Failure({
          exit: "usage",
          detail: `--since: expected a length such as 10m or a moment such as 2026-11-22T08:00:00Z, got ${JSON.stringify(said.value)}.`
        })
      )
}

// Of one that has ended a person wants to know how: the whole of it is in `show`.
const alreadyEnded = (found: InquorateFront, id: string, failure: Failure) =>
  Effect.gen(function* () {
    const detail = yield* Effect.option(found.client.detail(id))
    if (Option.isNone(detail) || detail.value.operation.endedAt === null) return yield* failure
    const { evidence, operation, state } = detail.value
    const now = yield* Clock.currentTimeMillis
    const sentence = describe(operation, evidence, { moment: (at) => localTime(at, now) })
    return yield* new Failure({
      exit: "refused",
      detail: `cancel: ${id} ended ${state} at ${localTime(operation.endedAt!, now)} already. ${sentence}`
    })
  })

const operationHeadings = ["OPERATION", "AGE", "STATE", "FAULT", "PLACE", "RESULT"]

const operationCells = ({ operation, state }: OperationView, now: Instant): ReadonlyArray<string> => [
  screen.terminal ? operation.id.slice(0, 8) : operation.id,
  age(now - operation.receivedAt),
  state,
  faultOf(operation.request).words.short,
  placeOf(operation.request).replace(/^fabric:\//, ""),
  operation.stage._tag === "Failed"
    ? describeCode(operation.stage.error)
    : isTerminal(operation)
      ? ""
      : phaseOf(operation, now, { moment: (at) => localTime(at, now) })
]

/** Everything that lives as a table, painted anew each second on a terminal until it is interrupted. */
const watchAll = Effect.fnUntraced(function* (found: Front | InquorateFront) {
  if (!("client" in found)) {
    const living = (yield* found.operations).filter(({ lives }) => lives)
    return yield* print(living, () => (living.length === 0 ? ["No operation lives now."] : living.map(({ id }) => id)))
  }
  const look = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const living = (yield* found.client.list(1000).pipe(explain("watch"))).filter(({ state }) => isLive(state))
    return {
      living,
      lines:
        living.length === 0
          ? ["No operation lives now."]
          : table(
              operationHeadings,
              living.toReversed().map((view) => operationCells(view, now))
            )
    }
  })
  const { output } = yield* root
  if (output === "json" || !screen.terminal) {
    const { lines, living } = yield* look
    return yield* print(living, () => lines)
  }
  return yield* Effect.forever(
    Effect.andThen(
      Effect.flatMap(look, ({ lines }) => screen.frame(lines)),
      Effect.sleep(1000)
    )
  )
})

const linesOf = (headings: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
  rows.length === 0 ? ["No operations yet."] : clipped(table(headings, rows))

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
