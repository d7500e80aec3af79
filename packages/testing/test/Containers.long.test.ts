/**
 * Goal: a test takes the quorum of servers in containers, by name and as a compose project, and gets it back, whatever
 * happens to the test. Method: three etcd, and a PostgreSQL primary with two standbys, on a real engine of each kind, with
 * the labels that compose gives where it takes any.
 */
import * as ContainedServers from "@inquorate/testkit/ContainedServers"
import * as Containers from "@inquorate/testkit/Containers"
import { within } from "@inquorate/testkit/Pace"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as path from "node:path"
import { type LossOptions, quorumLoss } from "../src/QuorumLoss.ts"
import { lossesWithin } from "./Losses.ts"

const systems = [
  { system: "etcd", servers: ContainedServers.etcd, login: {} },
  { system: "postgres", servers: ContainedServers.postgres, login: { user: "postgres", database: "postgres" } }
]

for (const { login, servers, system } of systems) {
  for (const kind of Containers.kinds) {
    const skip = Containers.skip(kind) ?? servers.skip

    describe.skipIf(skip !== undefined)(
      `the loss of a quorum of ${servers.called} in containers of ${kind}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
      () => {
        const scope = Scope.makeUnsafe()
        let engine: Containers.Containers
        let options: LossOptions

        beforeAll(async () => {
          engine = await Effect.runPromise(Scope.provide(Containers.start(kind), scope))
          process.env["INQUORATE_STATE"] = path.join(engine.folder, "fences")
          await Effect.runPromise(servers.start(engine))
          const members = ContainedServers.names.map((name, index) => ({
            name,
            address: engine.reached(index, servers.port)
          }))
          options = { system, settings: { ...login, members }, readyWithin: `${within(60)}s`, ...engine.fields }
        })

        afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

        lossesWithin(() => ({
          options: { ...options, containers: ContainedServers.names },
          pids: () => Effect.runPromise(Effect.forEach(ContainedServers.names, engine.pid))
        }))

        it(`is ${kind === "containerd" ? "refused" : "the same"} for a compose project, and refused where no container is named`, async () => {
          const compose = { ...options, compose: { project: ContainedServers.project }, engine: kind }
          if (kind === "containerd") assert.match(await refusalOf(compose), /knows no compose project/)
          else assert.isAbove((await (await quorumLoss(compose)).giveBack()).lostForMs, 0)
          const { engine: _, namespace: __, ...unnamed } = { ...options, readyWithin: "2s" }
          // Of what has just come back, a member may leave once more, which is told first.
          const limit = Date.now() + within(30_000)
          let refusal = await refusalOf(unnamed)
          while (!/container/.test(refusal) && Date.now() < limit) refusal = await refusalOf(unnamed)
          assert.match(refusal, /container/)
        })
      }
    )
  }
}

// --- internal ---

const refusalOf = (options: LossOptions): Promise<string> =>
  quorumLoss(options).then(
    () => "",
    (error: unknown) => (error as Error).message
  )
