/** The client of `/v1` without Effect: what a program of promises sees of a worker's answers and refusals. */
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@inquorate/core/Operation"
import type { Operations } from "@inquorate/core/Operations"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as NodeServer from "../src/server/NodeServer.ts"
import { connect, type Connection, InquorateError } from "../src/promise/Connection.ts"
import { Control, etcd, fence, layer } from "./FakeOperations.ts"

const O = "11111111-1111-4111-8111-111111111111"
const another = "21111111-1111-4111-8111-111111111111"

const at = 1_700_000_000_000
const untilCompleted: ReadonlyArray<Event> = [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [fence] },
  { _tag: "FencesArmed", at },
  { _tag: "LossProven", at, lossBegan: at },
  { _tag: "HoldEnded", at },
  { _tag: "FencesLifted", at },
  { _tag: "RecoveryProven", at }
]
const untilFaulted: ReadonlyArray<Event> = [
  { _tag: "Taken", at },
  { _tag: "StepFailed", at, error: "FABRIC_E_COMMUNICATION_ERROR", retryable: false }
]

const served = <A>(
  test: (
    connection: Connection,
    run: <B>(effect: Effect.Effect<B, never, Control>) => Promise<B>,
    url: string
  ) => Promise<A>
) =>
  Effect.gen(function* () {
    const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
    const context = yield* Effect.context<Operations | Control>()
    return yield* Effect.promise(() => test(connect(url), (effect) => Effect.runPromiseWith(context)(effect), url))
  }).pipe(Effect.scoped, Effect.provide(layer))

const play = (id: string, events: ReadonlyArray<Event>) =>
  Effect.flatMap(Control, (control) => Effect.forEach(events, (event) => control.play(id, event), { discard: true }))

const rejected = async (promise: Promise<unknown>): Promise<InquorateError> => {
  try {
    await promise
  } catch (error) {
    assert.instanceOf(error, InquorateError)
    return error as InquorateError
  }
  throw new Error("it was not rejected")
}

describe("a connection of promises", () => {
  it.live("starts by any name of a partition, and tells every change until the end", () =>
    served(async (connection, run) => {
      const names = ["lab", "lab/kv", "fabric:/lab/kv", etcd.partitionId.toUpperCase()]
      for (const [index, partition] of names.entries()) {
        const id = `${index}1111111-1111-4111-8111-111111111111`
        const loss = await connection.start({ partition, hold: "5s", id })
        assert.strictEqual(loss.id, id)
        const detail = await loss.detail()
        assert.deepInclude(detail.operation.request, { partitionId: etcd.partitionId, hold: 5000 })
        const states: Array<string> = []
        const watching = (async () => {
          for await (const { state } of loss) states.push(state)
        })()
        await run(play(id, untilCompleted))
        await watching
        assert.strictEqual(states.at(-1), "Completed")
        assert.strictEqual((await loss.done).state, "Completed")
      }
    })
  )

  it.live("tells nodes and health, and stops a node by its name", () =>
    served(async (connection) => {
      const names = (await connection.nodes()).map(({ name }) => name)
      assert.includeMembers(names, ["lab-m0", "orders-s2"])
      assert.strictEqual((await connection.health()).state, "Error")
      assert.strictEqual((await connection.health({ partition: etcd.partitionId })).state, "Ok")
      const stopped = await connection.stopNode({ node: "lab-m1", stopFor: "5m", id: O })
      const { request } = (await stopped.detail()).operation
      assert.deepInclude(request, { kind: "NodeTransition", transition: "Stop", nodeName: "lab-m1", duration: 300_000 })
      assert.strictEqual((await rejected(connection.startNode({ node: "nowhere" }))).code, "FABRIC_E_NODE_NOT_FOUND")
      assert.strictEqual((await rejected(connection.stopNode({ node: "lab-m1", stopFor: "5" }))).code, "BadRequest")
    })
  )

  it.live("cancels, and what was cancelled is no error", () =>
    served(async (connection) => {
      const loss = await connection.start({ partition: "lab", holdMs: 5000, id: O })
      assert.include(["RollingBack", "Cancelled"], await loss.cancel())
      assert.strictEqual((await connection.operation(O).detail()).operation.id, O)
    })
  )

  it.live("tells when the loss is proven, and cancels at the end of a scope what runs on", () =>
    served(async (connection, run) => {
      {
        await using loss = await connection.start({ partition: "lab", hold: "5s", id: O })
        const { lost } = loss
        await run(play(O, untilCompleted.slice(0, 4)))
        await lost
        assert.strictEqual((await loss.detail()).state, "Running")
        void (async () => {
          for await (const { state } of connection.operation(O)) if (state === "RollingBack") break
          await run(
            play(O, [
              { _tag: "FencesLifted", at },
              { _tag: "UndoEnded", at, clean: true }
            ])
          )
        })()
      }
      assert.strictEqual((await connection.operation(O).detail()).state, "Cancelled")
    })
  )

  it.live("rejects to tell of a loss that never was", () =>
    served(async (connection, run) => {
      const failing = await connection.start({ partition: "lab", hold: "5s", id: O })
      const faulted = rejected(failing.lost)
      await run(play(O, untilFaulted))
      assert.strictEqual((await faulted).code, "FABRIC_E_COMMUNICATION_ERROR")
      const cancelled = await connection.start({ partition: "lab", hold: "5s", id: another })
      const early = rejected(cancelled.lost)
      await cancelled.cancel()
      assert.deepInclude(await early, { code: "E_ABORT", operationId: another })
    })
  )

  it.live("ends what is watched when the connection's signal is given up", () =>
    served(async (_, __, url) => {
      const controller = new AbortController()
      const connection = connect(url, { signal: controller.signal })
      const loss = await connection.start({ partition: "lab", hold: "5s", id: O })
      const reason = new Error("no longer")
      let thrown: unknown
      try {
        for await (const change of loss) if (change.state === "Running") controller.abort(reason)
      } catch (error) {
        thrown = error
      }
      assert.strictEqual(thrown, reason)
    })
  )

  it.live("rejects what ended Faulted, with the operation's own code", () =>
    served(async (connection, run) => {
      const loss = await connection.start({ partition: "lab", hold: "5s", id: O })
      const failed = rejected(loss.done)
      await run(play(O, untilFaulted))
      const error = await failed
      assert.strictEqual(error.code, "FABRIC_E_COMMUNICATION_ERROR")
      assert.strictEqual(error.operationId, O)
    })
  )

  it.live("names a mistake of the caller's own, before anything is sent", () =>
    served(async (connection) => {
      for (const [options, words] of [
        [{ partition: "lab" }, "hold"],
        [{ partition: "lab", hold: "5" }, '"5"'],
        [{ partition: "lab", holdMs: 1.5 }, "1.5"],
        [{ partition: "lab", holdMs: 1, hold: "1s" }, "either"],
        [{ partition: "elsewhere", holdMs: 1 }, "lab/kv"],
        [{ partition: "lab", holdMs: 1, id: "one" }, "UUID"]
      ] as const) {
        const error = await rejected(connection.start(options))
        assert.strictEqual(error.code, "BadRequest")
        assert.include(error.message, words)
      }
      assert.throws(() => connect("localhost:19080"), /http:\/\/127/)
      assert.deepStrictEqual(await connection.list(), [])
    })
  )

  it.live("has the worker's own code where it says no, and the connection's where nobody answers", () =>
    served(async (connection) => {
      const unknown = await rejected(connection.operation(O).detail())
      assert.strictEqual(unknown.code, "FABRIC_E_KEY_NOT_FOUND")
      assert.strictEqual(unknown.status, 404)
      assert.strictEqual((await rejected(connect("http://127.0.0.1:1").list())).code, "Unreachable")
    })
  )

  it.live("ends a call whose signal was given up, with the signal's own reason", () =>
    served(async (connection) => {
      const reason = new Error("no longer")
      let thrown: unknown
      await connection.list({ signal: AbortSignal.abort(reason) }).catch((error: unknown) => (thrown = error))
      assert.strictEqual(thrown, reason)
    })
  )

  it.live("asks again where a worker is busy or its events are cut, and knows whom it is not", () =>
    served(async (connection, run, url) => {
      await connection.start({ partition: "lab", hold: "5s", id: O })
      let asked = 0
      let cut = 0
      // Whoever stands in between is busy twice, and cuts the events after the first.
      const between = Http.createServer((request, response) => {
        if (request.url === "/v1/clusters" && ++asked < 3) return void response.writeHead(503).end()
        if (request.url === "/elsewhere/v1/clusters") return void response.writeHead(404).end("no such page")
        void fetch(`${url}${request.url}`).then(async (answer) => {
          response.writeHead(answer.status, Object.fromEntries(answer.headers))
          if (!request.url!.endsWith("/events")) return response.end(await answer.text())
          const reader = answer.body!.getReader()
          response.write((await reader.read()).value)
          await reader.cancel()
          cut++
          void run(play(O, untilCompleted)).then(() => response.destroy())
        })
      })
      await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve))
      try {
        const through = `http://127.0.0.1:${(between.address() as AddressInfo).port}`
        assert.lengthOf(await connect(through).clusters(), 2)
        assert.strictEqual(asked, 3)
        assert.strictEqual((await connect(through).operation(O).done).state, "Completed")
        assert.strictEqual(cut, 1)
        const stranger = await rejected(connect(`${through}/elsewhere`).clusters())
        assert.deepInclude(stranger, { code: "NotAWorker", status: 404 })
      } finally {
        between.closeAllConnections()
        between.close()
      }
    })
  )

  it.live("says its token, and what a worker says no with", () =>
    served(async (_, __, url) => {
      const said: Array<string | null> = []
      const listening: typeof fetch = (input, init) => {
        said.push(new Headers(init?.headers).get("authorization"))
        return fetch(input, init)
      }
      const connection = connect(`${url}/`, { token: "secret", fetch: listening })
      await connection.start({ partition: "lab", hold: "5s", id: O })
      const again = await rejected(connection.start({ partition: "lab", hold: "5s", id: another }))
      assert.strictEqual(again.status, 409)
      assert.isNotNull(again.refusal)
      assert.deepStrictEqual(new Set(said), new Set(["Bearer secret"]))
      const wrong = await rejected(
        connection.start({ partition: "lab", hold: "5s", mode: "Nonsense" as "QuorumReplicas" })
      )
      assert.strictEqual(wrong.code, "BadRequest")
    })
  )
})
