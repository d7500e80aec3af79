/**
 * The proof that everything is back that a fault took. A write sent after the lift was acknowledged wherever the group
 * can be written, the members are back, and nothing of ours stands on a host. A node's return is proven in every group
 * on it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Cluster } from "@inquorate/core/Cluster"
import type { Fact, ProbeSample, Verdict } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { Order, Phase } from "@inquorate/core/Operation"
import { isNodeRequest, type NodeRequest, subjectOf } from "@inquorate/core/Request"
import type { Instant, Millis } from "@inquorate/core/Time"
import { health, isServing, takesWrites, type Topology } from "@inquorate/core/Topology"
import { describeLeft, judgeRecovery } from "@inquorate/core/Verdict"
import { writeUntilAcknowledged } from "./Lifting.ts"
import { discover, discoverNodes } from "../plan/Discovery.ts"
import { overrides } from "../plan/Guards.ts"
import { together } from "../Together.ts"
import { failed, notConfigured } from "./Outcomes.ts"
import type { Prober } from "./Prober.ts"
import { inspectAll } from "./Hosts.ts"
import type { Outcome, Session } from "./Session.ts"

/** One group whose return is to be proven, and how far the proof is. */
interface Returning {
  readonly cluster: Cluster
  readonly prober: Prober
  /** The group as it was before the fault, or when the proof of a node's return began. */
  readonly topology: Topology | null
  /** False for a group that takes no writes, or took none before the fault. */
  readonly writable: boolean
  acknowledged: ProbeSample | null
  healthy: boolean
  words: string
}

/**
 * Proves the recovery: a write sent after the lift is acknowledged, every voter is back, there is one leader, and
 * nothing of ours is left.
 */
export const recover = (
  session: Session,
  order: Order,
  phase: typeof Phase.cases.Recovering.Type
): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { request } = session.journal.stored().operation
    if (session.known.place === null && !isNodeRequest(request)) return notConfigured(session)
    let places: ReadonlyArray<Returning> | null = null
    let left: ReadonlyArray<string> | null = null
    const returned = Effect.gen(function* () {
      places = yield* placesOf(session, order)
      yield* together(places, (place) => prove(session, place, phase.liftedAt))
      while (true) {
        yield* together(places, (place) => lookAtHealth(session, place))
        if (places.every((one) => one.healthy)) return
        yield* Effect.sleep(healthEvery)
      }
    })
    // The hosts are asked beside the group and not after it, so that we can tell what our fences left of a group that
    // never gets well.
    const hosts = Effect.gen(function* () {
      while (true) {
        left = yield* leftOn(session, order)
        if (left.length === 0) return
        yield* Effect.sleep(hostsEvery)
      }
    })
    const proof = Effect.all([returned, hosts], { concurrency: "unbounded", discard: true })
    // A keeper may have lifted long before a worker came back. The budget runs from when we could first look.
    const budgetEnds = Math.max(phase.liftedAt, session.began) + budgetOf(session, order)
    yield* Effect.raceFirst(proof, session.timeline.sleepUntil(budgetEnds))
    const verdict = judge(places, phase.liftedAt, left)
    const facts: ReadonlyArray<Fact> = [...measured(places ?? [], phase.liftedAt), { _tag: "Judged", verdict }]
    if (verdict.outcome === "Confirmed") return { event: { _tag: "RecoveryProven", at: session.timeline.now() }, facts }
    return failed(session, "FABRIC_E_TIMEOUT", false, `The recovery was not proven: ${verdict.facts.join("; ")}`, facts)
  })

/**
 * Sees whether writes come back after an undo, and the members where they were ended, until `within` is over. Gives the
 * last of the first acknowledged writes, and the writes of a group that has none. `back` is false where something
 * stayed away.
 */
export const seeReturn = (
  session: Session,
  order: Order,
  liftedAt: Instant,
  within: Millis
): Effect.Effect<{
  readonly back: boolean
  readonly acknowledged: ProbeSample | null
  readonly samples: ReadonlyArray<ProbeSample>
}> =>
  Effect.gen(function* () {
    const { request } = session.journal.stored().operation
    let places: ReadonlyArray<Returning> = []
    const whole = Effect.gen(function* () {
      places = yield* placesOf(session, order)
      yield* together(places, (place) => prove(session, place, liftedAt))
      while (!faultOf(request).losesQuorum) {
        yield* together(places, (place) => lookAtHealth(session, place))
        if (places.every(({ healthy }) => healthy)) return
        yield* Effect.sleep(healthEvery)
      }
    })
    const ended = yield* Effect.timeoutOption(whole, within)
    const away = places.find(({ acknowledged, writable }) => writable && acknowledged === null)
    return {
      back: ended._tag === "Some",
      acknowledged: lastOf(places),
      samples: away?.prober.samples() ?? []
    }
  })

// --- internal ---

const healthEvery = 100
const hostsEvery = 250
const defaultBudget: Millis = 60_000

const returning = (cluster: Cluster, prober: Prober, topology: Topology | null, writable: boolean): Returning => ({
  cluster,
  prober,
  topology,
  writable,
  acknowledged: null,
  healthy: false,
  words: "its members were not looked at before a write came back"
})

const placesOf = (session: Session, order: Order): Effect.Effect<ReadonlyArray<Returning>> =>
  Effect.suspend(() => {
    const { place } = session.known
    const { request } = session.journal.stored().operation
    if (isNodeRequest(request)) return nodePlaces(session, request, order)
    if (place === null) return Effect.never
    const { cluster, prober, topology } = place
    const writable = faultOf(request).losesQuorum || topology === null || takesWrites(topology)
    return Effect.succeed([returning(cluster, prober, topology, writable)])
  })

// The groups on a node are found again, since a drive may have been taken over. A cluster that does not answer is asked
// until it does; the budget of whoever waits for it ends that.
const nodePlaces = (
  session: Session,
  { nodeName }: NodeRequest,
  order: Order
): Effect.Effect<ReadonlyArray<Returning>> =>
  Effect.forEach(
    clustersOf(session, order),
    (cluster) =>
      Effect.gen(function* () {
        const seen = yield* untilSeen(discover(cluster.target))
        const there = seen.filter(({ members }) => members.some(({ node }) => node === nodeName))
        return yield* Effect.forEach(there, (topology) =>
          Effect.map(session.probe(cluster.target, topology.group), (prober) =>
            returning(cluster, prober, topology, takesWrites(withNode(topology, nodeName)))
          )
        )
      }),
    { concurrency: "unbounded" }
  ).pipe(Effect.map((places) => places.flat()))

const clustersOf = (session: Session, { fences }: Order): ReadonlyArray<Cluster> =>
  session.ground.clusters.filter(({ name }) => fences.some(({ cluster }) => cluster === name))

const untilSeen = <A, E>(asked: Effect.Effect<A, E>): Effect.Effect<A> =>
  Effect.matchEffect(asked, {
    onSuccess: Effect.succeed,
    onFailure: () =>
      Effect.andThen(
        Effect.sleep(healthEvery),
        Effect.suspend(() => untilSeen(asked))
      )
  })

// The group as it will stand with the node's members back. Which of them leads is the system's business.
const withNode = (topology: Topology, nodeName: string): Topology => {
  const members = topology.members.map((member) => (member.node === nodeName ? { ...member, up: true } : member))
  const [first, ...others] = members
  const led = members.some(({ role, up }) => role === "Primary" && up)
  return { ...topology, members: led || first === undefined ? members : [{ ...first, role: "Primary" }, ...others] }
}

const prove = (session: Session, one: Returning, since: Instant): Effect.Effect<void> =>
  one.writable
    ? Effect.map(writeUntilAcknowledged(one, session.timeline, since), (sample) => {
        one.acknowledged = sample
      })
    : Effect.void

const lookAtHealth = (session: Session, one: Returning): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { operation } = session.journal.stored()
    const partitionId = one.topology?.partitionId ?? subjectOf(operation.request)
    const seen = yield* Effect.result(discover(one.cluster.target))
    const topology = Result.isSuccess(seen)
      ? seen.success.find((group) => group.partitionId === partitionId)
      : undefined
    if (topology === undefined) {
      const why = Result.isFailure(seen) ? ` (${seen.failure.detail})` : ""
      Object.assign(one, { healthy: false, words: `the group could not be seen${why}` })
      return
    }
    const leaders = topology.members.filter(({ role, up }) => role === "Primary" && up).length
    const voters = topology.members.filter(({ role }) => role !== "IdleSecondary")
    const up = voters.filter((member) => member.up).length
    const away = voters.flatMap((member) =>
      member.up || member.downBecause === undefined ? [] : [`${member.name} ${member.downBecause}`]
    )
    const why = away.length === 0 ? "" : ` (${away.join("; ")})`
    one.words = `${up} of ${voters.length} voters up${why}, ${leaders} leader${leaders === 1 ? "" : "s"}`
    one.healthy = (yield* isBack(session, one, topology)) && (leaders === 1 || !one.writable)
  })

const isBack = (session: Session, one: Returning, topology: Topology): Effect.Effect<boolean> => {
  const { request } = session.journal.stored().operation
  const before = one.topology
  const rule = faultOf(request).back
  switch (rule._tag) {
    case "Node":
      return isNodeBack(one, topology, rule.nodeName)
    case "Everybody":
      return Effect.succeed(before === null ? isRebuilt(one, topology) : everybodyBack(before, topology))
    case "Rebuilt":
      return Effect.succeed(isRebuilt(one, topology))
    case "Healthy":
      return Effect.succeed(
        before !== null && overrides(request, "degraded")
          ? isServing(topology) && everybodyBack(before, topology)
          : health(topology) === "Healthy"
      )
  }
}

// A group may have been broken while degraded: it is back when everybody is back who was there. Lost data is built up
// anew, by whatever replicas the system chooses.
const isRebuilt = ({ topology: before, writable }: Returning, topology: Topology): boolean => {
  const wasWhole = before === null || health(before) === "Healthy"
  return !writable || (wasWhole ? health(topology) === "Healthy" : isServing(topology))
}

// A simulated cluster may build another replica of a service in the place of one that went.
const everybodyBack = (before: Topology, { members, service }: Topology): boolean =>
  before.members.every(({ name, up }) => !up || members.some((now) => now.name === name && now.up)) ||
  (service !== undefined && upOf(members) >= upOf(before.members))

const upOf = (members: Topology["members"]): number => members.filter(({ up }) => up).length

const isNodeBack = ({ cluster }: Returning, { members }: Topology, nodeName: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    if (!members.every(({ node, up }) => node !== nodeName || up)) return false
    const nodes = yield* Effect.option(discoverNodes(cluster.target))
    return nodes._tag === "Some" && nodes.value.every(({ name, up }) => name !== nodeName || up)
  })

/** What of ours may still stand, in the hosts' own words. */
const leftOn = (session: Session, order: Order): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(inspectAll(session, order), (looked) =>
    looked.flatMap(([{ member, process }, state]) =>
      state?._tag === "Lifted"
        ? []
        : [
            state === null
              ? `host ${process.host} does not say whether the fence of ${member} is off`
              : `host ${process.host} says that the fence of ${member} is ${state._tag}`
          ]
    )
  )

const budgetOf = (session: Session, order: Order): Millis => {
  const clusters = session.known.place === null ? clustersOf(session, order) : [session.known.place.cluster]
  const budgets = clusters.map(({ target }) => target.recoveryBudget)
  return budgets.length === 0 ? defaultBudget : Math.max(...budgets)
}

const lastOf = (places: ReadonlyArray<Returning>): ProbeSample | null =>
  places
    .map(({ acknowledged }) => acknowledged)
    .reduce((last, one) => (one !== null && (one.endedAt ?? 0) >= (last?.endedAt ?? 0) ? one : last), null)

const measured = (places: ReadonlyArray<Returning>, liftedAt: Instant): ReadonlyArray<Fact> => {
  const endedAt = lastOf(places)?.endedAt
  return endedAt == null ? [] : [{ _tag: "RecoveryMeasured", recovery: Math.max(0, endedAt - liftedAt) }]
}

const judge = (
  places: ReadonlyArray<Returning> | null,
  liftedAt: Instant,
  left: ReadonlyArray<string> | null
): Verdict => {
  const written = (places ?? []).filter(({ writable }) => writable)
  const healthy = places?.every((one) => one.healthy) ?? false
  const words = [...new Set((places ?? []).map((one) => one.words))].join("; ") || "no group has members there"
  if (written.length > 0 || places === null) {
    const away = written.find((one) => one.acknowledged === null)
    const acknowledged = away === undefined ? lastOf(written) : null
    const samples = away?.prober.samples() ?? []
    return judgeRecovery({ acknowledged, samples, liftedAt, healthy, health: words, left })
  }
  const outcome = healthy && left?.length === 0 ? "Confirmed" : "Inconclusive"
  return { about: "Recovery", outcome, facts: [words, ...describeLeft(left)] }
}
