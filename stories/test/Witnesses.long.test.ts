/**
 * Goal: the evidence of a loss says what those who depend on the cluster suffered. Method: a real etcd cluster whose
 * witnesses are an HTTP server of this test, which answers 503 while its own PUTs are not acknowledged, and a statement on a
 * real PostgreSQL that needs no etcd; the bundled worker as a process, and `inq show`.
 */
import { randomUUID } from "node:crypto"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

/** How long the shop waits for its own PUT before it answers 503: through a write that a busy machine makes slow. */
const patience = Math.min(4000, Harness.within(2000))

let keys: Harness.World
let orders: Harness.World
let server: http.Server
let worker: Harness.Worker

beforeAll(async () => {
  orders = await Harness.open("postgres", "beside")
  keys = await Harness.open("etcd", "keys")
  server = http.createServer((_, response) => {
    void Harness.writeCommits(keys, patience).then((commits) => response.writeHead(commits ? 200 : 503).end())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const { database, members, password, user } = orders.lab.configuration as unknown as Login
  const login = { user, database, ...(password === undefined ? {} : { password }) }
  const witnesses = [
    { name: "shop", http: `http://127.0.0.1:${port}/`, timeout: "5s" },
    { name: "orders", postgres: { address: members[0]!.address, statement: "select 1", ...login } }
  ]
  const clusters = { keys: { ...(keys.lab.configuration as object), witnesses } }
  const config = Harness.writeConfig(keys, "witnessed.yaml", { clusters })
  worker = await Harness.startWorker(keys, "witnessed.db", { config })
}, Harness.within(180_000))

afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await Harness.close(keys)
  await Harness.close(orders)
}, Harness.within(120_000))

interface Login {
  readonly user: string
  readonly database: string
  readonly password?: unknown
  readonly members: ReadonlyArray<{ readonly address: string }>
}

describe("the witnesses of an etcd loss", () => {
  it(
    "are told apart: one that failed with it, when and what it answered, and one that did not need it",
    async () => {
      const id = randomUUID()
      const partition = await Harness.partitionOf(worker, keys)
      await Harness.startLoss(worker, keys, { id, partition, seconds: 6, mode: "QuorumReplicas" })
      assert.strictEqual((await Harness.ended(worker, id)).State, "Completed")
      const seen = async () => (await Harness.detail(worker, id)).evidence.witnesses ?? []
      await Harness.until("the shop is back", 30_000, async () =>
        (await seen()).some(({ outages, witness }) => witness === "shop" && outages.at(-1)?.until != null)
      )
      const { phases } = (await Harness.detail(worker, id)).evidence
      const witnesses = new Map((await seen()).map((one) => [one.witness, one]))
      const [outage, ...more] = witnesses.get("shop")!.outages
      assert.deepStrictEqual(more, [])
      assert.include(outage!.said.join(), "HTTP 503")
      const arming = phases.find(({ phase }) => phase === "Arming")!.began
      const lifting = phases.find(({ phase }) => phase === "Lifting")!.began
      // A question that was open when the fences came may have been sent before them.
      assert.isAtLeast(outage!.from, arming - patience)
      assert.isAtLeast(outage!.until!, lifting)
      assert.deepStrictEqual(witnesses.get("orders")!.outages, [])
      assert.isAtLeast(witnesses.get("orders")!.asked, 1)
      const { stdout } = await Harness.inq("show", id, "--endpoint", worker.endpoint)
      assert.match(
        stdout,
        /shop {2}asked \d+ times, did not serve \d+ times\n.*failed first .*, back .*answered: HTTP 503/
      )
      assert.match(stdout, /orders {2}asked \d+ times, served each time/)
    },
    Harness.within(90_000)
  )
})
