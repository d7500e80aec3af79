/**
 * What the stories of members on a host that is reached over ssh are told with: an etcd lab, the bundled worker, and an
 * sshd of the story's own in between. Where root runs the story, it once enters as on a cloud's host: as a user with no
 * right but sudo, in a pty, behind a login shell that is not one of POSIX's where there is one.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, beforeAll, describe } from "vitest"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Harness from "./Harness.ts"

if (Sshd.missing !== "" && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(Sshd.missing)

const csh = ["/bin/csh", "/usr/bin/csh"].find((file) => fs.existsSync(file)) ?? "/bin/sh"
const cloud =
  Sshd.accountsMissing === ""
    ? { users: { ubuntu: csh }, sudoers: "Defaults use_pty, env_reset\nubuntu ALL=(ALL) NOPASSWD: ALL" }
    : undefined

const scope = Scope.makeUnsafe()
export let world: Harness.World
export let worker: Harness.Worker
export let sshd: Sshd.Sshd
export let config: string

/** Starts a worker, the next one on the store of the one before. */
export const startWorker = async (): Promise<void> => {
  worker = await Harness.startWorker(world, "far.db", { config })
}

/** Takes the host away: ends its sshd and every connection. */
export const takeHostAway = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))

/** Registers stories of members on the far host. */
export const onFarHost = (stories: () => void): void => {
  const suite = Sshd.missing === "" ? describe : describe.skip
  suite(`members on a host over ssh${Sshd.missing === "" ? "" : ` (skipped: ${Sshd.missing})`}`, () => {
    beforeAll(async () => {
      world = await Harness.open("etcd", "far")
      sshd = await Effect.runPromise(Scope.provide(Sshd.startWith(cloud), scope))
      const { destination, options } = sshd.target("node-1", cloud === undefined ? undefined : "ubuntu")
      const lab = world.lab.configuration as { readonly members: ReadonlyArray<object> }
      const members = lab.members.map((member) => ({ ...member, host: "node-1" }))
      config = path.join(world.folder, "far.yaml")
      const hosts = { "node-1": { ssh: destination, ...options, sudo: cloud !== undefined } }
      fs.writeFileSync(config, JSON.stringify({ hosts, clusters: { far: { ...lab, members } } }))
      await startWorker()
      await Harness.until("the members' processes are seen", 20_000, async () => {
        const plan = await Harness.inq("--endpoint", worker.endpoint, "plan", "far")
        return plan.code === 0
      })
    }, Harness.within(120_000))

    afterAll(async () => {
      await takeHostAway()
      await Harness.close(world)
    }, Harness.within(60_000))

    stories()
  })
}
