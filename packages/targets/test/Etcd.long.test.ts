/** A cluster of five, of which fewer may go than stay, with a learner; and one that nobody answers for. */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import { smallestCut } from "@inquorate/core/Plan"
import { health } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { eventually, freePort, only, written } from "./EtcdCluster.ts"
import { isHeld, openLab, openWith, reason, serve, settingsOf, skip, state, told, up, within } from "./EtcdLab.ts"

const call = (address: string, question: string, body: unknown) =>
  Effect.promise(async () => {
    const reply = await fetch(`http://${address}${question}`, { method: "POST", body: JSON.stringify(body) })
    return { ok: reply.ok, body: (await reply.json()) as Record<string, unknown> }
  })

describe.skipIf(skip !== undefined)(`an etcd cluster${reason}`, () => {
  it.live(
    "that nobody answers for is unreachable at once where nothing listens, in a second where nothing is said",
    () =>
      Effect.gen(function* () {
        const mute = yield* serve(() => {})
        const closed = yield* Effect.scoped(serve(() => {}))
        const target = yield* openWith({
          members: [
            { name: "m0", address: mute },
            { name: "m1", address: closed }
          ]
        })
        const error = yield* within(3000, Effect.flip(target.discover))
        assert.deepInclude(error, { reason: "Unreachable", endpoint: `${mute}, ${closed}` })
        const probe = yield* target.probe("raft")
        assert.deepStrictEqual(probe.endpoints, [mute, closed])
        assert.strictEqual((yield* probe.write(closed))._tag, "Unknown")
        assert.strictEqual((yield* within(2000, probe.survivors)).word, "Silent")
      })
  )
})

describe.skipIf(skip !== undefined)(`an etcd cluster of five${reason}`, () => {
  it.live("loses its quorum with three members, not with two, and a learner is no voter", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const five = yield* Effect.acquireRelease(up("five", 5), () => Effect.orDie(Lab.down("five")))
        const { pause, resume, target } = yield* openLab(() => five)
        const before = yield* told(target)
        assert.deepInclude(before, { needed: 3, rule: "majority of 5" })
        const cut = Result.getOrThrow(smallestCut(before, "QuorumReplicas"))
        assert.lengthOf(cut, 3)
        const probe = yield* target.probe("raft")
        const [leader] = probe.endpoints
        yield* pause(cut.slice(0, 2))
        yield* written(probe, leader!)
        yield* pause(cut.slice(2))
        const write = yield* Effect.forkChild(probe.write(leader!))
        const word = yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
        assert.include(word.detail, "no leader")
        assert.isUndefined(write.pollUnsafe())
        yield* resume
        yield* eventually(only(target), (topology) => health(topology) === "Healthy")
        yield* learn(five)
      })
    )
  )
})

/** Adds a learner and starts it. etcd takes none before all members have been connected for five seconds. */
const learn = Effect.fnUntraced(function* (five: LabRecord) {
  const [first] = five.members
  const [client, peer] = [`127.0.0.1:${yield* freePort()}`, `127.0.0.1:${yield* freePort()}`]
  // Where the answer was lost, the learner that is there already is as good.
  yield* eventually(
    call(first!.address, "/v3/cluster/member/add", { peerURLs: [`http://${peer}`], isLearner: true }),
    ({ body, ok }) => ok || /Peer URLs already exists/.test(JSON.stringify(body))
  )
  const unstarted = yield* told(yield* openWith(settingsOf(five)))
  assert.deepInclude(unstarted.members[5], { role: "IdleSecondary", counts: false, cuttable: "Never", up: false })
  assert.strictEqual(health(unstarted), "Healthy")

  const words = fs.readFileSync(`/proc/${first!.pid}/cmdline`, "utf8").split("\0")
  const dataDirectory = fs.mkdtempSync(path.join(state, "learner-"))
  const settings = {
    name: "learner",
    "data-dir": dataDirectory,
    "listen-client-urls": `http://${client}`,
    "advertise-client-urls": `http://${client}`,
    "listen-peer-urls": `http://${peer}`,
    "initial-advertise-peer-urls": `http://${peer}`,
    "initial-cluster": `${words[words.indexOf("--initial-cluster") + 1]},learner=http://${peer}`,
    "initial-cluster-state": "existing"
  }
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      childProcess.spawn(
        words[0]!,
        Object.entries(settings).map(([flag, value]) => `--${flag}=${value}`),
        { stdio: "ignore" }
      )
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => {
          fs.rmSync(dataDirectory, { recursive: true })
          resume(Effect.void)
        })
        child.kill("SIGKILL")
      })
  )
  const member = { name: "learner", address: client, host: "local", dataDirectory }
  const target = yield* openWith({ members: [member, ...settingsOf(five).members] })
  const topology = yield* eventually(
    only(target),
    ({ members }) => members[0]!.up && members[0]!.process !== null && members[0]!.processLate !== true
  )
  assert.deepInclude(topology, { needed: 3, rule: "majority of 5" })
  assert.lengthOf(topology.members, 6)
  assert.deepInclude(topology.members[0], { name: "learner", role: "IdleSecondary", counts: false, cuttable: "Never" })
  assert.strictEqual(topology.members[0]!.process?.dataDirectory, dataDirectory)
  const probe = yield* target.probe("raft")
  assert.notInclude(probe.endpoints, client)
  yield* isHeld(probe)
})
