/**
 * Goal: a worker with a simulated cluster takes the longest hold, a store, chaos and an old Node, and says what is wrong
 * with what it was asked. Method: the bundled worker with `--emulator`, as a process.
 */
import { spawnSync } from "node:child_process"
import { readdirSync, rmSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { bundle, type Emulator, get, start, temporary, tidy } from "./SimulatedWorker.ts"

/** A Node 20, where the machine has one. */
const node20 = [process.env.INQUORATE_NODE20, "/usr/bin/node", "/usr/local/bin/node"].find(
  (program) =>
    program !== undefined && spawnSync(program, ["--version"], { encoding: "utf8" }).stdout?.startsWith("v20.") === true
)

tidy()

describe("a worker that serves a simulated cluster", () => {
  it(
    "takes a hold as long as the wire can say, and a store that outlives it knows the old operation",
    async () => {
      const store = `sqlite:${path.join(temporary, "kept.db")}`
      const first = await start(["--store", store])
      const page = (await get(first, "/Services/Bank~Accounts/$/GetPartitions?api-version=6.4")) as {
        readonly Items: ReadonlyArray<{ readonly PartitionInformation: { readonly Id: string } }>
      }
      const of = `/Faults/Services/Bank~Accounts/$/GetPartitions/${page.Items[0]!.PartitionInformation.Id}/$`
      const id = "11111111-1111-4111-8111-111111111111"
      const asked = await fetch(
        `${first.endpoint}${of}/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=AllReplicas&QuorumLossDuration=2147483`,
        { method: "POST" }
      )
      assert.strictEqual(asked.status, 202)
      const state = async (emulator: Emulator) =>
        (
          (await get(emulator, `${of}/GetQuorumLossProgress?api-version=6.0&OperationId=${id}`)) as {
            readonly State: string
          }
        ).State
      const phase = async () => JSON.stringify(await get(first, `/v1/operations/${id}`))
      await Harness.until("the hold", 40_000, async () => (await phase()).includes('"_tag":"Holding"'))
      assert.strictEqual(await state(first), "Running")
      first.child.kill("SIGKILL")
      await first.ended
      // The cluster starts afresh: of the fence there is no trace, and the operation ends as one whose hold was broken.
      const second = await start(["--store", store])
      try {
        const lives = async () => ["Running", "RollingBack"].includes(await state(second))
        await Harness.until("its end", 40_000, async () => !(await lives()))
        assert.strictEqual(await state(second), "Faulted")
      } finally {
        second.child.kill("SIGTERM")
        await second.ended
      }
    },
    Harness.within(60_000)
  )

  it(
    "has chaos restart and remove single replicas where a filter names an application alone",
    async () => {
      const chaotic = await start(["--speed", "50", "--seed", "3"])
      try {
        const begun = await fetch(`${chaotic.endpoint}/Tools/Chaos/$/Start?api-version=6.0`, {
          method: "POST",
          body: JSON.stringify({
            TimeToRunInSeconds: "300",
            MaxConcurrentFaults: 1,
            WaitTimeBetweenFaultsInSeconds: 0,
            WaitTimeBetweenIterationsInSeconds: 0,
            ChaosTargetFilter: { ApplicationInclusionList: ["fabric:/Shop"] }
          })
        })
        assert.strictEqual(begun.status, 200)
        const drawn = async () => JSON.stringify(await get(chaotic, "/Tools/Chaos/Events?api-version=6.2"))
        const kinds = ["ActionType: RestartReplica", "ActionType: RemoveReplica"]
        await Harness.until("both kinds are drawn", 120_000, async () => {
          const events = await drawn()
          return kinds.every((kind) => events.includes(kind))
        })
        assert.notInclude(await drawn(), "TestError")
        assert.strictEqual(
          (await fetch(`${chaotic.endpoint}/Tools/Chaos/$/Stop?api-version=6.0`, { method: "POST" })).status,
          200
        )
      } finally {
        chaotic.child.kill("SIGTERM")
        await chaotic.ended
      }
    },
    Harness.within(180_000)
  )

  it.skipIf(node20 === undefined)(
    "runs on Node 20, with operations in memory, and leaves nothing when it ends",
    async () => {
      const before = readdirSync(temporary)
      const old = await start(["--speed", "20"], node20)
      try {
        const restarted = await fetch(`${old.endpoint}/Nodes/_Node_1/$/Restart?api-version=6.0`, { method: "POST" })
        assert.strictEqual(restarted.status, 200)
        await Harness.until("it has ended", 30_000, async () =>
          /^\[\{"OperationId":"[^"]+","State":"Completed","Type":"NodeTransition"\}\]$/.test(
            JSON.stringify(await get(old, "/Faults/?api-version=6.0"))
          )
        )
      } finally {
        old.child.kill("SIGTERM")
        assert.strictEqual(await old.ended, 0)
      }
      assert.deepStrictEqual(readdirSync(temporary), before)
      const run = (...arguments_: ReadonlyArray<string>) =>
        spawnSync(node20!, [bundle, ...arguments_], { encoding: "utf8" })
      assert.match(run("--version").stderr, /needs Node 24.* npx -y node@24 \S+worker\.mjs$/m)
      const stored = run("--emulator", "--listen", "127.0.0.1:0", "--store", `sqlite:${path.join(temporary, "x.db")}`)
      assert.strictEqual(stored.status, 3)
      assert.match(stored.stderr, /a store in a file needs Node 24/)
    },
    Harness.within(60_000)
  )

  it("says what is wrong with what it was asked", () => {
    const ask = (...arguments_: ReadonlyArray<string>) =>
      spawnSync(process.execPath, [bundle, ...arguments_], { encoding: "utf8" })
    const real = path.join(temporary, "real.yaml")
    writeFileSync(
      real,
      "clusters: { kv: { system: etcd, members: [{ name: m0, address: 127.0.0.1:1, dataDirectory: /nowhere }] } }\n"
    )
    const layout = path.join(temporary, "layout.yaml")
    writeFileSync(
      layout,
      "applications:\n  A:\n    services:\n      S: { replica: 9 }\n      T: { kind: persistent }\n"
    )
    const large = path.join(temporary, "large.yaml")
    writeFileSync(large, "applications: { A: { services: { S: { replicas: 9 } } } }\n")
    for (const [arguments_, words] of [
      [["--emulator", "--any-host", "--config", real], /--any-host is for a simulated cluster alone.*: kv\./],
      [["--seed", "3"], /--seed, --speed, --layout and --any-host are for --emulator alone/],
      [["--any-host"], /are for --emulator alone/],
      [["--emulator", "--layout", "nowhere.yaml"], /--layout: the layout nowhere\.yaml cannot be read/],
      // Each mistake on a line of its own, with its line in the file and what was meant.
      [["--emulator", "--layout", layout], /is wrong\n.*layout\.yaml:4: .*S\.replica: .* did you mean replicas\?\n/],
      [["--emulator", "--layout", layout], /\n.*layout\.yaml:5: .*T\.kind: Expected/],
      [["--emulator", "--layout", large], /is wrong\n.*large\.yaml: A\/S: 9 replicas do not fit on 5 nodes/],
      [["--emulator", "--explorer", "nowhere"], /--explorer: nowhere/],
      [["--emulator", "--seed", "x"], /--seed: expected a whole number/],
      [["--emulator", "--speed", "0"], /--speed: expected a number from 0\.01/]
    ] as const) {
      const { status, stderr } = ask(...arguments_)
      assert.strictEqual(status, 2)
      assert.match(stderr, words)
    }
    const { status, stderr } = ask("--emulator", "--listen", "0.0.0.0:0")
    assert.strictEqual(status, 4)
    assert.match(stderr, /add --any-host/)
    for (const file of [real, layout, large]) rmSync(file)
  })
})
