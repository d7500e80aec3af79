/**
 * The commands that act on operations: plan, start, show, watch, list, cancel.
 */
import { Override } from "@inquorate/core/Plan"
import { kindOf, placeOf } from "@inquorate/core/Request"
import { formatInstant, type Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { choose, connect, explain, explainFabric, print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { clustersOf, front, type NamedPartition } from "./Front.ts"
import { endOf, launch, launchFlags, readDuration, readId } from "./Launch.ts"
import { askedOf, previewLines, report } from "./Report.ts"
import { screen } from "./Screen.ts"
import { table } from "./Table.ts"

// --- models ---

const partition = Argument.String("partition").pipe(
  Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
)

const operation = Argument.String("operation").pipe(Argument.withDescription("The id of an operation"))

const duration = Flag.String("duration").pipe(
  Flag.withAlias("d"),
  Flag.withDescription("How long to hold the loss: 5s, 2m, 500ms, or seconds"),
  Flag.withMetavar("LENGTH")
)

const mode = Flag.Literals("mode", ["QuorumReplicas", "AllReplicas"]).pipe(
  Flag.withDescription("The smallest cut that loses the quorum, or every replica that may be cut"),
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
  { partition, duration: duration.pipe(Flag.withDefault("10s")), mode, overrides },
  Effect.fnUntraced(function* (input) {
    const hold = yield* readDuration(input.duration)
    const client = yield* connect
    const { serviceName, topology } = yield* choose(yield* clustersOf(client, "partitions"), input.partition)
    const about = { serviceName, partitionId: topology.partitionId }
    const preview = yield* client.plan(requestOf(about, input, hold)).pipe(explain("plan"))
    yield* print(preview, () => previewLines(preview))
    if (preview.refusal !== null) return yield* new Failure({ exit: "refused", detail: "" })
  })
).pipe(Command.withDescription("Show what a quorum loss would do, without touching anything"))

/** `inq start`: starts a quorum loss. */
export const start = Command.make(
  "start",
  { partition, duration, mode, overrides, ...launchFlags },
  Effect.fnUntraced(function* (input) {
    const hold = yield* readDuration(input.duration)
    const found = yield* front("start")
    const about = yield* found.partition(input.partition)
    yield* launch("start", found, input, requestOf(about, input, hold))
  })
).pipe(Command.withDescription("Start a quorum loss"))

/** `inq watch`: shows an operation until it has ended. Interrupting it leaves the operation alone. */
export const watch = Command.make(
  "watch",
  { operation },
  Effect.fnUntraced(function* (input) {
    const id = yield* readId(input.operation)
    const found = yield* front("watch")
    const last = yield* found.follow(id)
    yield* screen.live("")
    yield* endOf(id, last)
  })
).pipe(Command.withDescription("Show an operation until it has ended"))

/** `inq show`: an operation with its evidence; of a Service Fabric cluster, with its progress. */
export const show = Command.make(
  "show",
  { operation },
  Effect.fnUntraced(function* (input) {
    const id = yield* readId(input.operation)
    const found = yield* front("show")
    if (found.surface === "fabric") {
      const Fabric = yield* fabricFront
      const progress = yield* Fabric.show(found.fabric, id)
      return yield* print(progress, () => [
        `Operation ${id}  ${progress.State}${Fabric.errorOf(progress)}`,
        `  type       ${progress.Type}`
      ])
    }
    const detail = yield* found.client.detail(id).pipe(explain("show"))
    yield* print(detail, () => report(detail))
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
    )
  },
  Effect.fnUntraced(function* ({ limit }) {
    const found = yield* front("list")
    if (found.surface === "fabric") {
      const all = yield* found.fabric.getFaultOperationList().pipe(explainFabric("list"))
      return yield* print(all.slice(-limit), () =>
        linesOf(
          ["OPERATION", "TYPE", "STATE"],
          all.slice(-limit).map(({ OperationId, State, Type }) => [OperationId, Type, State])
        )
      )
    }
    const operations = yield* found.client.list(limit).pipe(explain("list"))
    yield* print(operations, () =>
      linesOf(
        ["OPERATION", "TYPE", "STATE", "PLACE", "ASKED", "RECEIVED"],
        operations.map(({ operation, state }) => [
          operation.id,
          kindOf(operation.request),
          state,
          placeOf(operation.request),
          askedOf(operation.request),
          formatInstant(operation.receivedAt)
        ])
      )
    )
  })
).pipe(Command.withDescription("List the newest operations"))

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
    const id = yield* readId(operation)
    const found = yield* front("cancel")
    const { state, value } = yield* found.cancel(id, force)
    yield* print(value, () => [`${id}: ${state}`])
  })
).pipe(Command.withDescription("Lift at once and stop an operation"))

// --- internal ---

// Evaluated for a Service Fabric cluster only.
const fabricFront = Effect.promise(() => import("./FabricFront.ts"))

const linesOf = (headings: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
  rows.length === 0 ? ["No operations yet."] : table(headings, rows)

const requestOf = (
  about: NamedPartition,
  asked: { readonly mode: "QuorumReplicas" | "AllReplicas"; readonly overrides: ReadonlyArray<Override> },
  hold: Millis
) => ({
  ...about,
  mode: asked.mode,
  hold,
  ...(asked.overrides.length === 0 ? {} : { overrides: asked.overrides })
})
