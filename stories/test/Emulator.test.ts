/**
 * Goal: a Service Fabric user tries tooling against a worker that needs no cluster, no configuration and no rights, and
 * everything is gone when it ends. Method: the bundled worker with `--emulator`, and `inq`; what Microsoft's own client makes
 * of it is in `Conformance.long.test.ts`.
 */
import { readdirSync, rmSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { type Emulator, ids, start, temporary, tidy } from "./SimulatedWorker.ts"

tidy()

describe("a worker that serves a simulated cluster", () => {
  let emulator: Emulator

  beforeAll(async () => {
    emulator = await start(["--speed", "10", "--seed", "7"])
  }, Harness.within(30_000))

  afterAll(async () => {
    emulator.child.kill("SIGKILL")
    await emulator.ended
  })

  it(
    "is browsed and broken by inq like any cluster, one partition of several too",
    async () => {
      const listed = await Harness.startInq(["partitions", "--endpoint", emulator.endpoint]).done
      assert.match(listed.stdout, /Shop\/Ledger\.3 /)
      const started = await Harness.startInq([
        "start",
        "Shop/Ledger.3",
        "--duration",
        "1s",
        "--watch",
        "--endpoint",
        emulator.endpoint
      ]).done
      assert.strictEqual(started.code, 0, started.stdout + started.stderr)
      assert.match(started.stdout, /Hold: Confirmed[^]*Recovery: Confirmed[^]*ended Completed/)
    },
    Harness.within(60_000)
  )

  it(
    "has the same ids for the same seed, others for another, and leaves nothing when it ends",
    async () => {
      const again = await start(["--seed", "7"])
      const other = await start(["--seed", "8"])
      const strip = (value: unknown) => JSON.stringify(value).match(/"Id":"[^"]*"/g)
      try {
        assert.deepStrictEqual(strip(await ids(again)), strip(await ids(emulator)))
        assert.notDeepEqual(strip(await ids(other)), strip(await ids(emulator)))
        assert.strictEqual(readdirSync(temporary).length, 3)
      } finally {
        again.child.kill("SIGTERM")
        other.child.kill("SIGTERM")
      }
      assert.deepStrictEqual(await Promise.all([again.ended, other.ended]), [0, 0])
      assert.strictEqual(readdirSync(temporary).length, 1)
    },
    Harness.within(60_000)
  )

  it(
    "is reached by any name where it was told to, and is made of what a file says",
    async () => {
      const layout = path.join(temporary, "layout.yaml")
      writeFileSync(
        layout,
        "nodes: 3\napplications: { Tiny: { services: { One: { replicas: 1, kind: volatile } } } }\n"
      )
      const tiny = await start(["--listen", "0.0.0.0:0", "--any-host", "--layout", layout])
      try {
        const port = new URL(tiny.endpoint).port
        const page = await new Promise<string>((resolve, reject) => {
          const headers = { host: "emulator.example", origin: "http://page.example", "sec-fetch-site": "cross-site" }
          const at = { host: "127.0.0.1", port, path: "/Applications?api-version=6.1", headers }
          http
            .get(at, (answer) => {
              let body = ""
              answer.on("data", (data: Buffer) => (body += data.toString()))
              answer.on("end", () => resolve(`${answer.statusCode} ${body}`))
            })
            .on("error", reject)
        })
        assert.match(page, /^200 .*"fabric:\/Tiny"/)
      } finally {
        tiny.child.kill("SIGTERM")
        await tiny.ended
      }
      rmSync(layout)
    },
    Harness.within(60_000)
  )
})
