/**
 * What is looked at before anything is touched: which cluster and group are meant, every guard, the plan of the cut with
 * its arithmetic. A guard's "no" is a typed refusal; a cluster or host that does not answer is a failure of its own.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Cluster } from "@inquorate/core/Cluster"
import { faultOf } from "@inquorate/core/Fault"
import type { Guid } from "@inquorate/core/Guid"
import type { Injector } from "@inquorate/core/Injector"
import {
  holdsPartition,
  type Operation,
  type Order,
  standingOrder,
  verifyBudget,
  verifyBudgetOn
} from "@inquorate/core/Operation"
import type { Elsewhere, OperationStore, StoreError } from "@inquorate/core/OperationStore"
import {
  chooseCut,
  explain,
  fenceNameMost,
  isFenceName,
  type Override,
  overrideOf,
  type Plan,
  type PlannedFence,
  Refusal,
  smallestCut
} from "@inquorate/core/Plan"
import {
  type FaultRequest,
  overridesOf,
  type PartitionRequest,
  type QuorumLossRequest,
  subjectOf
} from "@inquorate/core/Request"
import { actingWithin, longestHold, type Supervisor } from "@inquorate/core/Supervision"
import type { Target, TargetError } from "@inquorate/core/Target"
import { formatMillis, type Millis } from "@inquorate/core/Time"
import { type Member, type NodeFacts, type ProcessRef, serviceNameOf, Topology } from "@inquorate/core/Topology"
import { busy, crowdRefusals, type Guards, storeRefusal } from "./Guards.ts"

/** A guard said no. `topology` is there where the group was found. */
export class GuardRefused extends Schema.TaggedError<GuardRefused>()("GuardRefused", {
  refusal: Refusal,
  topology: Schema.NullOr(Topology)
}) {}

/** The cluster or one of its hosts could not be asked. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {
  detail: Schema.String,
  retryable: Schema.Boolean
}) {}

/** How far a host's clock may differ from ours, in milliseconds. */
export const skewMost: Millis = 1000
/** How long a discovery may take before the cluster counts as unreachable. */
const discoverTimeout: Millis = 10_000

/**
 * The cluster and group that a service name means by its own form, `fabric:/<cluster>/<group>`, or `undefined` where no
 * cluster is configured under that name.
 */
export const findCluster = (
  clusters: ReadonlyArray<Cluster>,
  serviceName: string
): { readonly cluster: Cluster; readonly group: string } | undefined => {
  let found: { readonly cluster: Cluster; readonly group: string } | undefined
  for (const cluster of clusters) {
    const prefix = `fabric:/${cluster.name}/`
    // The name of an application may have slashes, and another one's may begin it.
    if (!serviceName.startsWith(prefix) || (found?.cluster.name.length ?? 0) > cluster.name.length) continue
    found = { cluster, group: serviceName.slice(prefix.length) }
  }
  return found
}

/** The group that a request names as it stands now. */
export const discoverGroup = (
  clusters: ReadonlyArray<Cluster>,
  request: PartitionRequest
): Effect.Effect<{ readonly cluster: Cluster; readonly topology: Topology }, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const { cluster, groups } = yield* discoverService(clusters, request.serviceName)
    const refusal = kindRefusal(request, groups[0]!)
    if (refusal !== null) return yield* new GuardRefused({ refusal, topology: groups[0]! })
    const topology = groups.find(({ partitionId }) => partitionId === request.partitionId)
    if (topology === undefined) {
      const unknown = Refusal.cases.UnknownPartition.make({ partitionId: request.partitionId })
      return yield* new GuardRefused({ refusal: unknown, topology: groups[0]! })
    }
    return { cluster, topology }
  })

/** Fails where a host of the cluster cannot be asked. */
export const reachHosts = ({ reach = Effect.void }: Cluster): Effect.Effect<void, Unreachable> =>
  reach.pipe(
    Effect.mapError(
      ({ detail, host, reason }) =>
        new Unreachable({ detail: `host ${host}: ${detail}`, retryable: reason !== "NotThisPlatform" })
    )
  )

/** The groups of a target, bounded in time. */
export const discover = (target: Target): Effect.Effect<ReadonlyArray<Topology>, Unreachable> =>
  answered(target, target.discover)

/** The nodes that a target tells of itself, bounded in time; none where they follow from its members. */
export const discoverNodes = (target: Target): Effect.Effect<ReadonlyArray<NodeFacts>, Unreachable> =>
  target.nodes === undefined ? Effect.succeed([]) : answered(target, target.nodes)

/**
 * The plan of a cut on a group, after every guard: the cluster's own, the group's, its processes' and hosts', our store's
 * place and what else runs. A refusal that the request overrides by name stands in the plan instead. `took` is how long
 * the slowest host needed for its look.
 */
export const cutOf = (
  ground: { readonly store: OperationStore["Service"]; readonly guards: Guards },
  { cluster, topology }: { readonly cluster: Cluster; readonly topology: Topology },
  asked: { readonly id: Guid; readonly request: QuorumLossRequest; readonly receivedAt: number },
  options: { readonly queuedCount: boolean }
): Effect.Effect<
  { readonly plan: Plan; readonly fences: Plan["fences"]; readonly took: Millis },
  GuardRefused | Unreachable | StoreError
> =>
  Effect.gen(function* () {
    const { request } = asked
    const overridden: Array<{ readonly override: Override; readonly refusal: Refusal }> = []
    const refuse = (refusal: Refusal): GuardRefused => new GuardRefused({ refusal, topology })
    const insist = (refusal: Refusal): Effect.Effect<void, GuardRefused> => {
      const override = overrideOf(refusal)
      if (override === undefined || !overrides(request, override)) return Effect.fail(refuse(refusal))
      return Effect.sync(() => void overridden.push({ override, refusal }))
    }
    if (cluster.protected) return yield* refuse(Refusal.cases.Protected.make({ cluster: cluster.name }))
    const inside = yield* storeRefusal(ground.guards, topology)
    if (inside !== null) return yield* refuse(inside)
    const { unfit = [] } = topology
    if (unfit.length > 0) return yield* refuse(Refusal.cases.Unfit.make({ why: unfit }))
    let cut = chooseCut(topology, request.mode)
    if (Result.isFailure(cut)) {
      yield* insist(cut.failure)
      cut = smallestCut(topology, request.mode)
      if (Result.isFailure(cut)) return yield* refuse(cut.failure)
    }
    const { maxHold } = cluster
    // Where nobody asked to go beyond the limit it was checked when the request came, by the limit of that moment.
    if (maxHold !== null && request.hold > maxHold && overrides(request, "tooLong")) {
      yield* insist(Refusal.cases.TooLong.make({ asked: request.hold, limit: maxHold }))
    }
    const prepared = yield* Effect.forEach(
      cut.success,
      (member) => Effect.mapError(planFence(cluster.injector, member), (problem) => fenceProblem(problem, topology)),
      { concurrency: "unbounded" }
    )
    const fences = prepared.map(({ fence }) => fence)
    const supervisors = [
      ...(topology.supervisors ?? []),
      ...prepared.flatMap((one) => one.supervisors),
      ...(yield* cluster.supervisors?.(topology) ?? Effect.succeed([]))
    ]
    for (const supervisor of actingWithin(request.hold, supervisors)) {
      yield* insist(Refusal.cases.Impatient.make({ supervisor, asked: request.hold }))
    }
    const longest = longestHold(supervisors)
    const took = Math.max(0, ...prepared.map((one) => one.took))
    const warnings = [...(topology.warnings ?? []), ...prepared.flatMap((one) => one.warnings), ...slowness(prepared)]
    const of = { ...asked, clusters: [cluster.name] }
    const crowd = yield* crowdRefusals(ground.guards, ground.store, of, fences, options)
    yield* Effect.forEach(crowd, insist, { discard: true })
    const counting = topology.members.filter((member) => member.counts)
    const plan: Plan = {
      mode: request.mode,
      hold: request.hold,
      configured: counting.length,
      up: counting.filter((member) => member.up).length,
      needed: topology.needed,
      rule: topology.rule,
      fences,
      arithmetic: explain(topology, cut.success),
      ...(warnings.length === 0 ? {} : { warnings }),
      ...(longest === null ? {} : { supervisors, longestHold: longest }),
      ...(overridden.length === 0 ? {} : { overridden })
    }
    return { plan, fences, took }
  })

/**
 * Fails with `Busy` where another operation's fences stand on the partition or the node, may stand, or wait for another
 * attempt, and where they stand on a process of `fences` that one of the two ends.
 */
export const refuseBusy = (
  store: OperationStore["Service"],
  id: Guid,
  request: FaultRequest,
  options: { readonly queuedCount: boolean; readonly fences?: ReadonlyArray<PlannedFence> }
): Effect.Effect<void, GuardRefused | StoreError> =>
  Effect.gen(function* () {
    const rivals = yield* store.rivals(subjectOf(request), elsewhere(request, options.fences ?? []))
    const other = rivals.find(
      ({ operation }) =>
        operation.id !== id &&
        holdsPartition(operation) &&
        ((subjectOf(operation.request) === subjectOf(request) && (options.queuedCount || occupies(operation))) ||
          meets(operation, request, options.fences ?? []))
    )
    if (other !== undefined) return yield* new GuardRefused({ refusal: busy(other.operation), topology: null })
    // What it has on hosts nobody can tell, so nobody else goes there until it is mended or removed.
    const dark = (yield* store.unreadable).find(
      (row) => row.holds && row.subject === subjectOf(request) && row.id !== id
    )
    if (dark !== undefined) {
      const problem =
        "its row in the store cannot be read, so nobody can tell what it has on hosts; see the list of operations"
      return yield* new GuardRefused({
        refusal: Refusal.cases.Busy.make({ operationId: dark.id, problem }),
        topology: null
      })
    }
  })

/**
 * The operation whose order came first where two share a process that one of them ends, or null. Asked once the own order
 * is stored: of two that looked up at once at least one sees the other.
 */
export const cameFirst = (
  store: OperationStore["Service"],
  operation: Operation,
  order: Order
): Effect.Effect<Operation | null, StoreError> =>
  Effect.map(store.rivals(subjectOf(operation.request), elsewhere(operation.request, order.fences)), (rivals) => {
    for (const { operation: other } of rivals) {
      const theirs = standingOrder(other)
      if (theirs === null || other.id === operation.id || !meets(other, operation.request, order.fences)) continue
      const earlier = theirs.armedAt < order.armedAt
      if (earlier || (theirs.armedAt === order.armedAt && other.id < operation.id)) return other
    }
    return null
  })

/** What tells one server process from every other. */
export const processKey = ({ host, pid, startTime }: ProcessRef): string => `${host}/${pid}/${startTime}`

/** Whether the request sets a guard aside. */
export const overrides = (request: FaultRequest, override: Override): boolean => overridesOf(request).includes(override)

/** Fails with `TooLong` where the hold is longer than allowed; null allows any, and the override `tooLong` too. */
export const refuseTooLong = (request: QuorumLossRequest, limit: Millis | null): Effect.Effect<void, GuardRefused> =>
  limit === null || request.hold <= limit || overrides(request, "tooLong")
    ? Effect.void
    : Effect.fail(
        new GuardRefused({ refusal: Refusal.cases.TooLong.make({ asked: request.hold, limit }), topology: null })
      )

/** The refusal of a group whose writes do not commit before the fault. */
export const notSteady = (topology: Topology, detail: string): GuardRefused =>
  new GuardRefused({ refusal: Refusal.cases.NotSteady.make({ detail }), topology })

/** A fence as it is planned, with what a person should know of it. */
export interface PreparedFence {
  readonly fence: PlannedFence
  readonly warnings: ReadonlyArray<string>
  /** Who would act on the member's silence. */
  readonly supervisors: ReadonlyArray<Supervisor>
  /** How long its host needed for the look; 0 where it does not say. */
  readonly took: Millis
}

/** The process of one member cannot be fenced. */
export class FenceRefused extends Schema.TaggedError<FenceRefused>()("FenceRefused", { refusal: Refusal }) {}

/** The fence of one member by a mechanism, after a look at its process. */
export const planFence = (
  injector: Injector,
  member: Member
): Effect.Effect<PreparedFence, FenceRefused | Unreachable> =>
  Effect.gen(function* () {
    const mistaken = (problem: string) =>
      new FenceRefused({ refusal: Refusal.cases.NotTheServer.make({ member: member.name, problem }) })
    const { process } = member
    if (process === null) return yield* mistaken(member.processProblem)
    if (!isFenceName(member.name)) {
      const problem = `its name is empty or longer than ${fenceNameMost} bytes, which no host could keep a record under`
      return yield* new FenceRefused({ refusal: Refusal.cases.NotSupported.make({ member: member.name, problem }) })
    }
    const preflight = yield* injector
      .preflight(process, member.name)
      .pipe(
        Effect.mapError(({ detail, host }) => new Unreachable({ detail: `host ${host}: ${detail}`, retryable: true }))
      )
    switch (preflight._tag) {
      case "Mistaken":
        return yield* mistaken(preflight.problem)
      case "Impossible":
        return yield* new FenceRefused({
          refusal: Refusal.cases.NotSupported.make({ member: member.name, problem: preflight.problem })
        })
      case "Ready":
        if (Math.abs(preflight.skew) > skewMost) {
          return yield* new FenceRefused({
            refusal: Refusal.cases.ClockSkew.make({ host: process.host, skew: preflight.skew })
          })
        }
        return {
          fence: {
            member: member.name,
            node: member.node,
            injector: injector.name,
            grade: preflight.grade,
            process,
            ...(preflight.machineId === undefined ? {} : { machineId: preflight.machineId })
          },
          took: preflight.took ?? 0,
          warnings: (preflight.warnings ?? []).map((warning) => `${member.name}: ${warning}`),
          // An injector knows processes only.
          supervisors: (preflight.supervisors ?? []).map((one) => ({ ...one, watches: member.name }))
        }
    }
  })

/** A fence's refusal as that of its group. */
export const fenceProblem = (problem: FenceRefused | Unreachable, topology: Topology): GuardRefused | Unreachable =>
  problem._tag === "FenceRefused" ? new GuardRefused({ refusal: problem.refusal, topology }) : problem

// --- internal ---

// What a slow host makes of the plan is said before anything is touched.
const slowness = (prepared: ReadonlyArray<PreparedFence>): ReadonlyArray<string> => {
  const slowest = prepared.reduce<PreparedFence | null>(
    (most, one) => (most === null || one.took > most.took ? one : most),
    null
  )
  const within = verifyBudgetOn(slowest?.took ?? 0)
  if (slowest === null || within === verifyBudget) return []
  const { host } = slowest.fence.process
  return [
    `host ${host} is slow: it took ${formatMillis(Math.round(slowest.took))} to look at ${slowest.fence.member}, so the loss may take ${formatMillis(within)} to show instead of ${formatMillis(verifyBudget)}`
  ]
}

// Where else than on the same partition or node somebody may stand who is in the way.
const elsewhere = (request: FaultRequest, fences: ReadonlyArray<PlannedFence>): Elsewhere =>
  fences.length === 0 ? "None" : faultOf(request).sharesProcess ? "Exclusive" : "Standing"

// Two losses of a quorum may share a server process; what ends a process may share it with nobody.
const meets = (operation: Operation, request: FaultRequest, fences: ReadonlyArray<PlannedFence>): boolean => {
  if (faultOf(operation.request).sharesProcess && faultOf(request).sharesProcess) return false
  const taken = new Set((standingOrder(operation)?.fences ?? []).map(({ process }) => processKey(process)))
  return fences.some(({ process }) => taken.has(processKey(process)))
}

const occupies = (operation: Operation): boolean =>
  standingOrder(operation) !== null || operation.firstDeadline !== null

const answered = <A>(
  target: Target,
  asked: Effect.Effect<ReadonlyArray<A>, TargetError>
): Effect.Effect<ReadonlyArray<A>, Unreachable> =>
  asked.pipe(
    Effect.mapError(
      ({ detail, endpoint, reason }) =>
        new Unreachable({
          detail: `${target.cluster} at ${endpoint}: ${detail}`,
          retryable: reason === "Unreachable" || reason === "TimedOut"
        })
    ),
    Effect.timeoutOrElse({
      duration: discoverTimeout,
      orElse: () =>
        Effect.fail(
          new Unreachable({
            detail: `${target.cluster} did not answer within ${discoverTimeout} ms`,
            retryable: true
          })
        )
    })
  )

// A simulated application's services may be called anything, and one service may be many groups.
const discoverService = (
  clusters: ReadonlyArray<Cluster>,
  serviceName: string
): Effect.Effect<{ readonly cluster: Cluster; readonly groups: ReadonlyArray<Topology> }, GuardRefused | Unreachable> =>
  Effect.gen(function* () {
    const isMeant = (topology: Topology): boolean => serviceNameOf(topology) === serviceName
    const named = findCluster(clusters, serviceName)
    if (named !== undefined) {
      // First, for a host that is away shows no process, which would be no word about the server.
      yield* reachHosts(named.cluster)
      const groups = (yield* discover(named.cluster.target)).filter(isMeant)
      if (groups.length > 0) return { cluster: named.cluster, groups }
    }
    // Only a target that names its services itself may have one of another form; to ask all would drown them in wrong names.
    const others = clusters.filter(({ target }) => target.application !== undefined && target !== named?.cluster.target)
    const seen = yield* Effect.forEach(others, ({ target }) => Effect.option(discover(target)), {
      concurrency: "unbounded"
    })
    for (const [index, cluster] of others.entries()) {
      const groups = Option.getOrElse(seen[index]!, () => []).filter(isMeant)
      if (groups.length === 0) continue
      yield* reachHosts(cluster)
      return { cluster, groups }
    }
    return yield* new GuardRefused({ refusal: Refusal.cases.UnknownService.make({ serviceName }), topology: null })
  })

// What a kind of service cannot suffer is told before its partition is looked for, as Service Fabric does.
const kindRefusal = (request: PartitionRequest, { service }: Topology): Refusal | null =>
  service === undefined ? null : faultOf(request).unsuited(service)
