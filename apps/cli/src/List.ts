/**
 * `inq list`, and how an operation stands in a table.
 */
import { describeBriefly } from "@inquorate/core/Describe"
import { faultOf } from "@inquorate/core/Fault"
import { type FaultRequest, isNodeRequest, placeOf } from "@inquorate/core/Request"
import { type Instant, parseMillis } from "@inquorate/core/Time"
import { OperationState } from "@inquorate/core/Wire"
import type { OperationView } from "@inquorate/transport/Api"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { first } from "./Answering.ts"
import { explain, print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { age, localTime } from "./Moment.ts"
import { screen, width } from "./Screen.ts"
import { table } from "./Table.ts"

// --- make ---

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
    const now = yield* Clock.currentTimeMillis
    const from = yield* readSince(since, now)
    const isWanted = (one: OperationState): boolean =>
      state.length === 0 || state.some((name) => (name === "live" ? isLive(one) : name === one))
    const filtered = state.length > 0 || Option.isSome(cluster) || Option.isSome(since)
    const found = yield* first("list", (client) => client.listing(filtered ? 10_000 : limit))
    if (found.surface === "fabric") {
      const { explain, fabric } = found.gateway
      const all = yield* fabric.getFaultOperationList().pipe(explain("list"))
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
    const newest = found.answer.operations
      .filter(
        ({ operation, state: one }) =>
          isWanted(one) &&
          operation.receivedAt >= from &&
          Option.match(cluster, { onNone: () => true, onSome: (name) => isOn(operation.request, name) })
      )
      .slice(-limit)
      .toReversed()
    // In this order: the worker comes across what it cannot read by listing the others.
    const all = found.answer.unreadableCount === 0 ? [] : yield* found.client.unreadable.pipe(explain("list"))
    const unreadable = all.filter(({ state }) => isWanted(state))
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

/** True while an operation has not ended. */
export const isLive = (state: OperationState): boolean => state === "Running" || state === "RollingBack"

/** The heads of a table of operations. */
export const operationHeadings = ["OPERATION", "AGE", "STATE", "FAULT", "PLACE", "RESULT"]

/** What such a table says of one. */
export const operationCells = ({ operation, state }: OperationView, now: Instant): ReadonlyArray<string> => [
  screen.terminal ? operation.id.slice(0, 8) : operation.id,
  age(now - operation.receivedAt),
  state,
  faultOf(operation.request).words.short,
  placeOf(operation.request).replace(/^fabric:\//, ""),
  describeBriefly(operation, now, { moment: (at) => localTime(at, now) })
]

// --- internal ---

// A table before a terminal has the terminal's width; JSON and pipes have all of it.
const clipped = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  screen.terminal ? lines.map((line) => (line.length < width() ? line : `${line.slice(0, width() - 2)}…`)) : lines

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

const linesOf = (headings: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
  rows.length === 0 ? ["No operations yet."] : clipped(table(headings, rows))
