/**
 * A deterministic cluster in memory with the hosts under it: a `Target` and an `Injector` that keep the laws of their
 * ports on Effect's clock. So `TestClock` drives every expiry. Each host keeps records as a keeper does: epochs,
 * tombstones, late orders refused, fences that end by themselves. Switches make members, hosts and answers go wrong. On
 * request the cluster has more: a mechanism that ends processes and starts new ones, nodes, services of other kinds,
 * data that may be lost.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Iterable from "effect/Iterable"
import * as Latch from "effect/Latch"
import type { Cluster } from "@inquorate/core/Cluster"
import type { ProbeOutcome, SurvivorsWord } from "@inquorate/core/Evidence"
import { forPartition, type Guid } from "@inquorate/core/Guid"
import {
  type Ender,
  type FenceId,
  type FenceState,
  type Injector,
  InjectorError,
  type Preflight
} from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import type { Supervisor } from "@inquorate/core/Supervision"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { Instant, Millis } from "@inquorate/core/Time"
import { type Member, type NodeFacts, type ServiceFacts, serviceName, type Topology } from "@inquorate/core/Topology"
import type { Witness } from "@inquorate/core/Witness"

/** What becomes of an order to arm: it is refused, it fails, or its answer is lost before or after it was applied. */
export type ArmFault = "Refused" | "Late" | "NotApplied" | "LostBefore" | "LostAfter" | "HangAfter" | "Unreachable"

/** What becomes of a data loss: it fails before or after it happened, or never answers. */
export type LossFault = "FailsBefore" | "FailsAfter" | "HangsBefore" | "HangsAfter"

/** What goes wrong. Change it with `set`, so that everything that waits looks again. */
export interface Faults {
  /** Members that are down for a reason of their own. */
  readonly down: ReadonlyArray<string>
  /** Members that go on running although their fence stands, unnoticed by their host. */
  readonly goesOn: ReadonlyArray<string>
  /** Members that go on running although their fence stands, and whose host says so. */
  readonly broken: ReadonlyArray<string>
  /** By member, what becomes of the next order to arm. */
  readonly arm: Readonly<Record<string, ArmFault>>
  /** How many calls of `lift` fail from now on without doing anything. */
  readonly liftFails: number
  /** How many calls of `lift` from now on do their work and lose the answer. */
  readonly liftAnswersLost: number
  /**
   * By how much the hosts' clocks were ahead when a fence ended. The clocks were stepped back since; the uptime was
   * not.
   */
  readonly steppedBack: number
  /** True while `tighten` fails. */
  readonly tightenFails: boolean
  /** True while the hosts answer nothing. */
  readonly hostsUnreachable: boolean
  /** True once the hosts have forgotten every fence, as after a reboot without a state directory. */
  readonly hostsForgot: boolean
  /** True while discovery fails. */
  readonly unreachable: boolean
  /** True while the group takes no write although it has its quorum. */
  readonly recoversNever: boolean
  /** True while a write without a quorum is refused; otherwise it hangs. */
  readonly refusesWrites: boolean
  /** True while the survivors say nothing. */
  readonly survivorsSilent: boolean
  /** By member, what the host says of its process before anything is touched. */
  readonly preflight: Readonly<Record<string, Preflight>>
  /** By member, why its process was not found. */
  readonly processProblem: Readonly<Record<string, string>>
  /** Of `processProblem`: the members whose host only did not tell in time. */
  readonly processLate: ReadonlyArray<string>
  /** Why a loss could not be proven, in the topology's own words. */
  readonly unfit: ReadonlyArray<string>
  /** True while no probe can be opened, because no connection is free. */
  readonly crowded: boolean
  /** True while nobody on the hosts ends a fence at its deadline. A sweep still does. */
  readonly keepersDead: boolean
  /** What becomes of a data loss; null where it succeeds. */
  readonly loseData: LossFault | null
}

/** How the cluster is built; every field has a default. */
export interface SimulatedClusterOptions {
  readonly name?: string
  readonly group?: string
  /** Voters; 3 unless given. */
  readonly members?: number
  /** Acknowledgements a write needs; the majority unless given. */
  readonly needed?: number
  /** How long a write takes; 1 ms unless given. */
  readonly latency?: Millis
  /** How long a host takes to answer; 2 ms unless given. */
  readonly hostLatency?: Millis
  /** How long the group takes to serve again once it has its quorum; 100 ms unless given. */
  readonly election?: Millis
  readonly grade?: Grade
  readonly survivorsSpeak?: boolean
  /** How long after a loss the survivors have spoken at the latest; 2000 ms unless given. */
  readonly survivorsSpeakAfter?: Millis
  readonly recoveryBudget?: Millis
  readonly protected?: boolean
  readonly maxHold?: Millis | null
  /** True where a write can be sent to every member; otherwise only to the primary. */
  readonly everyEndpoint?: boolean
  /** True for a cluster with a second mechanism, `restarting`, that ends processes and starts new ones. */
  readonly restarter?: boolean
  /** How long a process takes to start; 50 ms unless given. */
  readonly startup?: Millis
  /** What the cluster tells of its service; it tells nothing unless given. */
  readonly service?: Partial<ServiceFacts> | null
  /** True for a cluster that tells of its nodes. */
  readonly nodes?: boolean
  /** True for a cluster whose data may be destroyed. */
  readonly loses?: boolean
  /** True for a cluster whose groups can give up what they wait for. */
  readonly recovers?: boolean
  /** Who would act on a loss; nobody unless given. */
  readonly supervisors?: ReadonlyArray<Supervisor>
  /** True for a cluster with a witness, `api`, that says 503 while the group takes no writes. */
  readonly witness?: boolean
}

/** One event of a fence that truly happened, with its time by the hosts' own clock. */
export interface Happening {
  readonly at: Instant
  readonly what: "Armed" | "Tightened" | "Lifted"
  readonly member: string
  readonly fence: FenceId
  /** Who ended the fence, where it ended. */
  readonly by: Ender | null
  readonly deadline: Instant
}

/** A simulated cluster with its switches and the truth of what happened to it. */
export interface SimulatedCluster {
  readonly cluster: Cluster
  readonly serviceName: string
  readonly partitionId: Guid
  /** Changes what goes wrong. */
  readonly set: (faults: Partial<Faults>) => Effect.Effect<void>
  readonly faults: () => Faults
  /** The fences that stand now. */
  readonly standing: () => ReadonlyArray<FenceId>
  /** Everything that happened to fences, in order. */
  readonly history: () => ReadonlyArray<Happening>
  /** How many orders (arm, tighten, lift) were sent to hosts, whatever became of them. */
  readonly orders: () => number
  /** How many writes the group has acknowledged. */
  readonly acknowledged: () => number
  /** True while a write would be taken. */
  readonly available: () => boolean
  /** How often the process of a member was started anew. */
  readonly starts: (member: string) => number
  /** How often data was destroyed. */
  readonly dataLosses: () => number
  /** How often the group was told to recover. */
  readonly recoveries: () => number
}

/** Nothing goes wrong. */
export const noFaults: Faults = {
  down: [],
  goesOn: [],
  broken: [],
  arm: {},
  liftFails: 0,
  liftAnswersLost: 0,
  steppedBack: 0,
  tightenFails: false,
  hostsUnreachable: false,
  hostsForgot: false,
  unreachable: false,
  recoversNever: false,
  refusesWrites: false,
  survivorsSilent: false,
  preflight: {},
  processProblem: {},
  processLate: [],
  unfit: [],
  crowded: false,
  keepersDead: false,
  loseData: null
}

/** Makes a simulated cluster. Its hosts live on the clock that is current now, whoever calls them later. */
export const make = (options: SimulatedClusterOptions = {}): Effect.Effect<SimulatedCluster> =>
  Clock.clockWith((clock) =>
    Effect.sync(() => {
      const world = makeWorld(clock, settle(options))
      return {
        cluster: {
          name: world.settings.name,
          target: makeTarget(world),
          injector: makeInjector(world, "simulated"),
          ...(world.settings.restarter ? { restarter: makeInjector(world, "restarting") } : {}),
          hosts: world.names.map(hostOf),
          protected: world.settings.protected,
          maxHold: world.settings.maxHold,
          supervisors: () => Effect.succeed(world.settings.supervisors),
          ...(world.settings.witness ? { witnesses: [makeWitness(world)] } : {})
        },
        serviceName: serviceName(world.settings.name, world.settings.group),
        partitionId: world.partitionId,
        set: (faults) =>
          Effect.sync(() => world.change(() => Object.assign(world, { faults: { ...world.faults, ...faults } }))),
        faults: () => world.faults,
        standing: () => {
          world.refresh()
          return [...world.records.values()].filter(({ state }) => state._tag === "Armed").map(({ fence }) => fence)
        },
        history: () => {
          world.refresh()
          return world.history
        },
        orders: () => world.orders,
        acknowledged: () => world.acknowledged,
        available: () => world.available(),
        starts: (member) => {
          world.refresh()
          return world.starts.get(member) ?? 0
        },
        dataLosses: () => world.dataLosses,
        recoveries: () => world.recoveries
      }
    })
  )

// --- internal ---

type Settings = Required<SimulatedClusterOptions>

const settle = (options: SimulatedClusterOptions): Settings => {
  const members = options.members ?? 3
  return {
    name: "orders",
    group: "quorum",
    members,
    needed: Math.floor(members / 2) + 1,
    latency: 1,
    hostLatency: 2,
    election: 100,
    grade: "Keeper",
    survivorsSpeak: true,
    survivorsSpeakAfter: 2000,
    recoveryBudget: 60_000,
    protected: false,
    maxHold: 900_000,
    everyEndpoint: false,
    restarter: false,
    startup: 50,
    service: null,
    nodes: false,
    loses: false,
    recovers: false,
    supervisors: [],
    witness: false,
    ...options
  }
}

type Mechanism = "simulated" | "restarting"

interface FenceRecord {
  readonly fence: FenceId
  readonly mechanism: Mechanism
  /** The member whose process it is. The fence may have another name. */
  readonly member: string
  readonly host: string
  deadline: Instant
  state: FenceState
}

const hostOf = (member: string): string => `host-${member}`
const memberOf = (host: string): string => host.replace("host-", "")
const keyOf = (mechanism: Mechanism, { attempt, member, operationId }: FenceId): string =>
  `${mechanism}/${operationId}/${attempt}/${member}`

interface World {
  readonly settings: Settings
  readonly names: ReadonlyArray<string>
  readonly partitionId: Guid
  readonly records: Map<string, FenceRecord>
  readonly leastEpoch: Map<string, number>
  readonly history: Array<Happening>
  /** By member: how often its process was started anew, and when a process that was started will run. */
  readonly starts: Map<string, number>
  readonly starting: Map<string, Instant>
  dataLosses: number
  recoveries: number
  faults: Faults
  acknowledged: number
  orders: number
  readonly now: () => Instant
  /** Ends the fences and runs the processes whose time has come. */
  readonly refresh: () => void
  /** Changes something and wakes everything that waits. */
  readonly change: (how: () => void) => void
  readonly running: (member: string) => boolean
  /** True while a mechanism has ended the process of a member and started no new one. */
  readonly ended: (member: string) => boolean
  /** Makes the group elect anew from now on. */
  readonly elect: () => void
  readonly available: () => boolean
  /** Waits until something changes or the next expiry or election is due. */
  readonly nextChange: Effect.Effect<void>
  readonly lift: (record: FenceRecord, by: Ender, at: Instant) => void
}

const isFenceOf =
  (member: string, by: Mechanism | undefined) =>
  (record: FenceRecord): boolean =>
    record.member === member && record.state._tag === "Armed" && (by === undefined || record.mechanism === by)

const isDue =
  (world: World, moment: Instant) =>
  ({ deadline, state }: FenceRecord): boolean =>
    state._tag === "Armed" && deadline <= moment && !world.faults.keepersDead

const makeWorld = (clock: Clock.Clock, settings: Settings): World => {
  let changed = Latch.makeUnsafe(false)
  let quorumSince: Instant | null = 0
  const now = (): Instant => Math.floor(clock.currentTimeMillisUnsafe())
  const fenced = (member: string, by?: Mechanism): boolean =>
    Iterable.some(world.records.values(), isFenceOf(member, by))
  const hasQuorum = (): boolean => world.names.filter(world.running).length >= settings.needed
  const track = (at: Instant): void => {
    quorumSince = hasQuorum() ? (quorumSince ?? at) : null
  }
  const servesFrom = (): Instant =>
    quorumSince === null ? Infinity : quorumSince === 0 ? 0 : quorumSince + settings.election
  const world: World = {
    settings,
    names: Array.from({ length: settings.members }, (_, index) => `m${index}`),
    partitionId: forPartition(settings.name, settings.group),
    records: new Map(),
    leastEpoch: new Map(),
    history: [],
    starts: new Map(),
    starting: new Map(),
    dataLosses: 0,
    recoveries: 0,
    faults: noFaults,
    acknowledged: 0,
    orders: 0,
    now,
    refresh: () => {
      const moment = now()
      // Nearly always nothing is due, and every question comes by here.
      if (world.starting.size === 0 && !Iterable.some(world.records.values(), isDue(world, moment))) return
      const due = [...world.records.values()].filter(isDue(world, moment)).sort((a, b) => a.deadline - b.deadline)
      for (const record of due) world.lift(record, "Keeper", record.deadline)
      const started = [...world.starting].filter(([, at]) => at <= moment).sort((a, b) => a[1] - b[1])
      for (const [member, at] of started) {
        world.starting.delete(member)
        track(at)
      }
    },
    change: (how) => {
      world.refresh()
      how()
      track(now())
      const waiting = changed
      changed = Latch.makeUnsafe(false)
      waiting.openUnsafe()
    },
    ended: (member) => fenced(member, "restarting"),
    elect: () => {
      if (hasQuorum()) quorumSince = now()
    },
    running: (member) =>
      !world.faults.down.includes(member) &&
      !world.starting.has(member) &&
      (!fenced(member) || world.faults.goesOn.includes(member) || world.faults.broken.includes(member)),
    available: () => {
      world.refresh()
      return !world.faults.recoversNever && now() >= servesFrom()
    },
    nextChange: Effect.suspend(() => {
      const moments = [...world.records.values()]
        .filter((record) => record.state._tag === "Armed")
        .map((record) => record.deadline)
      const next = Math.min(
        ...[...moments, ...world.starting.values(), servesFrom()].filter((moment) => moment > now())
      )
      const waiting = changed.await
      return Number.isFinite(next) ? Effect.raceFirst(waiting, Effect.sleep(next - now())) : waiting
    }),
    lift: (record, by, at) => {
      const broken = world.faults.broken.includes(record.member)
      record.state = { _tag: "Lifted", by, offAt: at, broken }
      if (record.mechanism === "restarting" && !fenced(record.member, "restarting")) {
        world.starts.set(record.member, (world.starts.get(record.member) ?? 0) + 1)
        world.starting.set(record.member, at + settings.startup)
      }
      world.history.push({
        at,
        what: "Lifted",
        member: record.member,
        fence: record.fence,
        by,
        deadline: record.deadline
      })
      track(at)
    }
  }
  return world
}

/** The time that a way takes. A way that takes none is no wait for a turn either. */
const passing = (millis: Millis): Effect.Effect<void> => (millis <= 0 ? Effect.void : Effect.sleep(millis))

const makeWitness = (world: World): Witness => ({
  name: "api",
  every: 1000,
  ask: Effect.sync(() =>
    world.available() ? { _tag: "Serves", detail: "HTTP 200" } : { _tag: "Fails", detail: "HTTP 503" }
  )
})

const makeTarget = (world: World): Target => {
  const { settings } = world
  const write = (endpoint: string): Effect.Effect<ProbeOutcome> =>
    Effect.gen(function* () {
      while (true) {
        const member = endpoint.split(":")[0]!
        // A cluster with one endpoint fails over: its address follows the primary.
        if (world.available() && (!settings.everyEndpoint || world.running(member))) {
          yield* passing(settings.latency)
          if (!world.available()) continue
          world.acknowledged++
          return { _tag: "Acknowledged" }
        }
        if (world.faults.refusesWrites) {
          yield* passing(settings.latency)
          return { _tag: "Refused", detail: "no quorum" }
        }
        yield* world.nextChange
      }
    })
  const survivors = Effect.sync((): SurvivorsWord =>
    world.faults.survivorsSilent || !world.names.some(world.running)
      ? { word: "Silent", detail: "no survivor answered" }
      : world.available()
        ? { word: "QuorumHeld", detail: "a leader is known" }
        : { word: "QuorumLost", detail: "no leader" }
  )
  const unreachable = new TargetError({
    cluster: settings.name,
    endpoint: "m0:1",
    reason: "Unreachable",
    detail: "no member answered"
  })
  const guard = Effect.suspend(() => (world.faults.unreachable ? Effect.fail(unreachable) : Effect.void))
  const crowded = new TargetError({ ...unreachable, reason: "Unfit", detail: "too many connections" })
  const room = Effect.suspend(() => (world.faults.crowded ? Effect.fail(crowded) : Effect.void))
  return {
    system: "simulated",
    cluster: settings.name,
    discover: passing(settings.latency).pipe(Effect.andThen(guard), Effect.andThen(Effect.sync(() => [seen(world)]))),
    probe: () =>
      Effect.as(Effect.andThen(guard, room), {
        endpoints: (settings.everyEndpoint ? world.names : ["m0"]).map((member) => `${member}:1`),
        write,
        survivors: Effect.andThen(passing(settings.latency), survivors)
      }),
    survivorsSpeak: settings.survivorsSpeak,
    survivorsSpeakAfter: settings.survivorsSpeakAfter,
    recoveryBudget: settings.recoveryBudget,
    recoveryWriteTimeout: 1000,
    ...(settings.nodes
      ? {
          nodes: Effect.andThen(
            guard,
            Effect.sync(() => nodesOf(world))
          )
        }
      : {}),
    ...(settings.loses ? { loseData: () => Effect.andThen(guard, loseData(world)) } : {}),
    ...(settings.recovers
      ? {
          recover: () =>
            Effect.andThen(
              guard,
              Effect.sync(() => void world.recoveries++)
            )
        }
      : {})
  }
}

const lossFailed = (world: World): TargetError =>
  new TargetError({ cluster: world.settings.name, endpoint: "m0:1", reason: "TimedOut", detail: "the answer was lost" })

const loseData = (world: World): Effect.Effect<void, TargetError> =>
  Effect.gen(function* () {
    const fault = world.faults.loseData
    yield* passing(world.settings.latency)
    if (fault === "FailsBefore") return yield* lossFailed(world)
    if (fault === "HangsBefore") return yield* Effect.never
    world.change(() => {
      world.dataLosses++
      world.elect()
    })
    yield* passing(world.settings.latency)
    if (fault === "FailsAfter") return yield* lossFailed(world)
    if (fault === "HangsAfter") return yield* Effect.never
  })

const serviceOf = (world: World, { service, ...settings }: Settings): ServiceFacts => ({
  name: serviceName(settings.name, settings.group),
  typeName: "SimulatedService",
  kind: "Stateful",
  persisted: true,
  targetSize: settings.members,
  minSize: settings.needed,
  key: { _tag: "Singleton" },
  status: world.available() ? "Ready" : "InQuorumLoss",
  configurationVersion: "1",
  dataLossVersion: String(world.dataLosses),
  lastQuorumLoss: 0,
  ...service
})

const nodesOf = (world: World): ReadonlyArray<NodeFacts> => {
  world.refresh()
  return world.names.map((name) => ({
    name: hostOf(name),
    address: name,
    type: "SimulatedNode",
    instanceId: String(1000 + (world.starts.get(name) ?? 0)),
    up: world.running(name),
    stopped: world.ended(name),
    seed: true,
    upgradeDomain: name,
    faultDomain: `fd:/${name}`,
    upAt: null,
    downAt: null
  }))
}

const seen = (world: World): Topology => {
  world.refresh()
  const { settings } = world
  return {
    cluster: settings.name,
    system: "simulated",
    group: settings.group,
    partitionId: world.partitionId,
    observedAt: world.now(),
    needed: settings.needed,
    rule: `majority of ${settings.members}`,
    ...(world.faults.unfit.length === 0 ? {} : { unfit: world.faults.unfit }),
    members: world.names.map((name, index): Member => {
      const gone = world.ended(name) || world.starting.has(name) ? "no process of it runs" : ""
      const processProblem = world.faults.processProblem[name] ?? gone
      const stateless = settings.service?.kind === "Stateless"
      return {
        name,
        node: hostOf(name),
        address: `${name}:1`,
        role: index === 0 && !stateless ? "Primary" : "ActiveSecondary",
        counts: true,
        up: world.running(name),
        cuttable: "Always",
        process: processProblem === "" ? processOf(world, name) : null,
        processProblem,
        ...(world.faults.processLate.includes(name) ? { processLate: true } : {})
      }
    }),
    ...(settings.service === null ? {} : { service: serviceOf(world, settings) })
  }
}

const processOf = (world: World, member: string) => ({
  host: hostOf(member),
  pid: 1000 + world.names.indexOf(member) + 100 * (world.starts.get(member) ?? 0),
  // Members of two clusters may share a host, but never a process.
  startTime: String([...world.settings.name].reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) >>> 0, 7)),
  executable: "/bin/simulated",
  dataDirectory: `/data/${member}`
})

const failure = (host: string, reason: InjectorError["reason"], detail: string): InjectorError =>
  new InjectorError({ host, member: memberOf(host), reason, detail })

const makeInjector = (world: World, mechanism: Mechanism): Injector => {
  // The way to the host takes half of the round trip. An unreachable host does not take the order at all.
  const reach = (host: string): Effect.Effect<void, InjectorError> =>
    Effect.andThen(
      passing(world.settings.hostLatency / 2),
      Effect.suspend(() => {
        world.refresh()
        return world.faults.hostsUnreachable
          ? Effect.fail(failure(host, "Unreachable", "no route to the host"))
          : Effect.void
      })
    )
  const answer = passing(world.settings.hostLatency / 2)
  const leastEpoch = (fence: FenceId): number => world.leastEpoch.get(fence.operationId) ?? 0
  const raise = (fence: FenceId, epoch: number): void =>
    void world.leastEpoch.set(fence.operationId, Math.max(leastEpoch(fence), epoch))
  const stateOf = (fence: FenceId): FenceState => {
    const record = world.faults.hostsForgot ? undefined : world.records.get(keyOf(mechanism, fence))
    return record?.state._tag === "Armed"
      ? { ...record.state, broken: world.faults.broken.includes(record.member) }
      : (record?.state ?? { _tag: "Absent" })
  }

  const arm: Injector["arm"] = Effect.fnUntraced(function* (order) {
    world.orders++
    const { fence } = order
    const { host } = order.process
    const member = memberOf(host)
    const monotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
    const sentAt = world.now()
    const startBy = sentAt + order.startByMonotonic - monotonic
    // The host hears a remaining time, never what time of day we think it is.
    const deadline = sentAt + order.deadline - Math.floor(yield* Clock.currentTimeMillis)
    const fault = world.faults.arm[member]
    if (fault === "Unreachable") return yield* failure(host, "Unreachable", "no route to the host")
    yield* reach(host)
    if (fault === "LostBefore") return yield* failure(host, "Unknown", "the answer was lost")
    const refusal =
      fault === "Refused" ||
      order.process.pid !== processOf(world, member).pid ||
      (order.member ?? fence.member) !== member
        ? "not the process it was"
        : world.records.has(keyOf(mechanism, fence))
          ? "ordered before"
          : order.epoch < leastEpoch(fence)
            ? "an order of an earlier owner"
            : world.now() >= deadline
              ? "its deadline had passed"
              : null
    raise(fence, order.epoch)
    if (refusal !== null) return yield* failure(host, "OrderRefused", refusal)
    if (fault === "Late" || world.now() > startBy) return yield* failure(host, "Late", "the order came late")
    const armed = { _tag: "Armed", processes: 1, armedAt: world.now(), deadline, keepers: 2, broken: false } as const
    const record: FenceRecord = { fence, mechanism, member, host, deadline, state: armed }
    world.change(() => {
      world.records.set(keyOf(mechanism, fence), record)
      if (fault === "NotApplied") record.state = { _tag: "Lifted", by: "Worker", offAt: world.now(), broken: false }
      else world.history.push({ at: world.now(), what: "Armed", member, fence, by: null, deadline })
    })
    if (fault === "NotApplied") return yield* failure(host, "NotApplied", "a thread went on")
    if (fault === "HangAfter") return yield* Effect.never
    yield* answer
    if (fault === "LostAfter") return yield* failure(host, "Unknown", "the answer was lost")
    return armed
  })

  const tighten: Injector["tighten"] = Effect.fnUntraced(function* (host, fence, epoch, deadline) {
    world.orders++
    const remaining = deadline - Math.floor(yield* Clock.currentTimeMillis)
    const next = world.now() + remaining
    yield* reach(host)
    if (world.faults.tightenFails) return yield* failure(host, "Unknown", "the answer was lost")
    const record = world.records.get(keyOf(mechanism, fence))
    if (epoch < leastEpoch(fence)) return yield* failure(host, "OrderRefused", "an order of an earlier owner")
    if (record?.state._tag !== "Armed" || next > record.deadline) {
      return yield* failure(host, "OrderRefused", "no fence stands that ends later")
    }
    raise(fence, epoch)
    const state = record.state
    world.change(() => {
      record.deadline = next
      record.state = { ...state, deadline: next }
      world.history.push({ at: world.now(), what: "Tightened", member: record.member, fence, by: null, deadline: next })
    })
    yield* answer
  })

  const lift: Injector["lift"] = Effect.fnUntraced(function* (host, fence, epoch) {
    world.orders++
    yield* reach(host)
    if (world.faults.liftFails > 0) {
      world.faults = { ...world.faults, liftFails: world.faults.liftFails - 1 }
      return yield* failure(host, "Unknown", "the host was busy")
    }
    if (epoch < leastEpoch(fence)) return yield* failure(host, "OrderRefused", "an order of an earlier owner")
    raise(fence, epoch)
    const record = world.records.get(keyOf(mechanism, fence)) ?? {
      fence,
      mechanism,
      member: memberOf(host),
      host,
      deadline: world.now(),
      state: { _tag: "Absent" }
    }
    world.change(() => {
      world.records.set(keyOf(mechanism, fence), record)
      if (record.state._tag === "Armed") world.lift(record, "Worker", world.now())
      else if (record.state._tag !== "Lifted") {
        record.state = { _tag: "Lifted", by: "Worker", offAt: world.now(), broken: false }
      }
    })
    if (world.faults.liftAnswersLost > 0) {
      world.faults = { ...world.faults, liftAnswersLost: world.faults.liftAnswersLost - 1 }
      return yield* failure(host, "Unknown", "the answer was lost")
    }
    yield* answer
    const lifted = record.state as typeof record.state & { readonly _tag: "Lifted" }
    const { steppedBack } = world.faults
    return steppedBack === 0
      ? lifted
      : { ...lifted, offAt: lifted.offAt + steppedBack, ago: Math.max(0, world.now() - lifted.offAt) }
  })

  return {
    name: mechanism,
    ...(mechanism === "restarting" ? { restarts: true } : {}),
    preflight: (process) =>
      Effect.map(reach(process.host), (): Preflight => {
        const member = memberOf(process.host)
        const gone = world.ended(member) || process.pid !== processOf(world, member).pid
        return (
          world.faults.preflight[member] ??
          (gone
            ? { _tag: "Mistaken", problem: "no process of it runs" }
            : { _tag: "Ready", grade: world.settings.grade, skew: 0 })
        )
      }),
    arm,
    tighten,
    lift,
    inspect: (host, fence, epoch) =>
      Effect.gen(function* () {
        yield* reach(host)
        raise(fence, epoch)
        const state = stateOf(fence)
        yield* answer
        return state
      }),
    sweep: (host, { clear }) =>
      Effect.gen(function* () {
        yield* reach(host)
        const found = [...world.records.values()].filter(
          (record) => record.host === host && record.mechanism === mechanism
        )
        const clearOne = (record: FenceRecord): void => {
          if (record.state._tag === "Lifted") world.records.delete(keyOf(mechanism, record.fence))
          else if (record.deadline <= world.now()) world.lift(record, "Sweep", world.now())
        }
        if (clear) world.change(() => found.forEach(clearOne))
        return found.map(({ fence }) => ({ fence, host, injector: mechanism, state: stateOf(fence) }))
      })
  }
}
