/**
 * Groups of three servers in containers of any engine, made of this machine's own programs: `m0`, which leads at first,
 * `m1` and `m2`. Each carries the labels of the compose project `lab`, as the service of its own name.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { onPath } from "./ContainerEngine.ts"
import type { Containers } from "./Containers.ts"
import { within } from "./Pace.ts"

/** Servers of one system. */
export interface ContainedServers {
  readonly called: string
  /** The port at which clients reach a server. */
  readonly port: number
  /** The port at which the other servers reach one. */
  readonly peerPort: number
  /** Why they cannot run here, or undefined. */
  readonly skip: string | undefined
  /** Says of what their containers are made. */
  readonly image: (engine: Containers) => Effect.Effect<void>
  /** Makes the image and starts the three containers. They end with the engine. */
  readonly start: (engine: Containers) => Effect.Effect<void>
}

/** The names of the containers. */
export const names = ["m0", "m1", "m2"] as const

/** The compose project of which the containers are. */
export const project = "lab"

const etcdProgram = onPath("etcd")
const etcdPort = 2379
const etcdImage: ContainedServers["image"] = (engine) => engine.image([etcdProgram!])

/** Three etcd. In Docker's containers they know each other by names that their network alone knows. */
export const etcd: ContainedServers = {
  called: "etcd",
  port: etcdPort,
  peerPort: 2380,
  skip: etcdProgram === undefined ? "no etcd on the PATH; apt-get install etcd-server" : undefined,
  image: etcdImage,
  start: Effect.fnUntraced(function* (engine) {
    yield* etcdImage(engine)
    const peer = (index: number): string =>
      `http://${engine.kind === "docker" ? names[index] : engine.address(index)}:2380`
    const peers = names.map((name, index) => `${name}=${peer(index)}`).join(",")
    for (const [index, name] of names.entries()) {
      const place = path.join(engine.folder, `etcd-${name}`)
      fs.mkdirSync(place)
      yield* engine.run({
        name,
        index,
        port: etcdPort,
        labels: labels(name),
        volumes: [[place, "/var/lib/etcd"]],
        command: [
          ...["/usr/bin/etcd", "--name", name, "--data-dir", "/var/lib/etcd", "--initial-cluster", peers],
          ...["--listen-client-urls", `http://0.0.0.0:${etcdPort}`, "--listen-peer-urls", "http://0.0.0.0:2380"],
          ...["--advertise-client-urls", `http://${engine.reached(index, etcdPort)}`],
          ...["--initial-advertise-peer-urls", peer(index)],
          // A busy machine holds up a leader for longer than a second.
          ...["--heartbeat-interval", "300", "--election-timeout", "3000"]
        ]
      })
    }
  })
}

// Where a distribution puts PostgreSQL, and the version that it puts there.
const versions = "/usr/lib/postgresql"
const version = fs.existsSync(versions)
  ? fs.readdirSync(versions).find((one) => fs.existsSync(path.join(versions, one, "bin/initdb")))
  : undefined
const binary = (name: string): string => `${versions}/${version}/bin/${name}`
const postgresPort = 5432
const postgresImage: ContainedServers["image"] = (engine) => {
  const library = `${versions}/${version}/lib`
  // What compiles queries would bring a compiler with it.
  const modules = fs.readdirSync(library).filter((file) => file.endsWith(".so") && !file.startsWith("llvm"))
  return engine.image(
    [...["postgres", "initdb", "pg_basebackup"].map(binary), "/usr/bin/setpriv"],
    [`/usr/share/postgresql/${version}`, "/usr/share/zoneinfo", ...modules.map((file) => `${library}/${file}`)]
  )
}

/** PostgreSQL with quorum commit: a primary and two standbys. Numbers of their processes recur in every container. */
export const postgres: ContainedServers = {
  called: "PostgreSQL",
  port: postgresPort,
  peerPort: postgresPort,
  skip: version === undefined ? `no ${versions}; apt-get install postgresql` : undefined,
  image: postgresImage,
  start: Effect.fnUntraced(function* (engine) {
    yield* postgresImage(engine)
    const ids = { uid: Number(run("id", ["-u", "postgres"])), gid: Number(run("id", ["-g", "postgres"])) }
    const place = (name: string): string => path.join(engine.folder, `postgres-${name}`)
    const launch = (name: string, index: number) =>
      engine.run({
        name,
        index,
        port: postgresPort,
        user: `${ids.uid}:${ids.gid}`,
        labels: labels(name),
        volumes: [[place(name), "/var/lib/data"]],
        command: [
          ...["/usr/bin/postgres", "-D", "/var/lib/data", "-c", "listen_addresses=*"],
          ...["-c", "unix_socket_directories=", "-c", "wal_receiver_status_interval=1s", "-c", "max_connections=40"]
        ]
      })
    fs.chmodSync(engine.folder, 0o755)
    for (const name of names) {
      fs.mkdirSync(place(name), { mode: 0o700 })
      fs.chownSync(place(name), ids.uid, ids.gid)
    }
    run(binary("initdb"), ["-D", place("m0"), "-U", "postgres", "--auth=trust", "--no-locale", "--no-sync"], ids)
    fs.appendFileSync(path.join(place("m0"), "pg_hba.conf"), "host all,replication all all trust\n")
    fs.appendFileSync(
      path.join(place("m0"), "postgresql.conf"),
      "unix_socket_directories = ''\nsynchronous_standby_names = 'ANY 1 (m1, m2)'\n"
    )
    yield* launch("m0", 0)
    const [address, reachedAt] = engine.reached(0, postgresPort).split(":") as [string, string]
    const first = ["-h", address, "-p", reachedAt]
    yield* untilTrue("the primary", () => childProcess.spawnSync(binary("pg_isready"), first).status === 0)
    for (const [index, name] of [...names.entries()].slice(1)) {
      run(binary("pg_basebackup"), [...first, "-U", "postgres", "-c", "fast", "-R", "-D", place(name)], ids)
      fs.appendFileSync(
        path.join(place(name), "postgresql.auto.conf"),
        `primary_conninfo = 'host=${engine.address(0)} port=${postgresPort} user=postgres application_name=${name}'\n`
      )
      yield* launch(name, index)
    }
  })
}

// --- internal ---

const labels = (name: string): Readonly<Record<string, string>> => ({
  "com.docker.compose.project": project,
  "com.docker.compose.service": name
})

const run = (
  program: string,
  words: ReadonlyArray<string>,
  as?: { readonly uid: number; readonly gid: number }
): string => {
  const { status, stderr, stdout } = childProcess.spawnSync(program, words, { encoding: "utf8", cwd: "/", ...as })
  assert.strictEqual(status, 0, `${program}: ${stdout}${stderr}`)
  return stdout.trim()
}

const untilTrue = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.repeat(Effect.sync(holds), { until: (is) => is, schedule: Schedule.spaced(100) }).pipe(
    Effect.timeoutOrElse({
      duration: within(60_000),
      orElse: () => Effect.die(new Error(`waited in vain for ${what}`))
    }),
    Effect.asVoid
  )
