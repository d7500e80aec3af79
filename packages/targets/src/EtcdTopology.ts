/**
 * Turns the answers of the members of an etcd cluster into the topology of its one raft group. The voters are those of
 * the cluster's own list that are no learners, configured or not. A member is up if it answered just now and, where a
 * quorum follows one leader, follows it too. Without an established leader, all that answer can vote for one. An alarm,
 * or a lack of rights, does not make a member down; it makes the group unfit for a loss. What was known stays known
 * while nobody answers.
 */
import type { SurvivorsWord } from "@inquorate/core/Evidence"
import * as Guid from "@inquorate/core/Guid"
import { TargetError } from "@inquorate/core/Target"
import type { Member, ProcessRef, Topology } from "@inquorate/core/Topology"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Entry, Status } from "./EtcdClient.ts"
import { alarms, type EtcdError, isBarred, isDenied } from "./EtcdError.ts"
import { type Standing, stillInWords } from "./Standing.ts"

/** The name of the one group that an etcd cluster has. */
export const group = "raft"

/** A configured member, and what came of asking it. A learner tells its status, but not the list. */
export interface Asked extends Pick<Member, "processLate" | "processUnknown"> {
  readonly name: string
  readonly node: string
  readonly address: string
  readonly status: Result.Result<Status, EtcdError>
  /** How its process stands by its host's word, where it does not answer. */
  readonly stands?: Standing
  readonly list: Result.Result<ReadonlyArray<Entry>, EtcdError>
  /** Whether it lets us in. */
  readonly entered: Result.Result<void, EtcdError>
  readonly process: ProcessRef | null
  readonly processProblem: string
}

/** What a configured member said within the time it had: of itself, and whether a quorum confirmed its leader to it. */
export interface Heard {
  readonly name: string
  readonly status: Option.Option<Status>
  readonly confirmed: boolean
}

/** What is kept between two looks. Ids are etcd's own 64-bit numbers in hexadecimal digits. */
export interface Known {
  readonly clusterId: string
  readonly roster: ReadonlyArray<Entry>
  /** The id of each configured member that ever told it, by its name in the configuration. */
  readonly told: ReadonlyMap<string, string>
  /**
   * The ids above, and those that follow from the rest: by an address, by a name, or because no other member is left.
   */
  readonly ids: ReadonlyMap<string, string>
  /** Members that were never seen, and what the cluster has left for them, where these are more or fewer. */
  readonly unsure: { readonly configured: ReadonlyArray<string>; readonly left: ReadonlyArray<string> } | null
  /** The id of the leader that was last told of; null where the members that answered know of none. */
  readonly leader: string | null
  /** Whether a quorum follows that leader, or none although a quorum answered; `Unseen` where too few answered. */
  readonly lead: "Established" | "None" | "Unseen"
}

/** What is known now: from the answers, or from before where there are none. */
export const interpret = (
  cluster: string,
  asked: ReadonlyArray<Asked>,
  before: Known | null
): Result.Result<Known, TargetError> => {
  const fail = (endpoint: string, reason: TargetError["reason"], detail: string) =>
    Result.fail(new TargetError({ cluster, endpoint, reason, detail }))
  const foreign = asked.find(({ status }) => Result.isFailure(status) && status.failure.reason === "Nonsense")
  if (foreign !== undefined) {
    const detail = `${problemOf(foreign)} (needed: etcd 3.4 or later)`
    return fail(foreign.address, "Unsupported", detail)
  }
  const answered = answers(asked)
  const other = answered.find(({ status }) => status.clusterId !== answered[0]!.status.clusterId)
  if (other !== undefined) {
    return fail(other.address, "Misconfigured", `${other.name} is not of the same cluster as ${answered[0]!.name}`)
  }
  for (const [index, { address, name, status }] of answered.entries()) {
    const twin = answered.slice(0, index).find((earlier) => earlier.status.memberId === status.memberId)
    if (twin !== undefined) {
      return fail(address, "Misconfigured", `${twin.name} and ${name} are the same member under two addresses`)
    }
  }
  const clusterId = answered[0]?.status.clusterId ?? before?.clusterId
  const known = before?.clusterId === clusterId ? before : null
  const roster = latestList(answered) ?? known?.roster
  if (clusterId === undefined || roster === undefined) {
    const untold = asked.filter(({ list }) => Result.isFailure(list))
    // Waiting does not help against what keeps every member from letting us in: a person has to change the configuration.
    const barred = untold.length > 0 && untold.every((one) => isBarred(failureOf(one)!.reason))
    const detail = `no member told who is in the cluster (${untold.map(problemOf).join("; ")})`
    return fail(untold.map(({ address }) => address).join(", "), barred ? "Misconfigured" : "Unreachable", detail)
  }
  const told = new Map(known?.told)
  for (const { name, status } of answered) told.set(name, status.memberId)
  const leader = answered.length === 0 ? (known?.leader ?? null) : leaderOf(answered)
  const voters = roster.filter(isVoter)
  const voting = answered.filter(({ status }) => voters.some(({ id }) => id === status.memberId))
  const following = voting.filter(({ status }) => leader !== null && status.leader === leader)
  const quorum = majority(voters.length)
  return Result.succeed({
    clusterId,
    roster,
    told,
    ...identities(asked, roster, told),
    leader,
    lead: following.length >= quorum ? "Established" : voting.length >= quorum ? "None" : "Unseen"
  })
}

/** The topology from what is known and what was answered now. */
export const topology = (cluster: string, asked: ReadonlyArray<Asked>, known: Known, observedAt: number): Topology => {
  const { clusterId, lead, roster } = known
  const leader = lead === "None" ? null : known.leader
  const established = lead === "Established" ? leader : null
  const voters = roster.filter(isVoter).length
  const members = asked.map((one): Member => {
    const { address, name, node, process, processLate, processProblem, processUnknown } = one
    const entry = entryOf(known, name)
    const identity = { name, node, address, ...partOf(entry, leader) }
    if (entry === undefined) {
      const id = known.told.get(name)
      const problem =
        id === undefined
          ? notListed(known)
          : `its id ${id} is not in the cluster's list of members: it was removed, or is of another cluster`
      return { ...identity, up: false, downBecause: problem, process: null, processProblem: problem }
    }
    const downBecause = whyDown(one, entry, established, known)
    return {
      ...identity,
      up: downBecause === "",
      ...(downBecause === "" ? {} : { downBecause }),
      process: process === null ? null : withPeers(process, entry, roster),
      processProblem,
      ...(processLate === true ? { processLate } : {}),
      ...(processUnknown === true ? { processUnknown } : {})
    }
  })
  const strangers = roster.filter(({ id }) => !asked.some(({ name }) => known.ids.get(name) === id))
  const unfit = [...new Set([...alarmsOf(asked, known), ...barriersOf(asked)])]
  return {
    cluster,
    system: "etcd",
    group,
    partitionId: Guid.forPartition(BigInt(`0x${clusterId}`).toString(), group),
    observedAt,
    needed: majority(voters),
    rule: `majority of ${voters}`,
    members: [...members, ...strangers.map((entry) => strangerOf(cluster, entry, leader, members, known))],
    ...(unfit.length === 0 ? {} : { unfit })
  }
}

/**
 * What the members say of the quorum. Only a member to which a quorum confirmed its leader says that the quorum holds:
 * to follow a leader is a belief that lasts for one to two election timeouts after the quorum is gone. The quorum is
 * lost where a voter says that it has no leader, unless a quorum of voters still follows the same leader.
 */
export const survivorsWord = (said: ReadonlyArray<Heard>, known: Known | null): SurvivorsWord => {
  const confirmed = said.filter((one) => one.confirmed).map(({ name }) => name)
  if (confirmed.length > 0) {
    return { word: "QuorumHeld", detail: `${confirmed.join(", ")}: a quorum confirmed the leader just now` }
  }
  const heard = said.flatMap(({ name, status }) =>
    Option.isSome(status) && entryOf(known, name)?.isLearner !== true ? [{ name, status: status.value }] : []
  )
  if (heard.length === 0) return { word: "Silent", detail: "no member answered" }
  const needed = majority(known === null ? said.length : known.roster.filter(isVoter).length)
  const led = heard.flatMap(({ status }) => status.leader ?? [])
  const established = led.some((leader) => led.filter((other) => other === leader).length >= needed)
  const leaderless = heard.filter(({ status }) => status.leader === null).map(({ name }) => `${name}: no leader`)
  if (leaderless.length > 0 && !established) return { word: "QuorumLost", detail: leaderless.join("; ") }
  const words = heard.map(({ name, status }) =>
    status.leader === null ? `${name}: no leader` : `${name}: leader ${nameOf(status.leader, known)}`
  )
  return { word: "Silent", detail: `${words.join("; ")}; no quorum confirmed it` }
}

/** The addresses a write can be sent to: the leader's first, then those of the other voters. */
export const writable = (
  configured: ReadonlyArray<{ readonly name: string; readonly address: string }>,
  known: Known | null
): ReadonlyArray<string> => {
  const voters = configured.filter(({ name }) => entryOf(known, name)?.isLearner !== true)
  const leads = ({ name }: { readonly name: string }) => known?.leader != null && known.ids.get(name) === known.leader
  return [...voters.filter(leads), ...voters.filter((member) => !leads(member))].map(({ address }) => address)
}

// --- internal ---

interface Answered extends Pick<Asked, "name" | "address" | "list"> {
  readonly status: Status
}

const answers = (asked: ReadonlyArray<Asked>): ReadonlyArray<Answered> =>
  asked.flatMap(({ address, list, name, status }) =>
    Result.isSuccess(status) ? [{ address, list, name, status: status.success }] : []
  )

const failureOf = ({ list, status }: Asked): EtcdError | undefined =>
  Result.isFailure(status) ? status.failure : Result.isFailure(list) ? list.failure : undefined

const problemOf = (asked: Asked): string => {
  const failure = failureOf(asked)
  return failure === undefined ? asked.name : `${asked.name}: ${failure.detail}`
}

const entryOf = (known: Known | null, name: string): Entry | undefined => {
  const id = known?.ids.get(name)
  return known?.roster.find((entry) => entry.id === id)
}

const majority = (voters: number): number => Math.floor(voters / 2) + 1

const isVoter = ({ isLearner }: Entry): boolean => !isLearner

// Empty for a member that is up.
const whyDown = (asked: Asked, entry: Entry, established: string | null, known: Known): string => {
  const { process, stands = "Unknown", status } = asked
  if (Result.isFailure(status)) {
    const still = stillInWords(stands, process)
    if (still !== null) return still
    if (entry.name === "") return `was added to the cluster and never started: ${start(entry)}`
    const { detail, reason } = status.failure
    if (isBarred(reason)) return `cannot be asked: ${detail}`
    // For as long as followers have not noticed that their leader is gone this is the same.
    const followed = reason === "Unreachable" && entry.id === established
    return `does not answer: ${detail}${followed ? ", though the others follow it as their leader: compare its address" : ""}`
  }
  const { leader } = status.success
  if (established === null || leader === established) return ""
  const others = `the others follow ${nameOf(established, known)}`
  return leader === null ? `has no leader, while ${others}` : `follows ${nameOf(leader, known)}, while ${others}`
}

// `memberID:10276657743932975437 alarm:NOSPACE ` in etcd's own form, of whichever member raised it.
const alarmsOf = (asked: ReadonlyArray<Asked>, known: Known): ReadonlyArray<string> =>
  answers(asked).flatMap(({ name, status }) =>
    status.errors
      .filter((error) => error !== "etcdserver: no leader")
      .map((error) => {
        const [, id, alarm] = /^memberID:(\d+)\s+alarm:(\w+)\s*$/.exec(error) ?? []
        if (id === undefined || alarm === undefined) return `${name} reports: ${error.trim()}`
        const raiser = nameOf(BigInt(id).toString(16), known)
        return `the alarm ${alarm} is raised by ${raiser}${alarms[alarm] === undefined ? "" : `: ${alarms[alarm]}`}`
      })
  )

const barriersOf = (asked: ReadonlyArray<Asked>): ReadonlyArray<string> =>
  asked.flatMap(({ entered }) =>
    Result.isFailure(entered) && isDenied(entered.failure.reason) ? [entered.failure.detail] : []
  )

const newest = (answered: ReadonlyArray<Answered>, by: (status: Status) => bigint): Answered | undefined =>
  answered.reduce<Answered | undefined>(
    (best, next) => (best === undefined || by(next.status) > by(best.status) ? next : best),
    undefined
  )

// A member that lags has an older list.
const latestList = (answered: ReadonlyArray<Answered>): ReadonlyArray<Entry> | undefined => {
  const told = answered.filter(({ list }) => Result.isSuccess(list))
  const list = newest(told, ({ applied }) => applied)?.list
  return list === undefined ? undefined : Result.getOrUndefined(list)
}

const leaderOf = (answered: ReadonlyArray<Answered>): string | null =>
  newest(
    answered.filter(({ status }) => status.leader !== null),
    ({ term }) => term
  )?.status.leader ?? null

// A member has the id that it once told. A member that never told its id is known by its address, where the cluster's
// list has that address once. Otherwise it is known by its name. Otherwise it is one of those that are left over on
// both sides. Which of them it is does not matter, since none was ever seen.
const identities = (
  asked: ReadonlyArray<Asked>,
  roster: ReadonlyArray<Entry>,
  told: ReadonlyMap<string, string>
): Pick<Known, "ids" | "unsure"> => {
  const ids = new Map<string, string>()
  for (const { name } of asked) {
    const id = told.get(name)
    if (id !== undefined) ids.set(name, id)
  }
  const unseen = () => asked.filter(({ name }) => !ids.has(name))
  const free = () => roster.filter(({ id }) => ![...ids.values()].includes(id))
  const claim = (fits: (member: Asked, entry: Entry) => boolean): void => {
    for (const member of unseen()) {
      const fitting = free().filter((entry) => fits(member, entry))
      if (fitting.length === 1) ids.set(member.name, fitting[0]!.id)
    }
  }
  claim(({ address }, { clientUrls }) => clientUrls.some((url) => hostOf(url) === address))
  claim(({ name }, entry) => entry.name === name)
  const waiting = unseen().map(({ name }) => name)
  const started = free().filter(({ name }) => name !== "")
  const left = [...started, ...free().filter(({ name }) => name === "")]
  for (const [index, name] of waiting.slice(0, left.length).entries()) ids.set(name, left[index]!.id)
  const unsure =
    waiting.length > 0 && started.length > 0 && (waiting.length < started.length || waiting.length > left.length)
  return { ids, unsure: unsure ? { configured: waiting, left: started.map(({ id, name }) => name || id) } : null }
}

const hostOf = (url: string): string => url.replace(/^[a-z]+:\/\//, "").replace(/\/.*$/, "")

// The endpoints are those of the cluster's list. Where one of them is missing none is given, for a cut from a part of the peers
// would be no cut.
const withPeers = (process: ProcessRef, entry: Entry, roster: ReadonlyArray<Entry>): ProcessRef => {
  const own = entry.peerUrls.map(hostOf)
  const others = roster.filter(({ id }) => id !== entry.id).map(({ peerUrls }) => peerUrls.map(hostOf))
  const all = [own, ...others]
  return all.every((endpoints) => endpoints.length > 0 && endpoints.every(isEndpoint))
    ? { ...process, peers: { own, others: others.flat() } }
    : process
}

/** An address or a name, with a port. The cut looks a name up, on the host where the member runs. */
const isEndpoint = (endpoint: string): boolean =>
  /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}):\d{1,5}$/.test(endpoint)

const nameOf = (id: string, known: Known | null): string => {
  for (const [name, other] of known?.ids ?? []) if (other === id) return name
  return known?.roster.find((entry) => entry.id === id)?.name || id
}

const partOf = (entry: Entry | undefined, leader: string | null): Pick<Member, "role" | "counts" | "cuttable"> =>
  entry === undefined || !isVoter(entry)
    ? { role: "IdleSecondary", counts: false, cuttable: "Never" }
    : { role: entry.id === leader ? "Primary" : "ActiveSecondary", counts: true, cuttable: "Always" }

const notListed = ({ unsure }: Known): string =>
  unsure === null
    ? "it is not in the cluster's list of members"
    : `of ${unsure.configured.join(" and ")}, which never answered, not all are in the cluster's list of members`

const start = ({ id, peerUrls }: Entry): string => `start it for ${peerUrls.join(", ")}, or etcdctl member remove ${id}`

// A member of the cluster's list that is not configured counts, but we cannot ask it or take it out. Only of a leader do we
// know that it is up: by the members that follow it.
const strangerOf = (
  cluster: string,
  entry: Entry,
  leader: string | null,
  members: ReadonlyArray<Member>,
  { unsure }: Known
): Member => {
  const own = entry.name === "" ? entry.id : entry.name
  const name = members.some((member) => member.name === own) ? `${own}-${entry.id}` : own
  const up = entry.id === leader && members.some((member) => member.up)
  const problem =
    entry.name === ""
      ? `${name} was added and never started: ${start(entry)}`
      : unsure === null
        ? `${name} is a member of the cluster but not configured: add it with its address`
        : `of ${unsure.left.join(" and ")} not all are configured: which, is known once ${unsure.configured.join(" and ")} answered`
  return {
    name,
    node: `${cluster}-${name}`,
    address: hostOf(entry.clientUrls[0] ?? ""),
    ...partOf(entry, leader),
    up,
    cuttable: "Never",
    process: null,
    processProblem: problem
  }
}
