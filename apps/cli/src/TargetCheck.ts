/**
 * The command that tries how a cluster is configured, without any worker: it looks at the members, finds their processes,
 * and makes a few writes. Nothing is taken out. For any system, and for `system: command` above all.
 */
import { type Host, HostError } from "@inquorate/core/Host"
import { health, type Topology } from "@inquorate/core/Topology"
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
        const { LocalHost, Registry, YAML } = yield* drivers
        const { far, name, settings } = yield* clusterOf(file, Option.getOrUndefined(cluster), YAML.parse)
        const module = Registry.modules.find(({ system }) => system === settings["system"])
        if (module === undefined) {
          const known = Registry.modules.map(({ system }) => system).join(", ")
          return yield* wrong(file, `system: Expected one of ${known}, got ${JSON.stringify(settings["system"])}`)
        }
        const decoded = Schema.decodeResult(module.config, { errors: "all", onExcessProperty: "ignore" })(settings)
        if (Result.isFailure(decoded)) return yield* wrong(file, decoded.failure.message.replace(/\s*\n\s*/g, "; "))
        const hosts = new Map(
          [...far.map((label) => elsewhere(file, label)), LocalHost.make("local")].map((host) => [host.label, host])
        )
        const checked = yield* Effect.scoped(
          Effect.gen(function* () {
            const target = yield* module.make(name, decoded.success, hosts)
            const [topology] = yield* target.discover
            const probe = yield* target.probe(topology!.group)
            const writes = yield* Effect.forEach([1, 2, 3], () => timedWrite(probe))
            return { topology: topology!, writes, survivors: yield* probe.survivors, speaks: target.survivorsSpeak }
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
  LocalHost: await import("@inquorate/injectors/LocalHost"),
  Registry: await import("@inquorate/targets/Registry"),
  YAML: await import("yaml")
}))

// This command reaches its own machine. All else is looked at too, and whoever reads it is told who looks there.
const elsewhere = (file: string, label: string): Host => {
  const detail = `inq target check looks at this machine alone; inquorate-worker --check ${file} --connect looks there too`
  const unreachable = Effect.fail(new HostError({ host: label, reason: "Unreachable", detail }))
  return { label, run: () => unreachable, pods: () => unreachable }
}

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
  ...(topology.unfit ?? []),
  ...topology.members.flatMap(({ downBecause, name, up }) =>
    up ? [] : [`${name} is not up: ${downBecause ?? "no reason is told"}`]
  ),
  ...topology.members.flatMap(({ cuttable, name, process, processProblem }) =>
    process === null && cuttable !== "Never" ? [`${name} cannot be taken out: ${processProblem}`] : []
  ),
  ...(writes.every(({ outcome }) => outcome === "Acknowledged") ? [] : ["not every write was acknowledged"]),
  ...(topology.members.some(({ role }) => role === "Primary") ? [] : ["no member is the leader"])
]

/** A cluster of a file, and the other machines that the file names. */
interface Found {
  readonly name: string
  readonly settings: Readonly<Record<string, unknown>>
  readonly far: ReadonlyArray<string>
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
    if ("system" in read) return { name: wanted ?? "cluster", settings: read, far: [] }
    const clusters = isRecord(read["clusters"]) ? read["clusters"] : {}
    const names = Object.keys(clusters)
    const name = wanted ?? (names.length === 1 ? names[0]! : undefined)
    if (name === undefined)
      return yield* wrong(file, `name one of its clusters with --cluster: ${names.join(", ") || "it has none"}`)
    const settings = clusters[name]
    if (!isRecord(settings))
      return yield* wrong(file, `has no cluster ${name}, but ${names.join(", ") || "none at all"}`)
    return { name, settings, far: isRecord(read["hosts"]) ? Object.keys(read["hosts"]) : [] }
  })

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
