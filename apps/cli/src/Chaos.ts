/**
 * The commands of chaos: start, stop, get, events, and the schedule, of a worker and of a real cluster alike.
 */
import {
  type ChaosParameters,
  type ChaosSchedule,
  daysOfWeek,
  quorumLossKey,
  type TimeOfDay,
  uint32Max
} from "@inquorate/core/Chaos"
import { readDescription } from "@inquorate/core/ChaosSchedule"
import { formatInstant, formatMillis, type Instant, parseMillis } from "@inquorate/core/Time"
import type { ChaosRequest, ChaosTold } from "@inquorate/transport/ChaosClient"
import type * as Client from "@inquorate/transport/Client"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { first } from "./Answering.ts"
import { print, root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import type { Gateway } from "./Gateway.ts"
import { screen } from "./Screen.ts"
import { table } from "./Table.ts"

// --- models ---

const length = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.withMetavar("LENGTH"), Flag.optional)

const many = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.withMetavar(metavar), Flag.atLeast(0))

const startFlags = {
  timeToRun: length("time-to-run", "When chaos stops by itself: 10m, 8h; without an end unless given"),
  faults: Flag.Int("faults").pipe(
    Flag.withDescription("How many faults at once at most, 1 unless given"),
    Flag.withMetavar("NUMBER"),
    Flag.optional
  ),
  stabilization: length(
    "stabilization",
    "How long to wait for healthy clusters before each iteration, 60s unless given"
  ),
  betweenFaults: length("between-faults", "How long after one fault the next of an iteration begins, 20s unless given"),
  betweenIterations: length("between-iterations", "How long to wait between iterations, 30s unless given"),
  tolerateWarnings: Flag.Boolean("tolerate-warnings").pipe(
    Flag.withDescription("Count clusters with a warning as healthy"),
    Flag.withDefault(false)
  ),
  allowQuorumLoss: Flag.Boolean("allow-quorum-loss").pipe(
    Flag.withDescription("Let quorum losses be drawn too; without it no fault takes a quorum"),
    Flag.withDefault(false)
  ),
  note: many("note", "KEY=VALUE", "A note to keep with the run; may be given more than once"),
  nodeTypes: many("node-type", "NAME", "Break nodes of this type; may be given more than once"),
  applications: many(
    "application",
    "NAME",
    "Break replicas of this application, fabric:/cluster; may be given more than once"
  )
}

// --- make ---

const start = Command.make(
  "start",
  startFlags,
  Effect.fnUntraced(function* (input) {
    const request: ChaosRequest = {
      ...(yield* seconds("time-to-run", "TimeToRunInSeconds", input.timeToRun, String)),
      ...(yield* seconds("stabilization", "MaxClusterStabilizationTimeoutInSeconds", input.stabilization, Number)),
      ...(yield* seconds("between-faults", "WaitTimeBetweenFaultsInSeconds", input.betweenFaults, Number)),
      ...(yield* seconds("between-iterations", "WaitTimeBetweenIterationsInSeconds", input.betweenIterations, Number)),
      ...Option.match(input.faults, { onNone: () => ({}), onSome: (faults) => ({ MaxConcurrentFaults: faults }) }),
      ...(input.tolerateWarnings
        ? {
            ClusterHealthPolicy: {
              ConsiderWarningAsError: false,
              MaxPercentUnhealthyNodes: 0,
              MaxPercentUnhealthyApplications: 0
            }
          }
        : {}),
      ...(yield* contextOf(input.note, input.allowQuorumLoss)),
      ...filterOf(input.nodeTypes, input.applications)
    }
    const answering = yield* first("chaos start", (client) => client.chaos.start(request))
    if (answering.surface === "fabric") {
      const { explain, fabric } = answering.gateway
      yield* fabric.startChaos(request).pipe(explain("chaos start"))
    }
    yield* print(request, () => ['Chaos runs. "inq chaos events" tells what it does, "inq chaos stop" ends it.'])
  })
).pipe(Command.withDescription("Draw faults at random until told to stop"))

const stop = Command.make(
  "stop",
  {},
  Effect.fnUntraced(function* () {
    const answering = yield* first("chaos stop", (client) => client.chaos.stop)
    const standing =
      answering.surface === "fabric"
        ? yield* answering.gateway.fabric.stopChaos.pipe(
            Effect.andThen(answering.gateway.fabric.getChaos),
            answering.gateway.explain("chaos stop")
          )
        : answering.answer
    yield* print(standing, () => [
      standing.status === "Running"
        ? 'Chaos is stopping: what it began is being undone. "inq chaos get" shows when it has stopped.'
        : "Chaos is stopped."
    ])
  })
).pipe(Command.withDescription("Stop chaos and undo what it began"))

const get = Command.make(
  "get",
  {},
  Effect.fnUntraced(function* () {
    const answering = yield* first("chaos get", (client) => client.chaos.get)
    const standing =
      answering.surface === "fabric"
        ? yield* answering.gateway.fabric.getChaos.pipe(answering.gateway.explain("chaos get"))
        : answering.answer
    yield* print(standing, () => [
      standing.status === "Invalid" ? "Chaos has never run here." : `Chaos: ${standing.status}`,
      `Schedule: ${standing.scheduleStatus}`,
      ...parameterLines(standing.parameters)
    ])
  })
).pipe(Command.withDescription("Show how chaos stands, with its parameters"))

const events = Command.make(
  "events",
  {
    since: Flag.String("since").pipe(
      Flag.withDescription("Only events from this moment on, in ISO 8601"),
      Flag.withMetavar("MOMENT"),
      Flag.optional
    ),
    until: Flag.String("until").pipe(
      Flag.withDescription("Only events up to this moment, in ISO 8601"),
      Flag.withMetavar("MOMENT"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (input) {
    const from = yield* moment("since", input.since)
    const to = yield* moment("until", input.until)
    const times = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }
    const answering = yield* first("chaos events", (client) => eventsOfWorker(client, times))
    const found = answering.surface === "fabric" ? yield* eventsOfGateway(answering.gateway, times) : answering.answer
    const { output } = yield* root
    if (output === "json") return yield* screen.json(found, 2)
    yield* screen.lines(found.length === 0 ? ["Chaos has told nothing yet."] : found.flatMap(eventLines))
  })
).pipe(Command.withDescription("Tell what chaos has done"))

const scheduleGet = Command.make(
  "get",
  {},
  Effect.fnUntraced(function* () {
    const answering = yield* first("chaos schedule get", (client) => client.chaos.schedule)
    const described =
      answering.surface === "fabric"
        ? yield* answering.gateway.fabric.getChaosSchedule.pipe(answering.gateway.explain("chaos schedule get"))
        : answering.answer
    yield* print(described, () => [`Version: ${described.Version}`, ...scheduleLines(described.Schedule)])
  })
).pipe(Command.withDescription("Show when chaos runs by itself"))

const scheduleSet = Command.make(
  "set",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription(
        'The schedule as JSON, as "inq chaos schedule get --output json" prints it; - reads it from standard input'
      )
    )
  },
  Effect.fnUntraced(function* ({ file }) {
    const { read } = yield* Effect.promise(() => import("@inquorate/transport/TextFile"))
    const value = yield* Effect.try({
      try: (): unknown => JSON.parse(read(file === "-" ? 0 : file)),
      catch: (cause) =>
        new Failure({
          exit: "usage",
          detail: `The schedule ${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`
        })
    })
    const described = yield* Effect.fromResult(
      Result.mapError(
        readDescription(value),
        ({ detail }) => new Failure({ exit: "usage", detail: `${file}: ${detail}` })
      )
    )
    const answering = yield* first("chaos schedule set", (client) => client.chaos.setSchedule(described))
    if (answering.surface === "fabric") {
      const { explain, fabric } = answering.gateway
      yield* fabric.postChaosSchedule(described).pipe(explain("chaos schedule set"))
    }
    yield* print(described, () => [`The schedule is in use, as version ${described.Version + 1}.`])
  })
).pipe(Command.withDescription("Replace when chaos runs by itself"))

/** `inq chaos`: faults drawn at random. */
export const chaos = Command.make("chaos").pipe(
  Command.withDescription("Faults drawn at random, iteration after iteration"),
  Command.withSubcommands([
    start,
    stop,
    get,
    events,
    Command.make("schedule").pipe(
      Command.withDescription("When chaos runs by itself"),
      Command.withSubcommands([scheduleGet, scheduleSet])
    )
  ])
)

// --- internal ---

/** How many pages of events are read before they count as endless. */
const pagesMax = 10_000

const usage = (detail: string): Failure => new Failure({ exit: "usage", detail })

const seconds = <Key extends string, A>(
  flag: string,
  key: Key,
  text: Option.Option<string>,
  as: (seconds: number) => A
): Effect.Effect<{ readonly [K in Key]?: A }, Failure> => {
  if (Option.isNone(text)) return Effect.succeed({})
  const millis = parseMillis(text.value)
  return millis === undefined || millis % 1000 !== 0 || millis / 1000 > uint32Max
    ? Effect.fail(
        usage(`--${flag}: expected whole seconds, such as 90s, 10m or 8h, got ${JSON.stringify(text.value)}.`)
      )
    : Effect.succeed({ [key]: as(millis / 1000) } as { readonly [K in Key]?: A })
}

const moment = (flag: string, text: Option.Option<string>): Effect.Effect<number | undefined, Failure> => {
  if (Option.isNone(text)) return Effect.succeed(undefined)
  const at = Date.parse(text.value)
  return Number.isNaN(at)
    ? Effect.fail(
        usage(`--${flag}: expected a moment such as 2026-11-22T08:00:00Z, got ${JSON.stringify(text.value)}.`)
      )
    : Effect.succeed(at)
}

const contextOf = (
  pairs: ReadonlyArray<string>,
  allowQuorumLoss: boolean
): Effect.Effect<Pick<ChaosRequest, "Context">, Failure> => {
  const map: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.indexOf("=")
    if (at < 1) return Effect.fail(usage(`--note: expected KEY=VALUE, got ${JSON.stringify(pair)}.`))
    map[pair.slice(0, at)] = pair.slice(at + 1)
  }
  if (allowQuorumLoss) map[quorumLossKey] = "allow"
  return Effect.succeed(Object.keys(map).length === 0 ? {} : { Context: { Map: map } })
}

const filterOf = (
  nodeTypes: ReadonlyArray<string>,
  applications: ReadonlyArray<string>
): Pick<ChaosRequest, "ChaosTargetFilter"> =>
  nodeTypes.length === 0 && applications.length === 0
    ? {}
    : {
        ChaosTargetFilter: {
          ...(nodeTypes.length === 0 ? {} : { NodeTypeInclusionList: nodeTypes }),
          ...(applications.length === 0 ? {} : { ApplicationInclusionList: applications })
        }
      }

interface Times {
  readonly from?: Instant
  readonly to?: Instant
}

const eventsOfWorker = (client: Client.Client, { from, to }: Times) =>
  Effect.gen(function* () {
    const found: Array<ChaosTold> = []
    const times = {
      ...(from === undefined ? {} : { from: formatInstant(from) }),
      ...(to === undefined ? {} : { to: formatInstant(to) })
    }
    let page = yield* client.chaos.events(times)
    for (let pages = 0; pages < pagesMax; pages++) {
      found.push(...page.events)
      if (page.next === null) break
      page = yield* client.chaos.events({ ...times, after: page.next })
    }
    return found
  })

const eventsOfGateway = Effect.fnUntraced(function* ({ explain, fabric }: Gateway, times: Times) {
  const found: Array<ChaosTold> = []
  let page = yield* fabric.getChaosEvents(times).pipe(explain("chaos events"))
  for (let pages = 0; pages < pagesMax; pages++) {
    found.push(...page.events)
    if (page.token === "") break
    page = yield* fabric.getChaosEvents({ token: page.token }).pipe(explain("chaos events"))
  }
  return found
})

const eventLines = ({ Faults = [], Kind, Reason, TimeStampUtc }: ChaosTold): ReadonlyArray<string> => [
  `${TimeStampUtc}  ${Kind}${Reason === undefined ? "" : `: ${Reason}`}`,
  ...Faults.map((fault) => `  ${fault}`)
]

const parameterLines = (parameters: ChaosParameters): ReadonlyArray<string> => {
  const run = Number(parameters.TimeToRunInSeconds)
  const filter = parameters.ChaosTargetFilter
  return table(
    ["PARAMETER", "VALUE"],
    [
      ["time to run", run >= uint32Max ? "without an end" : formatMillis(run * 1000)],
      ["faults at once", String(parameters.MaxConcurrentFaults)],
      ["wait for health", formatMillis(parameters.MaxClusterStabilizationTimeoutInSeconds * 1000)],
      ["between faults", formatMillis(parameters.WaitTimeBetweenFaultsInSeconds * 1000)],
      ["between iterations", formatMillis(parameters.WaitTimeBetweenIterationsInSeconds * 1000)],
      ["warnings count", parameters.ClusterHealthPolicy.ConsiderWarningAsError ? "as errors" : "as healthy"],
      ...Object.entries(parameters.Context?.Map ?? {}).map(([key, value]) => [key, value]),
      ...(filter?.NodeTypeInclusionList ?? []).map((name) => ["node type", name]),
      ...(filter?.ApplicationInclusionList ?? []).map((name) => ["application", name])
    ]
  )
}

const scheduleLines = ({ ExpiryDate, Jobs, StartDate }: ChaosSchedule): ReadonlyArray<string> => [
  `From ${StartDate} to ${ExpiryDate}`,
  ...table(
    ["PARAMETERS", "DAYS", "TIMES (UTC)"],
    Jobs.map(({ ChaosParameters: key, Days, Times }) => [
      key,
      daysOfWeek
        .filter((day) => Days[day])
        .map((day) => day.slice(0, 3))
        .join(" "),
      Times.map(({ EndTime, StartTime }) => `${clock(StartTime)}-${clock(EndTime)}`).join(", ")
    ])
  )
]

const clock = ({ Hour, Minute }: TimeOfDay): string =>
  `${String(Hour).padStart(2, "0")}:${String(Minute).padStart(2, "0")}`
