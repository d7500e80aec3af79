/**
 * A PostgreSQL lab with what the tests from outside do to it: statements of its superuser, roles with pg_monitor, stopped
 * members, and looks at the world that are repeated until they show what is expected. Each test file has one of its own.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import type { Target, TargetError } from "@inquorate/core/Target"
import { health, type Topology } from "@inquorate/core/Topology"
import { within } from "@inquorate/testkit/Pace"
import { afterAll, beforeAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Client } from "pg"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"

const noBinaries = PostgresBinaries.find(PostgresBinaries.usualSearch(null)) === undefined
export const noOpenssl = childProcess.spawnSync("openssl", ["version"]).status !== 0

export const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-outside-"))
process.env["INQUORATE_LAB_STATE"] = state
export let lab: LabRecord

export type Settings = typeof PostgresSettings.Encoded

const hosts = new Map([["local", LocalHost.make("local")]])

export const labSettings = (): Settings => {
  const {
    kill: _,
    system: __,
    ...settings
  } = lab.configuration as Settings & { readonly system: string; readonly kill: unknown }
  return settings
}

export const as = (user: string, change: Partial<Settings> = {}): Settings => ({
  ...labSettings(),
  user,
  password: user,
  ...change
})

export const open = (settings: Settings): Effect.Effect<Target, TargetError, Scope.Scope> =>
  Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(PostgresSettings)(settings)), (decoded) =>
    postgres.make("orders", decoded, hosts)
  )

export const connected = async (member: number): Promise<Client> => {
  const [host, port] = lab.members[member]!.address.split(":")
  const password = fs.readFileSync(path.join(state, "outside", "password"), "utf8").trim()
  const client = new Client({ host, port: Number(port), user: "postgres", database: "postgres", password })
  client.on("error", () => {})
  await client.connect()
  await client.query("set synchronous_commit = local")
  return client
}

export const sql = (statements: ReadonlyArray<string>, member = 0) =>
  Effect.promise(async () => {
    const client = await connected(member)
    try {
      let rows: ReadonlyArray<Record<string, unknown>> = []
      for (const statement of statements) rows = (await client.query<Record<string, unknown>>(statement)).rows
      return rows
    } finally {
      await client.end()
    }
  })

/** Repeats a look at the world, not a sleep, until it shows what is expected. */
export const eventually = <A>(look: Effect.Effect<A>, until: (value: A) => boolean): Effect.Effect<A> =>
  Effect.timeoutOrElse(Effect.repeat(look, { until, schedule: Schedule.spaced(50) }), {
    duration: within(20_000),
    orElse: () => Effect.flatMap(look, (last) => Effect.die(new Error(`still ${JSON.stringify(last)}`)))
  })

export const seen = (target: Target): Effect.Effect<Topology | null> =>
  Effect.map(Effect.result(target.discover), (found) => (Result.isSuccess(found) ? found.success[0]! : null))

export const healthy = (target: Target) =>
  eventually(seen(target), (found) => found !== null && health(found) === "Healthy")

/** Why a target sees nothing. A busy machine may keep a server from saying so in time: then we look again. */
export const errorOf = (settings: Settings): Effect.Effect<TargetError> =>
  Effect.scoped(Effect.flatMap(open(settings), (target) => target.discover)).pipe(
    Effect.flip,
    Effect.mapError((topologies) => new Error(`discovered ${JSON.stringify(topologies)}`)),
    Effect.orDie,
    (error) => eventually(error, ({ detail }) => !/within \d+ ms/.test(detail))
  )

/** Stops members until the scope ends or `resume` is run. */
export const pausing = Effect.gen(function* () {
  const tree = yield* ProcessTree.pausing
  const pause = (names: ReadonlyArray<string>) => tree.pause(lab.members.filter(({ name }) => names.includes(name)))
  return { pause, resume: tree.resume }
})

/** A role with pg_monitor, told to all standbys before it is used; its password is its name. */
export const role = Effect.fnUntraced(function* (name: string, ...settings: ReadonlyArray<string>) {
  yield* sql([
    `create role ${name} login password '${name}' in role pg_monitor`,
    ...settings.map((each) => `alter role ${name} ${each}`)
  ])
  const target = yield* open(as(name))
  yield* healthy(target)
  return target
})

const isRoot = process.getuid?.() === 0
export const skip = noBinaries || !isRoot

beforeAll(async () => {
  if (!skip) lab = await Effect.runPromise(Lab.up({ system: "postgres", name: "outside" }))
})

afterAll(async () => {
  await Effect.runPromise(Lab.down("outside"))
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})
