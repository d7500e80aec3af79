/**
 * The commands about one operation: watch, logs, show, cancel.
 */
import { describe } from "@inquorate/core/Describe"
import type { ApiError } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { type Answering, first, operatorOf } from "./Answering.ts"
import type { Known } from "./Operator.ts"
import { explain, print, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { follow } from "./Follow.ts"
import { endOf } from "./GuardedStart.ts"
import { isLive, operationCells, operationHeadings } from "./List.ts"
import { localTime } from "./Moment.ts"
import { knownOf, lookedThrough, ofOperation, readName } from "./OperationName.ts"
import { folded } from "./Question.ts"
import { report } from "./Report.ts"
import { screen } from "./Screen.ts"
import { table } from "./Table.ts"
import { changeLines } from "./Watch.ts"

// --- models ---

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

// --- make ---

/** `inq watch`: shows an operation until it has ended. Interrupting it leaves the operation alone. */
export const watch = Command.make(
  "watch",
  { operation, verbose },
  Effect.fnUntraced(function* (input) {
    const name = yield* readName(input.operation)
    if (name === undefined) {
      const listed = yield* first("watch", (client) => client.list(lookedThrough))
      const all = listed.surface === "fabric" ? yield* listed.gateway.operations : knownOf(listed.answer)
      const living = all.filter(({ lives }) => lives)
      if (living.length !== 1) return yield* watchAll(listed, living)
      const { id } = living[0]!
      return yield* endOf(id, yield* operatorOf(listed).follow(id, input))
    }
    const found = yield* ofOperation("watch", name, (client, id) => follow(client, id, input))
    const ended = found.surface === "fabric" ? yield* found.gateway.follow(found.id, input) : found.answer
    yield* endOf(found.id, ended)
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
    const { output } = yield* root
    const found = yield* ofOperation("logs", name, (client, id) => {
      const changes = client.watch(id)
      return Stream.runForEach(input.follow ? changes : Stream.take(changes, 1), (change) =>
        output === "json" ? screen.json(change) : screen.lines(changeLines(change))
      )
    })
    if (found.surface === "fabric") {
      return yield* new Failure({
        exit: "usage",
        detail: "logs: a Service Fabric cluster keeps no evidence; inq show tells the state."
      })
    }
  })
).pipe(Command.withDescription("Show everything that an operation told, every write among it"))

/** `inq show`: an operation with its evidence; of a Service Fabric cluster, with its progress. */
export const show = Command.make(
  "show",
  { operation },
  Effect.fnUntraced(function* (input) {
    const name = yield* readName(input.operation)
    const found = yield* ofOperation("show", name, (client, id) => client.detail(id))
    if (found.surface === "fabric") {
      const { errorOf } = yield* Effect.promise(() => import("./Gateway.ts"))
      const progress = yield* found.gateway.show(found.id)
      return yield* print(progress, () => [
        `Operation ${found.id}  ${progress.State}${errorOf(progress)}`,
        `  type       ${progress.Type}`
      ])
    }
    const now = yield* Clock.currentTimeMillis
    yield* print(found.answer, () => report(found.answer, now))
  })
).pipe(Command.withDescription("Show an operation with its evidence"))

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
    const found = yield* ofOperation("cancel", name, (client, id) =>
      client.cancel(id, force).pipe(
        Effect.catchIf(
          (error) => error._tag === "ApiError",
          (refused) => alreadyEnded(client, id, refused)
        )
      )
    )
    const { id } = found
    const { state, value } =
      found.surface === "fabric"
        ? yield* found.gateway.cancel(id, force)
        : { state: found.answer.state, value: found.answer }
    const summary = summaryOf(value)
    yield* print(value, () => [
      `${id}: ${state}${summary !== "" && isLive(state) ? `, ${summary}` : ""}`,
      ...(summary !== "" && !isLive(state) ? folded(summary) : [])
    ])
  })
).pipe(Command.withDescription("Lift at once and stop an operation"))

// --- internal ---

// A gateway's own words have none.
const summaryOf = (value: unknown): string => {
  const { summary } = value as { readonly summary?: unknown }
  return typeof summary === "string" ? summary : ""
}

// Of one that has ended a person wants to know how: the whole of it is in `show`.
const alreadyEnded = (client: Client.Client, id: string, refused: ApiError) =>
  Effect.gen(function* () {
    const detail = yield* Effect.option(client.detail(id))
    if (Option.isNone(detail) || detail.value.operation.endedAt === null) return yield* refused
    const { evidence, operation, state } = detail.value
    const now = yield* Clock.currentTimeMillis
    const sentence = describe(operation, evidence, { moment: (at) => localTime(at, now) })
    return yield* new Failure({
      exit: "refused",
      detail: `cancel: ${id} ended ${state} at ${localTime(operation.endedAt!, now)} already. ${sentence}`
    })
  })

/** Everything that lives as a table, painted anew each second on a terminal until it is interrupted. */
const watchAll = Effect.fnUntraced(function* (found: Answering<unknown>, living: ReadonlyArray<Known>) {
  if (found.surface === "fabric") {
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
