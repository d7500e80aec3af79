/**
 * The baseline of throughput: DBOS workflows of four steps that do nothing, a hundred at a time, on the server whose
 * address is the first argument. It announces itself as the other side does. For each line that it reads, it measures
 * once and writes one line of JSON.
 */
import { DBOS } from "@dbos-inc/dbos-sdk"
import { randomUUID } from "node:crypto"
import * as readline from "node:readline"

const [url, countText, atOnceText] = process.argv.slice(2)
const count = Number(countText)
const atOnce = Number(atOnceText)
DBOS.setConfig({ name: "bench", systemDatabaseUrl: url!, logLevel: "error" })
const nothing = (): Promise<null> => Promise.resolve(null)
const fault = DBOS.registerWorkflow(
  async () => {
    for (const name of ["look", "arm", "lift", "recover"]) await DBOS.runStep(nothing, { name })
  },
  { name: "fault" }
)
await DBOS.launch()

const round = async (): Promise<number> => {
  const began = performance.now()
  let next = 0
  const one = async (): Promise<void> => {
    while (next++ < count) {
      const handle = await DBOS.startWorkflow(fault, { workflowID: randomUUID() })()
      await handle.getResult()
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
  return (performance.now() - began) / 1000
}

process.stdout.write("ready\n")
for await (const _ of readline.createInterface({ input: process.stdin })) {
  const before = process.cpuUsage()
  const seconds = await round()
  const { system, user } = process.cpuUsage(before)
  process.stdout.write(`${JSON.stringify({ seconds, cpu: (system + user) / 1000 })}\n`)
}
await DBOS.shutdown()
