import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import type { Target, TargetError } from "@inquorate/core/Target"
import { health, type Member, type Topology } from "@inquorate/core/Topology"
import { targetContract } from "@inquorate/testkit/TargetContract"
import { within } from "@inquorate/testkit/Pace"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { Client } from "pg"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"

const noBinaries = PostgresBinaries.find(PostgresBinaries.usualSearch(null)) === undefined
const skip = noBinaries ? `no PostgreSQL here; npm install ${PostgresBinaries.npmPackage}` : undefined

const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-targets-"))
process.env["INQUORATE_LAB_STATE"] = state
let lab: LabRecord

beforeAll(async () => {
  if (skip === undefined) lab = await Effect.runPromise(Lab.up({ system: "postgres", name: "target" }))
})

afterAll(async () => {
  await Effect.runPromise(Lab.down("target"))
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})

type Settings = typeof PostgresSettings.Encoded

const labSettings = (): Settings => {
  const { system: _, ...settings } = lab.configuration as Settings & { readonly system: string }
  return settings
}

const hosts = new Map([["local", LocalHost.make("local")]])

/** As a role whose password is its name. */
const as = (user: string) => ({ ...labSettings(), user, password: user })

const openWith = (settings: unknown): Effect.Effect<Target, TargetError, Scope.Scope> =>
  Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(PostgresSettings)(settings)), (decoded) =>
    postgres.make("orders", decoded, hosts)
  )

/** The lab's target with the means to stop members; every stopped process is let go when the scope ends. */
const openLab = Effect.gen(function* () {
  const target = yield* openWith(labSettings())
  const tree = yield* ProcessTree.pausing
  const pause = Effect.fnUntraced(function* (members: ReadonlyArray<Pick<Member, "name">>) {
    const roots = lab.members.filter(({ name }) => members.some((member) => member.name === name))
    assert.strictEqual(roots.length, members.length)
    yield* tree.pause(roots)
  })
  return { target, group: "quorum", pause, resume: tree.resume }
})

targetContract("a PostgreSQL quorum group", openLab, { skip })

const withClient = <A>(use: (client: Client) => Promise<A>, member = lab.members[0]!): Effect.Effect<A> =>
  Effect.promise(async () => {
    const [host, port] = member.address.split(":")
    const password = fs.readFileSync(path.join(state, "target", "password"), "utf8").trim()
    const client = new Client({ host, port: Number(port), user: "postgres", database: "postgres", password })
    await client.connect()
    try {
      return await use(client)
    } finally {
      await client.end()
    }
  })

const backends = (client: Client, like: string, waitEvent = "%"): Promise<ReadonlyArray<number>> =>
  client
    .query<{ pid: number }>(
      "select pid from pg_stat_activity where application_name like $1 and coalesce(wait_event, '') like $2",
      [like, waitEvent]
    )
    .then(({ rows }) => rows.map(({ pid }) => pid))

/** Repeats a look at the world, not a sleep, until it shows what is expected. */
const eventually = <A>(look: Effect.Effect<A>, until: (value: A) => boolean): Effect.Effect<A> =>
  Effect.timeoutOrElse(Effect.repeat(look, { until, schedule: Schedule.spaced(20) }), {
    duration: within(10_000),
    orElse: () => Effect.flatMap(look, (last) => Effect.die(new Error(`still ${JSON.stringify(last)}`)))
  })

/** The product waits for a server or a host as long as is usual. On a busy machine one may be late: then we look again. */
const isLate = (detail: string): boolean => /(within \d+ ms|in time)/.test(detail)

const look = (target: Target, until: (seen: Topology) => boolean = () => true): Effect.Effect<Topology> =>
  eventually(
    Effect.result(target.discover),
    (seen) =>
      Result.isSuccess(seen) &&
      seen.success[0]!.members.every(({ processProblem }) => !isLate(processProblem)) &&
      until(seen.success[0]!)
  ).pipe(Effect.map((seen) => Result.getOrThrow(seen)[0]!))

const whole = Effect.flatMap(openLab, ({ target }) => look(target))

describe.skipIf(skip !== undefined)("a PostgreSQL cluster", () => {
  it.live("is one group whose voters are the listed standbys, with the primary spared", () =>
    Effect.gen(function* () {
      const topology = yield* whole
      assert.strictEqual(topology.rule, "ANY 1 (s1, s2)")
      assert.strictEqual(topology.needed, 1)
      assert.deepStrictEqual(
        topology.members.map(({ counts, cuttable, name, node, role, up }) => [name, node, role, counts, cuttable, up]),
        [
          ["p", "orders-p", "Primary", false, "OnlyInAllReplicas", true],
          ["s1", "orders-s1", "ActiveSecondary", true, "Always", true],
          ["s2", "orders-s2", "ActiveSecondary", true, "Always", true]
        ]
      )
      for (const [index, { process }] of topology.members.entries()) {
        const { dataDirectory, pid, startTime } = lab.members[index]!
        assert.deepInclude(process, { host: "local", pid, startTime, dataDirectory })
      }
    })
  )

  it.live("still acknowledges with one standby stopped, and says which one is down", () =>
    Effect.gen(function* () {
      const { pause, resume, target } = yield* openLab
      yield* look(target)
      yield* pause([{ name: "s2" }])
      const topology = yield* look(
        target,
        ({ members }) =>
          members
            .filter(({ up }) => !up)
            .map(({ name }) => name)
            .join() === "s2"
      )
      assert.strictEqual(health(topology), "Degraded")
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
      yield* resume
    })
  )

  it.live("keeps at most four writes unanswered, reuses their connections, and leaves no backend behind", () =>
    Effect.gen(function* () {
      const { pause, resume, target } = yield* openLab
      yield* Effect.scoped(
        Effect.gen(function* () {
          const probe = yield* target.probe("quorum")
          const write = probe.write(probe.endpoints[0]!)
          // One that is given up before its connection is there is never sent, and leaves that connection to the next.
          const giveUpOnceWaiting = Effect.fnUntraced(function* (count: number) {
            const given = yield* Effect.forkChild(write)
            yield* eventually(
              withClient((client) => backends(client, "inquorate-probe-%", "SyncRep")),
              ({ length }) => length === count
            )
            yield* Fiber.interrupt(given)
          })
          yield* pause([{ name: "s1" }, { name: "s2" }])
          for (const count of [1, 2, 3, 4]) yield* giveUpOnceWaiting(count)
          const fifth = yield* Effect.timeout(write, within(10_000))
          assert.deepStrictEqual(fifth, { _tag: "Unknown", detail: "4 writes still unanswered" })
          const { detail } = yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
          assert.strictEqual(detail, "primary: 4 commits wait on SyncRep")
          const held = yield* withClient((client) => backends(client, "inquorate-probe-%"))
          yield* resume
          yield* eventually(write, ({ _tag }) => _tag === "Acknowledged")
          const after = yield* withClient((client) => backends(client, "inquorate-probe-%"))
          assert.isTrue(
            after.every((pid) => held.includes(pid)),
            "a new connection was made though others were free"
          )
          yield* pause([{ name: "s1" }, { name: "s2" }])
          yield* giveUpOnceWaiting(1)
        })
      )
      // Closed while its write hung and the standbys still stand: the backend is ended, not left to wait.
      const left = withClient((client) => backends(client, "inquorate-probe-%"))
      yield* eventually(left, (pids) => pids.length === 0)
      yield* resume
    })
  )

  it.live("does not take a commit that someone cancelled for an acknowledgement", () =>
    Effect.gen(function* () {
      const { pause, resume, target } = yield* openLab
      const probe = yield* target.probe("quorum")
      yield* pause([{ name: "s1" }, { name: "s2" }])
      const hanging = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
      yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
      yield* withClient((client) =>
        client.query(
          "select pg_cancel_backend(pid) from pg_stat_activity where application_name like 'inquorate-probe-%'"
        )
      )
      const outcome = yield* Fiber.join(hanging)
      yield* resume
      assert.strictEqual(outcome._tag, "Unknown", JSON.stringify(outcome))
      assert.include(JSON.stringify(outcome), "01000")
    })
  )

  it.live("acknowledges no write that goes to a standby or to an endpoint that is not there", () =>
    Effect.gen(function* () {
      const { target } = yield* openLab
      const probe = yield* target.probe("quorum")
      const toStandby = yield* probe.write(lab.members[1]!.address)
      assert.notStrictEqual(toStandby._tag, "Acknowledged")
      assert.include(JSON.stringify(toStandby), "recovery")
      const nowhere = yield* probe.write(yield* closedAddress)
      assert.strictEqual(nowhere._tag, "Unknown")
      assert.include(JSON.stringify(nowhere), "ECONNREFUSED")
    })
  )

  it.live("needs a user with pg_monitor, and tells one without it what is missing", () =>
    Effect.gen(function* () {
      yield* withClient((client) => client.query("create role watcher login password 'watcher' in role pg_monitor"))
      yield* withClient((client) => client.query("create role stranger login password 'stranger'"))
      const target = yield* openWith(as("watcher"))
      // A standby may learn of the role a moment after the commit that another one acknowledged.
      const topology = yield* look(target, ({ members }) =>
        members.every(({ processProblem }) => processProblem === "")
      )
      assert.strictEqual(health(topology), "Healthy")
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
      const error = yield* eventually(errorOf(as("stranger")), ({ detail }) => !detail.includes("authentication"))
      assert.strictEqual(error.reason, "Misconfigured")
      assert.include(error.detail, "pg_monitor")
    })
  )

  it.live("leaves no connection behind when its target is closed", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(whole)
      const all = Effect.forEach(lab.members, (member) =>
        withClient((client) => backends(client, "inquorate-discovery"), member)
      )
      yield* eventually(all, (pids) => pids.flat().length === 0)
    })
  )

  const rules = [
    ["FIRST 1 (s1, s2)", "Unsupported", "ANY 1 (s1, s2)"],
    ["ANY 1 (*)", "Unsupported", "ANY 1 (s1, s2)"],
    ["", "Misconfigured", "ANY 1 (s1, s2)"],
    ["ANY 1 (s1, s2, s9)", "Misconfigured", "s9"]
  ] as const
  for (const [rule, reason, word] of rules) {
    it.live(`refuses synchronous_standby_names = '${rule}' as ${reason} and says what to do`, () =>
      Effect.gen(function* () {
        const { target } = yield* openLab
        yield* withClient(async (client) => {
          // Not itself to wait for the quorum that it takes away.
          await client.query("set synchronous_commit = local")
          await client.query(`alter system set synchronous_standby_names = '${rule}'`)
          await client.query("select pg_reload_conf()")
        })
        const seen = yield* eventually(
          Effect.result(target.discover),
          (seen) => Result.isFailure(seen) && !isLate(seen.failure.detail)
        ).pipe(
          Effect.ensuring(
            withClient(async (client) => {
              await client.query("set synchronous_commit = local")
              await client.query("alter system reset synchronous_standby_names")
              await client.query("select pg_reload_conf()")
            })
          )
        )
        const error = Option.getOrThrow(Result.getFailure(seen))
        assert.deepInclude(error, { reason, cluster: "orders", endpoint: lab.members[0]!.address })
        assert.include(error.detail, word)
        yield* look(target)
      })
    )
  }
})

const closedAddress = Effect.promise(async () => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
})

/** A web server that answers each path with what `say` gives, or with 503; ends with the scope. */
const answering = (say: (path: string) => string | null) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = http.createServer((request, response) => {
        const body = say(request.url ?? "")
        response.writeHead(body === null ? 503 : 200).end(body ?? "")
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      return { server, address: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}` }
    }),
    ({ server }) =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise((resolve) => server.close(resolve))
      })
  ).pipe(Effect.map(({ address }) => address))

const changeMember = (name: string, change: object): Settings => {
  const settings = labSettings()
  const members = settings.members!.map((member) => (member.name === name ? { ...member, ...change } : member))
  return { ...settings, members: members as unknown as NonNullable<Settings["members"]> }
}

const errorOf = (settings: unknown): Effect.Effect<TargetError> =>
  Effect.scoped(Effect.flatMap(openWith(settings), (target) => target.discover)).pipe(
    Effect.flip,
    Effect.mapError((topologies) => new Error(`discovered ${JSON.stringify(topologies)}`)),
    Effect.orDie,
    (error) => eventually(error, ({ detail }) => !isLate(detail))
  )

describe.skipIf(skip !== undefined)("a mistake in the configuration of a PostgreSQL cluster", () => {
  it.live("shows a wrong data directory at its member and believes no process for it", () =>
    Effect.gen(function* () {
      const other = path.dirname(lab.members[1]!.dataDirectory)
      const target = yield* openWith(changeMember("s2", { dataDirectory: other }))
      const [, s1, s2] = (yield* look(target)).members
      assert.isNotNull(s1!.process)
      assert.isNull(s2!.process)
      assert.include(s2!.processProblem, other)
      assert.isTrue(s2!.up)
    })
  )

  it.live("may have its members named by Patroni, and follows what Patroni says of them", () =>
    Effect.gen(function* () {
      const { members: configured, ...settings } = labSettings()
      const all = configured!.map(({ address, name }) => {
        const [host, port] = String(address).split(":")
        return { name, host, port: Number(port), role: "replica", state: "running" }
      })
      let named: ReadonlyArray<object> = []
      let isSilent = true
      const patroni = yield* answering((path) =>
        isSilent ? null : JSON.stringify(path === "/cluster" ? { members: named } : { ttl: 30, loop_wait: 10 })
      )
      const target = yield* openWith({ ...settings, patroni: { api: patroni, hosts: { s1: "local", s2: "local" } } })
      const names = Effect.map(target.discover, ([topology]) => topology!.members.map(({ name }) => name))
      const silent = yield* Effect.flip(target.discover)
      assert.match(silent.detail, /its members are Patroni's to name, and Patroni at http:.* answers .* HTTP 503/)
      assert.strictEqual((yield* Effect.flip(target.probe("quorum"))).reason, "Unreachable")
      isSilent = false
      assert.match((yield* Effect.flip(target.discover)).detail, /Patroni names no member with an address/)
      // A member without an address yet, and one whose name is none.
      named = [...all.slice(0, 2), { ...all[2], host: undefined }, { ...all[2], name: "a\nb" }]
      const lacking = yield* eventually(Effect.orDie(Effect.flip(target.discover)), ({ detail }) => !isLate(detail))
      assert.match(lacking.detail, /lists s2, but no member of that name/)
      named = all
      const topology = yield* look(target)
      assert.strictEqual(health(topology), "Healthy")
      assert.deepStrictEqual(
        topology.members.map(({ name, process }) => [name, process?.host ?? null]),
        [
          ["p", null],
          ["s1", "local"],
          ["s2", "local"]
        ]
      )
      // One that is held is struck off by Patroni after a while; and Patroni itself may fall silent.
      named = all.slice(0, 2)
      assert.sameMembers(yield* names, ["p", "s1", "s2"])
      isSilent = true
      assert.sameMembers(yield* names, ["p", "s1", "s2"])
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
      // A member that came back elsewhere is reached there.
      isSilent = false
      named = [all[0]!, all[1]!, { ...all[2], port: 1 }]
      const [moved] = yield* target.discover
      assert.match(moved!.members[2]!.address, /:1$/)
    })
  )

  it.live("shows a member without a host as one whose process is unknown", () =>
    Effect.gen(function* () {
      const settings = labSettings()
      const members = settings.members!.map(({ address, name }) => ({ address, name }))
      const target = yield* openWith({ ...settings, members })
      const topology = yield* look(target)
      assert.strictEqual(health(topology), "Healthy")
      for (const { process, processProblem } of topology.members) {
        assert.isNull(process)
        assert.include(processProblem, "host")
      }
    })
  )

  it.live("is a wrong password", () =>
    Effect.gen(function* () {
      const error = yield* errorOf({ ...labSettings(), password: "not the password" })
      assert.deepInclude(error, { reason: "Misconfigured", endpoint: lab.members[0]!.address })
      assert.include(error.detail, "password authentication failed")
      assert.notInclude(JSON.stringify(error), "not the password")
    })
  )

  it.live("is no password where one is asked for", () =>
    Effect.gen(function* () {
      const { password: _, ...settings } = labSettings()
      const error = yield* errorOf(settings)
      assert.strictEqual(error.reason, "Misconfigured")
      assert.include(error.detail, "none is configured")
    })
  )

  it.live("is a secret that is not there", () =>
    Effect.gen(function* () {
      const unset = yield* errorOf({ ...labSettings(), password: { env: "INQUORATE_NOT_SET" } })
      assert.deepInclude(unset, { reason: "Misconfigured" })
      assert.include(unset.detail, "INQUORATE_NOT_SET")
      const noFile = yield* errorOf({ ...labSettings(), password: { file: "/no/such/file" } })
      assert.include(noFile.detail, "/no/such/file")
    })
  )

  it.live("is an unknown database, an unknown host label, or a member of another name", () =>
    Effect.gen(function* () {
      assert.include((yield* errorOf({ ...labSettings(), database: "nowhere" })).detail, "nowhere")
      assert.include((yield* errorOf(changeMember("s1", { host: "elsewhere" }))).detail, "elsewhere")
      const renamed = yield* errorOf(changeMember("s1", { name: "sx" }))
      assert.strictEqual(renamed.reason, "Misconfigured")
      assert.include(renamed.detail, "s1")
    })
  )

  it.live("is a cluster where nothing answers: unreachable, with every endpoint and its cause", () =>
    Effect.gen(function* () {
      const addresses = [yield* closedAddress, yield* closedAddress]
      const members = addresses.map((address, index) => ({ name: `m${index}`, address }))
      const error = yield* errorOf({ ...labSettings(), members })
      assert.strictEqual(error.reason, "Unreachable")
      for (const address of addresses) assert.include(error.endpoint, address)
      assert.include(error.detail, "ECONNREFUSED")
    })
  )
})

describe("the settings of a PostgreSQL cluster", () => {
  const good = {
    user: "postgres",
    database: "postgres",
    members: [
      { name: "p", address: "10.0.0.1:5432", host: "one", dataDirectory: "/var/lib/postgresql/data" },
      { name: "s1", address: "[::1]:5432" }
    ]
  }
  const [p, s1] = good.members

  it("decode, and never show a password", () => {
    const settings = Schema.decodeUnknownSync(PostgresSettings)({ ...good, password: "hunter2" })
    assert.notInclude(JSON.stringify(settings), "hunter2")
    assert.notInclude(String(settings.password), "hunter2")
  })

  const mistakes: ReadonlyArray<readonly [string, unknown, ReadonlyArray<string>]> = [
    ["no user", { ...good, user: undefined }, ["user"]],
    ["no members", { ...good, members: [] }, ["members"]],
    ["an address without a port", { ...good, members: [{ ...p, address: "10.0.0.1" }] }, ["address", "127.0.0.1:5432"]],
    [
      "a relative data directory",
      { ...good, members: [{ ...p, dataDirectory: "data" }] },
      ["dataDirectory", "absolute"]
    ],
    ["two members of one name", { ...good, members: [p, { ...s1, name: "P" }] }, ["members", "have the same name"]],
    [
      "two members at one address",
      { ...good, members: [p, { ...p, name: "q", dataDirectory: "/q" }] },
      ["members", "p and q have the same address"]
    ],
    [
      "two members in one data directory",
      { ...good, members: [p, { ...p, name: "s1", address: "[::1]:5432" }] },
      ["members", "p and s1 have the same data directory"]
    ],
    ["a password that is a number", { ...good, password: 7 }, ["password", "secret"]]
  ]
  for (const [what, settings, words] of mistakes) {
    it(`do not decode with ${what}, and the error names it`, () => {
      const decoded = Schema.decodeUnknownResult(PostgresSettings)(settings)
      assert.isTrue(Result.isFailure(decoded))
      for (const word of words) assert.include(String(Result.isFailure(decoded) ? decoded.failure : ""), word)
    })
  }
})
