/**
 * Goal: PostgreSQL with quorum commit in containers of each engine loses its quorum and gets it back. Method: a primary
 * and two standbys on this machine's own binaries; process numbers inside differ from those outside, and small ones recur
 * in every container. Holds that end by a lift and by the death of everything of ours; a standby's container and the engine
 * started anew; members whose containers are mixed up.
 */
import * as Kill from "@inquorate/injectors/Kill"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Netfilter from "@inquorate/injectors/Netfilter"
import * as Pause from "@inquorate/injectors/Pause"
import { chooseCut } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import { health, type Topology } from "@inquorate/core/Topology"
import * as Containers from "@inquorate/testkit/Containers"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"
import { armAll, eventually, only } from "./ContainerLab.ts"
import { ours } from "./ContainerSuite.ts"

const binaries = fs.existsSync("/usr/lib/postgresql")
  ? fs
      .readdirSync("/usr/lib/postgresql")
      .map((version) => `/usr/lib/postgresql/${version}/bin`)
      .find((folder) => fs.existsSync(path.join(folder, "initdb")))
  : undefined
const hosts = new Map([["here", LocalHost.make("here")]])
const pause = Pause.make(hosts)
const netfilter = Netfilter.make(hosts)
const kill = Kill.make(hosts)

for (const kind of Containers.kinds) {
  const skip =
    Containers.skip(kind) ?? (binaries === undefined ? "no /usr/lib/postgresql; apt-get install postgresql" : undefined)

  describe.skipIf(skip !== undefined)(
    `PostgreSQL in containers of ${kind}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
    () => {
      const scope = Scope.makeUnsafe()
      const before = process.env.INQUORATE_STATE
      let lab: Lab

      beforeAll(async () => {
        lab = await Effect.runPromise(Scope.provide(start(kind), scope))
        process.env.INQUORATE_STATE = path.join(lab.engine.folder, "state")
      })

      afterAll(async () => {
        const state = process.env.INQUORATE_STATE!
        await Effect.runPromise(Scope.close(scope, Exit.void))
        assert.deepStrictEqual(ours(state), [], "something of ours is left")
        if (before === undefined) delete process.env.INQUORATE_STATE
        else process.env.INQUORATE_STATE = before
      })

      it.live("believes no other container", () =>
        Effect.scoped(
          Effect.gen(function* () {
            const { settings, target } = lab
            const topology = yield* ready(target)
            for (const { process } of topology.members) {
              assert.strictEqual(process!.dataDirectory, "/var/lib/data")
              assert.strictEqual(process!.container?.engine, kind)
            }
            const [first, second, third] = settings.members!
            const members = [{ ...first, container: "s1" }, { ...second!, container: "p0" }, third!] as const
            const crossed = yield* postgres.make("orders", { ...settings, members }, hosts)
            const strange = yield* eventually(only(crossed), ({ members }) => members.every(({ up }) => up))
            for (const member of strange.members.slice(0, 2)) assert.isNull(member.process, member.name)
          })
        )
      )

      for (const injector of [pause, netfilter, kill]) {
        it.live(`loses its quorum by ${injector.name}, and has it back after the lift`, () =>
          Effect.scoped(
            Effect.gen(function* () {
              const topology = yield* ready(lab.target)
              const probe = yield* lab.target.probe(topology.group)
              const orders = yield* armAll(injector, Result.getOrThrow(chooseCut(topology, "QuorumReplicas")))
              const writing = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
              yield* Effect.sleep(1500)
              const answer = writing.pollUnsafe()
              assert.isFalse(
                answer !== undefined && Exit.isSuccess(answer) && answer.value._tag === "Acknowledged",
                "acknowledged without a quorum"
              )
              for (const { fence } of orders) assert.isFalse((yield* injector.lift("here", fence, 1)).broken)
              yield* Fiber.interrupt(writing)
              yield* writesReturn(lab.target)
            })
          )
        )
      }

      it.live("has its quorum back by the kernel when everything of ours is killed", () =>
        Effect.gen(function* () {
          const topology = yield* ready(lab.target)
          const orders = yield* armAll(pause, Result.getOrThrow(chooseCut(topology, "QuorumReplicas")))
          const doomed = ours(process.env.INQUORATE_STATE!)
          assert.isAtLeast(doomed.length, 2 * orders.length)
          for (const pid of doomed) process.kill(pid, "SIGKILL")
          yield* writesReturn(lab.target)
          for (const { fence } of orders) assert.isTrue((yield* pause.lift("here", fence, 1)).broken)
        })
      )

      it.live("has a fence broken by its container's new start, and kept through its engine's", () =>
        Effect.gen(function* () {
          const { engine, target } = lab
          const standby = Effect.map(ready(target), ({ members }) => members.filter(({ name }) => name === "s2"))
          if (engine.restartEngine !== undefined) {
            const [kept] = yield* armAll(pause, yield* standby)
            yield* engine.restartEngine
            assert.isFalse((yield* pause.lift("here", kept!.fence, 1)).broken)
          }
          const [lost] = yield* armAll(pause, yield* standby)
          yield* engine.restart("s2")
          yield* eventually(pause.inspect("here", lost!.fence, 1), (state) => state._tag === "Armed" && state.broken)
          assert.isTrue((yield* pause.lift("here", lost!.fence, 1)).broken)
          yield* ready(target)
        })
      )
    }
  )
}

// --- internal ---

interface Lab {
  readonly engine: Containers.Containers
  readonly settings: PostgresSettings
  readonly target: Target
}

const ready = (target: Target): Effect.Effect<Topology> =>
  eventually(
    only(target),
    (seen) => health(seen) === "Healthy" && seen.members.every(({ process, up }) => up && process !== null)
  )

const writesReturn = (target: Target) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { group } = yield* ready(target)
      const probe = yield* target.probe(group)
      yield* eventually(
        Effect.timeoutOption(probe.write(probe.endpoints[0]!), target.recoveryWriteTimeout),
        Option.exists(({ _tag }) => _tag === "Acknowledged")
      )
    })
  )

const run = (program: string, words: ReadonlyArray<string>, as?: { readonly uid: number; readonly gid: number }) => {
  const { status, stderr, stdout } = childProcess.spawnSync(program, words, { encoding: "utf8", cwd: "/", ...as })
  assert.strictEqual(status, 0, `${program}: ${stdout}${stderr}`)
  return stdout.trim()
}

const port = 5432

const start = (kind: Containers.Kind) =>
  Effect.gen(function* () {
    const engine = yield* Containers.start(kind)
    yield* engine.image([], ["usr", "lib", "var/lib/data"])
    const ids = { uid: Number(run("id", ["-u", "postgres"])), gid: Number(run("id", ["-g", "postgres"])) }
    fs.chmodSync(engine.folder, 0o755)
    const place = (name: string) => path.join(engine.folder, `data-${name}`)
    const own = (name: string) => {
      fs.mkdirSync(place(name), { mode: 0o700 })
      fs.chownSync(place(name), ids.uid, ids.gid)
    }
    const launch = (name: string, index: number) =>
      engine.run({
        name,
        index,
        port,
        user: `${ids.uid}:${ids.gid}`,
        volumes: [
          [place(name), "/var/lib/data"],
          ["/usr", "/usr", "ro"],
          ["/usr/lib", "/lib", "ro"],
          ["/usr/lib64", "/lib64", "ro"],
          ["/etc", "/etc", "ro"]
        ],
        command: [
          ...[`${binaries}/postgres`, "-D", "/var/lib/data", "-c", "listen_addresses=*"],
          ...["-c", "unix_socket_directories=", "-c", "wal_receiver_status_interval=1s"],
          ...["-c", "hba_file=/var/lib/data/pg_hba.conf", "-c", "max_connections=40"]
        ]
      })
    const [address, reachedAt] = engine.reached(0, port).split(":") as [string, string]
    own("p0")
    run(`${binaries}/initdb`, ["-D", place("p0"), "-U", "postgres", "--auth=trust", "--no-sync"], ids)
    fs.appendFileSync(
      path.join(place("p0"), "pg_hba.conf"),
      "host all all 0.0.0.0/0 trust\nhost replication all 0.0.0.0/0 trust\n"
    )
    fs.appendFileSync(path.join(place("p0"), "postgresql.conf"), "synchronous_standby_names = 'ANY 1 (s1, s2)'\n")
    yield* launch("p0", 0)
    yield* eventually(
      Effect.sync(
        () => childProcess.spawnSync(`${binaries}/pg_isready`, ["-h", address, "-p", reachedAt]).status === 0
      ),
      (isReady) => isReady
    )
    for (const [name, index] of [
      ["s1", 1],
      ["s2", 2]
    ] as const) {
      own(name)
      const from = ["-h", address, "-p", reachedAt, "-U", "postgres", "-c", "fast", "-R", "-D", place(name)]
      run(`${binaries}/pg_basebackup`, from, ids)
      fs.appendFileSync(
        path.join(place(name), "postgresql.auto.conf"),
        `primary_conninfo = 'host=${engine.address(0)} port=${port} user=postgres application_name=${name}'\n`
      )
      yield* launch(name, index)
    }
    const member = (name: string, index: number) => ({
      ...engine.fields,
      name,
      address: engine.reached(index, port),
      host: "here",
      container: name
    })
    const settings = yield* Effect.orDie(
      Schema.decodeUnknownEffect(PostgresSettings)({
        user: "postgres",
        database: "postgres",
        members: [member("p0", 0), member("s1", 1), member("s2", 2)]
      })
    )
    const target = yield* postgres.make("orders", settings, hosts)
    yield* ready(target)
    return { engine, settings, target } satisfies Lab
  })
