/**
 * One worker that holds very many operations at once, on simulated clusters: what each costs in memory, what the
 * heartbeat costs, and how fast any one of them is cancelled.
 */
import { Clusters } from "@inquorate/core/Cluster"
import { Operations } from "@inquorate/core/Operations"
import { OperationStore } from "@inquorate/core/OperationStore"
import * as Engine from "@inquorate/engine/Engine"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as SimulatedCluster from "@inquorate/testkit/SimulatedCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import { type Figure, inMillis, spread } from "./Figures.ts"

/** The figures of `count` operations held at once. */
export const measure = (folder: string, count: number): Promise<ReadonlyArray<Figure>> => {
  const program = Effect.gen(function* () {
    const simulated = yield* Effect.forEach(Array.from({ length: count }), (_, index) =>
      SimulatedCluster.make({ name: `c${index}` })
    )
    const clusters = Layer.succeed(Clusters, Clusters.of({ all: simulated.map(({ cluster }) => cluster) }))
    const beats: Array<number> = []
    const store = Layer.effect(
      OperationStore,
      Effect.map(SqliteStore.make({ path: path.join(folder, "many.db"), queueBound: count + 10 }), timed(beats))
    )
    const engine = Engine.layer({ workerId: "bench", concurrency: count + 10, defaultMaxHold: 3_600_000 })
    return yield* Effect.provide(
      measureWith(simulated, count, beats),
      engine.pipe(Layer.provide(store), Layer.provide(clusters))
    )
  })
  return Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Logger.layer([]))))
}

// --- internal ---

/** How many operations begin at once. */
const atOnce = 100

/** The same store, which also writes down how long each heartbeat waits for its answer. */
const timed =
  (beats: Array<number>) =>
  (store: OperationStore["Service"]): OperationStore["Service"] =>
    OperationStore.of({
      ...store,
      heartbeat: (worker, lease) =>
        Effect.suspend(() => {
          const asked = performance.now()
          return Effect.onExit(store.heartbeat(worker, lease), () =>
            Effect.sync(() => beats.push(performance.now() - asked))
          )
        })
    })

/** Waits until an operation holds; false where it ended before. */
const isHeld = (operations: Operations["Service"], id: string) =>
  Effect.gen(function* () {
    for (;;) {
      const { stage } = yield* operations.get(id)
      if (stage._tag === "Failed") return false
      if (stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && stage.step.phase._tag === "Holding")
        return true
      yield* Effect.sleep("10 millis")
    }
  })

// The memory in use after a collection. V8 gives back late what it took from the system for the rush of the beginning.
const memory = (): NodeJS.MemoryUsage => {
  global.gc?.()
  return process.memoryUsage()
}

const measureWith = (
  simulated: ReadonlyArray<SimulatedCluster.SimulatedCluster>,
  count: number,
  beats: Array<number>
) =>
  Effect.gen(function* () {
    const operations = yield* Operations
    const topologies = yield* Effect.forEach(simulated, ({ cluster }) => cluster.target.discover, {
      concurrency: atOnce
    })
    const before = memory()
    const began = performance.now()
    let again = 0
    const ids = topologies.map(() => randomUUID() as string)
    // A few operations begin at a time, and the next ones begin when each of them holds. If all began at once, they
    // would wait for the processor for longer than a loss may take to show, and the figure is of holding.
    for (let first = 0; first < count; first += atOnce) {
      const some = topologies.slice(first, first + atOnce).map(([topology], index) => ({
        id: ids[first + index]!,
        request: {
          kind: "PartitionQuorumLoss" as const,
          serviceName: `fabric:/${topology!.cluster}/${topology!.group}`,
          partitionId: topology!.partitionId,
          mode: "QuorumReplicas" as const,
          hold: 1_800_000
        }
      }))
      yield* Effect.forEach(
        some,
        ({ id, request }) => operations.start(id, request, { guard: false, maxHold: "none" }),
        { concurrency: "unbounded", discard: true }
      )
      for (const [index, { request }] of some.entries()) {
        // On a machine that is too busy a loss may show too late. The operation is then begun again.
        while (!(yield* isHeld(operations, ids[first + index]!))) {
          if (++again > count / 10)
            return yield* Effect.die(
              new Error(`${again} operations ended before they held; measure on a machine that is less busy`)
            )
          ids[first + index] = randomUUID()
          yield* operations.start(ids[first + index]!, request, { guard: false, maxHold: "none" })
        }
      }
    }
    const tookSeconds = (performance.now() - began) / 1000
    const collecting = performance.now()
    const after = memory()
    const collected = performance.now() - collecting
    // If the collection kept the worker from watching for a second, each hold stores that. What was begun last also
    // asks its survivors often at first. The figure is of a hold in its middle, so this waits until both are over.
    yield* Effect.sleep("15 seconds")
    beats.length = 0
    const each = (of: (used: NodeJS.MemoryUsage) => number): string =>
      `${((of(after) - of(before)) / count / 1024).toFixed(0)} KiB`
    const cpu = process.cpuUsage()
    yield* Effect.sleep("5 seconds")
    const used = process.cpuUsage(cpu)
    const share = (used.user + used.system) / 5_000_000
    const beat = spread(beats)
    const cancels: Array<number> = []
    for (let round = 0; round < 50; round++) {
      const id = ids[Math.floor((count * (round + 0.5)) / 50)]!
      yield* operations.cancel(id, false)
      const accepted = performance.now()
      for (;;) {
        const { stage } = yield* operations.get(id)
        if (stage._tag === "Failed" || (stage._tag === "Undoing" && stage.phase === "Probing")) break
        yield* Effect.sleep("1 millis")
      }
      cancels.push(performance.now() - accepted)
    }
    const cancel = spread(cancels)
    const figures: ReadonlyArray<Figure> = [
      {
        name: `memory of each of ${count} operations held at once`,
        measured: `${each(({ external, heapUsed }) => heapUsed + external)} in use, ${each(({ rss }) => rss)} taken from the system while they began (the collection before it was read took ${collected.toFixed(0)} ms)${again === 0 ? "" : `; ${again} had to be begun again`}`,
        goal: "",
        met: null
      },
      {
        name: `processor time of one worker that holds ${count} operations, heartbeats, probes and all`,
        measured: `${(share * 100).toFixed(0)} % of one core`,
        goal: "",
        met: null
      },
      {
        name: `a heartbeat of a worker that holds ${count} operations, asked to answered`,
        measured: inMillis(beat),
        goal: "",
        met: null
      },
      {
        name: `until ${count} operations hold, ${atOnce} begun at once`,
        measured: `${tookSeconds.toFixed(0)} s`,
        goal: "≤ 9 s for each 1000",
        met: tookSeconds <= (9 * count) / 1000
      },
      {
        name: `cancel to lifted, any one of ${count}`,
        measured: inMillis(cancel),
        goal: "p99 ≤ 60 ms",
        met: cancel.p99 <= 60
      }
    ]
    return figures
  })
