/**
 * Goal: PostgreSQL with quorum commit in containers of a real Docker engine loses its quorum and gets it back. Method: a
 * primary and two standbys behind published ports, on this machine's own binaries; process numbers inside differ from those
 * outside, and small ones recur in every container.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Pause from "@inquorate/injectors/Pause"
import { chooseCut } from "@inquorate/core/Plan"
import { health } from "@inquorate/core/Topology"
import * as ContainerEngine from "@inquorate/testkit/ContainerEngine"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"
import { armAll, eventually, only } from "./ContainerLab.ts"

const binaries = fs.existsSync("/usr/lib/postgresql")
  ? fs
      .readdirSync("/usr/lib/postgresql")
      .map((version) => `/usr/lib/postgresql/${version}/bin`)
      .find((folder) => fs.existsSync(path.join(folder, "initdb")))
  : undefined
const skip =
  ContainerEngine.skip ?? (binaries === undefined ? "no /usr/lib/postgresql; apt-get install postgresql" : undefined)

describe.skipIf(skip !== undefined)(
  `PostgreSQL in Docker containers${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  () => {
    it.live("loses its quorum by pause, and has it back; believes no other container", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { address, engine, settings } = yield* start
          const hosts = new Map([["here", LocalHost.make("here")]])
          const pause = Pause.make(hosts)
          const target = yield* postgres.make("orders", settings, hosts)
          const topology = yield* eventually(
            only(target),
            (seen) => health(seen) === "Healthy" && seen.members.every(({ process }) => process !== null)
          )
          for (const { process } of topology.members) {
            assert.strictEqual(process!.dataDirectory, "/var/lib/data")
            assert.isDefined(process!.container)
          }
          const crossed = yield* postgres.make(
            "orders",
            {
              ...settings,
              members: [
                { ...settings.members![0], container: "s1" },
                { ...settings.members![1]!, container: "p0" },
                settings.members![2]!
              ]
            },
            hosts
          )
          const strange = yield* eventually(only(crossed), ({ members }) => members.every(({ up }) => up))
          for (const member of strange.members.slice(0, 2)) assert.isNull(member.process, member.name)

          const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
          const probe = yield* target.probe(topology.group)
          process.env.INQUORATE_STATE = path.join(engine.folder, "state")
          const orders = yield* armAll(pause, cut)
          const writing = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
          yield* Effect.sleep(2000)
          const answer = writing.pollUnsafe()
          assert.isFalse(
            answer !== undefined && Exit.isSuccess(answer) && answer.value._tag === "Acknowledged",
            `acknowledged at ${address} without a quorum`
          )
          for (const { fence } of orders) assert.isFalse((yield* pause.lift("here", fence, 1)).broken)
          yield* Fiber.interrupt(writing)
          yield* eventually(
            Effect.timeoutOption(probe.write(probe.endpoints[0]!), target.recoveryWriteTimeout),
            Option.exists(({ _tag }) => _tag === "Acknowledged")
          )
        })
      )
    )
  }
)

// --- internal ---

const run = (program: string, words: ReadonlyArray<string>, as?: { readonly uid: number; readonly gid: number }) => {
  const { status, stderr, stdout } = childProcess.spawnSync(program, words, { encoding: "utf8", cwd: "/", ...as })
  assert.strictEqual(status, 0, `${program}: ${stdout}${stderr}`)
  return stdout.trim()
}

const start = Effect.gen(function* () {
  const engine = yield* ContainerEngine.start
  const before = { host: process.env.DOCKER_HOST, state: process.env.INQUORATE_STATE }
  process.env.DOCKER_HOST = engine.socket
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const [name, value] of [
        ["DOCKER_HOST", before.host],
        ["INQUORATE_STATE", before.state]
      ] as const) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    })
  )
  yield* ContainerEngine.image(engine, "lab/shell:1", [], { folders: ["usr", "lib", "var/lib/data"] })
  yield* engine.docker("network", "create", "--subnet", "198.19.253.0/24", "lab")
  const ids = { uid: Number(run("id", ["-u", "postgres"])), gid: Number(run("id", ["-g", "postgres"])) }
  fs.chmodSync(engine.folder, 0o755)
  const place = (name: string) => path.join(engine.folder, `data-${name}`)
  const own = (name: string) => {
    fs.mkdirSync(place(name), { mode: 0o700 })
    fs.chownSync(place(name), ids.uid, ids.gid)
  }
  const launch = (name: string, index: number) =>
    engine.docker(
      ...["run", "--detach", "--name", name, "--network", "lab", "--ip", `198.19.253.2${index}`],
      ...[
        "--user",
        `${ids.uid}:${ids.gid}`,
        "--publish",
        `2543${index}:5432`,
        "--volume",
        `${place(name)}:/var/lib/data`
      ],
      ...["--volume", "/usr:/usr:ro", "--volume", "/usr/lib:/lib:ro", "--volume", "/usr/lib64:/lib64:ro"],
      ...["--volume", "/etc:/etc:ro", "--tmpfs", "/run", "lab/shell:1", `${binaries}/postgres`, "-D", "/var/lib/data"],
      ...["-c", "listen_addresses=*", "-c", "unix_socket_directories=", "-c", "wal_receiver_status_interval=1s"],
      ...["-c", "hba_file=/var/lib/data/pg_hba.conf", "-c", "max_connections=40"]
    )
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
      () => childProcess.spawnSync(`${binaries}/pg_isready`, ["-h", engine.address, "-p", "25430"]).status === 0
    ),
    (ready) => ready
  )
  for (const [name, index] of [
    ["s1", 1],
    ["s2", 2]
  ] as const) {
    own(name)
    const from = ["-h", engine.address, "-p", "25430", "-U", "postgres", "-c", "fast", "-R", "-D", place(name)]
    run(`${binaries}/pg_basebackup`, from, ids)
    fs.appendFileSync(
      path.join(place(name), "postgresql.auto.conf"),
      `primary_conninfo = 'host=198.19.253.20 port=5432 user=postgres application_name=${name}'\n`
    )
    yield* launch(name, index)
  }
  const member = (name: string, index: number) => ({
    name,
    address: `${engine.address}:2543${index}`,
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
  return { engine, settings, address: engine.address }
})
