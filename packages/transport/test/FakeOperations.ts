/* oxlint-disable unicorn/consistent-function-scoping -- a small function stands beside the one story that uses it */
/**
 * The port `Operations` in memory: operations are moved by core's own `advance`, by hand, so that a test decides what
 * happens and when. One simulated etcd cluster `lab` with one group of three, and one PostgreSQL cluster.
 */
import { collect, type EvidenceEntry } from "@inquorate/core/Evidence"
import * as Guid from "@inquorate/core/Guid"
import {
  advance,
  type Event,
  holdsPartition,
  isTerminal,
  make as makeOperation,
  type Operation
} from "@inquorate/core/Operation"
import {
  type ClusterView,
  type OperationChange,
  Operations,
  type RecoverScope,
  RequestRefused
} from "@inquorate/core/Operations"
import { describeRefusal, explain, type PlannedFence, Refusal, refusalCode, smallestCut } from "@inquorate/core/Plan"
import { faultOf } from "@inquorate/core/Fault"
import { type FaultRequest, isNodeRequest, isQuorumLoss, subjectOf } from "@inquorate/core/Request"
import { type Member, nodeInstanceId, serviceNameOf, type Topology } from "@inquorate/core/Topology"
import * as Wire from "@inquorate/core/Wire"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"

export const member = (cluster: string, name: string, role: Member["role"], counts: boolean): Member => ({
  name,
  node: `${cluster}-${name}`,
  address: `127.0.0.1:${2000 + name.charCodeAt(name.length - 1)}`,
  role,
  counts,
  up: true,
  cuttable: "Always",
  process: { host: "here", pid: 4242, startTime: "1", executable: "/bin/etcd", dataDirectory: "/tmp/etcd" },
  processProblem: ""
})

export const etcd: Topology = {
  cluster: "lab",
  system: "etcd",
  group: "kv",
  partitionId: Guid.forPartition("lab-identity", "kv"),
  observedAt: 1_700_000_000_000,
  needed: 2,
  rule: "majority of 3",
  members: [
    member("lab", "m0", "Primary", true),
    member("lab", "m1", "ActiveSecondary", true),
    member("lab", "m2", "ActiveSecondary", true)
  ]
}

export const postgres: Topology = {
  cluster: "orders db",
  system: "postgres",
  group: "main",
  partitionId: Guid.forPartition("orders-identity", "main"),
  observedAt: 1_700_000_000_000,
  needed: 1,
  rule: "ANY 1 (s1, s2)",
  members: [
    { ...member("orders", "p", "Primary", false), cuttable: "OnlyInAllReplicas" },
    member("orders", "s1", "ActiveSecondary", true),
    { ...member("orders", "s2", "ActiveSecondary", true), up: false }
  ]
}

export const clusterOf = (topology: Topology, over?: Partial<ClusterView>): ClusterView => ({
  name: topology.cluster,
  system: topology.system,
  injector: "pause",
  protected: false,
  maxHold: 900_000,
  groups: [topology],
  problem: "",
  ...over
})

export const fence: PlannedFence = {
  member: "m1",
  node: "lab-m1",
  injector: "pause",
  grade: "Kernel",
  process: etcd.members[1]!.process!
}

/** What a test does to the fake besides asking it. */
export class Control extends Context.Service<
  Control,
  {
    /** Plays an event on an operation, which must take it. */
    readonly play: (id: Guid.Guid, event: Event) => Effect.Effect<Operation>
    /** The recover calls so far. */
    readonly recovered: Effect.Effect<ReadonlyArray<RecoverScope>>
    /** Breaks the next call of `get` as a defect. */
    readonly breakNextGet: Effect.Effect<void>
    /** Makes every `get` last until the caller is gone. */
    readonly hangGets: Effect.Effect<void>
  }
>()("@inquorate/transport/test/Control") {}

const key = (id: Guid.Guid) =>
  new RequestRefused({ code: "FABRIC_E_KEY_NOT_FOUND", detail: `OperationId '${id}' was not found`, refusal: null })

export const layer: Layer.Layer<Operations | Control> = Layer.effectContext(
  Effect.gen(function* () {
    const all = new Map<Guid.Guid, { operation: Operation; entries: Array<EvidenceEntry> }>()
    const hub = yield* PubSub.unbounded<OperationChange>()
    const clusters = [clusterOf(etcd), clusterOf(postgres)]
    const recovered: Array<RecoverScope> = []
    let broken = false
    let hanging = false

    const find = (id: Guid.Guid) =>
      Effect.suspend(() => {
        if (hanging) return Effect.never
        if (broken) {
          broken = false
          return Effect.die(new Error("the store lies"))
        }
        const found = all.get(id)
        return found === undefined ? Effect.fail(key(id)) : Effect.succeed(found)
      })
    const changeOf = (operation: Operation, entries: ReadonlyArray<EvidenceEntry>): OperationChange => ({
      operation,
      state: Wire.stateOf(operation.stage),
      entries
    })
    const apply = (id: Guid.Guid, event: Event) =>
      Effect.gen(function* () {
        const found = yield* find(id)
        const moved = advance(found.operation, event)
        if (Result.isFailure(moved)) {
          return yield* new RequestRefused({ code: moved.failure.code, detail: "", refusal: null })
        }
        const entry: EvidenceEntry = {
          at: event.at,
          monotonic: event.at,
          worker: "w",
          fact: { _tag: "Noted", text: event._tag }
        }
        found.operation = moved.success
        found.entries.push(entry)
        yield* PubSub.publish(hub, changeOf(moved.success, [entry]))
        return moved.success
      })
    const guard = (request: FaultRequest): Refusal | null => {
      if (isNodeRequest(request)) return guardNode(request.nodeName, request.instanceId)
      const { partitionId, serviceName } = request
      const group = clusters
        .flatMap((cluster) => cluster.groups)
        .find((group) => `fabric:/${group.cluster}/${group.group}` === serviceName)
      if (group === undefined) return Refusal.cases.UnknownService.make({ serviceName })
      if (group.partitionId !== partitionId) return Refusal.cases.UnknownPartition.make({ partitionId })
      const holder = holderOf(request)
      return holder === undefined
        ? null
        : Refusal.cases.Busy.make({ operationId: holder.operation.id, problem: "it is still running" })
    }
    const holderOf = (request: FaultRequest) =>
      [...all.values()].find(
        ({ operation }) => holdsPartition(operation) && subjectOf(operation.request) === subjectOf(request)
      )
    const touched = (request: FaultRequest): ReadonlyArray<Member> => {
      if (!isNodeRequest(request)) {
        return etcd.members.filter(
          ({ role }) => ("mode" in request && request.mode === "AllReplicasOrInstances") || role !== "Primary"
        )
      }
      return clusters
        .flatMap((cluster) => cluster.groups)
        .flatMap(({ members }) => members.filter((member) => member.node === request.nodeName))
    }
    const guardNode = (nodeName: string, asked: string): Refusal | null => {
      const members = clusters.flatMap((cluster) => cluster.groups).flatMap((group) => group.members)
      if (!members.some((member) => member.node === nodeName)) return Refusal.cases.UnknownNode.make({ nodeName })
      const found = nodeInstanceId(nodeName)
      return asked === found ? null : Refusal.cases.InstanceMismatch.make({ nodeName, asked, found })
    }

    const operations = Operations.of({
      start: (id, request, options) =>
        Effect.gen(function* () {
          // The reference looks at the node first: a repeated id on a busy node is told that it is busy.
          if (isNodeRequest(request) && holderOf(request) !== undefined) {
            return yield* new RequestRefused({
              code: "FABRIC_E_NODE_TRANSITION_IN_PROGRESS",
              detail: "There is already a running transition on this node.",
              refusal: null
            })
          }
          if (all.has(id)) {
            return yield* new RequestRefused({
              code: "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS",
              detail: `OperationId '${id}' already exists`,
              refusal: null
            })
          }
          if (options.maxHold === "configured" && !isNodeRequest(request) && faultOf(request).duration > 900_000) {
            const refusal = Refusal.cases.TooLong.make({ asked: faultOf(request).duration, limit: 900_000 })
            return yield* new RequestRefused({ code: "E_INVALIDARG", detail: describeRefusal(refusal), refusal })
          }
          const refusal = options.guard ? guard(request) : null
          if (refusal !== null) {
            return yield* new RequestRefused({
              code: refusalCode(refusal),
              detail: describeRefusal(refusal),
              refusal
            })
          }
          const operation = makeOperation(id, request, yield* Clock.currentTimeMillis)
          all.set(id, { operation, entries: [] })
          return operation
        }),
      get: (id) => Effect.map(find(id), (found) => found.operation),
      detail: (id) =>
        Effect.map(find(id), ({ entries, operation }) => ({
          operation,
          state: Wire.stateOf(operation.stage),
          evidence: collect(entries)
        })),
      unreadable: Effect.succeed([]),
      list: (limit) => Effect.sync(() => [...all.values()].slice(-limit).map(({ operation }) => operation)),
      cancel: (id, force) =>
        Effect.flatMap(Clock.currentTimeMillis, (at) => apply(id, { _tag: "CancelRequested", at, force })),
      plan: (request) =>
        Effect.sync(() => {
          const refusal = guard(request)
          if (refusal !== null) return { topology: null, plan: null, fences: [], notes: [], refusal }
          if (!isQuorumLoss(request)) {
            const fences = touched(request).map(({ name, node }) => ({ ...fence, member: name, node }))
            return { topology: isNodeRequest(request) ? null : etcd, plan: null, fences, notes: ["as asked"], refusal }
          }
          const cut = Result.getOrThrow(smallestCut(etcd, request.mode))
          const plan = {
            mode: request.mode,
            hold: request.hold,
            configured: 3,
            up: 3,
            needed: 2,
            rule: etcd.rule,
            fences: cut.map((member) => ({ ...fence, member: member.name, node: member.node })),
            arithmetic: explain(etcd, cut)
          }
          return { topology: etcd, plan, fences: plan.fences, notes: [], refusal }
        }),
      watch: (id) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const queue = yield* PubSub.subscribe(hub)
            const found = yield* find(id)
            const first = changeOf(found.operation, [...found.entries])
            if (isTerminal(found.operation)) return Stream.succeed(first)
            return Stream.fromSubscription(queue).pipe(
              Stream.filter((change) => change.operation.id === id),
              (later) => Stream.concat(Stream.succeed(first), later),
              Stream.takeUntil((change) => isTerminal(change.operation))
            )
          })
        ),
      recover: (scope) =>
        Effect.suspend(() => {
          const groups = clusters.flatMap((cluster) => cluster.groups)
          if (scope._tag === "Partition" && !groups.some((group) => group.partitionId === scope.partitionId)) {
            return Effect.fail(new RequestRefused({ code: "FABRIC_E_PARTITION_NOT_FOUND", detail: "", refusal: null }))
          }
          if (scope._tag === "Service" && !groups.some((group) => serviceNameOf(group) === scope.serviceName)) {
            return Effect.fail(
              new RequestRefused({ code: "FABRIC_E_SERVICE_DOES_NOT_EXIST", detail: "", refusal: null })
            )
          }
          recovered.push(scope)
          return Effect.succeed(
            groups
              .filter(
                (group) =>
                  scope._tag === "All" ||
                  (scope._tag === "Partition" && scope.partitionId === group.partitionId) ||
                  (scope._tag === "Service" && scope.serviceName === serviceNameOf(group))
              )
              .map((group) => ({
                serviceName: serviceNameOf(group),
                partitionId: group.partitionId,
                system: group.system,
                recovery: "ByItself" as const
              }))
          )
        }),
      clusters: Effect.succeed(clusters),
      aftermath: Effect.succeed({ stoppedNodes: [], lastLosses: [] }),
      unready: Effect.sync(() => (broken ? ["the store lies"] : [])),
      holders: Effect.sync(() => [...all.values()].map(({ operation }) => operation).filter(holdsPartition))
    })
    const control = Control.of({
      recovered: Effect.succeed(recovered),
      play: (id, event) => Effect.orDie(apply(id, event)),
      breakNextGet: Effect.sync(() => {
        broken = true
      }),
      hangGets: Effect.sync(() => {
        hanging = true
      })
    })
    return Context.make(Operations, operations).pipe(Context.add(Control, control))
  })
)

/** Plays an operation from its start to its proven loss at `at`. */
export const hold = (id: Guid.Guid, at: number) =>
  Effect.flatMap(Control, ({ play }) =>
    Effect.forEach(
      [
        { _tag: "Taken", at },
        { _tag: "FencesOrdered", at, fences: [fence] },
        { _tag: "FencesArmed", at },
        { _tag: "LossProven", at, lossBegan: at }
      ] as ReadonlyArray<Event>,
      (event) => play(id, event)
    )
  )

/** Plays an operation from its hold to its end. */
export const finish = (id: Guid.Guid, at: number) =>
  Effect.flatMap(Control, ({ play }) =>
    Effect.forEach(
      [
        { _tag: "HoldEnded", at },
        { _tag: "FencesLifted", at },
        { _tag: "RecoveryProven", at }
      ] as ReadonlyArray<Event>,
      (event) => play(id, event)
    )
  )
