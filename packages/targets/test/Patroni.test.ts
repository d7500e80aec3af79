/**
 * What Patroni says of itself, in answers recorded from 3.0.2 and 4.0.7, and the longest honest hold that follows.
 */
import { assert, describe, it } from "@effect/vitest"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Member, Topology } from "@inquorate/core/Topology"
import * as Patroni from "../src/Patroni.ts"
import * as PostgresPatroni from "../src/PostgresPatroni.ts"

// Patroni 4.0.7, synchronous_mode: quorum, three members.
const cluster4 =
  '{"members": [{"name": "pg0", "role": "quorum_standby", "state": "streaming", "api_url": "http://127.0.0.1:24100/patroni", "host": "127.0.0.1", "port": 24130, "timeline": 1, "lag": 0}, {"name": "pg1", "role": "leader", "state": "running", "api_url": "http://127.0.0.1:24101/patroni", "host": "127.0.0.1", "port": 24131, "timeline": 1}, {"name": "pg2", "role": "quorum_standby", "state": "streaming", "api_url": "http://127.0.0.1:24102/patroni", "host": "127.0.0.1", "port": 24132, "timeline": 1, "lag": 0}], "scope": "lab"}'
const config4 =
  '{"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "synchronous_mode": "quorum", "synchronous_mode_strict": false, "synchronous_node_count": 1, "postgresql": {"use_pg_rewind": false, "parameters": {"max_connections": 40, "shared_buffers": "16MB"}}}'
// Patroni 3.0.2, synchronous_mode: true.
const cluster3 =
  '{"members": [{"name": "pg0", "role": "sync_standby", "state": "running", "api_url": "http://127.0.0.1:24000/patroni", "host": "127.0.0.1", "port": 24030, "timeline": 1, "lag": 0}, {"name": "pg1", "role": "replica", "state": "running", "api_url": "http://127.0.0.1:24001/patroni", "host": "127.0.0.1", "port": 24031, "timeline": 1, "lag": 0}, {"name": "pg2", "role": "leader", "state": "running", "api_url": "http://127.0.0.1:24002/patroni", "host": "127.0.0.1", "port": 24032, "timeline": 1}]}'
const config3 =
  '{"ttl": 30, "loop_wait": 10, "retry_timeout": 10, "synchronous_mode": true, "synchronous_mode_strict": false, "synchronous_node_count": 1, "postgresql": {"use_pg_rewind": false, "parameters": {"max_connections": 40, "shared_buffers": "16MB"}}}'

const read = (cluster: string, config: string) => Result.getOrThrow(Patroni.parse(cluster, config))

const member = (name: string, counts: boolean): Member => ({
  name,
  node: name,
  address: `${name}:5432`,
  role: counts ? "ActiveSecondary" : "Primary",
  counts,
  up: true,
  cuttable: counts ? "Always" : "Never",
  process: null,
  processProblem: ""
})

const group = (counting: ReadonlyArray<string>, all = ["pg0", "pg1", "pg2"]): Topology => ({
  cluster: "orders",
  system: "postgres",
  group: "quorum",
  partitionId: "00000000-0000-4000-8000-000000000001",
  observedAt: 0,
  needed: 1,
  rule: "ANY 1 (pg0, pg2)",
  members: all.map((name) => member(name, counting.includes(name)))
})

describe("what Patroni answers", () => {
  it("gives members, roles and the settings that count, of both releases", () => {
    const four = read(cluster4, config4)
    assert.deepInclude(four, { mode: "Quorum", strict: false, ttl: 30_000, loopWait: 10_000, paused: false })
    assert.strictEqual(
      Patroni.inWords(four.members),
      "pg0 quorum standby streaming, pg1 leader running, pg2 quorum standby streaming"
    )
    assert.deepInclude(read(cluster3, config3), { mode: "On", strict: false })
  })

  it("may leave out what has its default, and write switches in words", () => {
    assert.deepInclude(read(cluster3, "{}"), { mode: "Off", ttl: 30_000, loopWait: 10_000, failsafe: false })
    const words = read(
      cluster3,
      '{"synchronous_mode": "on", "synchronous_mode_strict": "true", "failsafe_mode": "yes"}'
    )
    assert.deepInclude(words, { mode: "On", strict: true, failsafe: true })
    const paused = read(cluster4.replace('"scope"', '"pause": true, "scope"'), config4)
    assert.isTrue(paused.paused)
  })

  it("is a sentence where it is not of its form", () => {
    for (const nonsense of ["", "<html>", "[]", '{"members": 1}']) {
      const why = Result.getOrThrow(Result.flip(Patroni.parse(nonsense, config4)))
      assert.include(why, "/cluster")
    }
  })
})

describe("the patience of Patroni", () => {
  it("without strict mode is its ttl less two loops, since the key may be that old", () => {
    const [one, ...more] = Patroni.supervisors(read(cluster4, config4), group(["pg0", "pg2"]))
    assert.deepStrictEqual(more, [])
    assert.deepInclude(one, { watches: "quorum", patience: 10_000, reaction: "EmptiesQuorum" })
    assert.include(one?.source, "Patroni's ttl (30 s")
    const short = read(cluster4, config4.replace('"ttl": 30', '"ttl": 20').replace('"loop_wait": 10', '"loop_wait": 2'))
    assert.strictEqual(Patroni.supervisors(short, group(["pg0", "pg2"]))[0]?.patience, 16_000)
  })

  it("in strict mode has no end, unless another standby can take the place of one that counts", () => {
    const strict = read(
      cluster4,
      config4.replace('"synchronous_mode_strict": false', '"synchronous_mode_strict": true')
    )
    assert.deepStrictEqual(Patroni.supervisors(strict, group(["pg0", "pg2"])), [])
    const [one] = Patroni.supervisors(strict, group(["pg0"]))
    assert.include(one?.source, "lets pg2 take the place")
  })

  it("is nobody's where it leaves the parameter alone", () => {
    const off = read(cluster4, config4.replace('"quorum"', "false"))
    assert.deepStrictEqual(Patroni.supervisors(off, group(["pg0", "pg2"])), [])
    const paused = { ...read(cluster4, config4), paused: true }
    assert.deepStrictEqual(Patroni.supervisors(paused, group(["pg0", "pg2"])), [])
  })

  it("is taken by its defaults where Patroni says nothing", () => {
    const silent = PostgresPatroni.beside(group(["pg0"]), Result.fail("Patroni at http://p says nothing: refused"))
    assert.strictEqual(silent.supervisors?.[0]?.patience, 10_000)
    assert.include(silent.supervisors?.[0]?.source, "says nothing")
    assert.isUndefined(PostgresPatroni.beside(group(["pg0"]), null).supervisors)
  })

  it("comes with members that only one of the two knows", () => {
    const seen = PostgresPatroni.beside(
      group(["pg0"], ["pg0", "pg1", "other"]),
      Result.succeed(read(cluster4, config4))
    )
    const said = seen.warnings?.join("\n") ?? ""
    assert.include(said, "pg2 that is not configured")
    assert.include(said, "other is configured here")
  })
})

describe("Patroni's API", () => {
  const serve = (listener: http.RequestListener) =>
    Effect.acquireRelease(
      Effect.callback<http.Server>((resume) => {
        const server = http.createServer(listener)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => (server.closeAllConnections(), void server.close()))
    ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  const patroni: http.RequestListener = ({ url }, response) =>
    void response.end(url === "/cluster" ? cluster4 : config4)

  it.live("is asked at the next address where one does not answer", () =>
    Effect.gen(function* () {
      const api = yield* serve(patroni)
      const looked = yield* Patroni.look(["http://127.0.0.1:1", api], 2000)
      assert.strictEqual(looked.mode, "Quorum")
      const why = yield* Effect.flip(Patroni.look("http://127.0.0.1:1", 2000))
      assert.include(why, "says nothing")
    }).pipe(Effect.scoped)
  )

  it.live("gets user and password where it asks for them", () =>
    Effect.gen(function* () {
      const expected = `Basic ${Buffer.from("reader:secret").toString("base64")}`
      const api = yield* serve((request, response) => {
        if (request.headers.authorization === expected) return patroni(request, response)
        response.writeHead(401).end()
      })
      assert.include(yield* Effect.flip(Patroni.look(api, 2000)), "HTTP 401: name user and password")
      process.env["INQUORATE_TEST_PATRONI"] = "secret"
      const looked = yield* Patroni.look({ api, user: "reader", password: { env: "INQUORATE_TEST_PATRONI" } }, 2000)
      assert.strictEqual(looked.ttl, 30_000)
    }).pipe(Effect.scoped)
  )

  it.live("that never ends is given up", () =>
    Effect.gen(function* () {
      const api = yield* serve((_, response) => void response.write("{"))
      assert.include(yield* Effect.flip(Patroni.look(api, 100)), "no answer within 100 ms")
      const huge = yield* serve((_, response) => void response.end(" ".repeat(1024 * 1024)))
      assert.include(yield* Effect.flip(Patroni.look(huge, 5000)), "more than")
    }).pipe(Effect.scoped)
  )

  it.live("tells roles and what commits wait for, as a witness", () =>
    Effect.gen(function* () {
      const api = yield* serve(patroni)
      const { ask } = PostgresPatroni.witness(api, (leader) =>
        Effect.succeed(leader === "pg1" ? "ANY 1 (pg0,pg2)" : null)
      )
      const answer = yield* ask
      assert.strictEqual(answer._tag, "Serves")
      assert.include(answer.detail, "pg1 leader running")
      assert.include(answer.detail, "synchronous_standby_names 'ANY 1 (pg0,pg2)'")
    }).pipe(Effect.scoped)
  )
})
