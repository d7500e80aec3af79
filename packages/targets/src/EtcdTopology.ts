/**
 * From what the members of an etcd cluster answered to the topology of its one raft group. The voters are those of the
 * cluster's own list that are no learners, configured or not; a member is up if it answered just now, without errors and
 * with a leader. What is known once is kept while nobody answers.
 */
import type { SurvivorsWord } from "@inquorate/core/Evidence"
import * as Guid from "@inquorate/core/Guid"
import { TargetError } from "@inquorate/core/Target"
import type { Member, ProcessRef, Topology } from "@inquorate/core/Topology"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { GatewayError, MemberList, Status } from "./EtcdGateway.ts"

/** The name of the one group that an etcd cluster has. */
export const group = "raft"

/** A member as configured, with what became of asking it. A learner tells its status, but not the list. */
export interface Asked {
  readonly name: string
  readonly node: string
  readonly address: string
  readonly status: Result.Result<Status, GatewayError>
  readonly list: Result.Result<MemberList, GatewayError>
  readonly process: ProcessRef | null
  readonly processProblem: string
}

/** What a configured member said of itself within the time it had. */
export interface Heard {
  readonly name: string
  readonly status: Option.Option<Status>
}

/** What is kept between two looks. Ids are etcd's own 64-bit numbers, as decimal digits. */
export interface Known {
  readonly clusterId: string
  readonly roster: MemberList["members"]
  /** The id of each configured member that was ever told, by its name in the configuration. */
  readonly ids: ReadonlyMap<string, string>
  /** The id of the leader; null where the members that answered know of none. */
  readonly leader: string | null
}

/** What is known now: from the answers, or from before where there are none. */
export const interpret = (
  cluster: string,
  asked: ReadonlyArray<Asked>,
  before: Known | null
): Result.Result<Known, TargetError> => {
  const fail = (endpoint: string, reason: TargetError["reason"], detail: string) =>
    Result.fail(new TargetError({ cluster, endpoint, reason, detail }))
  const foreign = asked.find(({ status }) => Result.isFailure(status) && isForeign(status.failure))
  if (foreign !== undefined) {
    const detail = `${problemOf(foreign)} (needed: etcd 3.4 or later over plain HTTP)`
    return fail(foreign.address, "Unsupported", detail)
  }
  const answered = answers(asked)
  const other = answered.find(({ status }) => status.header.cluster_id !== answered[0]!.status.header.cluster_id)
  if (other !== undefined) {
    return fail(other.address, "Misconfigured", `${other.name} is not of the same cluster as ${answered[0]!.name}`)
  }
  for (const [index, { address, name, status }] of answered.entries()) {
    const twin = answered.slice(0, index).find(({ status: { header } }) => header.member_id === status.header.member_id)
    if (twin !== undefined) {
      return fail(address, "Misconfigured", `${twin.name} and ${name} are the same member under two addresses`)
    }
  }
  const clusterId = answered[0]?.status.header.cluster_id ?? before?.clusterId
  const known = before?.clusterId === clusterId ? before : null
  const roster = latestList(answered) ?? known?.roster
  if (clusterId === undefined || roster === undefined) {
    const untold = asked.filter(({ list }) => Result.isFailure(list))
    const detail = `no member told who is in the cluster (${untold.map(problemOf).join("; ")})`
    return fail(untold.map(({ address }) => address).join(", "), "Unreachable", detail)
  }
  return Result.succeed({
    clusterId,
    roster,
    ids: identities(asked, roster, known?.ids ?? new Map()),
    leader: answered.length === 0 ? (known?.leader ?? null) : leaderOf(answered)
  })
}

/** The topology from what is known and what was answered now. */
export const topology = (cluster: string, asked: ReadonlyArray<Asked>, known: Known, observedAt: number): Topology => {
  const { clusterId, leader, roster } = known
  const voters = roster.filter(isVoter).length
  const members = asked.map(({ address, name, node, process, processProblem, status }): Member => {
    const entry = entryOf(known, name)
    const identity = { name, node, address, ...partOf(entry, leader) }
    return entry === undefined
      ? { ...identity, up: false, process: null, processProblem: "it is not in the cluster's list of members" }
      : {
          ...identity,
          up: Result.isSuccess(status) && isWell(status.success),
          process: process === null ? null : withPeers(process, entry, roster),
          processProblem
        }
  })
  const strangers = roster.filter(({ ID }) => !asked.some(({ name }) => known.ids.get(name) === ID))
  return {
    cluster,
    system: "etcd",
    group,
    partitionId: Guid.forPartition(clusterId, group),
    observedAt,
    needed: majority(voters),
    rule: `majority of ${voters}`,
    members: [...members, ...strangers.map((entry) => strangerOf(cluster, entry, leader, members))]
  }
}

/** What the members say of the quorum: held if a majority of the voters follows one leader, lost if one has none. */
export const survivorsWord = (statuses: ReadonlyArray<Heard>, known: Known | null): SurvivorsWord => {
  const heard = statuses.flatMap(({ name, status }) =>
    Option.isSome(status) && entryOf(known, name)?.isLearner !== true ? [{ name, status: status.value }] : []
  )
  if (heard.length === 0) return { word: "Silent", detail: "no member answered" }
  const needed = majority(known === null ? statuses.length : known.roster.filter(isVoter).length)
  for (const leader of new Set(heard.flatMap(({ status }) => leaderIn(status) ?? []))) {
    const following = heard.filter(({ status }) => leaderIn(status) === leader && isWell(status))
    if (following.length >= needed) {
      const names = following.map(({ name }) => name).join(", ")
      return { word: "QuorumHeld", detail: `${names}: leader ${nameOf(leader, known)}` }
    }
  }
  const leaderless = heard.filter(({ status }) => leaderIn(status) === null).map(({ name }) => `${name}: no leader`)
  if (leaderless.length > 0) return { word: "QuorumLost", detail: leaderless.join("; ") }
  const words = heard.map(({ name, status }) => {
    const leader = nameOf(leaderIn(status)!, known)
    return [`${name}: leader ${leader}`, ...(status.errors ?? [])].join(", ")
  })
  return { word: "Silent", detail: `${words.join("; ")}; ${needed} must agree` }
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

type Entry = Known["roster"][number]

interface Answered extends Pick<Asked, "name" | "address" | "list"> {
  readonly status: Status
}

const answers = (asked: ReadonlyArray<Asked>): ReadonlyArray<Answered> =>
  asked.flatMap(({ address, list, name, status }) =>
    Result.isSuccess(status) ? [{ address, list, name, status: status.success }] : []
  )

// What answers so will answer so again.
const isForeign = ({ reason }: GatewayError): boolean => reason === "Refused" || reason === "Nonsense"

const problemOf = ({ list, name, status }: Asked): string => {
  const failed = Result.isFailure(status) ? status : list
  return Result.isFailure(failed) ? `${name}: ${failed.failure.detail}` : name
}

const entryOf = (known: Known | null, name: string): Entry | undefined => {
  const id = known?.ids.get(name)
  return known?.roster.find(({ ID }) => ID === id)
}

const majority = (voters: number): number => Math.floor(voters / 2) + 1

const isVoter = ({ isLearner }: Entry): boolean => isLearner !== true

const leaderIn = ({ leader }: Status): string | null => (leader === undefined || /^0+$/.test(leader) ? null : leader)

const isWell = (status: Status): boolean => (status.errors ?? []).length === 0 && leaderIn(status) !== null

const newest = (answered: ReadonlyArray<Answered>, by: (status: Status) => string | undefined): Answered | undefined =>
  answered.reduce<Answered | undefined>(
    (best, next) => (best === undefined || BigInt(by(next.status) ?? 0) > BigInt(by(best.status) ?? 0) ? next : best),
    undefined
  )

// A member that lags has an older list.
const latestList = (answered: ReadonlyArray<Answered>): Known["roster"] | undefined => {
  const told = answered.filter(({ list }) => Result.isSuccess(list))
  const list = newest(told, ({ raftAppliedIndex }) => raftAppliedIndex)?.list
  return list === undefined ? undefined : Result.getOrUndefined(list)?.members
}

const leaderOf = (answered: ReadonlyArray<Answered>): string | null => {
  const led = answered.filter(({ status }) => leaderIn(status) !== null)
  const told = newest(led, ({ raftTerm }) => raftTerm)
  return told === undefined ? null : leaderIn(told.status)
}

// A member is who it says it is; one that never answered is known by the address that the cluster has of it, or its name.
const identities = (
  asked: ReadonlyArray<Asked>,
  roster: Known["roster"],
  before: Known["ids"]
): ReadonlyMap<string, string> => {
  const told = new Map<string, string>()
  for (const { name, status } of asked) {
    const id = Result.isSuccess(status) ? status.success.header.member_id : before.get(name)
    if (id !== undefined) told.set(name, id)
  }
  const taken = new Set(told.values())
  for (const { address, name } of asked) {
    if (told.has(name)) continue
    const free = roster.filter(({ ID }) => !taken.has(ID))
    const entry =
      free.find(({ clientURLs = [] }) => clientURLs.some((url) => hostOf(url) === address)) ??
      free.find((entry) => entry.name === name)
    if (entry === undefined) continue
    told.set(name, entry.ID)
    taken.add(entry.ID)
  }
  return told
}

const hostOf = (url: string): string => url.replace(/^[a-z]+:\/\//, "").replace(/\/.*$/, "")

// As the cluster has them. Where one is a name, or not told, nobody is told: a cut by a part of them would be none.
const withPeers = (process: ProcessRef, entry: Entry, roster: Known["roster"]): ProcessRef => {
  const own = (entry.peerURLs ?? []).map(hostOf)
  const others = roster.filter(({ ID }) => ID !== entry.ID).map(({ peerURLs = [] }) => peerURLs.map(hostOf))
  const all = [own, ...others]
  return all.every((endpoints) => endpoints.length > 0 && endpoints.every(isNumeric))
    ? { ...process, peers: { own, others: others.flat() } }
    : process
}

const isNumeric = (endpoint: string): boolean => /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$/.test(endpoint)

const nameOf = (id: string, known: Known | null): string => {
  for (const [name, other] of known?.ids ?? []) if (other === id) return name
  return known?.roster.find(({ ID }) => ID === id)?.name ?? id
}

const partOf = (entry: Entry | undefined, leader: string | null): Pick<Member, "role" | "counts" | "cuttable"> =>
  entry === undefined || !isVoter(entry)
    ? { role: "IdleSecondary", counts: false, cuttable: "Never" }
    : { role: entry.ID === leader ? "Primary" : "ActiveSecondary", counts: true, cuttable: "Always" }

// In the cluster's list but not in the configuration: it counts, but we cannot ask it or take it out. That it is up is
// known only of a leader, by the members that follow it.
const strangerOf = (cluster: string, entry: Entry, leader: string | null, members: ReadonlyArray<Member>): Member => {
  const own = entry.name === undefined || entry.name === "" ? entry.ID : entry.name
  const name = members.some((member) => member.name === own) ? `${own}-${entry.ID}` : own
  return {
    name,
    node: `${cluster}-${name}`,
    address: hostOf(entry.clientURLs?.[0] ?? ""),
    ...partOf(entry, leader),
    up: entry.ID === leader && members.some(({ up }) => up),
    cuttable: "Never",
    process: null,
    processProblem: `${name} is a member of the cluster but not configured: add it with its address`
  }
}
