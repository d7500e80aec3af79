/**
 * One PostgreSQL to keep things in: the primary of a lab, alone. Its standbys would be work that nobody asked for.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as fs from "node:fs"
import { Client } from "pg"

/** Where a database of the lab is. */
export const urlOf = (lab: LabRecord, database = "postgres"): string => {
  const { password } = lab.configuration as { password: { file: string } }
  return `postgresql://postgres:${fs.readFileSync(password.file, "utf8").trim()}@${lab.members[0]!.address}/${database}`
}

/** Uses a connection of its own. */
export const withClient = async <A>(url: string, use: (client: Client) => Promise<A>): Promise<A> => {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** Ends the standbys of a lab, lets its primary wait for none, and gives back where the primary is. */
export const alone = async (lab: LabRecord): Promise<string> => {
  const url = urlOf(lab)
  await withClient(url, async (client) => {
    await client.query("ALTER SYSTEM SET synchronous_standby_names = ''")
    await client.query("SELECT pg_reload_conf()")
  })
  for (const { pid } of lab.members.slice(1)) process.kill(pid, "SIGINT")
  return url
}
