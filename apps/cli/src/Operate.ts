/**
 * The commands that act on operations: plan, start, show, watch, list, cancel. A watched operation is never left alone:
 * whoever ends the watching is asked, or the operation is cancelled and its lift awaited.
 */
import type { OperationChange } from "@inquorate/core/Operations"
import { isTerminal } from "@inquorate/core/Operation"
import { formatInstant, formatMillis, type Millis, parseMillis } from "@inquorate/core/Time"
import { parse as parseGuid } from "@inquorate/core/Guid"
import { Override } from "@inquorate/core/Plan"
import { kindOf, placeOf } from "@inquorate/core/Request"
import type { OperationState } from "@inquorate/core/Wire"
import type * as Client from "@inquorate/transport/Client"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { randomUUID } from "node:crypto"
import { createInterface } from "node:readline"
import { choose, connect, explain, print, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { askedOf, previewLines, report } from "./Report.ts"
import { canAsk, screen } from "./Screen.ts"
import { Signals } from "./Signals.ts"
import { table } from "./Table.ts"
import { changeLines, liveLine } from "./Watch.ts"

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
    const request = yield* requestFor(client, input, hold)
    const preview = yield* client.plan(request).pipe(explain("plan"))
    yield* print(preview, () => previewLines(preview))
    if (preview.refusal !== null) return yield* new Failure({ exit: "refused", detail: "" })
  })
).pipe(Command.withDescription("Show what a quorum loss would do, without touching anything"))

/** `inq start`: starts a quorum loss. */
export const start = Command.make(
  "start",
  {
    partition,
    duration,
    mode,
    overrides,
    id: Flag.String("id").pipe(
      Flag.withDescription("The operation's id, a GUID; repeating a start with the same id is harmless"),
      Flag.optional
    ),
    watch: Flag.Boolean("watch").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Show it until it has ended; interrupting cancels it"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* (input) {
    const hold = yield* readDuration(input.duration)
    const id = yield* Option.match(input.id, { onNone: () => Effect.succeed(randomUUID() as string), onSome: readId })
    const client = yield* connect
    const request = yield* requestFor(client, input, hold)
    // The signals are taken before the start is sent: from here on there may be a fault to lift.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const signals = yield* (yield* Signals).take
        const receipt = yield* client.start(id, request).pipe(explain("start"))
        const { output } = yield* root
        if (!input.watch) {
          return yield* print(receipt, () => [
            `Started ${id}${receipt.replayed ? " (it was started before)" : ""}. "inq watch ${id}" shows it, "inq cancel ${id}" lifts at once.`
          ])
        }
        if (output === "table")
          yield* screen.lines([`Operation ${id} on ${request.serviceName}, hold ${formatMillis(hold)}`])
        yield* watchAndGuard(client, id, signals)
      })
    )
  })
).pipe(Command.withDescription("Start a quorum loss"))

/** `inq watch`: shows an operation until it has ended. Interrupting it leaves the operation alone. */
export const watch = Command.make(
  "watch",
  { operation },
  Effect.fnUntraced(function* (input) {
    const id = yield* readId(input.operation)
    const client = yield* connect
    const last = yield* follow(client, id)
    yield* screen.live("")
    yield* endOf(last)
  })
).pipe(Command.withDescription("Show an operation until it has ended"))

/** `inq show`: an operation with its evidence. */
export const show = Command.make(
  "show",
  { operation },
  Effect.fnUntraced(function* (input) {
    const id = yield* readId(input.operation)
    const client = yield* connect
    const detail = yield* client.detail(id).pipe(explain("show"))
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
    const client = yield* connect
    const operations = yield* client.list(limit).pipe(explain("list"))
    yield* print(operations, () =>
      operations.length === 0
        ? ["No operations yet."]
        : table(
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
    const client = yield* connect
    const view = yield* client.cancel(id, force).pipe(explain("cancel"))
    yield* print(view, () => [`${id}: ${view.state}`])
  })
).pipe(Command.withDescription("Lift at once and stop an operation"))

// --- internal ---

const readDuration = (text: string): Effect.Effect<Millis, Failure> => {
  const millis = parseMillis(text)
  return millis === undefined
    ? Effect.fail(
        new Failure({
          exit: "usage",
          detail: `--duration: expected a length such as 5s, 2m or 500ms, got ${JSON.stringify(text)}.`
        })
      )
    : Effect.succeed(millis)
}

const readId = (text: string): Effect.Effect<string, Failure> => {
  const id = parseGuid(text)
  return id === undefined
    ? Effect.fail(
        new Failure({
          exit: "usage",
          detail: `The operation id must be a GUID of 36 characters, got ${JSON.stringify(text)}.`
        })
      )
    : Effect.succeed(id)
}

const requestFor = Effect.fnUntraced(function* (
  client: Client.Client,
  asked: {
    readonly partition: string
    readonly mode: "QuorumReplicas" | "AllReplicas"
    readonly overrides: ReadonlyArray<Override>
  },
  hold: Millis
) {
  const clusters = yield* client.clusters.pipe(explain("partitions"))
  const chosen = yield* choose(clusters, asked.partition)
  return {
    serviceName: chosen.serviceName,
    partitionId: chosen.topology.partitionId,
    mode: asked.mode,
    hold,
    ...(asked.overrides.length === 0 ? {} : { overrides: asked.overrides })
  }
})

/** Shows changes until the operation has ended, and gives back the last of them. */
const follow = Effect.fnUntraced(function* (client: Client.Client, id: string) {
  const { output } = yield* root
  const last = yield* Ref.make<OperationChange | undefined>(undefined)
  const show = (change: OperationChange) =>
    Ref.set(last, change).pipe(
      Effect.andThen(output === "json" ? screen.lines([JSON.stringify(change)]) : screen.lines(changeLines(change)))
    )
  const paint = Effect.gen(function* () {
    const change = yield* Ref.get(last)
    if (change !== undefined) yield* screen.live(liveLine(change.operation, yield* Clock.currentTimeMillis))
  }).pipe(Effect.repeat(Schedule.spaced(Duration.millis(100))))
  const painting = yield* Effect.forkChild(screen.terminal && output === "table" ? paint : Effect.never)
  yield* Stream.runForEach(client.watch(id), show).pipe(
    explain("watch"),
    Effect.ensuring(Fiber.interrupt(painting)),
    Effect.ensuring(screen.live(""))
  )
  const change = yield* Ref.get(last)
  if (change === undefined || !isTerminal(change.operation)) {
    return yield* new Failure({ exit: "unreachable", detail: `The worker stopped telling before ${id} had ended.` })
  }
  return change
})

/** Watches; a signal asks on a terminal whether to cancel, and cancels without one or when it comes again. */
const watchAndGuard = Effect.fnUntraced(function* (
  client: Client.Client,
  id: string,
  signals: Queue.Dequeue<"SIGINT" | "SIGTERM" | "SIGHUP">
) {
  const following = yield* Effect.forkChild(follow(client, id))
  let interrupted = false
  const guard = Effect.gen(function* () {
    const signal = yield* Queue.take(signals)
    const leave = signal === "SIGINT" && canAsk() ? yield* askToCancel(signals) : true
    if (!leave) return
    interrupted = true
    yield* screen.live("")
    yield* screen.lines([`Cancelling ${id} and waiting for the lift …`])
    yield* client.cancel(id, false).pipe(
      explain("cancel"),
      // It may have ended in the same moment, which the watching will tell.
      Effect.catchIf(
        (failure) => failure.exit === "refused",
        () => Effect.void
      )
    )
    return yield* Effect.never
  }).pipe(Effect.forever)
  const last = yield* Effect.raceFirst(Fiber.join(following), guard)
  if (interrupted) {
    return yield* new Failure({ exit: "interrupted", detail: `${id} ended ${last.state}.` })
  }
  yield* endOf(last)
})

/** True when the answer, or a second signal, says to cancel. */
const askToCancel = Effect.fnUntraced(function* (signals: Queue.Dequeue<"SIGINT" | "SIGTERM" | "SIGHUP">) {
  yield* screen.live("")
  const answer = Effect.callback<boolean>((resume) => {
    const lines = createInterface({ input: process.stdin, output: process.stdout })
    lines.question("Cancel the operation and lift now? [y/N] ", (text) => {
      lines.close()
      resume(Effect.succeed(/^\s*y/i.test(text)))
    })
    // Inside the question a Ctrl-C reaches readline instead of the process.
    lines.on("SIGINT", () => {
      lines.close()
      resume(Effect.succeed(true))
    })
    return Effect.sync(() => lines.close())
  })
  return yield* Effect.raceFirst(answer, Effect.as(Queue.take(signals), true))
})

const endOf = (change: OperationChange): Effect.Effect<void, Failure, Command.CommandContext<"inq">> =>
  Effect.gen(function* () {
    const { output } = yield* root
    if (output === "table") yield* screen.lines([`${change.operation.id} ended ${change.state}.`])
    const exit = ends[change.state]
    if (exit !== undefined) return yield* new Failure({ exit, detail: "" })
  })

const ends: Partial<Record<OperationState, "faulted" | "cancelled">> = {
  Faulted: "faulted",
  Cancelled: "cancelled",
  ForceCancelled: "cancelled"
}
