/**
 * PostgreSQL as people have it: roles with settings of their own, servers without a free connection, standbys under one
 * name, sockets, service files and secrets that change. Against the servers of a lab.
 */
import { health } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { PostgresSettings } from "../src/PostgresSettings.ts"
import {
  as,
  errorOf,
  eventually,
  healthy,
  lab,
  labSettings,
  open,
  pausing,
  role,
  seen,
  type Settings,
  skip,
  sql,
  state
} from "./PostgresLab.ts"

describe.skipIf(skip)("a role with settings of its own", () => {
  const settings = [
    "set client_min_messages = error",
    "set synchronous_commit = off",
    "set statement_timeout = 40",
    "set lock_timeout = 20",
    "set idle_session_timeout = 300",
    "set idle_in_transaction_session_timeout = 300",
    "set default_transaction_read_only = on",
    "set default_transaction_isolation = serializable",
    "set default_transaction_deferrable = on",
    "set search_path = mine, pg_catalog",
    "set extra_float_digits = -15",
    "set datestyle = 'SQL, DMY'",
    "set timezone = 'Asia/Kathmandu'",
    "set standard_conforming_strings = off"
  ]

  it.live("is asked and probed as if it had none, and a cancelled commit is no acknowledgement", () =>
    Effect.gen(function* () {
      yield* sql([
        "create schema mine",
        "grant usage on schema mine to public",
        // What a search path in front of PostgreSQL's own could make of a question.
        "create function mine.pg_is_in_recovery() returns boolean language sql as 'select true'",
        "create function mine.pg_logical_emit_message(boolean, text, text) returns text language sql as 'select $2'"
      ])
      const target = yield* role("peculiar", ...settings)
      const { pause, resume } = yield* pausing
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
      yield* pause(["s1", "s2"])
      const hanging = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
      yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
      // Longer than every timeout that the role has.
      yield* Effect.sleep(600)
      assert.strictEqual((yield* probe.survivors).word, "QuorumLost")
      yield* sql(["select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"])
      const outcome = yield* Fiber.join(hanging)
      yield* resume
      assert.strictEqual(outcome._tag, "Unknown", JSON.stringify(outcome))
      assert.include(JSON.stringify(outcome), "01000")
      yield* healthy(target)
    })
  )

  it.live("and PGOPTIONS in the worker's environment change nothing", () =>
    Effect.gen(function* () {
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env["PGOPTIONS"]))
      process.env["PGOPTIONS"] = "-c client_min_messages=error -c default_transaction_read_only=on"
      const target = yield* open(labSettings())
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
    })
  )

  it.live("that makes it another role is told of", () =>
    Effect.gen(function* () {
      yield* sql(["create role nobody_in_particular"])
      yield* sql([
        "create role masked login password 'masked' in role pg_monitor",
        "grant nobody_in_particular to masked",
        "alter role masked set role = nobody_in_particular"
      ])
      const error = yield* eventually(errorOf(as("masked")), ({ detail }) => !detail.includes("authentication"))
      assert.include(error.detail, "makes it nobody_in_particular")
    })
  )

  it.live("and no inheritance is told of", () =>
    Effect.gen(function* () {
      yield* sql(["create role alien login noinherit password 'alien' in role pg_monitor"])
      const error = yield* eventually(errorOf(as("alien")), ({ detail }) => !detail.includes("authentication"))
      assert.include(error.detail, "does not inherit")
      assert.include(error.detail, "alter role alien inherit")
    })
  )
})

describe.skipIf(skip)("the proof of a loss", () => {
  it.live("is refused before anything is stopped where the role may have too few connections", () =>
    Effect.gen(function* () {
      const target = yield* role("narrow", "connection limit 2")
      const found = yield* healthy(target)
      assert.include(found?.unfit?.join(), "1 of 2 connections of our role")
      const refused = yield* Effect.flip(Effect.scoped(target.probe("quorum")))
      assert.strictEqual(refused.reason, "Unfit")
      assert.include(refused.detail, "53300")
      assert.include(refused.detail, "of 2 connections")
      yield* sql(["alter role narrow connection limit 3"])
      yield* eventually(seen(target), (now) => now?.unfit === undefined)
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
    })
  )

  it.live("is no more where somebody empties synchronous_standby_names in the middle", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      const { pause, resume } = yield* pausing
      const probe = yield* target.probe("quorum")
      yield* pause(["s1", "s2"])
      const hanging = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
      yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
      yield* sql(["alter system set synchronous_standby_names = ''", "select pg_reload_conf()"])
      const word = yield* eventually(probe.survivors, ({ word }) => word === "QuorumHeld")
      assert.include(word.detail, "synchronous_standby_names was emptied")
      yield* Fiber.join(hanging)
      yield* sql(["alter system reset synchronous_standby_names", "select pg_reload_conf()"])
      yield* resume
      yield* healthy(target)
    })
  )
})

describe.skipIf(skip)("a cluster whose standbys are not what they seem", () => {
  const upstreamOf = (member: number, change: (conninfo: string) => string) =>
    Effect.gen(function* () {
      const rows = yield* sql(["select current_setting('primary_conninfo') as info"], member)
      const info = change(String(rows[0]!["info"])).replaceAll("'", "''")
      yield* sql([`alter system set primary_conninfo = '${info}'`, "select pg_reload_conf()"], member)
    })
  const restored = (member: number) =>
    Effect.addFinalizer(() => sql(["alter system reset primary_conninfo", "select pg_reload_conf()"], member))

  it.live("refuses a loss where two stream under one name, and says from where", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      yield* healthy(target)
      yield* restored(2)
      yield* upstreamOf(2, (info) => info.replace("application_name=s2", "application_name=S1"))
      // Before that the stream under its old name is left over for a moment, which is told as well.
      const found = yield* eventually(seen(target), (now) => now?.unfit?.join().includes("connections stream") === true)
      assert.match(found!.unfit!.join(), /2 connections stream as s1 \(from 127\.0\.0\.1:\d+ and 127\.0\.0\.1:\d+\)/)
    })
  )

  it.live("says of a standby that streams from another one where it does", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      yield* healthy(target)
      yield* restored(2)
      const port = lab.members[1]!.address.split(":")[1]!
      yield* upstreamOf(2, (info) => info.replace(/port=\d+/, `port=${port}`))
      const found = yield* eventually(
        seen(target),
        (now) => now?.members[2]?.downBecause?.includes("it streams from") === true
      )
      assert.include(found!.members[2]!.downBecause, `it streams from 127.0.0.1:${port}`)
    })
  )

  it.live("refuses a loss where the addresses of two were mixed up, and says which", () =>
    Effect.gen(function* () {
      const settings = labSettings()
      const other: Readonly<Record<string, string>> = { s1: "s2", s2: "s1" }
      const members = settings.members!.map((member) => ({ ...member, name: other[member.name] ?? member.name }))
      const target = yield* open({ ...settings, members: members as unknown as NonNullable<Settings["members"]> })
      const mixed = /streams as s2 and not as s1, which p streams to at 127\.0\.0\.1:\d+/
      const found = yield* eventually(seen(target), (now) => mixed.test(now?.unfit?.join() ?? ""))
      assert.strictEqual(health(found!), "Healthy")
      assert.isTrue(found!.members.every(({ name, process }) => name === "p" || process === null))
    })
  )

  it.live("says of a rule that no commit can meet why, and gives one that can be", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      yield* healthy(target)
      yield* Effect.addFinalizer(() =>
        sql(["alter system set synchronous_standby_names = 'ANY 1 (s1, s2)'", "select pg_reload_conf()"])
      )
      yield* sql(["alter system set synchronous_standby_names = 'ANY 2 (p, s1)'", "select pg_reload_conf()"])
      yield* eventually(
        seen(target),
        (now) => now?.unfit?.join().includes("only s1 of its list can acknowledge") === true
      )
    })
  )

  it.live("counts a standby that lets us not in by its primary's word", () =>
    Effect.gen(function* () {
      const hba = path.join(lab.members[2]!.dataDirectory, "pg_hba.conf")
      const before = fs.readFileSync(hba, "utf8")
      const put = (text: string) => Effect.sync(() => fs.writeFileSync(hba, text))
      yield* Effect.addFinalizer(() => Effect.andThen(put(before), sql(["select pg_reload_conf()"], 2)))
      const target = yield* role("barred")
      yield* Effect.andThen(put(`host all barred all reject\n${before}`), sql(["select pg_reload_conf()"], 2))
      const again = yield* open(as("barred"))
      const found = yield* eventually(
        seen(again),
        (now) => now?.members[2]?.processProblem.includes("pg_hba.conf rejects") === true && health(now) === "Healthy"
      )
      assert.isNull(found!.members[2]!.process)
      yield* healthy(target)
    })
  )

  it.live("warns of sessions that commit without waiting, whoever has it so", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      yield* Effect.addFinalizer(() =>
        sql([
          "alter system reset synchronous_commit",
          "alter role quick reset synchronous_commit",
          "alter database postgres reset synchronous_commit",
          "select pg_reload_conf()"
        ])
      )
      yield* sql([
        "create role quick",
        "alter role quick set synchronous_commit = off",
        "alter system set synchronous_commit = local",
        "select pg_reload_conf()"
      ])
      const found = yield* eventually(
        seen(target),
        (now) => now?.warnings?.some((each) => each.startsWith("Sessions commit")) === true
      )
      assert.include(found!.warnings!.join(), "Sessions commit by default without waiting")
      assert.include(found!.warnings!.join(), "Sessions of role quick")
      // A session that is open keeps what its database had when it began.
      yield* sql(["alter database postgres set synchronous_commit = off"])
      const fresh = yield* open(labSettings())
      const more = yield* eventually(
        seen(fresh),
        (now) => now?.warnings?.some((each) => each.includes("database postgres")) === true
      )
      assert.include(more!.warnings!.join(), "synchronous_commit is off")
    })
  )
})

/** Passes on what comes, and may change what the server says; listens on a port or in a socket's folder. */
const relay = (listen: string | number, to: string, change: (chunk: Buffer) => Buffer = (chunk) => chunk) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const [host, port] = to.split(":")
      const sockets = new Set<net.Socket>()
      const server = net.createServer((near) => {
        const far = net.connect(Number(port), host)
        for (const socket of [near, far]) {
          sockets.add(socket)
          socket.on("error", () => {})
        }
        near.pipe(far)
        far.on("data", (chunk) => near.write(change(chunk)))
        far.on("close", () => near.destroy())
        near.on("close", () => far.destroy())
      })
      await new Promise<void>((resolve) => server.listen(listen, resolve))
      return { server, sockets, address: server.address() }
    }),
    ({ server, sockets }) =>
      Effect.promise(() => {
        for (const socket of sockets) socket.destroy()
        return new Promise<void>((resolve) => void server.close(() => resolve()))
      })
  )

const replaced =
  (from: Buffer, to: Buffer) =>
  (chunk: Buffer): Buffer => {
    const at = chunk.indexOf(from)
    return at < 0 ? chunk : Buffer.concat([chunk.subarray(0, at), to, chunk.subarray(at + from.length)])
  }

const through = (address: string, change: Partial<Settings> = {}): Settings => {
  const [first, ...rest] = labSettings().members!
  return { ...labSettings(), ...change, members: [{ ...first!, address }, ...rest] }
}

describe.skipIf(skip)("a server", () => {
  it.live("older than PostgreSQL 12 is refused with the least version", () =>
    Effect.gen(function* () {
      const text = (version: string) => Buffer.from(`server_version\0${version}\0`)
      const [{ version }] = (yield* sql(["select current_setting('server_version') as version"])) as [
        { version: string }
      ]
      const old = version.replace(/^\d+/, "11")
      const made = yield* relay(0, lab.members[0]!.address, replaced(text(version), text(old)))
      const { port } = made.address as net.AddressInfo
      const error = yield* errorOf(through(`127.0.0.1:${port}`))
      assert.include(error.detail, `PostgreSQL ${old}`)
      assert.include(error.detail, "PostgreSQL 12 or later")
    })
  )

  it.live("behind a pooler is refused", () =>
    Effect.gen(function* () {
      // A pooler greets with a number of its own.
      const made = yield* relay(0, lab.members[0]!.address, (chunk) => {
        const at = chunk.indexOf(Buffer.from([0x4b, 0, 0, 0]))
        if (at >= 0 && chunk.includes("server_version")) chunk.writeUInt32BE(4_000_000, at + 5)
        return chunk
      })
      const { port } = made.address as net.AddressInfo
      assert.include((yield* errorOf(through(`127.0.0.1:${port}`))).detail, "a pooler stands between us")
    })
  )

  it.live("is reached by its Unix socket, with and without a port, and at the second of its addresses", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-socket-"))
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
      )
      const { port } = (yield* relay(0, lab.members[0]!.address)).address as net.AddressInfo
      yield* relay(path.join(folder, ".s.PGSQL.5432"), `127.0.0.1:${port}`)
      for (const address of [folder, `${folder}/`, `${folder}:5432`]) {
        const target = yield* open(through(address, { tls: { mode: "require" } }))
        const found = yield* eventually(seen(target), (now) => now?.members[0]?.up === true)
        assert.strictEqual(found!.members[0]!.address, `${folder}:5432`)
        const probe = yield* target.probe("quorum")
        assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
      }
    }).pipe(
      Effect.scoped,
      Effect.catchTag("TargetError", (error) => Effect.die(error))
    )
  )

  it.live("is tried at each of its addresses", () =>
    Effect.gen(function* () {
      const [first, ...rest] = labSettings().members!
      const members = [{ ...first!, address: ["127.0.0.1:1", String(first!.address)] }, ...rest] as const
      const target = yield* open({ ...labSettings(), members })
      const probe = yield* Effect.andThen(healthy(target), target.probe("quorum"))
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
    })
  )

  it.live("takes what a service file and a password file say, and a password that has changed since", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-service-"))
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
      )
      const file = path.join(folder, "pg_service.conf")
      const passfile = path.join(folder, "pgpass")
      yield* sql(["create role served login password 'a:b\\c' in role pg_monitor"])
      const services = lab.members.map(
        ({ address, name }, index) =>
          `[${name}]\nhost = ${index === 0 ? "127.0.0.1" : "standby\nhostaddr = 127.0.0.1"}\nport=${address.split(":")[1]}\n`
      )
      fs.writeFileSync(
        file,
        `# ours\n[orders]\nuser=served\ndbname=postgres\npassfile=${passfile}\nsslmode=disable\n${services.join("")}`
      )
      const put = (password: string) =>
        fs.writeFileSync(
          passfile,
          `other:*:*:*:x\n127.0.0.1:*:*:served:${password}\nstandby:*:*:served:${password}\n`,
          { mode: 0o600 }
        )
      put("a\\:b\\\\c")
      const members = lab.members.map(({ name }) => ({ name, host: "local", service: { name, file } }))
      const [first, ...rest] = members
      const settings: Settings = { service: { name: "orders", file }, members: [first!, ...rest] }
      const target = yield* open(settings)
      const found = yield* healthy(target)
      assert.deepStrictEqual(
        found!.members.map(({ address }) => address),
        lab.members.map(({ address }) => address)
      )
      // Rotated: connections that are open live on, and the next one is made with the new password.
      yield* sql(["alter role served password 'anew'"])
      put("anew")
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
      fs.chmodSync(passfile, 0o644)
      assert.include((yield* errorOf(settings)).detail, "chmod 600")
    })
  )

  it.live("is asked with the password that its file holds now", () =>
    Effect.gen(function* () {
      const file = path.join(state, "rotated")
      fs.writeFileSync(file, "one\n")
      yield* sql(["create role rotated login password 'one' in role pg_monitor"])
      const target = yield* open(as("rotated", { password: { file } }))
      yield* healthy(target)
      yield* sql(["alter role rotated password 'two'"])
      fs.writeFileSync(file, "two\n")
      yield* sql(["select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rotated'"])
      yield* healthy(target)
      const probe = yield* target.probe("quorum")
      assert.strictEqual((yield* probe.write(probe.endpoints[0]!))._tag, "Acknowledged")
    })
  )
})

describe("the settings of a PostgreSQL cluster", () => {
  const members = [{ name: "p", address: "127.0.0.1:5432" }]
  const good = { user: "u", database: "d", members }
  const mistakes: ReadonlyArray<readonly [string, unknown, string]> = [
    ["no user and no service", { ...good, user: undefined }, "user"],
    ["verify-full without a CA", { ...good, tls: { mode: "verify-full" } }, "ca"],
    ["verify-ca by everybody's authorities", { ...good, tls: { mode: "verify-ca", ca: "system" } }, "verify-full"],
    ["a certificate without its key", { ...good, tls: { certificate: "c" } }, "key"],
    ["an unknown mode", { ...good, tls: { mode: "always" } }, "verify-full"],
    ["a member without an address", { ...good, members: [{ name: "p" }] }, "address"],
    ["a port that is none", { ...good, members: [{ name: "p", address: "/run/postgresql:70000" }] }, "port"],
    [
      "one address twice",
      { ...good, members: [...members, { name: "q", address: ["10.0.0.1:1", "127.0.0.1:5432"] }] },
      "p and q have the same address"
    ]
  ]
  for (const [what, settings, word] of mistakes) {
    it(`do not decode with ${what}, and the error names it`, () => {
      const decoded = Schema.decodeUnknownResult(PostgresSettings)(settings)
      assert.isTrue(Result.isFailure(decoded))
      assert.include(String(Result.isFailure(decoded) ? decoded.failure : ""), word)
    })
  }
})
