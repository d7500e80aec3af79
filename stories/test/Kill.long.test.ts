/**
 * Goal: servers of real systems are killed and come back, with the loss, the hold and the recovery proven as for any
 * other fault, and nothing of it is left. Method: a lab of each system, the bundled worker, the wire by hand; which
 * processes the members are is read from /proc.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

for (const system of ["etcd", "postgres"]) {
  describe(`killed members of ${system}`, () => {
    it(
      "are gone for the hold, come back as other processes, and go with their lab",
      async () => {
        const world = await Harness.open(system, `kill-${system}`)
        let servers: ReadonlyArray<number> = []
        try {
          const worker = await Harness.startWorker(world, "kill.db", { config: killing(world) })
          const before = serversOf(world)
          const id = randomUUID()
          const partition = await Harness.partitionOf(worker, world)
          const started = await Harness.startLoss(worker, world, { id, partition, seconds: 3 })
          assert.strictEqual(started.status, 202, started.body)
          let fewest = before.length
          const watching = setInterval(() => {
            fewest = Math.min(fewest, serversOf(world).length)
          }, 50)
          const end = await Harness.ended(worker, id, 90_000)
          clearInterval(watching)
          const { evidence } = await Harness.detail(worker, id)
          const told = JSON.stringify({ verdicts: evidence.verdicts, notes: evidence.notes, fences: evidence.fences })
          assert.strictEqual(end.State, "Completed", told)
          assert.strictEqual(fewest, before.length - 2, told)
          servers = serversOf(world)
          assert.strictEqual(servers.length, before.length)
          const fresh = servers.filter((pid) => !before.includes(pid))
          assert.lengthOf(fresh, 2)
          // On a busy machine a start takes longer than the worker's half second before the keepers' deadline.
          assert.strictEqual(
            evidence.fences.filter(({ grade, offAt }) => grade === "Keeper" && offAt !== null).length,
            2,
            told
          )
          assert.strictEqual(evidence.plan!.fences[0]!.injector, "kill")
          for (const pid of fresh) {
            assert.isTrue(
              evidence.notes.some(({ text }) => text.endsWith(`runs again as process ${pid}`)),
              `the evidence does not name the new process ${pid}: ${told}`
            )
          }
          assert.isAtLeast(evidence.hold!.measured, 3000)
          await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)

          const second = randomUUID()
          await Harness.startLoss(worker, world, { id: second, partition, seconds: 3 })
          await Harness.until("two members gone", 15_000, () => serversOf(world).length === before.length - 2)
          worker.kill("SIGKILL")
          await worker.ended
          await Harness.until("the keepers started them again", 15_000, () => serversOf(world).length === before.length)
          await Harness.until("no keeper", 15_000, () => Harness.keepers(world).length === 0)
          servers = serversOf(world)
        } finally {
          await Harness.close(world)
        }
        for (const pid of servers) assert.isTrue(isGone(pid), `process ${pid} outlived its lab`)
      },
      Harness.within(180_000)
    )
  })
}

/** A dead process that nobody has collected yet is gone. */
const isGone = (pid: number): boolean => Harness.statesOf(pid).every((state) => state === "Z")

/** The lab's configuration, its members to be killed. */
const killing = (world: Harness.World): string => {
  const file = path.join(world.folder, "kill.yaml")
  const cluster = { ...(world.lab.configuration as object), injector: "kill" }
  fs.writeFileSync(file, JSON.stringify({ clusters: { [world.lab.name]: cluster } }))
  return file
}

/** The main processes of the lab's members, wherever they come from. */
const serversOf = (world: Harness.World): ReadonlyArray<number> =>
  world.lab.members.flatMap(({ dataDirectory }) => Harness.serverOf(dataDirectory) ?? [])
