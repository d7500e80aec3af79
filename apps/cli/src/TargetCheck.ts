/**
 * The command that tries how a cluster is configured, without any worker: it looks at the members, finds their processes,
 * and makes a few writes. Nothing is taken out. For any system, and for `system: command` above all.
 */
import type { Host } from "@inquorate/core/Host"
import type { Target, TargetError } from "@inquorate/core/Target"
import { health, type Topology } from "@inquorate/core/Topology"
import type * as HostSettings from "@inquorate/injectors/HostSettings"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { table } from "./Table.ts"

/** `inq target check`: whether a cluster's configuration works, and what is missing. */
export const target = Command.make("target").pipe(
  Command.withDescription("Try how a cluster is configured"),
  Command.withSubcommands([
    Command.make(
      "check",
      {
        file: Argument.String("file").pipe(
          Argument.withDescription("A worker's configuration, or one cluster of it alone")
        ),
        cluster: Flag.String("cluster").pipe(
          Flag.withDescription("The name of the cluster, where the file has more than one"),
          Flag.optional
        )
      },
      Effect.fnUntraced(function* ({ cluster, file }) {
        const { HostSettings, Registry, YAML } = yield* drivers
        const { configured, name, settings } = yield* clusterOf(file, Option.getOrUndefined(cluster), YAML.parse)
        const module = Registry.modules.find(({ system }) => system === settings["system"])
        if (module === undefined) {
          const known = Registry.modules.map(({ system }) => system).join(", ")
          return yield* wrong(file, `system: Expected one of ${known}, got ${JSON.stringify(settings["system"])}`)
        }
        const decoded = Schema.decodeResult(module.config, { errors: "all", onExcessProperty: "ignore" })(settings)
        if (Result.isFailure(decoded)) return yield* wrong(file, inOneLine(decoded.failure))
        const machines = yield* hostsOf(file, configured, HostSettings)
        const checked = yield* Effect.scoped(
          Effect.gen(function* () {
            // Nothing is held here, so a keeper pod lives as briefly as one can.
            const hosts = yield* HostSettings.open(machines, 0)
            yield* enter(hosts)
            const target = yield* module.make(name, decoded.success, hosts)
            const topology = yield* lookAt(target)
            const probe = yield* target.probe(topology.group)
            const writes = yield* Effect.forEach([1, 2, 3], () => timedWrite(probe))
            return { topology, writes, survivors: yield* probe.survivors, speaks: target.survivorsSpeak }
          })
        ).pipe(Effect.mapError((error) => new Failure({ exit: "unreachable", detail: `${name}: ${error.detail}` })))
        const problems = problemsOf(checked.topology, checked.writes)
        yield* print({ cluster: name, ...checked, problems }, () => [
          `${name}: ${checked.topology.system}, group ${checked.topology.group}, ${checked.topology.rule}, ${health(checked.topology)}`,
          "",
          ...table(
            ["MEMBER", "ROLE", "UP", "PROCESS"],
            checked.topology.members.map((member) => [
              member.name,
              member.role,
              member.up ? "yes" : `no: ${member.downBecause ?? ""}`,
              member.process === null ? member.processProblem : `pid ${member.process.pid} on ${member.process.host}`
            ])
          ),
          "",
          ...checked.writes.map(
            ({ detail, outcome, took }) =>
              `write: ${outcome.toLowerCase()} after ${took} ms${detail === "" ? "" : `, ${detail}`}`
          ),
          checked.speaks
            ? `the survivors' word now: ${checked.survivors.word}, ${checked.survivors.detail}`
            : "the survivors say nothing of the quorum: a hold is proven by silence alone",
          ...(problems.length === 0
            ? ["Nothing is missing."]
            : ["", "What is missing:", ...problems.map((problem) => `- ${problem}`)])
        ])
        if (problems.length > 0) return yield* new Failure({ exit: "refused", detail: "" })
      })
    ).pipe(
      Command.withDescription("Look at a cluster's members and processes and make three writes; nothing is taken out")
    )
  ])
)

// --- internal ---

// Evaluated by this command only, so that every other one starts without it.
const drivers = Effect.promise(async () => ({
  HostSettings: await import("@inquorate/injectors/HostSettings"),
  Registry: await import("@inquorate/targets/Registry"),
  YAML: await import("yaml")
}))

/** A busy machine answers late, so a look that lacks something is repeated: how often, and after how long. */
const [looksMost, lookAgainAfter] = [3, 300]

const lookAt = Effect.fnUntraced(function* ({ discover }: Target): Effect.fn.Return<Topology, TargetError> {
  let [topology] = yield* discover
  for (let looks = 1; looks < looksMost && lacking(topology!).length > 0; looks++) {
    yield* Effect.sleep(lookAgainAfter)
    topology = (yield* discover)[0]
  }
  return topology!
})

/** How long the way to a machine may take, in milliseconds. */
const wayPatience = 8000

// A look waits for a machine only as long as one that is reached already may take.
const enter = (hosts: ReadonlyMap<string, Host>): Effect.Effect<void> =>
  Effect.forEach(hosts.values(), (host) => Effect.ignore(host.run("true", [], { timeout: wayPatience })), {
    concurrency: "unbounded",
    discard: true
  })

const wrong = (file: string, problem: string): Failure => new Failure({ exit: "usage", detail: `${file}: ${problem}` })

interface Written {
  readonly outcome: "Acknowledged" | "Refused" | "Unknown"
  readonly detail: string
  readonly took: number
}

interface Writable {
  readonly endpoints: ReadonlyArray<string>
  readonly write: (
    endpoint: string
  ) => Effect.Effect<{ readonly _tag: Written["outcome"]; readonly detail?: string | undefined }>
}

const timedWrite = (probe: Writable): Effect.Effect<Written> =>
  Effect.gen(function* () {
    const began = yield* Clock.monotonicTimeNanos
    const ended = yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 10_000)
    const took = Number(((yield* Clock.monotonicTimeNanos) - began) / 1_000_000n)
    return Option.match(ended, {
      onNone: () => ({ outcome: "Unknown", detail: "no answer within 10 s", took }) as const,
      onSome: ({ _tag, detail = "" }) => ({ outcome: _tag, detail, took })
    })
  })

const problemsOf = (topology: Topology, writes: ReadonlyArray<Written>): ReadonlyArray<string> => [
  ...lacking(topology),
  ...(writes.every(({ outcome }) => outcome === "Acknowledged") ? [] : ["not every write was acknowledged"])
]

/** What a look shows to be missing. */
const lacking = (topology: Topology): ReadonlyArray<string> => [
  ...(topology.unfit ?? []),
  ...topology.members.flatMap(({ downBecause, name, up }) =>
    up ? [] : [`${name} is not up: ${downBecause ?? "no reason is told"}`]
  ),
  ...topology.members.flatMap(({ cuttable, name, process, processProblem }) =>
    process === null && cuttable !== "Never" ? [`${name} cannot be taken out: ${processProblem}`] : []
  ),
  ...(topology.members.some(({ role }) => role === "Primary") ? [] : ["no member is the leader"])
]

/** A cluster of a file, and what the file says of the machines that it names. */
interface Found {
  readonly name: string
  readonly settings: Readonly<Record<string, unknown>>
  readonly configured: unknown
}

const clusterOf = (
  file: string,
  wanted: string | undefined,
  parse: (text: string) => unknown
): Effect.Effect<Found, Failure> =>
  Effect.gen(function* () {
    const read = yield* Effect.try({
      try: () => parse(fs.readFileSync(file, "utf8")),
      catch: (cause) => wrong(file, cause instanceof Error ? cause.message.split("\n")[0]! : String(cause))
    })
    if (!isRecord(read)) return yield* wrong(file, "Expected a map: a worker's configuration, or one cluster of it")
    if ("system" in read) return { name: wanted ?? "cluster", settings: read, configured: {} }
    const clusters = isRecord(read["clusters"]) ? read["clusters"] : {}
    const names = Object.keys(clusters)
    const name = wanted ?? (names.length === 1 ? names[0]! : undefined)
    if (name === undefined)
      return yield* wrong(file, `name one of its clusters with --cluster: ${names.join(", ") || "it has none"}`)
    const settings = clusters[name]
    if (!isRecord(settings))
      return yield* wrong(file, `has no cluster ${name}, but ${names.join(", ") || "none at all"}`)
    return { name, settings, configured: read["hosts"] ?? {} }
  })

/** The machines that a file names, or what is wrong with them. */
const hostsOf = (
  file: string,
  configured: unknown,
  { HostSettings: Settings, problemsOf }: typeof HostSettings
): Effect.Effect<Readonly<Record<string, HostSettings.HostSettings>>, Failure> => {
  const all = Schema.Record(Schema.String, Settings)
  const decoded = Schema.decodeUnknownResult(all, { errors: "all", onExcessProperty: "error" })(configured)
  if (Result.isFailure(decoded)) return Effect.fail(wrong(file, `hosts: ${inOneLine(decoded.failure)}`))
  const [first] = Object.entries(decoded.success).flatMap(([name, host]) =>
    problemsOf(name, host).map(({ key, problem }) => `hosts.${name}.${key}: ${problem}`)
  )
  return first === undefined ? Effect.succeed(decoded.success) : Effect.fail(wrong(file, first))
}

const inOneLine = ({ message }: Error): string => message.replace(/\s*\n\s*/g, "; ")

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
