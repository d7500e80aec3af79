/**
 * The command that tries how a cluster is configured, without any worker: it looks at the members, finds their processes,
 * makes a few writes, and asks each witness once. Nothing is taken out. For any system, and for `system: command` above
 * all.
 */
import type { WitnessAnswer } from "@inquorate/core/Evidence"
import type { Host } from "@inquorate/core/Host"
import type { Target, TargetError } from "@inquorate/core/Target"
import { health, type Topology } from "@inquorate/core/Topology"
import type { Witness } from "@inquorate/core/Witness"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
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
        const { ClusterFile, HostSettings, makeWitness } = yield* drivers
        const found = yield* Effect.fromResult(ClusterFile.open(file, Option.getOrUndefined(cluster)))
        const { module, name, settings, witnesses: named } = found.cluster
        const checked = yield* Effect.scoped(
          Effect.gen(function* () {
            // Nothing is held here, so a keeper pod lives as briefly as one can.
            const hosts = yield* HostSettings.open(found.hosts, 0)
            yield* enter(hosts)
            const target = yield* module.make(name, settings, hosts)
            const witnesses = yield* Effect.forEach(named, (one) => makeWitness(name, one))
            const topology = yield* lookAt(target)
            const probe = yield* target.probe(topology.group)
            const writes = yield* Effect.forEach([1, 2, 3], () => timedWrite(probe))
            const survivors = yield* probe.survivors
            const answers = yield* Effect.forEach([...(target.witnesses ?? []), ...witnesses], asked, {
              concurrency: "unbounded"
            })
            return { topology, writes, survivors, witnesses: answers, speaks: target.survivorsSpeak }
          })
        ).pipe(Effect.mapError((error) => new Failure({ exit: "unreachable", detail: `${name}: ${error.detail}` })))
        const problems = problemsOf(checked)
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
          ...checked.witnesses.map(
            ({ answer, detail, name, took }) => `witness ${name}: ${inWords[answer]} after ${took} ms, ${detail}`
          ),
          ...(problems.length === 0
            ? ["Nothing is missing."]
            : ["", "What is missing:", ...problems.map((problem) => `- ${problem}`)])
        ])
        if (problems.length > 0) return yield* new Failure({ exit: "refused", detail: "" })
      })
    ).pipe(
      Command.withDescription(
        "Look at a cluster's members and processes, make three writes and ask its witnesses; nothing is taken out"
      )
    )
  ])
)

// --- internal ---

// Evaluated by this command only, so that every other one starts without it.
const drivers = Effect.promise(async () => ({
  ClusterFile: await import("./ClusterFile.ts"),
  HostSettings: await import("@inquorate/injectors/HostSettings"),
  makeWitness: (await import("@inquorate/targets/Witness")).make
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
    const { answer, took } = yield* timed(Effect.timeoutOption(probe.write(probe.endpoints[0]!), 10_000))
    return Option.match(answer, {
      onNone: () => ({ outcome: "Unknown", detail: "no answer within 10 s", took }) as const,
      onSome: ({ _tag, detail = "" }) => ({ outcome: _tag, detail, took })
    })
  })

interface Asked {
  readonly name: string
  readonly answer: WitnessAnswer["_tag"]
  readonly detail: string
  readonly took: number
}

const asked = ({ ask, name }: Witness): Effect.Effect<Asked> =>
  Effect.map(timed(ask), ({ answer: { _tag, detail }, took }) => ({ name, answer: _tag, detail, took }))

/** What came of it, and how many milliseconds it took. */
const timed = <A>(effect: Effect.Effect<A>): Effect.Effect<{ readonly answer: A; readonly took: number }> =>
  Effect.gen(function* () {
    const began = yield* Clock.monotonicTimeNanos
    const answer = yield* effect
    return { answer, took: Number(((yield* Clock.monotonicTimeNanos) - began) / 1_000_000n) }
  })

const inWords: Readonly<Record<WitnessAnswer["_tag"], string>> = {
  Serves: "serves",
  Fails: "does not serve",
  Silent: "says nothing"
}

interface Checked {
  readonly topology: Topology
  readonly writes: ReadonlyArray<Written>
  readonly witnesses: ReadonlyArray<Asked>
}

const problemsOf = ({ topology, witnesses, writes }: Checked): ReadonlyArray<string> => [
  ...lacking(topology),
  ...(writes.every(({ outcome }) => outcome === "Acknowledged") ? [] : ["not every write was acknowledged"]),
  ...witnesses.flatMap(({ answer, detail, name }) =>
    answer === "Serves" ? [] : [`the witness ${name} ${inWords[answer]}: ${detail}`]
  )
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
