/**
 * Turns the answers of the members of a PostgreSQL cluster into the topology of its one group. A standby counts as up
 * only if it streams and its replies are fresh, since the primary goes on showing a stopped standby as `streaming` for
 * a minute. A standby that we reach and that says nothing is not up. A standby that does not let us in is up if its
 * primary says so. What was once known is kept while the primary does not answer.
 */
import * as Guid from "@inquorate/core/Guid"
import { TargetError } from "@inquorate/core/Target"
import type { Cuttable, Member, ProcessRef, Role, Topology } from "@inquorate/core/Topology"
import * as Result from "effect/Result"
import type { ConnectionError } from "./PostgresConnection.ts"
import type { Answer, StandbySeen } from "./PostgresQuestion.ts"
import * as PostgresRule from "./PostgresRule.ts"
import { type Standing, stillInWords } from "./Standing.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"

/** The name of the one group that a PostgreSQL cluster has. */
export const group = "quorum"

/** A configured member, and what came of asking it. */
export interface Asked extends Pick<Member, "processLate" | "processUnknown"> {
  readonly name: string
  readonly node: string
  readonly address: string
  readonly otherAddresses: ReadonlyArray<string>
  readonly answer: Result.Result<Answer, ConnectionError>
  readonly process: ProcessRef | null
  readonly processProblem: string
  /** True where the host that it runs on is configured. */
  readonly hasHost?: boolean
  /** How its process stands by its host's word, where it did not answer. */
  readonly stands: Standing
}

/** What stays known while the primary does not answer. */
export interface Known extends PostgresRule.Rule {
  readonly systemIdentifier: string
  readonly primary: string
  readonly connections: string
  readonly warnings: ReadonlyArray<string>
  readonly obstacles: ReadonlyArray<string>
}

/** What is known now: from the answers, or from before where the primary gave none. */
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
  const [primary, second] = answered.filter(({ inRecovery }) => !inRecovery)
  // Where a member that does not let us in may be the primary, the configuration is wrong. A standby that does not let
  // us in is down, or, where its primary says so, one that acknowledges all the same.
  for (const { address, answer, name } of primary === undefined ? asked : []) {
    if (Result.isSuccess(answer) || (before !== null && before.primary !== name)) continue
    const { code, detail, reason } = answer.failure
    if (reason === "Rejected") return fail(address, "Misconfigured", `${name} at ${address}: ${detail}`)
    if (reason === "Failed" && !isPassing(code)) return fail(address, "Unsupported", failedQuestion(answer.failure))
  }
  const other = answered.find(({ systemIdentifier }) => systemIdentifier !== answered[0]!.systemIdentifier)
  if (other !== undefined) {
    return fail(other.address, "Misconfigured", `${other.name} is not of the same cluster as ${answered[0]!.name}`)
  }
  for (const [index, one] of answered.entries()) {
    const same = answered.slice(index + 1).find((each) => isSameServer(one, each))
    if (same === undefined) continue
    const detail = `${one.name} and ${same.name} are one and the same server, reached at ${one.address} and ${same.address}`
    return fail(same.address, "Misconfigured", `${detail}: give each member the address of a server of its own`)
  }
  if (second !== undefined) {
    return fail(
      second.address,
      "Misconfigured",
      `${primary!.name} and ${second.name} both say that they are the primary`
    )
  }
  if (primary !== undefined) {
    const { address, name, systemIdentifier } = primary
    const names = asked.map((each) => each.name)
    return Result.mapBoth(PostgresRule.read(names, name, primary), {
      onFailure: ([reason, detail]) => new TargetError({ cluster, endpoint: address, reason, detail }),
      onSuccess: (rule): Known => ({
        ...rule,
        systemIdentifier,
        primary: name,
        connections: PostgresRule.connectionsInWords(primary.connections),
        warnings: PostgresRule.warnings(primary),
        obstacles: [
          ...PostgresRule.obstacles(names, name, primary, rule),
          ...asked.flatMap((member) => streamsAsAnother(member, { name, answer: primary }) ?? [])
        ]
      })
    })
  }
  if (before !== null) return Result.succeed(before)
  const silent = asked.filter(({ answer }) => Result.isFailure(answer))
  const causes = silent.map(({ answer, name }) => (Result.isFailure(answer) ? `${name}: ${answer.failure.detail}` : ""))
  const upstreams = answered.flatMap(({ name, receiver }) =>
    receiver?.status === "streaming" ? [`${name} streams from ${receiver.from}`] : []
  )
  const where = upstreams.length === 0 ? "" : `: ${upstreams.join(", ")}`
  return silent.length === 0
    ? fail(asked[0]!.address, "Misconfigured", `every member is a standby; configure the primary too${where}`)
    : fail(
        silent.map(({ address }) => address).join(", "),
        "Unreachable",
        `no primary answered (${causes.join("; ")})${where}`
      )
}

/** The topology from what is known and what was answered now. */
export const topology = (cluster: string, asked: ReadonlyArray<Asked>, known: Known, observedAt: number): Topology => {
  const primary = asked.find(({ name }) => name === known.primary)
  const seen: Primary = {
    name: known.primary,
    answer: primary === undefined || Result.isFailure(primary.answer) ? null : primary.answer.success
  }
  const warnings = [...known.warnings, ...behindInApplying(asked, known, seen)]
  return {
    cluster,
    system: "postgres",
    group,
    partitionId: Guid.forPartition(known.systemIdentifier, group),
    observedAt,
    needed: known.needed,
    rule: known.rule,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(known.obstacles.length === 0 ? {} : { unfit: known.obstacles }),
    members: asked.map((member): Member => {
      const { address, name, node, otherAddresses, process, processLate, processProblem, processUnknown } = member
      const [role, counts, cuttable] = partOf(name, known)
      const downBecause = reasonDown(member, seen)
      const other = streamsAsAnother(member, seen)
      return {
        name,
        node,
        address,
        ...(otherAddresses.length === 0 ? {} : { otherAddresses }),
        role,
        counts,
        up: downBecause === null,
        ...(downBecause === null ? {} : { downBecause }),
        cuttable,
        process: other === null ? process : null,
        processProblem: other ?? (downBecause === null ? processProblemOf(member, seen) : processProblem),
        ...(processLate === true && other === null ? { processLate } : {}),
        ...(processUnknown === true && other === null ? { processUnknown } : {})
      }
    })
  }
}

// --- internal ---

// Two addresses were mixed up: the primary hears from a standby of this name, and the server at the member's address
// streams under another one. PostgreSQL cuts a longer name, and keeps no other characters, so such a name says nothing.
const streamsAsAnother = ({ address, answer, name }: Asked, primary: Primary): string | null => {
  if (Result.isFailure(answer) || primary.answer === null || name === primary.name) return null
  const { receiver } = answer.success
  const called = receiver?.status === "streaming" ? (receiver.as ?? "") : ""
  if (!/^[ -~]{1,63}$/.test(called) || SynchronousStandbyNames.sameName(called, name)) return null
  const stream = primary.answer.standbys.find(
    (seen) => seen.state === "streaming" && seen.name !== null && SynchronousStandbyNames.sameName(seen.name, name)
  )
  return stream === undefined
    ? null
    : `the server at ${address} streams as ${called} and not as ${name}, which ${primary.name} streams to at ${stream.from}: ` +
        `compare the addresses of ${name} and ${called}, or wait until a stream that is left over has ended (wal_sender_timeout)`
}

// Such a member is up by its primary's word alone. What is wrong is our way to it.
const processProblemOf = (member: Asked, primary: Primary): string => {
  const { address, answer, name, process, processProblem } = member
  const isMissed =
    process === null && member.hasHost === true && Result.isFailure(answer) && isUnreached(answer.failure)
  return isMissed && name !== primary.name && primary.answer !== null
    ? `it cannot be reached at ${address}, though ${primary.name} streams to it (${answer.failure.detail})`
    : processProblem
}

const isUnreached = ({ code, reason }: Pick<ConnectionError, "code" | "reason">): boolean =>
  reason === "Unreachable" && !/^\d/.test(code)

// The member shuts down, starts up or is too busy: it is down, but nothing is wrong with the configuration.
const isPassing = (code: string): boolean => /^(08|53|57|58)/.test(code)

const failedQuestion = ({ code, detail }: ConnectionError): string =>
  code === "42501" ? `${detail} (${code}): grant our user pg_monitor, and execute on what its message names` : detail

const isSameServer = (one: Answer, other: Answer): boolean =>
  one.startedAt === other.startedAt &&
  one.inRecovery === other.inRecovery &&
  one.dataDirectory === other.dataDirectory &&
  JSON.stringify(one.receiver) === JSON.stringify(other.receiver)

const partOf = (name: string, { primary, standbys }: Known): readonly [Role, boolean, Cuttable] =>
  name === primary
    ? ["Primary", false, "OnlyInAllReplicas"]
    : standbys.some((standby) => SynchronousStandbyNames.sameName(standby, name))
      ? ["ActiveSecondary", true, "Always"]
      : ["IdleSecondary", false, "Never"]

/** The primary by its name, and what it answered now. */
interface Primary {
  readonly name: string
  readonly answer: Answer | null
}

/** How long a standby may take to acknowledge what the primary has flushed, in milliseconds. */
const lagAllowed = 2000

// Null for a member that is up. The primary is up while it takes questions, a standby while it acknowledges.
const reasonDown = (member: Asked, primary: Primary): string | null => {
  const { answer, name } = member
  if (name === primary.name) {
    if (Result.isFailure(answer)) return silenceOf(member, answer.failure)
    return answer.success.inRecovery ? "is a standby now, and nobody says that it is the primary" : null
  }
  // While the primary does not answer, nothing more can be known of a standby than whether it answers itself.
  if (primary.answer === null) return Result.isFailure(answer) ? silenceOf(member, answer.failure) : null
  if (Result.isFailure(answer) && isSilent(answer.failure)) return silenceOf(member, answer.failure)
  const connections = primary.answer.standbys.filter(
    (seen) => seen.name !== null && SynchronousStandbyNames.sameName(seen.name, name)
  )
  const streams = connections.filter(({ state }) => state === "streaming")
  if (streams.length === 0) return notStreaming(member, primary.name, connections[0]?.state ?? null)
  const own = Result.isSuccess(answer) ? answer.success : null
  if (own?.inRecovery === false) return "is no standby"
  if (streams.some((seen) => isFresh(seen, own, primary.answer!))) return null
  const oldest = streams.map(({ repliedAt }) => (own ?? primary.answer!).now - (repliedAt ?? 0))
  const words = `streams from ${primary.name} but has acknowledged nothing for ${(Math.min(...oldest) / 1000).toFixed(1)} s`
  return own === null
    ? `${words} by ${primary.name}'s clock, and ${silenceOf(member, (answer as Failed).failure)}`
    : words
}

type Failed = Result.Failure<Answer, ConnectionError>

// A server that we reach and that says nothing stands still. A server that refuses us, or that our own network does not
// reach, may acknowledge to its primary all the same.
const isSilent = ({ code, reason }: ConnectionError): boolean =>
  reason === "Lost" || (reason === "TimedOut" && code !== "ETIMEDOUT")

const silenceOf = ({ address, process, stands }: Asked, { code, detail, reason }: ConnectionError): string => {
  const still = stillInWords(stands, process)
  if (still !== null) return still
  if (code === "ECONNREFUSED" || code === "ENOENT") return `refuses connections at ${address}`
  if (reason === "TimedOut" || reason === "Lost") return `takes no queries: ${detail}`
  if (isUnreached({ code, reason })) return `cannot be reached: ${detail}`
  return `takes no queries of ours: ${detail}`
}

const notStreaming = (member: Asked, primary: string, state: string | null): string => {
  const { answer } = member
  if (state !== null) return `does not stream from ${primary} yet: it is in state ${state}`
  const words = `is not streaming from ${primary}`
  if (Result.isFailure(answer)) return `${words}, and ${silenceOf(member, answer.failure)}`
  const { receiver } = answer.success
  if (receiver?.status === "streaming") {
    const as =
      receiver.as == null || SynchronousStandbyNames.sameName(receiver.as, member.name) ? "" : ` as ${receiver.as}`
    return `${words} under its name: it streams from ${receiver.from}${as}; compare its application_name, or its upstream`
  }
  return receiver === null || receiver.status === null
    ? `${words}: its receiver does not run`
    : `${words}: its receiver of ${receiver.from} is in state ${receiver.status}`
}

// Where the standby answers, both moments are by its own clock. Otherwise the present is the primary's. An idle standby
// replies once in its interval, 10 s by default.
const isFresh = ({ flushed, repliedAt }: StandbySeen, standby: Answer | null, primary: Answer): boolean => {
  if (repliedAt === null) return false
  const { now, statusInterval } = standby ?? primary
  const age = now - repliedAt
  if (age <= lagAllowed) return true
  const isIdle = flushed !== null && primary.flushed !== null && flushed >= primary.flushed
  return isIdle && (statusInterval === 0 || age <= 2 * statusInterval + lagAllowed)
}

// A commit that waits until it is applied waits for such a standby even where the quorum is there.
const behindInApplying = (asked: ReadonlyArray<Asked>, known: Known, primary: Primary): ReadonlyArray<string> => {
  if (primary.answer?.commits.some(({ value }) => value === "remote_apply") !== true) return []
  return asked.flatMap(({ answer, name }) => {
    if (Result.isFailure(answer) || partOf(name, known)[0] !== "ActiveSecondary") return []
    const { applyDelay, replayPaused } = answer.success
    const why = replayPaused ? "its replay is paused" : applyDelay > 0 ? "recovery_min_apply_delay is set" : null
    return why === null
      ? []
      : [
          `${name} applies late (${why}), and sessions with synchronous_commit = remote_apply wait for that, with or without a loss`
        ]
  })
}
