/**
 * From what the members of a PostgreSQL cluster answered to the topology of its one group. A standby counts as up only
 * if it streams, its replies are fresh, and it answered a query itself just now: the primary goes on showing a stopped
 * standby as `streaming` for a minute. What is known once is kept while the primary does not answer.
 */
import * as Guid from "@inquorate/core/Guid"
import { TargetError } from "@inquorate/core/Target"
import type { Cuttable, Member, ProcessRef, Role, Topology } from "@inquorate/core/Topology"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ConnectionError } from "./PostgresConnection.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"

/** The name of the one group that a PostgreSQL cluster has. */
export const group = "quorum"

/** What is asked of every member; works on primary and standby. Positions in the log are bytes since its beginning. */
export const question = `
select pg_is_in_recovery() as "inRecovery",
  current_setting('synchronous_standby_names') as "standbyNames",
  (select system_identifier::text from pg_control_system()) as "systemIdentifier",
  pg_postmaster_start_time()::text as "startedAt",
  case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') else '' end as "dataDirectory",
  (extract(epoch from clock_timestamp()) * 1000)::float8 as "now",
  (extract(epoch from current_setting('wal_receiver_status_interval')::interval) * 1000)::float8 as "statusInterval",
  case when pg_is_in_recovery() then null else (pg_current_wal_flush_lsn() - '0/0')::float8 end as "flushed",
  (select coalesce(json_agg(json_build_object(
    'name', application_name,
    'state', state,
    'flushed', (flush_lsn - '0/0')::float8,
    'repliedAt', (extract(epoch from reply_time) * 1000)::float8
  )), '[]') from pg_stat_replication) as "standbys"`

/** One standby as the primary sees it; all but the name is null for a user who may not read it. */
const StandbySeen = Schema.Struct({
  name: Schema.NullOr(Schema.String),
  state: Schema.NullOr(Schema.String),
  flushed: Schema.NullOr(Schema.Finite),
  /** By the standby's own clock. */
  repliedAt: Schema.NullOr(Schema.Finite)
})

/** One member's answer to the question; times in milliseconds, `now` by its own clock. */
export const Answer = Schema.Struct({
  inRecovery: Schema.Boolean,
  standbyNames: Schema.String,
  systemIdentifier: Schema.String,
  startedAt: Schema.String,
  dataDirectory: Schema.String,
  now: Schema.Finite,
  statusInterval: Schema.Finite,
  flushed: Schema.NullOr(Schema.Finite),
  standbys: Schema.Array(StandbySeen)
})
/** One member's answer to the question. */
export type Answer = typeof Answer.Type

/** A member as configured, with what became of asking it. */
export interface Asked {
  readonly name: string
  readonly node: string
  readonly address: string
  readonly answer: Result.Result<Answer, ConnectionError>
  readonly process: ProcessRef | null
  readonly processProblem: string
}

/** What outlives a primary that does not answer. */
export interface Known {
  readonly systemIdentifier: string
  readonly primary: string
  readonly needed: number
  readonly standbys: ReadonlyArray<string>
  readonly rule: string
}

/** What the answers say, or what was known before where the primary gave none. */
export const interpret = (
  cluster: string,
  asked: ReadonlyArray<Asked>,
  before: Known | null
): Result.Result<Known, TargetError> => {
  const answered = asked.flatMap(({ address, answer, name }) =>
    Result.isSuccess(answer) ? [{ address, name, ...answer.success }] : []
  )
  const fail = (endpoint: string, reason: TargetError["reason"], detail: string) =>
    Result.fail(new TargetError({ cluster, endpoint, reason, detail }))
  for (const { address, answer } of asked) {
    if (Result.isFailure(answer) && answer.failure.reason === "Rejected") {
      return fail(address, "Misconfigured", answer.failure.detail)
    }
    if (Result.isFailure(answer) && answer.failure.reason === "Failed" && !isPassing(answer.failure.code)) {
      return fail(address, "Unsupported", answer.failure.detail)
    }
  }
  const other = answered.find(({ systemIdentifier }) => systemIdentifier !== answered[0]!.systemIdentifier)
  if (other !== undefined) {
    return fail(other.address, "Misconfigured", `${other.name} is not of the same cluster as ${answered[0]!.name}`)
  }
  const [primary, second] = answered.filter(({ inRecovery }) => !inRecovery)
  if (second !== undefined) {
    return fail(
      second.address,
      "Misconfigured",
      `${primary!.name} and ${second.name} both say that they are the primary`
    )
  }
  if (primary !== undefined)
    return Result.mapError(
      readRule(asked, primary),
      ([reason, detail]) => new TargetError({ cluster, endpoint: primary.address, reason, detail })
    )
  if (before !== null) return Result.succeed(before)
  const silent = asked.filter(({ answer }) => Result.isFailure(answer))
  const causes = silent.map(({ answer, name }) => (Result.isFailure(answer) ? `${name}: ${answer.failure.detail}` : ""))
  return silent.length === 0
    ? fail(asked[0]!.address, "Misconfigured", "every member is a standby; configure the primary too")
    : fail(silent.map(({ address }) => address).join(", "), "Unreachable", `no primary answered (${causes.join("; ")})`)
}

/** The topology from what is known and what was answered now. */
export const topology = (cluster: string, asked: ReadonlyArray<Asked>, known: Known, observedAt: number): Topology => {
  const primary = asked.find(({ name }) => name === known.primary)
  const primaryAnswer = primary === undefined || Result.isFailure(primary.answer) ? null : primary.answer.success
  return {
    cluster,
    system: "postgres",
    group,
    partitionId: Guid.forPartition(known.systemIdentifier, group),
    observedAt,
    needed: known.needed,
    rule: known.rule,
    members: asked.map(({ address, answer, name, node, process, processProblem }): Member => {
      const [role, counts, cuttable] = partOf(name, known)
      const up =
        Result.isSuccess(answer) &&
        (name === known.primary ? !answer.success.inRecovery : streams(name, answer.success, primaryAnswer))
      return { name, node, address, role, counts, up, cuttable, process, processProblem }
    })
  }
}

// --- internal ---

// Shutting down, starting up, too busy: such a member is down, but nothing is wrong with the configuration.
const isPassing = (code: string): boolean => /^(08|53|57|58)/.test(code)

const partOf = (name: string, { primary, standbys }: Known): readonly [Role, boolean, Cuttable] =>
  name === primary
    ? ["Primary", false, "OnlyInAllReplicas"]
    : standbys.some((standby) => SynchronousStandbyNames.sameName(standby, name))
      ? ["ActiveSecondary", true, "Always"]
      : ["IdleSecondary", false, "Never"]

type Problem = readonly [reason: TargetError["reason"], detail: string]

const readRule = (
  asked: ReadonlyArray<Asked>,
  { name: primary, standbyNames, standbys, systemIdentifier }: Answer & { readonly name: string }
): Result.Result<Known, Problem> => {
  const parsed = SynchronousStandbyNames.parse(standbyNames)
  const all = asked.filter(({ name }) => name !== primary).map(({ name }) => name)
  const advice = `set synchronous_standby_names to ANY ${Math.floor(asked.length / 2)} (${all.join(", ")})`
  if (Result.isFailure(parsed)) {
    return Result.fail(["Misconfigured", `synchronous_standby_names cannot be read: ${parsed.failure}`])
  }
  const rule = parsed.success
  if (rule._tag === "Off") {
    return Result.fail([
      "Misconfigured",
      `synchronous_standby_names is empty, so commits wait for no quorum: ${advice}`
    ])
  }
  if (rule._tag === "First") {
    const words = `"${standbyNames}" waits for the first standbys of a list, which is no quorum`
    return Result.fail(["Unsupported", `${words}: ${advice}`])
  }
  if (rule.standbys.includes("*")) {
    return Result.fail([
      "Unsupported",
      `"${standbyNames}" lets any standby count, so nobody can say which do: ${advice}`
    ])
  }
  const stranger = rule.standbys.find(
    (standby) => !asked.some(({ name }) => SynchronousStandbyNames.sameName(name, standby))
  )
  if (stranger !== undefined) {
    return Result.fail([
      "Misconfigured",
      `synchronous_standby_names lists ${stranger}, but no member of that name (its application_name) is configured`
    ])
  }
  if (standbys.some(({ state }) => state === null)) {
    return Result.fail(["Misconfigured", "the user may not read pg_stat_replication: grant it pg_monitor"])
  }
  return Result.succeed({
    systemIdentifier,
    primary,
    needed: rule.needed,
    // A primary that stands in its own list never acknowledges itself.
    standbys: rule.standbys.filter((standby) => !SynchronousStandbyNames.sameName(standby, primary)),
    rule: SynchronousStandbyNames.print(rule)
  })
}

/** A standby has this long to acknowledge what the primary has flushed, in milliseconds. */
const lagAllowed = 2000

// While its primary does not answer, a standby is as up as can be known if it answers itself.
const streams = (name: string, standby: Answer, primary: Answer | null): boolean => {
  if (!standby.inRecovery) return false
  if (primary === null) return true
  return primary.standbys.some((seen) => {
    if (seen.name === null || !SynchronousStandbyNames.sameName(seen.name, name)) return false
    if (seen.state !== "streaming" || seen.repliedAt === null) return false
    // Both moments are by the standby's own clock. An idle standby replies once in its interval, 10 s by default.
    const age = standby.now - seen.repliedAt
    if (age <= lagAllowed) return true
    const isIdle = seen.flushed !== null && primary.flushed !== null && seen.flushed >= primary.flushed
    return isIdle && (standby.statusInterval === 0 || age <= 2 * standby.statusInterval + lagAllowed)
  })
}
