/**
 * The baseline of recovery: a program that knows nothing but signals and one write. It stops the same members as the
 * plan, all of their processes, waits for the same time with one write in flight, sends SIGCONT, sends one write at that
 * moment, and takes the time until that write is acknowledged; a write that is not answered in a second is sent again.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as fs from "node:fs"
import * as http from "node:http"
import * as pg from "pg"

/** Milliseconds from SIGCONT to the first acknowledged write that was sent after it. */
export const bareRecovery = async (lab: LabRecord, cut: ReadonlyArray<string>, hold: number): Promise<number> => {
  const write = lab.system === "postgres" ? await postgresWriter(lab) : etcdWriter(lab)
  const pids = lab.members.filter(({ name }) => cut.includes(name)).flatMap(({ pid }) => [pid, ...childrenOf(pid)])
  await write.send()
  try {
    for (const pid of pids) process.kill(pid, "SIGSTOP")
    const hung = write.send().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, hold))
    const began = performance.now()
    for (const pid of pids) process.kill(pid, "SIGCONT")
    for (;;) {
      const answered = await Promise.race([
        write.send().then(
          () => true,
          () => false
        ),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 1000).unref())
      ])
      if (answered) break
    }
    const took = performance.now() - began
    await Promise.race([hung, new Promise((resolve) => setTimeout(resolve, 1000).unref())])
    return took
  } finally {
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGCONT")
      } catch {
        // It ended, and needs no waking.
      }
    }
    await write.close()
    // What follows is measured on a group that has settled.
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

// --- internal ---

interface Writer {
  readonly send: () => Promise<void>
  readonly close: () => Promise<void>
}

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
const postgresWriter = async (lab: LabRecord): Promise<Writer> => {
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
    close: () => pool.end()
  }
}

const etcdWriter = (lab: LabRecord): Writer => {
  const agent = new http.Agent({ keepAlive: true })
  const body = JSON.stringify({
    key: Buffer.from("bench").toString("base64"),
    value: Buffer.from("x").toString("base64")
  })
  // To whichever member answers: each write goes to all, and the first acknowledgement counts.
  const one = (address: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = http.request(`http://${address}/v3/kv/put`, { method: "POST", agent }, (response) => {
        response.resume()
        response.on("end", () =>
          response.statusCode === 200 ? resolve() : reject(new Error(String(response.statusCode)))
        )
      })
      request.on("error", reject)
      request.end(body)
    })
  return {
    send: () => Promise.any(lab.members.map(({ address }) => one(address))),
    close: () => {
      agent.destroy()
      return Promise.resolve()
    }
  }
}
