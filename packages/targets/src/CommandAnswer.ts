/**
 * What the user's own commands print, as JSON, and what it means: the members of one group with their roles and health.
 * `docs/schema/command-look.schema.json` is made from these schemas.
 */
import * as Guid from "@inquorate/core/Guid"
import type { Member, ProcessRef, Role, Topology } from "@inquorate/core/Topology"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(100))

/** One member as the look command tells it. */
export const LookedMember = Schema.Struct({
  name: Name.annotateKey({ description: "The member's name, as in the configuration." }),
  role: Schema.Literals(["leader", "follower", "learner"]).annotateKey({
    description:
      "A learner receives what is written and does not count for the quorum. A system without a leader names any member that takes writes."
  }),
  up: Schema.Boolean.annotateKey({ description: "Whether it takes part now." }),
  because: Schema.optionalKey(Schema.String).annotateKey({ description: "Why it is not up, in words for a person." }),
  address: Schema.optionalKey(Schema.String).annotateKey({ description: "Its client address, HOST:PORT." }),
  pid: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(1))).annotateKey({
    description:
      "The number of its server process on its host, where the command knows it; else the member needs a pidFile."
  })
})
export type LookedMember = typeof LookedMember.Type

/** What the look command prints. */
export const Looked = Schema.Struct({
  id: Name.annotateKey({
    description: "What makes this cluster itself and no other, the same for ever, such as the system's own cluster id."
  }),
  needed: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))).annotateKey({
    description: "How many members a write needs; a majority of those that count unless given."
  }),
  rule: Schema.optionalKey(Schema.String).annotateKey({ description: "The rule in the system's own words." }),
  quorum: Schema.optionalKey(Schema.Literals(["held", "lost", "silent"])).annotateKey({
    description: "What the members that answer say of the quorum themselves; silent where they say nothing."
  }),
  detail: Schema.optionalKey(Schema.String).annotateKey({ description: "The words in which they say it." }),
  members: Schema.NonEmptyArray(LookedMember).check(
    Schema.makeFilter(
      (members: ReadonlyArray<LookedMember>) => new Set(members.map(({ name }) => name)).size === members.length,
      { expected: "members that each have a name of their own" }
    )
  )
}).annotate({ identifier: "CommandLook", description: "What the look command of a `system: command` cluster prints." })
export type Looked = typeof Looked.Type

/** Reads what the look command printed; the failure says what is wrong with it and where. */
export const read = (stdout: string): Result.Result<Looked, string> => {
  if (stdout.trim() === "") return Result.fail("it printed nothing, where a JSON object is expected")
  const json = Result.try({
    try: (): unknown => JSON.parse(stdout),
    catch: (cause) => (cause instanceof Error ? cause.message : String(cause))
  })
  if (Result.isFailure(json)) return Result.fail(`it printed no JSON (${json.failure})`)
  const decoded = decode(json.success)
  return Result.mapError(decoded, (error) => error.message.replace(/\s*\n\s*(?=at )/g, " ").replace(/\s*\n\s*/g, "; "))
}

/** The word a write command ended with. Exit code 0 without a word is `acknowledged`; any other is `unknown`. */
export const outcomeWord = (
  exitCode: number,
  stdout: string
): { readonly word: "acknowledged" | "refused" | "unknown"; readonly detail: string } => {
  const [first = ""] = stdout.trim().split("\n")
  const match = /^(acknowledged|refused|unknown)\b[:\s]*(.*)$/.exec(first)
  if (match !== null) {
    const word = match[1] as "acknowledged" | "refused" | "unknown"
    // A command that says so and then fails did not finish its write.
    if (word === "acknowledged" && exitCode !== 0) return { word: "unknown", detail: `exit code ${exitCode}` }
    return { word, detail: match[2]!.slice(0, 300) }
  }
  return exitCode === 0 ? { word: "acknowledged", detail: "" } : { word: "unknown", detail: `exit code ${exitCode}` }
}

/** A configured member with what was found of its process. */
export interface Placed extends Pick<Member, "processLate" | "processUnknown"> {
  readonly name: string
  readonly node: string
  readonly address: string
  readonly process: ProcessRef | null
  readonly processProblem: string
}

/** The topology that the look command told, with the processes of the configured members. */
export const topology = (
  cluster: string,
  group: string,
  looked: Looked,
  placed: ReadonlyArray<Placed>,
  observedAt: number
): Topology => {
  const counting = looked.members.filter(({ role }) => role !== "learner").length
  const needed = looked.needed ?? Math.floor(counting / 2) + 1
  const members = looked.members.map((told): Member => {
    const own = placed.find(({ name }) => name === told.name)
    return {
      name: told.name,
      node: own?.node ?? `${cluster}-${told.name}`,
      address: told.address ?? own?.address ?? "",
      role: roles[told.role],
      counts: told.role !== "learner",
      up: told.up,
      ...(told.up ? {} : { downBecause: told.because ?? "is down by the look command's word" }),
      cuttable: own === undefined ? "Never" : "Always",
      process: own?.process ?? null,
      processProblem: own === undefined ? "it is not configured" : own.processProblem,
      ...(own?.processLate === true ? { processLate: true } : {}),
      ...(own?.processUnknown === true ? { processUnknown: true } : {})
    }
  })
  const untold = placed.filter(({ name }) => !looked.members.some((told) => told.name === name))
  return {
    cluster,
    system: "command",
    group,
    partitionId: Guid.forPartition(looked.id, group),
    observedAt,
    needed,
    rule: looked.rule ?? (looked.needed === undefined ? `majority of ${counting}` : `${needed} of ${counting}`),
    members: [
      ...members,
      ...untold.map(({ address, name, node }): Member => ({
        name,
        node,
        address,
        role: "IdleSecondary",
        counts: false,
        up: false,
        downBecause: "is configured, but the look command does not name it",
        cuttable: "Never",
        process: null,
        processProblem: "the look command does not name it"
      }))
    ]
  }
}

// --- internal ---

const decode = Schema.decodeUnknownResult(Looked, { errors: "all", onExcessProperty: "error" })

const roles: Readonly<Record<LookedMember["role"], Role>> = {
  leader: "Primary",
  follower: "ActiveSecondary",
  learner: "IdleSecondary"
}
