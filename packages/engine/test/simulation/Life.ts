/**
 * One life of a simulated world: a store, clusters on their hosts, and workers, each a process with an engine in it. All
 * of it stands in one time and follows from one seed.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Clusters } from "@inquorate/core/Cluster"
import { InjectorError } from "@inquorate/core/Injector"
import type { Operations } from "@inquorate/core/Operations"
import { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import * as Engine from "@inquorate/engine/Engine"
import * as Seed from "@inquorate/testkit/Seed"
import * as SimulatedGroup from "@inquorate/testkit/SimulatedGroup"
import * as SimulatedHost from "@inquorate/testkit/SimulatedHost"
import { ask } from "@inquorate/testkit/SimulatedLine"
import * as MemoryStore from "@inquorate/core/MemoryStore"
import * as SimulatedTime from "@inquorate/testkit/SimulatedTime"
import * as CrashPoint from "./CrashPoint.ts"
import type { Defects } from "./Defects.ts"
import * as Invariants from "./Invariants.ts"
import * as Trace from "./Trace.ts"
import * as Weather from "./Weather.ts"

/** A worker: a process with an engine in it. A restart is another one under the same id. */
export interface Worker {
  readonly id: string
  readonly process: SimulatedTime.Process
  /** What a front may ask of it; null until its engine runs. */
  operations: Operations["Service"] | null
  /** Lets it give back what it owns, and end. */
  readonly stop: () => void
}

/** One life of a simulated world. */
export interface Life {
  readonly seed: Seed.Seed
  readonly time: SimulatedTime.Time
  readonly trace: Trace.Trace
  readonly invariants: Invariants.Invariants
  readonly weather: Weather.Weather
  readonly crashPoints: CrashPoint.CrashPoints
  readonly store: MemoryStore.MemoryStore
  /** The process of the store, with the clock by which leases are counted. */
  readonly storeProcess: SimulatedTime.Process
  readonly hosts: ReadonlyArray<SimulatedHost.SimulatedHost>
  readonly groups: ReadonlyArray<SimulatedGroup.SimulatedGroup>
  /** Every worker that lives, frozen ones included. */
  readonly workers: () => ReadonlyArray<Worker>
  /** Starts a worker under an id; one that lives under it already becomes a ghost. */
  readonly bear: (id: string) => void
  /** True while hints of changes get through. */
  readonly setHints: (through: boolean) => void
  readonly count: (what: string) => void
  readonly counts: ReadonlyMap<string, number>
  /** A process of the world itself, for what is to happen later. */
  readonly fate: SimulatedTime.Process
}

/** Begins a life from a seed. */
export const make = (number: number, defects: Partial<Defects>, keepTrace: boolean): Life => {
  const seed = Seed.make(number)
  const counts = new Map<string, number>()
  const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1)
  const time = SimulatedTime.make(seed.fork("turns"))
  const trace = Trace.make(time.now, keepTrace)
  const storeProcess = time.process("store", { wall: seed.between(-300, 300) })
  const invariants = Invariants.make({ time, trace, count })
  const store = MemoryStore.make({
    now: storeProcess.clock.currentTimeMillisUnsafe,
    observe: (event) => invariants.onStore(event),
    ...(defects.store === undefined ? {} : { defects: defects.store })
  })
  const groups = makeGroups(seed.fork("clusters"), time, defects, invariants)
  const hosts = groups.flatMap((group) => group.hosts)
  invariants.watch({ store, groups })
  const life: Inner = {
    seed,
    time,
    trace,
    invariants,
    weather: Weather.make(seed.fork("weather"), count),
    crashPoints: CrashPoint.make(time, (worker, question, point, cut) => {
      trace.write(`${worker.name} ${cut._tag} at ${question} ${point}`)
      count(`${cut._tag === "Kill" ? "crash" : "freeze"} at ${question}, ${point.toLowerCase()}`)
    }),
    store,
    storeProcess,
    hosts,
    groups,
    fate: time.process("fate"),
    workers: () => life.born.filter(({ process }) => process.state() !== "Dead"),
    setHints: (through) => void (life.hints = through),
    bear: (id) => bear(life, id, defects),
    count,
    counts,
    born: [],
    ahead: new Map(),
    hints: true
  }
  return life
}

// --- internal ---

interface Inner extends Life {
  readonly born: Array<Worker>
  /** By worker id, how far the clock of its machine is ahead when it starts. */
  readonly ahead: Map<string, number>
  hints: boolean
}

const makeGroups = (
  seed: Seed.Seed,
  time: SimulatedTime.Time,
  defects: Partial<Defects>,
  invariants: Invariants.Invariants
): ReadonlyArray<SimulatedGroup.SimulatedGroup> =>
  ["orders", "ledger"].slice(0, seed.between(1, 2)).map((cluster) => {
    const grade = seed.percent(30) ? "Kernel" : "Keeper"
    const hosts = Array.from({ length: seed.pick([3, 3, 3, 4, 5]) }, (_, index) =>
      SimulatedHost.make({
        label: `${cluster}-${index}`,
        time,
        seed: seed.fork(`${cluster}-${index}`),
        grade,
        wall: seed.between(-150, 150),
        observe: (event) => invariants.onHost(event),
        ...(defects.host === undefined ? {} : { defects: defects.host })
      })
    )
    return SimulatedGroup.make({
      cluster,
      time,
      hosts,
      everyEndpoint: seed.percent(40),
      latency: seed.between(1, 3),
      election: seed.between(0, 400),
      recoveryBudget: 15_000,
      observe: (serves) => invariants.onService(cluster, serves)
    })
  })

const bear = (life: Inner, id: string, defects: Partial<Defects>): void => {
  const { count, crashPoints, groups, seed, store, storeProcess, time, trace, weather } = life
  const name = `${id}#${life.born.length}`
  const ahead = life.ahead.get(id) ?? seed.between(-100, 100)
  life.ahead.set(id, ahead)
  const process = time.process(name, { wall: ahead, monotonic: seed.between(1000, 10_000_000) })
  const scope = Scope.makeUnsafe()
  life.invariants.joins(process)
  trace.write(`${name} starts`)
  count("worker started")

  const toStore: MemoryStore.Carry = (question, serve) =>
    Effect.suspend(() =>
      ask(time, {
        asker: process,
        server: storeProcess,
        fate: weather.toStore(question),
        serve: () => {
          trace.write(`store ${question} of ${name}`)
          return serve()
        },
        unheard: () => new StoreError({ reason: Weather.storeLost, detail: `the store did not answer ${question}` }),
        at: (point) => crashPoints.pass(process, question, point)
      })
    )
  const toHost: SimulatedHost.HostCarry = (question, host, serve) =>
    Effect.suspend(() => {
      const fate = weather.toHost(host.label, question)
      return ask(time, {
        asker: process,
        server: host.process,
        fate,
        serve: () => {
          trace.write(`${host.label} ${question} of ${name}`)
          return serve()
        },
        unheard: () => new InjectorError({ host: host.label, member: "", reason: fate.lost, detail: "no answer" }),
        at: (point) => crashPoints.pass(process, question, point)
      })
    })
  const deliver = (hint: () => void): void => {
    if (life.hints) time.after(seed.between(0, 3), process, hint)
  }
  const hosts = new Map(life.hosts.map((host) => [host.label, host]))
  const clusters = Clusters.of({
    all: groups.map((group) => ({
      name: group.cluster,
      target: group.target(process),
      injector: SimulatedHost.injector("simulated", hosts, process, time, toHost),
      hosts: group.hosts.map(({ label }) => label),
      protected: false,
      maxHold: null
    }))
  })
  const worker: Worker = {
    id,
    process,
    operations: null,
    stop: () => {
      trace.write(`${name} is asked to stop`)
      worker.operations = null
      process.run(Scope.close(scope, Exit.void), () => process.kill())
    }
  }
  const engine = Effect.gen(function* () {
    const connected = yield* store.connect(name, toStore, deliver)
    return yield* Engine.make({
      workerId: id,
      surveyEvery: 5000,
      onLost: () => {
        trace.write(`${name} was replaced`)
        count("ghost fenced")
        process.enqueue(() => process.kill())
      },
      ...defects.engine
    }).pipe(Effect.provideService(OperationStore, defects.connection?.(connected) ?? connected))
  })
  process.run(
    engine.pipe(Effect.provideService(Clusters, clusters), Effect.provideService(Scope.Scope, scope)),
    (exit) => {
      if (Exit.isSuccess(exit)) worker.operations = exit.value
    }
  )
  life.born.push(worker)
}
