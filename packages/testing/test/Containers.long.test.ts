/**
 * Goal: a test takes the quorum of three etcd in containers, by name and as a compose project, and gets it back. Method: a
 * real engine of each kind, with the labels that compose gives where it takes any.
 */
import { findBinary } from "@inquorate/lab/Etcd"
import * as Containers from "@inquorate/testkit/Containers"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type LossOptions, quorumLoss } from "../src/QuorumLoss.ts"

for (const kind of Containers.kinds) {
  const skip =
    Containers.skip(kind) ??
    (findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined)

  describe.skipIf(skip !== undefined)(
    `the loss of a quorum in containers of ${kind}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
    () => {
      const scope = Scope.makeUnsafe()
      let options: LossOptions

      beforeAll(async () => {
        const engine = await Effect.runPromise(Scope.provide(start(kind), scope))
        const members = [0, 1, 2].map((index) => ({ name: `m${index}`, address: engine.reached(index, 2379) }))
        options = { system: "etcd", settings: { members }, ...engine.fields }
      })

      afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

      it("is there within the scope, and gone with its proof after it, by name", async () => {
        let proof
        {
          await using loss = await untilHealthy({ ...options, containers: ["m0", "m1", "m2"] })
          assert.lengthOf(loss.members, 2)
          ;({ proof } = loss)
        }
        assert.isAbove((await proof).writesTried, 0)
      })

      it(`is ${kind === "containerd" ? "refused" : "the same"} for a compose project, and refused where no container is named`, async () => {
        const compose = { ...options, compose: { project: "lab" }, engine: kind }
        if (kind === "containerd") assert.match(await refusalOf(compose), /knows no compose project/)
        else assert.isAbove((await (await untilHealthy(compose)).giveBack()).lostForMs, 0)
        const { engine: _, namespace: __, ...unnamed } = { ...options, readyWithin: "2s" }
        assert.match(await refusalOf(unnamed), /container/)
      })
    }
  )
}

// --- internal ---

const refusalOf = (options: LossOptions): Promise<string> =>
  quorumLoss(options).then(
    () => "",
    (error: unknown) => (error as Error).message
  )

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

const start = (kind: Containers.Kind) =>
  Effect.gen(function* () {
    const engine = yield* Containers.start(kind)
    yield* engine.image([findBinary(null)!])
    const peers = [0, 1, 2].map((index) => `m${index}=http://${engine.address(index)}:2380`).join(",")
    for (const index of [0, 1, 2]) {
      yield* engine.run({
        name: `m${index}`,
        index,
        port: 2379,
        labels: { "com.docker.compose.project": "lab", "com.docker.compose.service": `m${index}` },
        command: [
          ...["/usr/bin/etcd", "--name", `m${index}`, "--data-dir", "/var/lib/etcd", "--initial-cluster", peers],
          ...["--listen-client-urls", "http://0.0.0.0:2379", "--listen-peer-urls", "http://0.0.0.0:2380"],
          ...["--advertise-client-urls", `http://${engine.reached(index, 2379)}`],
          ...["--initial-advertise-peer-urls", `http://${engine.address(index)}:2380`],
          ...["--heartbeat-interval", "300", "--election-timeout", "3000"]
        ]
      })
    }
    return engine
  })
