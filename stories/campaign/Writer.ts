/**
 * A client of the system that knows nothing of us: writes number after number with the quorum's acknowledgement, one at
 * a time, keeps those that were acknowledged, and in the end reads them all back. An acknowledged number that is not
 * there was lost by the system, not to say by us.
 */
import * as fs from "node:fs"
import * as pg from "pg"
import type { World } from "../test/Harness.ts"

/** A client that writes until it is ended. */
export interface Writer {
  /** When each acknowledgement came, in UTC milliseconds. */
  readonly acknowledged: () => ReadonlyArray<number>
  /** Stops writing and gives back how many of the acknowledged numbers cannot be read. */
  readonly lost: () => Promise<number>
}

/** Starts to write. */
export const start = async (world: World): Promise<Writer> => {
  const store = world.lab.system === "etcd" ? etcdNumbers(world) : await postgresNumbers(world)
  const numbers: Array<number> = []
  const moments: Array<number> = []
  const going = { on: true }
  const writing = (async () => {
    for (let number = 0; going.on; number++) {
      if (await store.write(number)) {
        numbers.push(number)
        moments.push(Date.now())
      }
      await pause(20)
    }
  })()
  return {
    acknowledged: () => moments,
    lost: async () => {
      going.on = false
      await writing
      const there = await store.read()
      await store.close()
      return numbers.filter((number) => !there.has(number)).length
    }
  }
}

// --- internal ---

interface Numbers {
  readonly write: (number: number) => Promise<boolean>
  readonly read: () => Promise<ReadonlySet<number>>
  readonly close: () => Promise<void>
}

const patience = 700
let runs = 0

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

const etcdNumbers = ({ lab }: World): Numbers => {
  const prefix = `campaign/${process.pid}/${runs++}/`
  const call = async (address: string, path: string, body: unknown, within: number): Promise<unknown> => {
    const response = await fetch(`http://${address}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { connection: "close" },
      signal: AbortSignal.timeout(within)
    })
    if (!response.ok) throw new Error(await response.text())
    return response.json()
  }
  return {
    write: (number) =>
      Promise.any(
        lab.members.map(({ address }) =>
          call(address, "/v3/kv/put", { key: btoa(`${prefix}${number}`), value: btoa("1") }, patience)
        )
      ).then(
        () => true,
        () => false
      ),
    read: async () => {
      const range = { key: btoa(prefix), range_end: btoa(`${prefix.slice(0, -1)}0`), keys_only: true }
      const { kvs = [] } = (await Promise.any(
        lab.members.map(({ address }) => call(address, "/v3/kv/range", range, 10_000))
      )) as { readonly kvs?: ReadonlyArray<{ readonly key: string }> }
      return new Set(kvs.map(({ key }) => Number(atob(key).slice(prefix.length))))
    },
    close: async () => undefined
  }
}

const postgresNumbers = async (world: World): Promise<Numbers> => {
  const [host, port] = world.lab.members[0]!.address.split(":")
  const settings = world.lab.configuration as { user: string; database: string; password: { file: string } }
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({
      host: host!,
      port: Number(port),
      user: settings.user,
      database: settings.database,
      password: fs.readFileSync(settings.password.file, "utf8").trim(),
      connectionTimeoutMillis: patience
    })
    client.on("error", () => undefined)
    await client.connect()
    return client
  }
  const destroy = (client: pg.Client): void =>
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  const run = runs++
  const first = await connect()
  await first.query("create table if not exists campaign (run int, number int)")
  await first.end()
  let client: pg.Client | null = null
  return {
    write: async (number) => {
      let timer: NodeJS.Timeout | undefined
      try {
        client ??= await connect()
        const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error("late")), patience)))
        await Promise.race([client.query("insert into campaign values ($1, $2)", [run, number]), late])
        return true
      } catch {
        // A write that hangs keeps its connection; the next is made on a fresh one.
        if (client !== null) destroy(client)
        client = null
        return false
      } finally {
        clearTimeout(timer)
      }
    },
    read: async () => {
      const reader = await connect()
      const { rows } = await reader.query("select number from campaign where run = $1", [run])
      await reader.end()
      return new Set(rows.map((row: { readonly number: number }) => row.number))
    },
    close: async () => {
      if (client !== null) destroy(client)
    }
  }
}
