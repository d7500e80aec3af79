/**
 * Goal: chosen members of a real etcd are truly isolated by the kernel's packet filter through the whole worker, while
 * every member goes on answering its clients; and the kernel alone joins them again when the worker is dead. Method: a
 * lab whose members have network namespaces of their own; skipped by name where those cannot be made.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as Namespaces from "@inquorate/lab/Namespaces"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const lacking = Namespaces.problem() || (spawnSync("nft", ["list", "tables"]).status === 0 ? "" : "needs nft")
if (lacking !== "" && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(lacking)

describe.skipIf(lacking !== "")(`etcd in namespaces${lacking === "" ? "" : ` (skipped: ${lacking})`}`, () => {
  let world: Harness.World
  let worker: Harness.Worker
  let partition: string

  beforeAll(async () => {
    world = await Harness.open("etcd", "apart", 3, { namespaces: true })
    worker = await Harness.startWorker(world, "apart.db")
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterAll(async () => {
    await Harness.close(world)
    const { hub, link, members } = world.lab.network!
    for (const name of [hub, ...members.map(({ namespace }) => namespace)]) {
      assert.isFalse(fs.existsSync(`/run/netns/${name}`), `the namespace ${name} is left`)
    }
    assert.isFalse(fs.existsSync(`/sys/class/net/${link}`), `the link ${link} is left`)
  }, Harness.within(60_000))

  /** The members in whose namespace a table of ours stands. */
  const cutOff = (): ReadonlyArray<string> =>
    world.lab.members.flatMap(({ name, pid }) => {
      const inside = [`--net=/proc/${pid}/ns/net`, "nft", "list", "tables"]
      return /inq_/.test(spawnSync("nsenter", inside, { encoding: "utf8" }).stdout) ? [name] : []
    })

  const begin = (seconds: number): Promise<string> => Harness.hold(worker, world, { partition, seconds })

  const allAnswer = async (): Promise<void> => {
    for (const { address } of world.lab.members) {
      const signal = AbortSignal.timeout(5000)
      const reply = await fetch(`http://${address}/v3/maintenance/status`, { method: "POST", body: "{}", signal })
      assert.strictEqual(reply.status, 200, `${address} does not answer its clients`)
    }
  }

  /** By whom the fences of an operation were ended, as the doctor finds. */
  const endsOf = async (id: string): Promise<ReadonlyArray<string | undefined>> => {
    const doctor = Harness.startInq(["doctor", "--output", "json"])
    assert.strictEqual((await doctor.done).code, 0, doctor.stdout())
    const { fences } = JSON.parse(doctor.stdout()) as {
      readonly fences: ReadonlyArray<{
        readonly fence: { readonly operationId: string }
        readonly state: { readonly by?: string }
      }>
    }
    return fences.filter(({ fence }) => fence.operationId === id).map(({ state }) => state.by)
  }

  it(
    "lose their quorum when two are cut off, hold it lost and give it back, all three proven",
    async () => {
      const leader = await Harness.leaderOf(world)
      const id = await begin(4)
      const followers = world.lab.members.map(({ name }) => name).filter((name) => name !== leader)
      assert.deepStrictEqual(cutOff(), followers, "others are cut off than the plan says")
      assert.isTrue(Harness.nothingStopped(world))
      assert.isFalse(await Harness.writeCommits(world, 700), "a write committed without its quorum")
      await allAnswer()
      const end = await Harness.ended(worker, id)
      const { evidence } = await Harness.detail(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify([evidence.verdicts, evidence.notes]))
      assert.deepStrictEqual(
        evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
        ["Loss Confirmed", "Hold Confirmed", "Recovery Confirmed"]
      )
      assert.deepStrictEqual(
        evidence.fences.map(({ grade, liftedBy, member }) => [member, grade, liftedBy]),
        followers.map((member) => [member, "Kernel", "Worker"])
      )
      assert.deepStrictEqual(cutOff(), [])
    },
    Harness.within(60_000)
  )

  it(
    "are joined again by the kernel when the worker is killed and stays dead",
    async () => {
      const id = await begin(6)
      worker.kill("SIGKILL")
      await worker.ended
      assert.isFalse(await Harness.writeCommits(world, 500), "a dead worker must not end the hold")
      await Harness.until("writes commit again", 20_000, () => Harness.writeCommits(world, 1000))
      // A fence whose deadline the worker had no time to bring forward ends a moment after the other one.
      await Harness.until("both ended by the kernel", 10_000, async () => (await endsOf(id)).join() === "Kernel,Kernel")
      assert.deepStrictEqual(cutOff(), [])
    },
    Harness.within(60_000)
  )
})
