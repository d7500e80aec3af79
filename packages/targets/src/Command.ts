/**
 * Any system, by the user's own commands: one prints the members and their health as JSON, one writes. They run as the
 * worker's user on the worker's machine, bounded in time and output. What they say is believed, since their user wrote
 * them. That a process is a member's server is still proved on its host.
 */
import type { Host } from "@inquorate/core/Host"
import { ProbeOutcome, type SurvivorsWord } from "@inquorate/core/Evidence"
import { type Target, TargetError } from "@inquorate/core/Target"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CommandAnswer from "./CommandAnswer.ts"
import * as CommandRun from "./CommandRun.ts"
import { untoldOf } from "./Located.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as NamedProcess from "./NamedProcess.ts"
import * as TargetModule from "./TargetModule.ts"

const absolutePath = Schema.String.check(Schema.isPattern(/^\//, { expected: "an absolute path" }))

const seconds = (description: string, maximum: number) =>
  Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))).annotateKey({ description })

export { Looked } from "./CommandAnswer.ts"

/** One member of a cluster that is known by commands. */
export const CommandMember = Schema.Struct({
  name: Schema.String.check(Schema.isMinLength(1, { expected: "a member's name" }), Schema.isMaxLength(100)),
  address: Schema.optionalKey(Schema.String).annotateKey({
    description: "Its client address, HOST:PORT, where the look command does not tell it."
  }),
  host: Schema.optionalKey(Schema.String).annotateKey({
    description: "The host it runs on; a member without one can be watched but not taken out."
  }),
  dataDirectory: Schema.optionalKey(absolutePath).annotateKey({
    description: "Its data directory on that host: its server stands in it or has a file of it open for writing."
  }),
  pidFile: Schema.optionalKey(absolutePath).annotateKey({
    description: "The file on that host that holds the number of its process, where the look command does not tell it."
  })
}).annotate({ identifier: "CommandMember" })
export type CommandMember = typeof CommandMember.Type

/** What a cluster that is known by commands holds in a configuration file. */
export const CommandSettings = Schema.Struct({
  look: Schema.NonEmptyString.annotateKey({
    description:
      "A shell command that prints the members and their health as JSON (docs/schema/command-look.schema.json)."
  }),
  write: Schema.NonEmptyString.annotateKey({
    description:
      "A shell command that makes one write which needs the quorum, and changes something each time: INQUORATE_WRITE holds a new number. It prints acknowledged, refused or unknown; exit code 0 without a word means acknowledged, any other unknown."
  }),
  writeAt: Schema.optionalKey(Schema.Literals(["cluster", "members"])).annotateKey({
    description:
      "cluster: the command finds its own way. members: it is run for each member that counts and is up, named by INQUORATE_MEMBER and INQUORATE_ADDRESS. cluster unless given."
  }),
  group: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, { expected: "a name such as mons" }))
  ).annotateKey({ description: "The name of the one group; quorum unless given." }),
  lookSeconds: seconds("How long a look may take; 5 unless given.", 9),
  writeSeconds: seconds("How long a write may take before it is ended and counts as unknown; 30 unless given.", 300),
  speaksAfterSeconds: seconds(
    "Within how many seconds of a loss the look command says quorum: lost; needed only where it does.",
    300
  ),
  recoverySeconds: seconds("How long recovery may take before it counts as not proven; 60 unless given.", 3600),
  members: Schema.NonEmptyArray(CommandMember).check(
    Schema.makeFilter(
      (members: ReadonlyArray<CommandMember>) => new Set(members.map(({ name }) => name)).size === members.length,
      { expected: "members that each have a name of their own" }
    )
  )
}).annotate({ identifier: "CommandSettings" })
export type CommandSettings = typeof CommandSettings.Type

/** The most writes that may be unanswered at once at one endpoint. */
const unansweredMax = 4

/** Any system, by the user's own commands. */
export const command = TargetModule.make({
  system: "command",
  config: CommandSettings,
  make: Effect.fn("Command.make")(function* (cluster, settings, hosts): Effect.fn.Return<
    Target,
    TargetError,
    Scope.Scope
  > {
    const { group = "quorum", recoverySeconds = 60, speaksAfterSeconds } = settings
    const members = yield* Effect.forEach(settings.members, (member) => memberOf(cluster, settings, member, hosts))
    let writable: ReadonlyArray<Endpoint> = []

    const look = lookWith(cluster, settings)
    const discover = Effect.gen(function* () {
      const looked = yield* look
      const placed = yield* Effect.forEach(members, (member) => place(member, looked), { concurrency: "unbounded" })
      writable = endpointsOf(settings, looked, placed)
      return [CommandAnswer.topology(cluster, group, looked, placed, yield* Clock.currentTimeMillis)]
    })
    return {
      system: "command",
      cluster,
      discover,
      probe: Effect.fn("Command.probe")(function* (asked) {
        if (asked !== group) {
          const detail = `${cluster} has one group, ${group}, and no ${asked}`
          return yield* new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
        }
        if (writable.length === 0) yield* Effect.ignore(discover)
        const unanswered = new Map<string, number>()
        return {
          get endpoints() {
            return writable.length === 0 ? [cluster] : writable.map(({ name }) => name)
          },
          write: (endpoint) =>
            write(
              settings,
              writable.find(({ name }) => name === endpoint),
              endpoint,
              unanswered
            ),
          survivors: Effect.timeoutOrElse(Effect.match(look, { onFailure: unheard, onSuccess: heard }), {
            duration: 1000,
            orElse: () => Effect.succeed<SurvivorsWord>({ word: "Silent", detail: "the look took more than 1 s" })
          })
        }
      }),
      survivorsSpeak: speaksAfterSeconds !== undefined,
      ...(speaksAfterSeconds === undefined ? {} : { survivorsSpeakAfter: speaksAfterSeconds * 1000 }),
      recoveryBudget: recoverySeconds * 1000,
      recoveryWriteTimeout: 2000
    }
  })
})

// --- internal ---

/** A member with the host it runs on. */
interface OpenMember {
  readonly member: CommandMember
  readonly node: string
  readonly host: Host | null
  /** The process that was last found to be the member's. */
  believed: CommandAnswer.Placed["process"]
}

/** Where a write can be sent. */
interface Endpoint {
  readonly name: string
  readonly address: string
}

const hostTimeout = 2000

const memberOf = (
  cluster: string,
  { members }: CommandSettings,
  member: CommandMember,
  hosts: ReadonlyMap<string, Host>
): Effect.Effect<OpenMember, TargetError> => {
  const withAddress = (one: CommandMember) => ({ ...one, address: one.address ?? `${one.name}:0` })
  return MemberAddress.place(cluster, members.map(withAddress), withAddress(member), hosts).pipe(
    Effect.map(({ host, node }) => ({ member, node, host, believed: null }))
  )
}

const lookWith = (
  cluster: string,
  { look, lookSeconds = 5 }: CommandSettings
): Effect.Effect<CommandAnswer.Looked, TargetError> =>
  Effect.gen(function* () {
    const fail = (reason: TargetError["reason"], detail: string) =>
      new TargetError({ cluster, endpoint: look, reason, detail: `the look command of ${cluster}: ${detail}` })
    const ended = yield* Effect.mapError(
      CommandRun.run(look, { INQUORATE_CLUSTER: cluster }, lookSeconds * 1000),
      (error) => fail(error.reason === "TimedOut" ? "TimedOut" : "Unreachable", error.detail)
    )
    if (ended.exitCode !== 0) {
      return yield* fail("Unreachable", `it ended with ${ended.exitCode}${ended.said === "" ? "" : `: ${ended.said}`}`)
    }
    const read = CommandAnswer.read(ended.stdout)
    return Result.isFailure(read) ? yield* fail("Misconfigured", read.failure) : read.success
  })

const place = Effect.fnUntraced(function* (
  open: OpenMember,
  looked: CommandAnswer.Looked
): Effect.fn.Return<CommandAnswer.Placed> {
  const { host, member, node } = open
  const told = looked.members.find(({ name }) => name === member.name)
  const identity = { name: member.name, node, address: member.address ?? "" }
  const without = (processProblem: string) => ({ ...identity, process: null, processProblem })
  if (host === null) return without("no host is configured for this member")
  if (member.dataDirectory === undefined) return without("no dataDirectory is configured for this member")
  const { dataDirectory, pidFile } = member
  const found = yield* NamedProcess.locate(host, { dataDirectory, pid: told?.pid, pidFile }, hostTimeout)
  if (found.process !== null) open.believed = found.process
  // The command cannot tell the pid of a member that does not answer it. The host proves the process from before.
  else if (told?.up === false && open.believed !== null)
    return { ...identity, process: open.believed, processProblem: "" }
  return {
    ...identity,
    process: found.process,
    processProblem: found.problem,
    ...untoldOf(found)
  }
})

const endpointsOf = (
  { writeAt = "cluster" }: CommandSettings,
  { members }: CommandAnswer.Looked,
  placed: ReadonlyArray<CommandAnswer.Placed>
): ReadonlyArray<Endpoint> =>
  writeAt === "cluster"
    ? []
    : members
        .filter(({ role, up }) => up && role !== "learner")
        .sort((one, other) => Number(other.role === "leader") - Number(one.role === "leader"))
        .map(({ address, name }) => ({
          name,
          address: address ?? placed.find((own) => own.name === name)?.address ?? ""
        }))

let writes = 0

const write = (
  settings: CommandSettings,
  endpoint: Endpoint | undefined,
  name: string,
  unanswered: Map<string, number>
): Effect.Effect<ProbeOutcome> =>
  Effect.suspend(() => {
    const waiting = unanswered.get(name) ?? 0
    if (waiting >= unansweredMax) return Effect.succeed(unknown(`${waiting} writes still unanswered`))
    unanswered.set(name, waiting + 1)
    return Effect.gen(function* () {
      const environment = {
        // Another number for each write, in this process and in those after it.
        INQUORATE_WRITE: `${yield* Clock.currentTimeMillis}${String(++writes).padStart(6, "0")}`,
        ...(endpoint === undefined ? {} : { INQUORATE_MEMBER: endpoint.name, INQUORATE_ADDRESS: endpoint.address })
      }
      return yield* Effect.match(CommandRun.run(settings.write, environment, (settings.writeSeconds ?? 30) * 1000), {
        onFailure: ({ detail }) => unknown(detail),
        onSuccess: ({ exitCode, said, stdout }) => outcomeOf(CommandAnswer.outcomeWord(exitCode, stdout), said)
      })
    }).pipe(Effect.ensuring(Effect.sync(() => unanswered.set(name, unanswered.get(name)! - 1))))
  })

const unknown = (detail: string): ProbeOutcome => ProbeOutcome.cases.Unknown.make({ detail })

const outcomeOf = ({ detail, word }: ReturnType<typeof CommandAnswer.outcomeWord>, said: string): ProbeOutcome => {
  const words = [detail, said].filter((part) => part !== "").join(": ")
  if (word === "acknowledged") return ProbeOutcome.cases.Acknowledged.make({})
  return word === "refused" ? ProbeOutcome.cases.Refused.make({ detail: words }) : unknown(words)
}

const quorumWords = { held: "QuorumHeld", lost: "QuorumLost", silent: "Silent" } as const

const heard = ({ detail = "", quorum = "silent" }: CommandAnswer.Looked): SurvivorsWord => ({
  word: quorumWords[quorum],
  detail: detail === "" ? `the look command says: quorum ${quorum}` : detail
})

const unheard = ({ detail }: TargetError): SurvivorsWord => ({ word: "Silent", detail })
