/**
 * What must be so at every step of every life, judged by what truly happened in the store, on the hosts and in the
 * clusters, never by what a worker says of itself. The first thing that is not so ends the life.
 *
 * On every stored move: it comes from the owner, with its epoch; it is a move that the rules know, and the wire's state
 * goes as the contract allows; a deadline is only brought forward; at most one operation stands on a partition; what has
 * ended and left no residue has no fence standing anywhere.
 * On every claim: the epoch rises, and no live worker loses what it owns.
 * On every fence that is armed: the order is stored already, its worker owns the operation and has its lease, it begins
 * while it may, it was never armed before, nothing of another operation or attempt stands on the partition, its deadline
 * is no later than the stored one.
 * On every order that a host carries out: the host has heard of no later owner.
 * On every fence that is lifted by a worker: the stored operation does not hold any more.
 * At every deadline and its grace: the fence is off (in keeper grade, unless both keepers were killed).
 * In the end: every accepted operation is stored and has ended, every accepted cancel ended as one, nothing stands, every
 * cluster serves, and the evidence tells what was: each owner in turn, each fence with its end, verdicts that fit.
 */
import { collect, type EvidenceEntry } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import type { FenceId } from "@inquorate/core/Injector"
import { grace, holdsPartition, isTerminal, type Operation, type Order, standingOrder } from "@inquorate/core/Operation"
import type { Stored } from "@inquorate/core/OperationStore"
import { faultOf } from "@inquorate/core/Fault"
import { subjectOf } from "@inquorate/core/Request"
import type { Millis } from "@inquorate/core/Time"
import { type OperationState, progressOf, stateOf } from "@inquorate/core/Wire"
import type { SimulatedGroup } from "@inquorate/testkit/SimulatedGroup"
import type { HostEvent, SimulatedHost } from "@inquorate/testkit/SimulatedHost"
import type { MemoryStore, StoreEvent } from "@inquorate/core/MemoryStore"
import { began, type Process, type Time } from "@inquorate/testkit/SimulatedTime"
import type { Trace } from "./Trace.ts"
import { isMove, isWireMove, where } from "./Moves.ts"

/** What must be so, and what was seen not to be. */
export interface Invariants {
  /** A process begins to act; its name is its incarnation. */
  readonly joins: (process: Process) => void
  readonly watch: (world: { readonly store: MemoryStore; readonly groups: ReadonlyArray<SimulatedGroup> }) => void
  readonly onStore: (event: StoreEvent) => void
  readonly onHost: (event: HostEvent) => void
  readonly onService: (cluster: string, serves: boolean) => void
  /** A caller was told that its operation is stored. */
  readonly accepted: (id: Guid) => void
  /** A caller was told that its wish to stop is stored. */
  readonly cancelled: (id: Guid, force: boolean) => void
  /** The clock by which leases are counted was stepped forward: from now on a lease may end before its time. */
  readonly leasesCutShort: () => void
  /** The store's clock, by which all drives reckon, was stepped or exchanged. */
  readonly reckoningMoved: () => void
  /** A server ran although it was held, and nobody of ours could see it who did not write just then. */
  readonly mayGoUnseen: () => void
  /** True once every operation has ended and nothing of any is left. */
  readonly isOver: () => boolean
  /** Judges what must be so in the end. */
  readonly judgeEnd: () => void
  /** The first thing that was not so. */
  readonly violation: () => string | null
  /** Every accepted operation by its state in the end. */
  readonly endings: () => ReadonlyMap<OperationState, number>
}

/** Begins to watch; `watch` names what is watched. */
export const make = (ground: Ground): Invariants => {
  const watched: Watched = {
    ...ground,
    store: undefined as unknown as MemoryStore,
    groups: [],
    joined: new Map(),
    leases: new Map(),
    holders: new Map(),
    armed: new Map(),
    heard: new Map(),
    deadlines: new Map(),
    silences: new Map(),
    accepted: new Set(),
    cancelled: new Map(),
    drives: new Map(),
    leasesCutShort: false,
    reckoningMoved: false,
    mayGoUnseen: false,
    violation: null
  }
  return {
    joins: (process) => void watched.joined.set(process.name, process),
    watch: (world) => void Object.assign(watched, world),
    onStore: (event) => onStore(watched, event),
    onHost: (event) => onHost(watched, event),
    onService: (cluster, serves) => {
      watched.trace.write(`${cluster} ${serves ? "can take writes" : "takes no writes"}`)
      const silences = watched.silences.get(cluster) ?? []
      watched.silences.set(cluster, silences)
      if (serves) silences.at(-1)!.to = watched.time.now()
      else silences.push({ from: watched.time.now(), to: null })
    },
    accepted: (id) => void watched.accepted.add(id),
    cancelled: (id, force) => void watched.cancelled.set(id, force || watched.cancelled.get(id) === true),
    leasesCutShort: () => void (watched.leasesCutShort = true),
    reckoningMoved: () => void (watched.reckoningMoved = true),
    mayGoUnseen: () => void (watched.mayGoUnseen = true),
    isOver: () =>
      watched.violation !== null || watched.store.all().every(({ operation }) => !holdsPartition(operation)),
    judgeEnd: () => judgeEnd(watched),
    violation: () => watched.violation,
    endings: () => {
      const endings = new Map<OperationState, number>()
      for (const { operation } of watched.store.all()) {
        const state = stateOf(operation.stage)
        endings.set(state, (endings.get(state) ?? 0) + 1)
      }
      return endings
    }
  }
}

// --- internal ---

interface Ground {
  readonly time: Time
  readonly trace: Trace
  readonly count: (what: string) => void
}

interface Watched extends Ground {
  readonly store: MemoryStore
  readonly groups: ReadonlyArray<SimulatedGroup>
  readonly joined: Map<string, Process>
  /** By incarnation, until when in true time its lease lasts at most. */
  readonly leases: Map<string, Millis>
  /** By worker id, the incarnation that holds it. */
  readonly holders: Map<string, string>
  /** By fence, when it was armed. */
  readonly armed: Map<string, Millis>
  /** By host and operation, the highest epoch that was heard there. */
  readonly heard: Map<string, number>
  /** By operation and attempt, the first deadline stored for it in true time. */
  readonly deadlines: Map<string, Millis>
  /** By cluster, when it took no writes. */
  readonly silences: Map<string, Array<{ readonly from: Millis; to: Millis | null }>>
  readonly accepted: Set<Guid>
  readonly cancelled: Map<Guid, boolean>
  /** By operation, how far ahead of true time the clocks of its drives were. */
  readonly drives: Map<Guid, Set<number>>
  leasesCutShort: boolean
  reckoningMoved: boolean
  mayGoUnseen: boolean
  violation: string | null
}

/** How much two ways of reckoning one moment may differ: questions on their way, whole milliseconds. */
const reckoning: Millis = 20
/** How much shorter than asked a proven hold may be. */
const holdTolerance: Millis = 150

const fail = (watched: Watched, what: string): void => {
  if (watched.violation !== null) return
  watched.violation = `after ${watched.time.now()} ms: ${what}`
  watched.trace.write(`VIOLATION ${what}`)
}

const expect = (watched: Watched, holds: boolean, what: () => string): void => {
  if (!holds) fail(watched, what())
}

const nameOf = (id: Guid): string => `operation ${Number.parseInt(id.slice(-12), 16)}`
const keyOf = ({ attempt, member, operationId }: FenceId): string => `${operationId}/${attempt}/${member}`
const spoken = (fence: FenceId): string => `${nameOf(fence.operationId)} attempt ${fence.attempt} on ${fence.member}`

const standingOf = (
  watched: Watched,
  partitionId: Guid
): ReadonlyArray<{ readonly host: SimulatedHost; readonly fence: FenceId }> =>
  watched.groups
    .filter((group) => group.partitionId === partitionId)
    .flatMap(({ hosts }) => hosts.flatMap((host) => host.standing().map(({ fence }) => ({ host, fence }))))

const orderOf = ({ stage }: Operation): Order | null =>
  stage._tag === "Advancing" && stage.step._tag === "PerformingActions"
    ? stage.step.order
    : stage._tag === "Undoing"
      ? stage.order
      : null

const onStore = (watched: Watched, event: StoreEvent): void => {
  const { trace } = watched
  switch (event._tag) {
    case "Created":
      return trace.write(`${nameOf(event.operation.id)} is stored`)
    case "Renewed":
      watched.leases.set(event.incarnation, watched.time.now() + event.lease)
      watched.holders.set(event.worker, event.incarnation)
      return
    case "Released":
      watched.holders.set(event.worker, event.incarnation)
      return trace.write(`${event.incarnation} lets go of ${event.freed.length}`)
    case "Claimed":
      return onClaim(watched, event)
    case "Appended":
      return judgeOwner(watched, event.before, event.as, "evidence")
    case "Saved":
      return onSave(watched, event)
  }
}

const judgeOwner = (
  watched: Watched,
  { epoch, operation, owner }: Stored,
  as: { readonly worker: string; readonly epoch: number } | null,
  what: string
): void =>
  expect(
    watched,
    as === null || (as.worker === owner && as.epoch === epoch),
    () =>
      `${what} of ${nameOf(operation.id)} was stored for ${as!.worker} in epoch ${as!.epoch}, but ${owner} owns it in epoch ${epoch}`
  )

const onClaim = (watched: Watched, event: Extract<StoreEvent, { _tag: "Claimed" }>): void => {
  const { after, before, incarnation } = event
  const name = nameOf(after.operation.id)
  watched.trace.write(`${incarnation} claims ${name} in ${where(after.operation)}, epoch ${after.epoch}`)
  expect(watched, after.epoch > before.epoch, () => `a claim of ${name} did not raise its epoch`)
  if (before.epoch > 0) watched.count("takeover")
  if (before.epoch > 0 && where(before.operation) === "Holding") watched.count("takeover of a hold")
  if (before.owner === null || watched.leasesCutShort) return
  const left = (watched.leases.get(watched.holders.get(before.owner) ?? "") ?? 0) - watched.time.now()
  expect(
    watched,
    left <= reckoning,
    () => `${incarnation} took ${name} from ${before.owner}, whose lease had ${left} ms left`
  )
}

const onSave = (watched: Watched, event: Extract<StoreEvent, { _tag: "Saved" }>): void => {
  const { after, as, before, entries, incarnation } = event
  const operation = after.operation
  const { id } = operation
  const name = nameOf(id)
  const move = `${where(before.operation)} → ${where(operation)}`
  watched.trace.write(`${incarnation} moves ${name}: ${move}`)
  judgeOwner(watched, before, as, "a move")
  expect(watched, isMove(before.operation, operation), () => `${name} was moved as no rule allows: ${move}`)
  judgeWire(watched, before.operation, operation)
  const ahead = timelineAhead(watched, entries, as?.worker, incarnation)
  if (ahead !== null) watched.drives.set(id, (watched.drives.get(id) ?? new Set()).add(ahead))
  judgeOrder(watched, before.operation, operation, ahead)
  if (standingOrder(operation) !== null) {
    const others = watched.store
      .all()
      .filter(
        (other) =>
          other.operation.id !== id &&
          subjectOf(other.operation.request) === subjectOf(operation.request) &&
          standingOrder(other.operation) !== null
      )
    expect(
      watched,
      others.length === 0,
      () => `${name} stands on a partition beside ${nameOf(others[0]!.operation.id)}`
    )
  }
  if (isTerminal(operation) && !isTerminal(before.operation)) judgeEnding(watched, operation)
}

// How far ahead of true time a drive's reckoning of UTC is, as what it writes tells.
const timelineAhead = (
  watched: Watched,
  entries: ReadonlyArray<EvidenceEntry>,
  worker: string | undefined,
  incarnation: string
): number | null => {
  const last = entries.findLast((entry) => entry.worker === worker)
  const process = watched.joined.get(incarnation)
  if (last === undefined || process === undefined) return null
  return last.at - last.monotonic + process.monotonicAhead - began
}

const judgeWire = (watched: Watched, before: Operation, after: Operation): void => {
  const from = stateOf(before.stage)
  const { InvokeQuorumLossResult, State } = progressOf(after)
  const name = nameOf(after.id)
  expect(watched, isWireMove(from, State), () => `the wire shows ${name} go from ${from} to ${State}`)
  expect(
    watched,
    (InvokeQuorumLossResult !== undefined) === (State === "Completed" || State === "Faulted") &&
      (InvokeQuorumLossResult?.ErrorCode === 0) === (State === "Completed"),
    () => `the wire shows ${name} as ${State} with the result ${JSON.stringify(InvokeQuorumLossResult)}`
  )
  expect(
    watched,
    isTerminal(after) === (after.endedAt !== null),
    () => `${name} is ${State} and ended at ${after.endedAt}`
  )
}

const judgeOrder = (watched: Watched, before: Operation, after: Operation, ahead: number | null): void => {
  const order = orderOf(after)
  if (order === null) return
  const key = `${after.id}/${after.attempt}`
  const earlier = orderOf(before)
  if (earlier !== null && before.attempt === after.attempt) {
    // Ordered anew, which may only be where every host refused the order before as late.
    if (where(after) === "Arming" && order.armedAt > earlier.armedAt) {
      const given = [...watched.armed.keys()].filter((armed) => armed.startsWith(`${key}/`))
      watched.count("an order that was late everywhere was given again")
      if (ahead !== null) watched.deadlines.set(key, order.deadline - began - ahead)
      return expect(watched, given.length === 0, () => `${nameOf(after.id)} was ordered anew though a fence was armed`)
    }
    return expect(
      watched,
      order.deadline <= earlier.deadline,
      () => `the deadline of ${nameOf(after.id)} was put off by ${order.deadline - earlier.deadline} ms`
    )
  }
  if (ahead === null) return
  expect(
    watched,
    !watched.deadlines.has(key),
    () => `the fences of ${nameOf(after.id)} attempt ${after.attempt} were ordered twice`
  )
  watched.deadlines.set(key, order.deadline - began - ahead)
  if (after.attempt > 1) watched.count("another attempt")
}

const judgeEnding = (watched: Watched, operation: Operation): void => {
  const state = stateOf(operation.stage)
  if (standingOrder(operation) !== null) return watched.count(`ended as ${state} with a residue`)
  const left = standingOf(watched, subjectOf(operation.request)).filter(
    ({ fence }) => fence.operationId === operation.id
  )
  expect(watched, left.length === 0, () => `${nameOf(operation.id)} is ${state}, but ${spoken(left[0]!.fence)} stands`)
  if (state === "Completed") judgeHold(watched, operation)
}

// The longest silence of the cluster since the fences were armed is what was truly held. All drives reckon by the store's
// clock; where that was stepped between two of them, they reckon the same moment differently by that much. What went on unseen while nobody watched is told as unobserved.
const judgeHold = (watched: Watched, operation: Operation): void => {
  const group = watched.groups.find(({ partitionId }) => partitionId === subjectOf(operation.request))!
  if (watched.mayGoUnseen && collect(watched.store.evidence(operation.id)).unobserved > 0) return
  const armedAt = [...watched.armed]
    .filter(([key]) => key.startsWith(`${operation.id}/${operation.attempt}/`))
    .map(([, at]) => at)
  expect(watched, armedAt.length > 0, () => `${nameOf(operation.id)} is Completed, but nothing was ever armed`)
  const now = watched.time.now()
  const since = Math.min(...armedAt)
  const spans = (watched.silences.get(group.cluster) ?? [])
    .map(({ from, to }) => ({ from: Math.max(from, since), to: to ?? now }))
    .map(({ from, to }) => to - from)
  const held = Math.max(0, ...spans)
  const asked = faultOf(operation.request).duration
  expect(
    watched,
    held >= asked - holdTolerance - disagreement(watched, operation.id),
    () => `${nameOf(operation.id)} is Completed, but its cluster took no writes for ${held} ms of ${asked} ms only`
  )
}

const disagreement = (watched: Watched, id: Guid): Millis => {
  if (!watched.reckoningMoved) return 0
  const drives = [...(watched.drives.get(id) ?? [0])]
  return Math.max(...drives) - Math.min(...drives)
}

const onHost = (watched: Watched, event: HostEvent): void => {
  const { trace } = watched
  switch (event._tag) {
    case "Refused":
      watched.count("order refused by its host")
      return trace.write(`refused: ${spoken(event.fence)}: ${event.problem}`)
    case "Inspected":
      return hear(watched, event.host, event.fence, event.epoch)
    case "Armed":
      judgeEpoch(watched, event.host, event.fence, event.epoch)
      return onArmed(watched, event)
    case "Tightened":
      watched.count("fence tightened")
      judgeEpoch(watched, event.host, event.fence, event.epoch)
      // One in the past asks for the end of the fence now.
      mustBeOff(watched, event.fence, Math.max(event.deadline, watched.time.now()))
      return trace.write(`tightened: ${spoken(event.fence)} to ${event.deadline}`)
    case "Lifted":
      if (event.order !== null) judgeEpoch(watched, event.host, event.fence, event.order.epoch)
      return onLifted(watched, event)
  }
}

const hear = (watched: Watched, host: string, { operationId }: FenceId, epoch: number): void => {
  const key = `${host}/${operationId}`
  watched.heard.set(key, Math.max(epoch, watched.heard.get(key) ?? 0))
}

const judgeEpoch = (watched: Watched, host: string, fence: FenceId, epoch: number): void => {
  const highest = watched.heard.get(`${host}/${fence.operationId}`) ?? 0
  expect(
    watched,
    epoch >= highest,
    () => `${host} obeyed an order of epoch ${epoch} for ${spoken(fence)} after it had heard epoch ${highest}`
  )
  hear(watched, host, fence, epoch)
}

const onArmed = (watched: Watched, event: Extract<HostEvent, { _tag: "Armed" }>): void => {
  const { asker, deadline, epoch, fence, startBy } = event
  const said = spoken(fence)
  const now = watched.time.now()
  watched.trace.write(`armed: ${said} by ${asker.name} until ${deadline}`)
  watched.count("fence armed")
  const key = keyOf(fence)
  expect(watched, !watched.armed.has(key), () => `${said} was armed twice`)
  watched.armed.set(key, now)
  const stored = watched.store.get(fence.operationId)
  if (stored === null) return fail(watched, `${said} was armed, but its operation is not stored`)
  const { operation } = stored
  const order = standingOrder(operation)
  expect(
    watched,
    order !== null && operation.attempt === fence.attempt && order.fences.some(({ member }) => member === fence.member),
    () => `${said} was armed, but stored is ${where(operation)}, attempt ${operation.attempt}`
  )
  expect(
    watched,
    stored.epoch === epoch || watched.leasesCutShort || isGhost(watched, asker),
    () => `${said} was armed in epoch ${epoch}, but its epoch is ${stored.epoch}`
  )
  const lease = (watched.leases.get(asker.name) ?? 0) - now
  expect(watched, lease >= 0, () => `${said} was armed by ${asker.name}, whose lease was over since ${-lease} ms`)
  expect(watched, now <= startBy, () => `${said} was armed ${now - startBy} ms after the last moment allowed`)
  const others = standingOf(watched, subjectOf(operation.request)).filter(
    (other) => other.fence.operationId !== fence.operationId || other.fence.attempt !== fence.attempt
  )
  expect(watched, others.length === 0, () => `${said} was armed while ${spoken(others[0]!.fence)} stands`)
  const first = watched.deadlines.get(`${fence.operationId}/${fence.attempt}`) ?? Infinity
  expect(
    watched,
    deadline <= first + reckoning,
    () => `${said} was armed to end ${deadline - first} ms after what is stored`
  )
  mustBeOff(watched, fence, Math.min(deadline, first))
}

// One whose id a newer start has taken, which waits for no lease: what it was allowed before, it may begin until its
// start-by moment, if the newer one has not been heard at the host.
const isGhost = ({ holders }: Watched, { name }: Process): boolean => {
  const holder = holders.get(name.slice(0, name.indexOf("#")))
  return holder !== undefined && holder !== name
}

// The promise of every fence, checked when it is due.
const mustBeOff = (watched: Watched, fence: FenceId, deadline: Millis): void => {
  const hosts = watched.groups.flatMap((group) => group.hosts)
  const own = hosts[0]!.process
  watched.time.after(deadline + grace - watched.time.now(), own, () => {
    for (const host of hosts) {
      const found = host.standing().find((standing) => keyOf(standing.fence) === keyOf(fence))
      if (found === undefined) continue
      if (host.grade === "Keeper" && found.keepers === 0)
        watched.count("fence left by both its keepers past its deadline")
      else fail(watched, `${spoken(fence)} stands past its deadline and the grace`)
    }
  })
}

const onLifted = (watched: Watched, { by, fence, order }: Extract<HostEvent, { _tag: "Lifted" }>): void => {
  const said = spoken(fence)
  watched.trace.write(`lifted: ${said} by ${by}`)
  watched.count(`fence lifted by ${by.toLowerCase()}`)
  if (by !== "Worker") return
  const operation = watched.store.get(fence.operationId)?.operation
  const place = operation === undefined ? "nothing" : where(operation)
  expect(
    watched,
    operation?.attempt !== fence.attempt || !["Arming", "Verifying", "Holding"].includes(place),
    () => `${said} was lifted by ${order?.asker.name}, but stored is ${place}`
  )
}

const judgeEnd = (watched: Watched): void => {
  for (const group of watched.groups) {
    for (const host of group.hosts) {
      for (const { fence } of host.standing()) fail(watched, `${spoken(fence)} stands on ${host.label} in the end`)
    }
    expect(watched, group.available(), () => `${group.cluster} takes no writes in the end`)
  }
  for (const id of watched.accepted) {
    const stored = watched.store.get(id)
    if (stored === null) fail(watched, `${nameOf(id)} was accepted and is lost`)
    else expect(watched, isTerminal(stored.operation), () => `${nameOf(id)} has not ended: ${where(stored.operation)}`)
  }
  for (const [id, force] of watched.cancelled) {
    const operation = watched.store.get(id)?.operation
    const state = operation === undefined ? "lost" : stateOf(operation.stage)
    const expected = force ? ["ForceCancelled"] : ["Cancelled", "ForceCancelled"]
    expect(
      watched,
      expected.includes(state),
      () => `a caller was told that ${nameOf(id)} is cancelled, and it is ${state}`
    )
  }
  for (const { operation } of watched.store.all()) judgeEvidence(watched, operation)
}

const judgeEvidence = (watched: Watched, operation: Operation): void => {
  const name = nameOf(operation.id)
  const evidence = collect(watched.store.evidence(operation.id))
  const epochs = evidence.owners.map(({ epoch }) => epoch)
  expect(
    watched,
    epochs.every((epoch, index) => index === 0 || epoch > epochs[index - 1]!),
    () => `the owners of ${name} have the epochs ${epochs.join(", ")}`
  )
  expect(
    watched,
    evidence.phases.at(-1)?.phase === "Ended",
    () => `the last phase of ${name} is ${evidence.phases.at(-1)?.phase}`
  )
  const ordered = new Set(evidence.fences.map(({ attempt, member }) => `${operation.id}/${attempt}/${member}`))
  for (const key of watched.armed.keys()) {
    if (key.startsWith(operation.id))
      expect(watched, ordered.has(key), () => `the evidence of ${name} has no order of ${key}`)
  }
  for (const fence of evidence.fences) {
    expect(
      watched,
      fence.offAt !== null,
      () => `the evidence of ${name} does not say when the fence on ${fence.member}, attempt ${fence.attempt}, was off`
    )
  }
  if (operation.stage._tag !== "Completed") return
  for (const about of ["Loss", "Hold", "Recovery"] as const) {
    const verdict = evidence.verdicts.findLast((one) => one.about === about)
    expect(
      watched,
      verdict?.outcome === "Confirmed",
      () => `${name} is Completed with the verdict ${verdict?.outcome} on its ${about}`
    )
  }
  const measured = evidence.hold?.measured ?? -1
  const hold = faultOf(operation.request).duration
  expect(
    watched,
    measured >= hold - holdTolerance,
    () => `${name} is Completed with a measured hold of ${measured} ms of ${hold} ms`
  )
}
