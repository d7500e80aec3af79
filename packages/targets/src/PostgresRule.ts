/**
 * What a primary's own answer says of its cluster: the rule of its quorum, or why there is none and what to do; what a
 * person should know beforehand; and what is in the way of a proof.
 */
import type { TargetError } from "@inquorate/core/Target"
import * as Result from "effect/Result"
import type { Answer, Connections } from "./PostgresQuestion.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"

/** Why there is no rule, and what to do. */
export type Problem = readonly [reason: TargetError["reason"], detail: string]

/** The rule by which commits wait, as far as it names standbys that are configured. */
export interface Rule {
  readonly needed: number
  readonly standbys: ReadonlyArray<string>
  readonly rule: string
}

/** Reads the rule. `members` are the names of all configured members; `primary` is the one that answered. */
export const read = (members: ReadonlyArray<string>, primary: string, answer: Answer): Result.Result<Rule, Problem> => {
  const { standbyNames, standbys } = answer
  const parsed = SynchronousStandbyNames.parse(standbyNames)
  const advice = adviceFor(members, primary, answer)
  if (Result.isFailure(parsed)) {
    return Result.fail(["Misconfigured", `synchronous_standby_names cannot be read: ${parsed.failure}`])
  }
  const rule = parsed.success
  if (rule._tag === "Off") {
    const words = "synchronous_standby_names is empty, so commits wait for no quorum"
    return Result.fail(["Misconfigured", `${words}: ${advice}`])
  }
  // Where a commit waits for all of a list, or for more, FIRST means the same as ANY.
  if (rule._tag === "First" && rule.needed < rule.standbys.length) {
    const words = `'${standbyNames}' waits for the first standbys of a list, which is no quorum`
    return Result.fail(["Unsupported", `${words}: ${advice}`])
  }
  if (rule.standbys.includes("*")) {
    const words = `'${standbyNames}' lets any standby count, so nobody can say which do`
    return Result.fail(["Unsupported", `${words}: ${advice}`])
  }
  const stranger = rule.standbys.find(
    (standby) => !members.some((name) => SynchronousStandbyNames.sameName(name, standby))
  )
  if (stranger !== undefined) {
    const words = `synchronous_standby_names lists ${stranger}, but no member of that name (its application_name) is configured`
    return Result.fail(["Misconfigured", words])
  }
  if (!answer.rights.uses && standbys.some(({ state }) => state === null)) {
    return Result.fail(["Misconfigured", rightsMissing(answer)])
  }
  return Result.succeed({
    needed: rule.needed,
    // A primary that stands in its own list never acknowledges to itself.
    standbys: rule.standbys.filter((standby) => !SynchronousStandbyNames.sameName(standby, primary)),
    rule: SynchronousStandbyNames.print(rule)
  })
}

/** What a person should know before the quorum is taken. */
export const warnings = ({ commits, patroni }: Answer): ReadonlyArray<string> => {
  const told = commits
    .filter(({ value }) => value !== "remote_apply")
    .slice(0, toldMost)
    .map(
      (each) =>
        `${whose(each)} without waiting for any standby (synchronous_commit is ${each.value}): a loss of this quorum does not stop them, only our own probe waits`
    )
  const left = commits.filter(({ value }) => value !== "remote_apply").length - toldMost
  if (left > 0) told.push(`${left} more roles or databases have synchronous_commit off`)
  if (patroni) told.push(patroniUnread)
  return told
}

/** What a person is told about a Patroni that was noticed but not read. */
export const patroniUnread =
  "Patroni manages this server: without synchronous_mode_strict it takes standbys that are silent for its ttl (30 s by default) " +
  "out of synchronous_standby_names, and commits go on without them"

/** What is in the way of a proof, by the primary's own answer. `members` are the names of all configured members. */
export const obstacles = (
  members: ReadonlyArray<string>,
  primary: string,
  answer: Answer,
  rule: Rule
): ReadonlyArray<string> => [
  ...unmet(members, primary, answer, rule),
  ...rule.standbys.flatMap((standby) => doubled(standby, answer)),
  ...crowded(primary, answer.connections)
]

/** How many connections are used, of how many, for the scarcest kind. */
export const connectionsInWords = (connections: Connections): string => {
  const { of, most, used } = scarcest(connections)
  return `${used} of ${most} connections ${of} are used`
}

/** The connections that a probe holds: one writes, and one asks for the commits that wait. */
const connectionsOfProbe = 2

// --- internal ---

const toldMost = 5

const adviceFor = (members: ReadonlyArray<string>, primary: string, { patroni, standbys: streams }: Answer): string => {
  const standbys = members.filter((name) => name !== primary)
  if (standbys.length === 0) return "configure the standbys of this cluster as members, and let commits wait for them"
  const needed = Math.max(1, Math.floor(members.length / 2))
  if (patroni) {
    return (
      `Patroni sets it: put synchronous_mode: quorum (Patroni 4 or later) and synchronous_node_count: ${needed} into its ` +
      "dynamic configuration (patronictl edit-config)"
    )
  }
  // The value as it goes between the single quotes of ALTER SYSTEM or postgresql.conf.
  const value = SynchronousStandbyNames.print({ _tag: "Any", needed, standbys }).replaceAll("'", "''")
  const advice = `set synchronous_standby_names to ${value}`
  // With a name that no standby streams under, every commit would wait for ever.
  const absent = standbys.filter(
    (standby) => !streams.some(({ name }) => name !== null && SynchronousStandbyNames.sameName(name, standby))
  )
  if (standbys.length - absent.length >= needed) return advice
  const now = [...new Set(streams.flatMap(({ name }) => name ?? []))]
  const seen = now.length === 0 ? "nobody streams now" : `those who stream now are called ${now.join(", ")}`
  return (
    `first let ${absent.join(", ")} stream under these names (application_name in primary_conninfo), for ${seen} ` +
    `and every commit would wait for ever; then ${advice}`
  )
}

const rightsMissing = ({ rights: { current, member, session } }: Answer): string => {
  const words = "the user may not read pg_stat_replication"
  if (!member)
    return `${words}: grant it pg_monitor (grant pg_monitor to ${SynchronousStandbyNames.quoteName(session)})`
  const role = SynchronousStandbyNames.quoteName(session)
  return current === session
    ? `${words}: ${session} was granted pg_monitor but does not inherit what it gives: alter role ${role} inherit, and from PostgreSQL 16 on: grant pg_monitor to ${role} with inherit true`
    : `${words}: ${session} was granted pg_monitor, but a setting of the role or database makes it ${current}: alter role ${role} reset role`
}

const whose = ({ database, role }: Answer["commits"][number]): string => {
  if (role === null && database === null) return "Sessions commit by default"
  if (role === null) return `Sessions in database ${database} commit by default`
  return `Sessions of role ${role}${database === null ? "" : ` in database ${database}`} commit by default`
}

// The server takes such a rule without a word, and then no commit ends, whoever is up.
const unmet = (
  members: ReadonlyArray<string>,
  primary: string,
  answer: Answer,
  { needed, rule, standbys }: Rule
): ReadonlyArray<string> => {
  const able = members.filter((name) => standbys.some((each) => SynchronousStandbyNames.sameName(each, name)))
  if (able.length >= needed) return []
  const words = able.length === 0 ? "none of those that it lists can" : `only ${able.join(" and ")} of its list can`
  const why = "a primary never acknowledges to itself, and a name counts once"
  return [
    `'${rule}' waits for ${needed === 1 ? "1 standby" : `${needed} standbys`}, and ${words} acknowledge (${why}), so no commit ever ends: ${adviceFor(members, primary, answer)}`
  ]
}

// PostgreSQL counts each connection that streams under a listed name, whichever server it belongs to.
const doubled = (standby: string, { standbys }: Answer): ReadonlyArray<string> => {
  const streams = standbys.filter(
    ({ name, state }) =>
      name !== null && (state === "streaming" || state === "catchup") && SynchronousStandbyNames.sameName(standby, name)
  )
  if (streams.length < 2) return []
  const from = streams.map((each) => each.from).join(" and ")
  return [
    `${streams.length} connections stream as ${standby} (from ${from}), and PostgreSQL counts each of them: give every standby ` +
      "an application_name of its own in primary_conninfo (or a cluster_name), or wait until one that is left over has ended (wal_sender_timeout)"
  ]
}

interface Scarce {
  readonly of: string
  readonly used: number
  readonly most: number
}

const scarcest = ({ all, database, databaseMost, most, role, roleMost }: Connections): Scarce => {
  const limits: readonly [Scarce, Scarce, Scarce] = [
    { of: "for users who are no superusers (max_connections)", used: all, most },
    { of: "of our role (connection limit)", used: role, most: roleMost },
    { of: "of our database (connection limit)", used: database, most: databaseMost }
  ]
  return limits.reduce((scarce, each) => (each.most - each.used < scarce.most - scarce.used ? each : scarce))
}

const crowded = (primary: string, connections: Connections): ReadonlyArray<string> => {
  const { most, of, used } = scarcest(connections)
  if (most - used >= connectionsOfProbe) return []
  return [
    `the proof needs ${connectionsOfProbe} more connections to ${primary} and would be refused them (53300, too many connections): ` +
      `${used} of ${most} connections ${of} are used; allow more, or end some`
  ]
}
