/**
 * Goal: a test without Effect has a Service Fabric cluster for the length of a scope. Method: one such cluster is
 * called over HTTP, by what Microsoft's generated clients send, byte for byte in target and query, and by the promise
 * client of `/v1`.
 */
import { connect } from "@inquorate/transport/Promise"
import { assert, describe, it } from "vitest"
import { EmulatorError, type EmulatorOptions, startEmulator } from "../src/promise/RunningEmulator.ts"

const get = async (url: string) => {
  const answer = await fetch(url)
  assert.strictEqual(answer.status, 200, url)
  return (await answer.json()) as Record<string, unknown>
}

const refusedWith = async (options: EmulatorOptions): Promise<EmulatorError> => {
  const started = await startEmulator(options).catch((error: unknown) => error)
  assert.instanceOf(started, EmulatorError)
  return started as EmulatorError
}

describe("an emulator within a test", () => {
  it("takes what Microsoft's clients send, and shows the loss while it is held", async () => {
    await using cluster = await startEmulator({ speed: 20 })
    const orders = cluster.partitions.find(({ name }) => name === "Shop/Orders")!
    assert.deepInclude(orders, { serviceName: "fabric:/Shop/Orders", serviceId: "Shop~Orders" })
    const id = crypto.randomUUID()
    const fault = `${cluster.url}/Faults/Services/Shop~Orders/$/GetPartitions/${orders.id}/$`
    const started = await fetch(
      `${fault}/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=60&timeout=60`,
      { method: "POST" }
    )
    assert.strictEqual(started.status, 202)
    const operation = connect(cluster.url).operation(id)
    await operation.lost
    const partition = await get(`${cluster.url}/Partitions/${orders.id}?api-version=6.0&timeout=60`)
    assert.strictEqual(partition.PartitionStatus, "InQuorumLoss")
    const cancelled = await fetch(`${cluster.url}/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=false`, {
      method: "POST"
    })
    assert.strictEqual(cancelled.status, 200)
    assert.strictEqual((await operation.done).state, "Cancelled")
    const progress = await get(`${fault}/GetQuorumLossProgress?api-version=6.0&OperationId=${id}`)
    assert.strictEqual(progress.State, "Cancelled")
  })

  it("has the cluster that was asked for, with the same ids for the same seed, beside others", async () => {
    const layout = {
      nodes: 3,
      applications: { Store: { services: { Keys: { partitions: 2 }, Web: { kind: "stateless" } } } }
    } as const
    await using first = await startEmulator({ layout, seed: 7 })
    await using second = await startEmulator({ layout, seed: 7, speed: 20 })
    await using other = await startEmulator({ layout, seed: 8 })
    assert.deepStrictEqual(first.nodes, ["_Node_0", "_Node_1", "_Node_2"])
    assert.deepStrictEqual(
      first.partitions.map(({ name }) => name),
      ["Store/Keys.0", "Store/Keys.1", "Store/Web"]
    )
    assert.deepStrictEqual(second.partitions, first.partitions)
    assert.notStrictEqual(other.partitions[0]!.id, first.partitions[0]!.id)
    assert.notStrictEqual(second.port, first.port)
    const loss = await connect(second.url).start({ partition: "Store/Keys.1", hold: "100ms" })
    const { sentence, state } = await loss.done
    assert.strictEqual(state, "Completed")
    assert.match(sentence, /No write was acknowledged for/)
    assert.deepStrictEqual(await connect(first.url).list(), [])
  })

  it("is gone with its scope, however often it is stopped", async () => {
    const { stop, url } = await startEmulator()
    await get(`${url}/$/GetClusterHealth?api-version=6.0`)
    await Promise.all([stop(), stop()])
    const answered = await fetch(url).catch((error: unknown) => error)
    assert.instanceOf(answered, TypeError)
  })

  it("tells its log to who asks for it", async () => {
    const lines: Array<string> = []
    await using cluster = await startEmulator({
      layout: { nodes: 1, applications: {} },
      log: (line) => lines.push(line)
    })
    await using taken = await startEmulator({ host: "127.0.0.1" })
    assert.notStrictEqual(cluster.port, taken.port)
    const error = await refusedWith({ port: cluster.port })
    assert.strictEqual(error.code, "CannotListen")
    assert.include(error.message, `127.0.0.1:${cluster.port}`)
  })

  it("names every mistake of the caller's own by its place", async () => {
    for (const [options, ...words] of [
      [{ layout: { nodes: 3, applications: { A: { services: { S: { replicas: 5 } } } } } }, "layout: A/S: 5 replicas"],
      [
        { layout: { nodes: 0, applications: { A: { services: { S: { kind: "statless" } } } } } },
        "layout.nodes",
        "layout.applications.A.services.S.kind"
      ],
      [{ layout: {} }, "layout.applications"],
      [{ sed: 1 }, "sed"],
      [{ seed: 1.5, speed: 0, port: -1 }, "seed", "speed", "port"],
      [{ speed: Number.NaN }, "speed"]
    ] as ReadonlyArray<readonly [unknown, ...ReadonlyArray<string>]>) {
      const error = await refusedWith(options as EmulatorOptions)
      assert.strictEqual(error.code, "BadRequest")
      for (const word of words) assert.include(error.message, word)
    }
  })
})
