/**
 * A group as a bare program sees it, for the baselines: the processes of its members, one question that tells who is
 * who, and one write.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as fs from "node:fs"
import * as http from "node:http"
import * as pg from "pg"

/** The ways to a group. */
export interface BareGroup {
  /** Sends one write and waits for its acknowledgement. */
  readonly send: () => Promise<void>
  /** Asks who is who, and who counts. */
  readonly look: () => Promise<unknown>
  readonly close: () => Promise<void>
}

/** Opens connections to the group of a lab. */
export const open = (lab: LabRecord): Promise<BareGroup> =>
  lab.system === "postgres" ? openPostgres(lab) : Promise.resolve(openEtcd(lab))

/** The processes of these members, with their children. */
export const processesOf = (lab: LabRecord, cut: ReadonlyArray<string>): ReadonlyArray<number> =>
  lab.members.filter(({ name }) => cut.includes(name)).flatMap(({ pid }) => [pid, ...childrenOf(pid)])

/** Sends a signal to each process that is still there. */
export const signal = (pids: ReadonlyArray<number>, name: "SIGSTOP" | "SIGCONT"): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // It ended, as a process of a server may at any time.
    }
  }
}

/** Whether a write is acknowledged within this many milliseconds; one that fails is not. */
export const answeredWithin = async (write: Promise<void>, millis: number): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined
  const answered = await Promise.race([
    write.then(
      () => true,
      () => false
    ),
    new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), millis)))
  ])
  clearTimeout(timer)
  return answered
}

// --- internal ---

const childrenOf = (parent: number): ReadonlyArray<number> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8")
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent ? [Number(name)] : []
      } catch {
        return []
      }
    })

/** Two connections, since the first write hangs on one of them until the lift. */
const openPostgres = async (lab: LabRecord): Promise<BareGroup> => {
  const [host, port] = lab.members[0]!.address.split(":")
  const settings = lab.configuration as { user: string; database: string; password: { file: string } }
  const pool = new pg.Pool({
    host: host!,
    port: Number(port),
    user: settings.user,
    database: settings.database,
    password: fs.readFileSync(settings.password.file, "utf8").trim(),
    max: 4
  })
  const clients = await Promise.all([pool.connect(), pool.connect()])
  for (const client of clients) client.release()
  return {
    send: async () => void (await pool.query("select pg_logical_emit_message(true, 'bench', 'write')")),
    look: () =>
      pool.query(
        "select application_name, sync_state, state, current_setting('synchronous_standby_names') from pg_stat_replication"
      ),
    close: () => pool.end()
  }
}

const openEtcd = (lab: LabRecord): BareGroup => {
  const agent = new http.Agent({ keepAlive: true })
  const ask = (address: string, path: string, body: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = http.request(`http://${address}${path}`, { method: "POST", agent }, (response) => {
        response.resume()
        response.on("end", () =>
          response.statusCode === 200 ? resolve() : reject(new Error(String(response.statusCode)))
        )
      })
      request.on("error", reject)
      request.end(body)
    })
  const write = JSON.stringify({
    key: Buffer.from("bench").toString("base64"),
    value: Buffer.from("x").toString("base64")
  })
  return {
    // Each write goes to every member, and the first acknowledgement counts.
    send: () => Promise.any(lab.members.map(({ address }) => ask(address, "/v3/kv/put", write))),
    look: () =>
      Promise.all([
        ask(lab.members[0]!.address, "/v3/cluster/member/list", "{}"),
        ...lab.members.map(({ address }) => ask(address, "/v3/maintenance/status", "{}"))
      ]),
    close: () => {
      agent.destroy()
      return Promise.resolve()
    }
  }
}
