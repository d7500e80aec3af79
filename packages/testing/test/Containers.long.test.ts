/**
 * Goal: a test takes the quorum of three etcd in containers, by name and as a compose project, and gets it back. Method: a
 * real Docker engine, with the labels that compose gives; the members are reached by their published ports.
 */
import { findBinary } from "@inquorate/lab/Etcd"
import * as ContainerEngine from "@inquorate/testkit/ContainerEngine"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type LossOptions, quorumLoss } from "../src/QuorumLoss.ts"

const skip =
  ContainerEngine.skip ?? (findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined)

describe.skipIf(skip !== undefined)(
  `the loss of a quorum in containers${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  () => {
    const scope = Scope.makeUnsafe()
    const before = process.env.DOCKER_HOST
    let options: LossOptions

    beforeAll(async () => {
      const engine = await Effect.runPromise(Scope.provide(start, scope))
      process.env.DOCKER_HOST = engine.socket
      const members = [0, 1, 2].map((index) => ({ name: `m${index}`, address: `${engine.address}:2237${index}` }))
      options = { system: "etcd", settings: { members } }
    })

    afterAll(async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      if (before === undefined) delete process.env.DOCKER_HOST
      else process.env.DOCKER_HOST = before
    })

    it("is there within the scope, and gone with its proof after it, by name", async () => {
      let proof
      {
        await using loss = await untilHealthy({ ...options, containers: ["m0", "m1", "m2"] })
        assert.lengthOf(loss.members, 2)
        ;({ proof } = loss)
      }
      assert.isAbove((await proof).writesTried, 0)
    })

    it("is the same for a compose project, and refused where no container is named", async () => {
      const loss = await untilHealthy({ ...options, compose: { project: "lab" }, engine: "docker" })
      const { lostForMs } = await loss.giveBack()
      assert.isAbove(lostForMs, 0)
      const refused = await quorumLoss(options).then(
        () => "",
        (error: unknown) => (error as Error).message
      )
      assert.match(refused, /container/)
    })
  }
)

// --- internal ---

/** A cluster that was just started, or has just had its quorum back, may still elect its leader. */
const untilHealthy = async (options: LossOptions) => {
  for (let turn = 0; ; turn++) {
    try {
      return await quorumLoss(options)
    } catch (error) {
      if (turn === 40) throw error
      await new Promise((resume) => setTimeout(resume, 500))
    }
  }
}

const start = Effect.gen(function* () {
  const engine = yield* ContainerEngine.start
  yield* ContainerEngine.image(engine, "lab/etcd:1", [findBinary(null)!])
  yield* engine.docker("network", "create", "--subnet", "198.19.253.0/24", "lab")
  const peers = [0, 1, 2].map((index) => `m${index}=http://198.19.253.1${index}:2380`).join(",")
  for (const index of [0, 1, 2]) {
    yield* engine.docker(
      ...["run", "--detach", "--name", `m${index}`, "--network", "lab", "--ip", `198.19.253.1${index}`],
      ...["--label", "com.docker.compose.project=lab", "--label", `com.docker.compose.service=m${index}`],
      ...["--publish", `2237${index}:2379`, "lab/etcd:1"],
      ...["etcd", "--name", `m${index}`, "--data-dir", "/var/lib/etcd", "--initial-cluster", peers],
      ...["--listen-client-urls", "http://0.0.0.0:2379", "--listen-peer-urls", "http://0.0.0.0:2380"],
      ...["--advertise-client-urls", `http://${engine.address}:2237${index}`],
      ...["--initial-advertise-peer-urls", `http://198.19.253.1${index}:2380`],
      ...["--heartbeat-interval", "300", "--election-timeout", "3000"]
    )
  }
  return engine
})
