/**
 * Says everything that is wrong with a configuration, and runs nothing. It tells what the reader refuses, which of the
 * named files and variables are not there, and, with `--connect`, what each cluster and host looks like from here.
 */
import type { Host, HostError } from "@inquorate/core/Host"
import type { Topology } from "@inquorate/core/Topology"
import { health } from "@inquorate/core/Topology"
import * as HostSettings from "@inquorate/injectors/HostSettings"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { CannotRun, exitCodes } from "./CannotRun.ts"
import {
  type ClusterConfig,
  listenOf,
  type Overrides,
  partOf,
  type WorkerConfig
} from "@inquorate/configuration/Config"
import * as ConfigSlips from "@inquorate/configuration/ConfigSlips"
import { ConfigError, type ConfigText, type Mistake, openYaml } from "@inquorate/configuration/ConfigText"
import * as Log from "./Log.ts"
import type { Asked } from "./Options.ts"
import * as ReadConfig from "./ReadConfig.ts"
import * as NamedPlaces from "@inquorate/configuration/NamedPlaces"
import { openTo, SecuritySettings } from "@inquorate/configuration/SecuritySettings"
import * as Security from "./Security.ts"
import * as Seen from "./Seen.ts"
import * as StorePlace from "./StorePlace.ts"

// --- models ---

/** What was seen of a cluster or a host. */
interface Looked {
  /** The sentence that a person reads. */
  readonly sentence: string
  /** What has to be mended before a fault can be done to it. */
  readonly problems: ReadonlyArray<string>
  /** What is good to know. */
  readonly notes: ReadonlyArray<string>
  /** The same for a program. */
  readonly value: Readonly<Record<string, unknown>>
}

// --- make ---

/** Checks, says what came of it, and fails where something is wrong. */
export const run = Effect.fnUntraced(function* ({
  connect,
  file,
  json,
  overrides
}: Extract<Asked, { readonly _tag: "Check" }>) {
  const { parsed, source, text } = yield* ReadConfig.read(file, overrides)
  const opened = openYaml(text, source)
  const mistakes = sorted([
    ...(Result.isFailure(parsed) ? parsed.failure.mistakes : []),
    ...(Result.isFailure(opened)
      ? []
      : [...NamedPlaces.mistakesOf(opened.success), ...(yield* placeMistakes(opened.success, overrides))])
  ])
  const warnings = Result.isFailure(opened)
    ? []
    : ConfigSlips.find(opened.success.document, opened.success.locate).warnings
  const isGood = mistakes.length === 0 && Result.isSuccess(parsed)
  const looked = isGood && connect ? yield* Effect.scoped(look(parsed.success)) : null
  if (json) {
    const value = {
      file,
      mistakes,
      warnings,
      ...(looked === null
        ? {}
        : { hosts: looked.hosts.map(({ value }) => value), clusters: looked.clusters.map(({ value }) => value) })
    }
    yield* Log.say(JSON.stringify(value, null, 2))
  } else {
    const lines = [
      ...linesOf(source, mistakes),
      ...linesOf(
        source,
        warnings.map((one) => ({ ...one, problem: `warning: ${one.problem}` }))
      ),
      `${source}: ${summary(mistakes.length, warnings.length)}${connect && looked === null ? "; nothing was connected to" : ""}`,
      ...[...(looked?.hosts ?? []), ...(looked?.clusters ?? [])].flatMap(({ notes, problems, sentence }) => [
        sentence,
        ...problems.filter((problem) => !sentence.endsWith(problem)).map((problem) => `- ${problem}`),
        ...notes.map((note) => `- ${note}`)
      ])
    ]
    yield* Log.say(lines.join("\n"))
  }
  if (!isGood) return yield* new CannotRun({ exit: exitCodes.usage, detail: "" })
  const isWell = looked === null || [...looked.hosts, ...looked.clusters].every(({ problems }) => problems.length === 0)
  if (!isWell) return yield* new CannotRun({ exit: exitCodes.cluster, detail: "" })
})

// --- internal ---

/** How long a host may take to answer, and how long the look at a cluster may take, in milliseconds. */
const [hostPatience, clusterPatience] = [8000, 8000]
/** A busy machine answers late, so a look that sees something amiss is repeated: how often, and after how long. */
const [looksMost, lookAgainAfter] = [3, 300]

const linesOf = (source: string, mistakes: ReadonlyArray<Mistake>): ReadonlyArray<string> =>
  mistakes.length === 0 ? [] : new ConfigError({ source, mistakes }).message.split("\n")

const sorted = (mistakes: ReadonlyArray<Mistake>): ReadonlyArray<Mistake> =>
  mistakes
    .filter(
      (one, index) => !mistakes.slice(0, index).some((other) => other.key === one.key && other.problem === one.problem)
    )
    .toSorted((one, other) => one.line - other.line)

const summary = (mistakes: number, warnings: number): string => {
  const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`
  const beside = warnings === 0 ? "" : `, ${counted(warnings, "warning")}`
  return `${mistakes === 0 ? "nothing is wrong with it" : counted(mistakes, "mistake")}${beside}`
}

// The mistakes that the worker would find out at its start, whatever else is wrong with the text.
const placeMistakes = Effect.fnUntraced(function* (
  { locate, value }: ConfigText,
  overrides: Overrides
): Effect.fn.Return<ReadonlyArray<Mistake>> {
  const tell = (key: string, problem: string): Mistake => ({ line: locate([key]), key, problem })
  const security = partOf(value, "security", SecuritySettings) ?? {}
  const listen = listenOf(value, overrides)
  const open = listen === undefined ? undefined : openTo(listen.host, security)
  const loaded = yield* Effect.result(Security.load(security))
  const store = overrides.store ?? partOf(value, "store", Schema.String)
  const file = store?.startsWith("sqlite:") === true ? store.slice("sqlite:".length) : undefined
  const folder = file === undefined ? undefined : (StorePlace.missingFolder(file) ?? StorePlace.openToOthers(file))
  return [
    ...(open === undefined ? [] : [tell("listen", open)]),
    ...(Result.isFailure(loaded) ? [tell("security", loaded.failure.detail)] : []),
    ...(folder === undefined ? [] : [tell("store", folder)])
  ]
})

const look = Effect.fnUntraced(function* (
  config: WorkerConfig
): Effect.fn.Return<
  { readonly hosts: ReadonlyArray<Looked>; readonly clusters: ReadonlyArray<Looked> },
  never,
  Scope.Scope
> {
  const hosts = yield* HostSettings.open(config.hosts, 0)
  const far = [...hosts.values()].filter(({ label }) => label !== HostSettings.localHost)
  return yield* Effect.all(
    {
      hosts: Effect.forEach(far, (host) => lookAtHost(host, config), { concurrency: "unbounded" }),
      clusters: Effect.forEach(config.clusters, (cluster) => lookAtCluster(cluster, hosts), { concurrency: 8 })
    },
    { concurrency: 2 }
  )
})

// A Kubernetes cluster has no shell. It answers where it tells which keeper pods there are.
const asked = (host: Host, { hosts }: WorkerConfig): Effect.Effect<unknown, HostError> => {
  const cluster = hosts[host.label]?.kubernetes
  return host.pods === undefined || cluster === undefined
    ? host.run("true", [], { timeout: hostPatience })
    : host.pods(HostSettings.keeperNamespace(cluster), "")
}

const lookAtHost = (host: Host, config: WorkerConfig): Effect.Effect<Looked> =>
  Effect.map(Effect.result(asked(host, config)), (answer) => {
    const problem = Result.isFailure(answer) ? answer.failure.detail : ""
    return {
      sentence: `host ${host.label}: ${problem === "" ? "it answers" : "it does not answer"}`,
      problems: problem === "" ? [] : [problem],
      notes: [],
      value: { name: host.label, problem }
    }
  })

const lookAtCluster = (cluster: ClusterConfig, hosts: ReadonlyMap<string, Host>): Effect.Effect<Looked> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { module, name, settings } = cluster
      const { system } = module
      const opened = yield* Effect.result(module.make(name, settings, hosts))
      if (Result.isFailure(opened)) return silent(name, system, opened.failure.detail)
      let seen = silent(name, system, `no answer within ${clusterPatience / 1000} s`)
      for (let looks = 0; looks < looksMost && seen.problems.length > 0; looks++) {
        if (looks > 0) yield* Effect.sleep(lookAgainAfter)
        const found = yield* Effect.timeoutOption(Effect.result(opened.success.discover), clusterPatience)
        if (found._tag === "None") break
        seen = Result.isFailure(found.value)
          ? silent(name, system, found.value.failure.detail)
          : told(cluster, found.value.success)
      }
      return seen
    })
  )

const silent = (name: string, system: string, problem: string): Looked => ({
  sentence: Seen.sentence({ name, system, problem, groups: [] }),
  problems: [problem],
  notes: [],
  value: { name, system, problem, groups: [] }
})

const told = (
  { module: { system }, name, protected: isProtected }: ClusterConfig,
  groups: ReadonlyArray<Topology>
): Looked => {
  // A member without a host is meant to be watched and not to be broken.
  const watched = groups.flatMap(({ members }) => members.filter(({ processProblem }) => processProblem === noHost))
  const problems = groups.flatMap((topology) =>
    Seen.obstacles(topology, ({ processProblem }) => !isProtected && processProblem !== noHost)
  )
  const notes = [
    ...(isProtected ? ["it is protected: every fault on it is refused"] : []),
    ...(watched.length === 0 || isProtected
      ? []
      : [`${watched.map((member) => member.name).join(", ")}: no host is configured, so they can only be watched`]),
    ...groups.flatMap(({ warnings = [] }) => warnings)
  ]
  return {
    sentence: Seen.sentence({ name, system, problem: "", groups }),
    problems,
    notes,
    value: {
      name,
      system,
      problem: "",
      groups: groups.map((topology) => ({
        name: topology.group,
        health: health(topology),
        ...Seen.count(topology),
        members: topology.members.map(({ name, process, role, up }) => ({ name, role, up, pid: process?.pid ?? null }))
      })),
      problems,
      notes
    }
  }
}

const noHost = "no host is configured for this member"
