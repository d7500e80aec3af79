/**
 * Goal: members on a host that is reached over ssh are broken and given back as on this machine, and a host that is
 * away is said to be away. Method: an etcd lab, the bundled worker, and an sshd of the story's own in between. Where
 * root runs the story, it once enters as on a cloud's host: as a user with no right but sudo, in a pty, behind a login
 * shell that is not one of POSIX's where there is one.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Harness from "./Harness.ts"

if (Sshd.missing !== "" && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(Sshd.missing)
const suite = Sshd.missing === "" ? describe : describe.skip

const csh = ["/bin/csh", "/usr/bin/csh"].find((file) => fs.existsSync(file)) ?? "/bin/sh"
const cloud =
  Sshd.accountsMissing === ""
    ? { users: { ubuntu: csh }, sudoers: "Defaults use_pty, env_reset\nubuntu ALL=(ALL) NOPASSWD: ALL" }
    : undefined

suite(`members on a host over ssh${Sshd.missing === "" ? "" : ` (skipped: ${Sshd.missing})`}`, () => {
  const scope = Scope.makeUnsafe()
  let world: Harness.World
  let worker: Harness.Worker
  let sshd: Sshd.Sshd
  let config: string

  beforeAll(async () => {
    world = await Harness.open("etcd", "far")
    sshd = await Effect.runPromise(Scope.provide(Sshd.startWith(cloud), scope))
    const { destination, options } = sshd.target("node-1", cloud === undefined ? undefined : "ubuntu")
    const lab = world.lab.configuration as { readonly members: ReadonlyArray<object> }
    const members = lab.members.map((member) => ({ ...member, host: "node-1" }))
    config = path.join(world.folder, "far.yaml")
    const hosts = { "node-1": { ssh: destination, ...options, sudo: cloud !== undefined } }
    fs.writeFileSync(config, JSON.stringify({ hosts, clusters: { far: { ...lab, members } } }))
    worker = await Harness.startWorker(world, "far.db", { config })
    await Harness.until("the members' processes are seen", 20_000, async () => {
      const plan = await Harness.inq("--endpoint", worker.endpoint, "plan", "far")
      return plan.code === 0
    })
  }, Harness.within(120_000))

  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await Harness.close(world)
  }, Harness.within(60_000))

  it(
    "are found by a check of the configuration without any worker",
    async () => {
      const { code, stdout } = await Harness.inq("target", "check", config)
      assert.strictEqual(code, 0, stdout)
      assert.strictEqual(stdout.match(/pid \d+ on node-1/g)?.length, 3, stdout)
      assert.include(stdout, "Nothing is missing.")
    },
    Harness.within(60_000)
  )

  it(
    "lose their quorum and get it back, by keepers on that host",
    async () => {
      const id = randomUUID()
      const partition = await Harness.partitionOf(worker, world)
      await Harness.startLoss(worker, world, { id, partition, seconds: 4 })
      await Harness.taken(worker, world, id, 2)
      const end = await Harness.ended(worker, id)
      const { evidence } = await Harness.detail(worker, id)
      assert.strictEqual(end.State, "Completed", JSON.stringify(evidence.notes))
      assert.isTrue(evidence.fences.every(({ host }) => host === "node-1"))
      assert.isTrue(Harness.nothingStopped(world))
      assert.isTrue(fs.existsSync(path.join(sshd.state, "fences", id)), "the record is not on the far side")
    },
    Harness.within(60_000)
  )

  it(
    "are given back by their keepers when the connection and the worker are both gone",
    async () => {
      const id = randomUUID()
      const partition = await Harness.partitionOf(worker, world)
      await Harness.startLoss(worker, world, { id, partition, seconds: 3 })
      await Harness.taken(worker, world, id, 2)
      Sshd.cut(sshd)
      worker.kill("SIGKILL")
      await worker.ended
      assert.strictEqual(Harness.stoppedMembers(world).length, 2, "the end of a connection is no lift")
      await Harness.until("nothing stopped", 15_000, () => Harness.nothingStopped(world))
      worker = await Harness.startWorker(world, "far.db", { config })
      await Harness.ended(worker, id, 60_000)
    },
    Harness.within(90_000)
  )

  it(
    "are not touched while the host is away, which is what the operation then says",
    async () => {
      const partition = await Harness.partitionOf(worker, world)
      await Effect.runPromise(Scope.close(scope, Exit.void))
      const id = randomUUID()
      await Harness.startLoss(worker, world, { id, partition, seconds: 2 })
      const end = await Harness.ended(worker, id, 60_000)
      assert.strictEqual(end.State, "Faulted")
      assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, -2147017796)
      assert.isTrue(Harness.nothingStopped(world))
      worker.kill("SIGTERM")
      assert.strictEqual(await worker.ended, 0)
    },
    Harness.within(90_000)
  )
})
