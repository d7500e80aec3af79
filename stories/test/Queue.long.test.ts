/**
 * Goal: five hundred operations at once are taken in, each comes to its end, none is lost, and callers are answered
 * meanwhile. Method: real etcd, one worker that runs a hundred at once and one that runs one at a time.
 */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const many = 500
const answerMost = Harness.within(2000)

let world: Harness.World
let partition: string

beforeAll(async () => {
  world = await Harness.open("etcd", "queue")
  const worker = await Harness.startWorker(world, "first.db")
  partition = await Harness.partitionOf(worker, world)
  worker.kill("SIGTERM")
  await worker.ended
}, Harness.within(120_000))

afterAll(() => Harness.close(world), Harness.within(60_000))

interface Asked {
  readonly id: string
  readonly seconds: number
  readonly service: string
  readonly partition: string
}

/** Starts them in order, few at a time as a client with a handful of connections does. */
const startAll = async (worker: Harness.Worker, asked: ReadonlyArray<Asked>): Promise<void> => {
  for (let index = 0; index < asked.length; index += 20) {
    const answers = await Promise.all(
      asked.slice(index, index + 20).map((one) => Harness.startLoss(worker, world, one))
    )
    assert.isTrue(answers.every(({ status }) => status === 202))
  }
}

/** Waits for every end, and asks all the while for things that must be answered. */
const untilAllEnded = async (worker: Harness.Worker, asked: ReadonlyArray<Asked>): Promise<void> => {
  await Harness.until("every end", 90_000, async () => {
    for (const at of ["/healthz", "/v1/clusters", `/v1/operations/${asked[many - 1]!.id}`]) {
      const began = Date.now()
      assert.strictEqual((await Harness.call(worker, "GET", at)).status, 200)
      assert.isBelow(Date.now() - began, answerMost, at)
    }
    const list = await Harness.operations(worker)
    assert.lengthOf(list, many)
    return list.every(({ State }) => State !== "Running" && State !== "RollingBack")
  })
}

const idsOf = async (worker: Harness.Worker, filter: string): Promise<ReadonlyArray<string>> =>
  (await Harness.operations(worker, filter)).map(({ OperationId }) => OperationId)

const assertNoneLost = async (worker: Harness.Worker, asked: ReadonlyArray<Asked>): Promise<void> => {
  const all = asked.map(({ id }) => id)
  assert.sameMembers([...(await idsOf(worker, ""))], all)
  const byState = await Promise.all([1, 2, 8, 16, 32, 64].map((bit) => idsOf(worker, `&StateFilter=${bit}`)))
  assert.deepStrictEqual(byState[0], [])
  assert.deepStrictEqual(byState[1], [])
  assert.sameMembers(byState.flat(), all)
  assert.sameMembers([...(await idsOf(worker, "&TypeFilter=2"))], all)
  assert.deepStrictEqual(await idsOf(worker, "&TypeFilter=1"), [])
}

describe("five hundred operations", () => {
  it(
    "at once, fifty of them on the partition that one holds: one Completed, the others Faulted",
    async () => {
      const worker = await Harness.startWorker(world, "wide.db")
      const first: Asked = { id: randomUUID(), seconds: 6, service: "queue~raft", partition }
      const rest = Array.from({ length: many - 1 }, (_, index): Asked => {
        const here = index % 10 === 0
        return { id: randomUUID(), seconds: 1, service: here ? "queue~raft" : `nowhere-${index}~raft`, partition }
      })
      const asked = [first, ...rest]
      await startAll(worker, [first])
      await Harness.holding(worker, first.id)
      await startAll(worker, rest)
      await untilAllEnded(worker, asked)
      await assertNoneLost(worker, asked)
      assert.strictEqual((await Harness.progress(worker, first.id)).State, "Completed")
      for (const { id, service } of rest.filter((_, index) => index % 5 === 0)) {
        const { InvokeQuorumLossResult, State } = await Harness.progress(worker, id)
        // One that was looked up only after the first had ended finds the partition free.
        if (State === "Completed") continue
        assert.strictEqual(State, "Faulted")
        const { refusals } = (await Harness.detail(worker, id)).evidence
        const onIt = service === "queue~raft"
        assert.strictEqual(refusals[0]!._tag, onIt ? "Busy" : "UnknownService")
        assert.strictEqual(InvokeQuorumLossResult!.ErrorCode, onIt ? -2147017731 : -2147017779)
      }
      worker.kill("SIGTERM")
      assert.strictEqual(await worker.ended, 0)
      assert.isTrue(Harness.nothingStopped(world))
    },
    Harness.within(120_000)
  )

  it(
    "one at a time wait their turn in the order they came, and show Running until then",
    async () => {
      const config = Harness.writeConfig(world, "narrow.yaml", {
        limits: { concurrency: 1 },
        clusters: { queue: world.lab.configuration }
      })
      const worker = await Harness.startWorker(world, "narrow.db", { config })
      const asked = Array.from({ length: many }, (_, index): Asked => {
        const here = index === 0 || index === 250 || index === many - 1
        return { id: randomUUID(), seconds: here ? 1 : 0, service: here ? "queue~raft" : "nowhere~raft", partition }
      })
      await startAll(worker, asked)
      assert.strictEqual((await Harness.progress(worker, asked[many - 1]!.id)).State, "Running")
      await untilAllEnded(worker, asked)
      await assertNoneLost(worker, asked)
      for (const index of [0, 250, many - 1]) {
        assert.strictEqual((await Harness.progress(worker, asked[index]!.id)).State, "Completed")
      }
      assert.lengthOf(await idsOf(worker, "&StateFilter=16"), many - 3)
      worker.kill("SIGTERM")
      assert.strictEqual(await worker.ended, 0)
    },
    Harness.within(120_000)
  )
})
