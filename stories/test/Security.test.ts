/**
 * Goal: a worker that is reached over TLS knows its callers. An Admin may start, a User may only look, everybody else
 * is sent away, each told so in words. Method: the bundled worker and `inq` on a real PostgreSQL group, with certificates
 * that are made for the run.
 */
import * as net from "node:net"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { as, inq, onOneLab, startAs, worker } from "./SecureWorker.ts"

onOneLab()

describe("a worker that knows its callers, through inq", () => {
  it(
    "lets an Admin certificate start, and proves the loss",
    async () => {
      assert.match(worker.endpoint, /^https:/)
      assert.notInclude(worker.log(), "without authentication")
      const ran = await startAs(...as("admin"))
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.match(ran.stdout, /ended Completed/)
    },
    Harness.within(60_000)
  )

  it(
    "lets a User certificate look, and start nothing",
    async () => {
      for (const command of [["partitions"], ["clusters"], ["list"], ["plan", "vault"]]) {
        const ran = await inq(...command, ...as("user"))
        assert.strictEqual(ran.code, 0, ran.stderr)
      }
      const ran = await startAs(...as("user"))
      assert.strictEqual(ran.code, 3)
      assert.match(ran.stderr, /^inq: start: .*needs the role Admin.*\(E_ACCESSDENIED\)\n$/)
      const listed = await inq("list", "--output", "json", ...as("user"))
      assert.strictEqual((JSON.parse(listed.stdout) as ReadonlyArray<unknown>).length, 1)
    },
    Harness.within(60_000)
  )

  it(
    "sends everybody else away, and says why",
    async () => {
      for (const [who, code, words] of [
        [[], 3, /No client certificate was sent\. \(E_ACCESSDENIED\)/],
        [as("stranger"), 3, /stranger \([0-9A-F]{40}\) is not on this worker's lists/],
        [as("expired"), 3, /admin \([0-9A-F]{40}\) expired at/]
      ] as const) {
        const ran = await inq("partitions", ...who)
        assert.deepStrictEqual([ran.code, ran.stdout], [code, ""])
        assert.match(ran.stderr, words)
      }
    },
    Harness.within(60_000)
  )

  it(
    "outlives callers that speak no TLS, none of ours, or nothing",
    async () => {
      const port = Number(new URL(worker.endpoint).port)
      const silent = Array.from({ length: 100 }, () => net.connect(port, "127.0.0.1"))
      for (const socket of silent) socket.on("error", () => undefined)
      await Promise.all(
        ["GET / HTTP/1.1\r\n\r\n", "\u0016\u0003\u0001", "\u0000".repeat(70_000)].map(
          (text) =>
            new Promise<void>((resolve) => {
              const socket = net.connect(port, "127.0.0.1", () => socket.end(text, "latin1"))
              socket.on("error", () => undefined)
              socket.on("close", () => resolve())
              socket.resume()
            })
        )
      )
      assert.strictEqual((await inq("list", ...as("user"))).code, 0)
      for (const socket of silent) socket.destroy()
      assert.notMatch(worker.log(), /unhandled|uncaught|FATAL/i)
    },
    Harness.within(60_000)
  )
})
