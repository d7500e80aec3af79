/**
 * Our side of throughput: losses of the quorum with a hold of 0 on simulated clusters, each from its start to its end.
 * One engine runs them on the shared store whose address is the first argument. For each line that it reads, it
 * measures once and writes one line of JSON.
 */
import { Clusters } from "@inquorate/core/Cluster"
import { Operations } from "@inquorate/core/Operations"
import { OperationStore } from "@inquorate/core/OperationStore"
import * as Engine from "@inquorate/engine/Engine"
import * as PostgresStore from "@inquorate/stores/PostgresStore"
import * as SimulatedCluster from "@inquorate/testkit/SimulatedCluster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { randomUUID } from "node:crypto"
import * as readline from "node:readline"

const [url, countText, atOnceText] = process.argv.slice(2)
const count = Number(countText)
let commits = 0
/** How often it is asked whether a round is over. */
const askEvery = 20

const program = Effect.gen(function* () {
  // Hosts and groups answer at once, as steps do that do nothing: the time of a system is no work of ours.
  const simulated = yield* Effect.forEach(Array.from({ length: count }), (_, index) =>
    SimulatedCluster.make({ name: `c${index}`, election: 0, latency: 0, hostLatency: 0 })
  )
  const clusters = Layer.succeed(Clusters, Clusters.of({ all: simulated.map(({ cluster }) => cluster) }))
  const store = PostgresStore.layer({ url: url!, onCommit: () => commits++ })
  const engine = Engine.layer({ workerId: "bench", concurrency: Number(atOnceText) })
  const round = Effect.gen(function* () {
    const operations = yield* Operations
    const { census } = yield* OperationStore
    const began = performance.now()
    const ids = yield* Effect.forEach(
      simulated,
      ({ partitionId, serviceName }) => {
        const id = randomUUID() as string
        const request = {
          kind: "PartitionQuorumLoss",
          serviceName,
          partitionId,
          mode: "QuorumReplicas",
          hold: 0
        } as const
        return Effect.as(operations.start(id, request, { guard: false, maxHold: "none" }), id)
      },
      { concurrency: "unbounded" }
    )
    // Whoever waits for a workflow is told by its own process. Here the store is asked whether any has not ended.
    while ((yield* census).length > 0) yield* Effect.sleep(askEvery)
    const seconds = (performance.now() - began) / 1000
    const ended = yield* Effect.forEach(ids, (id) => operations.get(id), { concurrency: "unbounded" })
    return { seconds, failed: ended.filter(({ stage }) => stage._tag !== "Completed").length }
  })
  yield* Effect.gen(function* () {
    process.stdout.write("ready\n")
    const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
    while (!(yield* Effect.promise(() => lines.next())).done) {
      const cpu = process.cpuUsage()
      commits = 0
      const measured = yield* round
      const { system, user } = process.cpuUsage(cpu)
      process.stdout.write(`${JSON.stringify({ ...measured, cpu: (system + user) / 1000, commits })}\n`)
    }
  }).pipe(Effect.provide(engine.pipe(Layer.provideMerge(store), Layer.provide(clusters))))
})

await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Logger.layer([]))))
process.exit(0)
