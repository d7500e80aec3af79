/**
 * The cut on a real etcd: three members, each in a network namespace of its own. With two of them cut off no write is
 * acknowledged, every member goes on answering its clients, and with everything of ours killed the kernel alone brings
 * the quorum back.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { randomUUID } from "node:crypto"
import type { FenceOrder } from "@inquorate/core/Injector"
import type { ProcessRef } from "@inquorate/core/Topology"
import { within } from "@inquorate/testkit/Pace"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Netfilter from "../src/mechanisms/Netfilter.ts"
import * as Peers from "./NetfilterPeers.ts"
import * as ProcessTree from "./ProcessTree.ts"

const etcd = ((): string => {
  try {
    return fs.realpathSync(execFileSync("sh", ["-c", "command -v etcd"], { encoding: "utf8" }).trim())
  } catch {
    return ""
  }
})()
const missing = Peers.missingNamespaces !== "" ? Peers.missingNamespaces : etcd === "" ? "etcd" : ""
const netfilter = Netfilter.make(new Map([["here", LocalHost.make("here")]]))
let state = ""

beforeAll(() => {
  state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-state-"))
  process.env.INQUORATE_STATE = state
})

afterAll(() => {
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
  if (missing === "") assert.deepStrictEqual(Peers.namespacesLeft(), [], "a namespace is left")
})

describe.skipIf(missing !== "")(`etcd in namespaces${missing === "" ? "" : ` (skipped: needs ${missing})`}`, () => {
  it.live("loses its quorum to a cut of two, and gets it back from the kernel when all of ours is dead", () =>
    Effect.gen(function* () {
      const inside = yield* Peers.namespaces(3)
      const members = yield* start(inside)
      const leader = yield* leaderOf(members)
      const cut = members.filter((member) => member !== leader)
      const operationId = randomUUID()
      const deadline = Math.floor(yield* Clock.currentTimeMillis) + within(20_000)
      const orders = cut.map((member): FenceOrder => ({
        fence: { operationId, attempt: 1, member: member.name },
        process: member.process,
        epoch: 1,
        deadline,
        startByMonotonic: 0
      }))
      for (const order of orders) assert.strictEqual((yield* netfilter.preflight(order.process))._tag, "Ready")
      assert.isTrue(yield* put(leader, 2))

      yield* Peers.armAndDie(orders)
      for (const order of orders) assert.isAtLeast(fences(order).length, 1)

      // Refused or unanswered by every member; and what etcd answers itself shows that the way to it is open.
      const writes = yield* Effect.forEach(members, (member) => put(member, 2), { concurrency: 3 })
      assert.deepStrictEqual(writes, [false, false, false], "a write was acknowledged without a quorum")
      for (const member of members) yield* untilSays(member, "no leader")
      const refusal = yield* call(leader, "/v3/kv/put", { key: btoa("inquorate"), value: btoa("late") }, 8)
      assert.include(refusal, "error", "the client was left hanging on the cut")
      assert.isAtMost(yield* Clock.currentTimeMillis, deadline, "too slow a machine to have seen it in the hold")

      yield* Effect.sleep(Math.max(0, deadline - (yield* Clock.currentTimeMillis)))
      assert.isTrue(yield* untilPut(members[0]!), "the quorum did not come back")
      for (const member of members) assert.isTrue(yield* untilPut(member))
      for (const order of orders) {
        const lifted = yield* netfilter.lift("here", order.fence, 1)
        assert.strictEqual(lifted.by, "Kernel")
        assert.deepStrictEqual(fences(order), [])
      }
    })
  )
})

// --- internal ---

interface Member {
  readonly name: string
  readonly address: string
  readonly hub: ReadonlyArray<string>
  readonly enter: ReadonlyArray<string>
  readonly process: ProcessRef
}

// nsenter becomes what it enters for.
const isEtcd = (child: ChildProcess): boolean => fs.readlinkSync(`/proc/${child.pid}/exe`) === etcd

const start = (inside: Peers.Namespaces) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const peers = inside.members.map(({ address }, index) => `m${index}=http://${address}:2380`).join(",")
        const token = randomUUID()
        const started = inside.members.map(({ address, enter }, index) => {
          const dataDirectory = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-"))
          const settings = {
            name: `m${index}`,
            "data-dir": dataDirectory,
            "listen-client-urls": `http://${address}:2379`,
            "advertise-client-urls": `http://${address}:2379`,
            "listen-peer-urls": `http://${address}:2380`,
            "initial-advertise-peer-urls": `http://${address}:2380`,
            "initial-cluster": peers,
            "initial-cluster-token": token
          }
          const words = Object.entries(settings).flatMap(([flag, value]) => [`--${flag}`, value])
          const child = spawn(enter[0]!, [...enter.slice(1), etcd, "--pre-vote", ...words], {
            cwd: dataDirectory,
            stdio: "ignore"
          })
          return { child, dataDirectory, index }
        })
        for (let turn = 0; turn < 200 && !started.every(({ child }) => isEtcd(child)); turn++) {
          await new Promise((resume) => setTimeout(resume, 20))
        }
        return started
      }),
      (started) =>
        Effect.promise(async () => {
          for (const { child, dataDirectory } of started) {
            const ended = new Promise((resume) => child.once("close", resume))
            child.kill("SIGKILL")
            await ended
            fs.rmSync(dataDirectory, { recursive: true, force: true })
          }
        })
    ),
    (started) =>
      started.map(({ child, dataDirectory, index }): Member => {
        const { address, enter } = inside.members[index]!
        const startTime = ProcessTree.look(child.pid!)!.startTime
        const process = { host: "here", pid: child.pid!, startTime, executable: etcd, dataDirectory }
        return { name: `m${index}`, address, hub: inside.hub, enter, process }
      })
  )

/** What a member answers to a client that stands outside of the members' namespaces; empty for nothing within that time. */
const call = (member: Member, question: string, body: unknown, seconds: number): Effect.Effect<string> =>
  Effect.promise(() =>
    Peers.run([
      ...member.hub,
      process.execPath,
      "-e",
      `fetch(process.argv[1], { method: "POST", body: process.argv[2], signal: AbortSignal.timeout(${seconds * 1000}) })
         .then((reply) => reply.text()).then((text) => console.log(text), () => process.exit(1))`,
      `http://${member.address}:2379${question}`,
      JSON.stringify(body)
    ])
  )

const put = (member: Member, seconds: number): Effect.Effect<boolean> =>
  Effect.map(
    call(member, "/v3/kv/put", { key: btoa("inquorate"), value: btoa("probe") }, seconds),
    (text) => text.includes("revision") && !text.includes("error")
  )

const untilPut = Effect.fnUntraced(function* (member: Member) {
  for (let turn = 0; turn < 10; turn++) if (yield* put(member, 3)) return true
  return false
})

const status = (member: Member) => call(member, "/v3/maintenance/status", {}, 2)

const untilSays = Effect.fnUntraced(function* (member: Member, words: string) {
  let said = ""
  for (let turn = 0; turn < 10; turn++) {
    said = yield* status(member)
    if (said.includes(words)) return
  }
  assert.include(said, words, `${member.name} could not be asked, or follows a leader still`)
})

const leaderOf = Effect.fnUntraced(function* (members: ReadonlyArray<Member>) {
  assert.isTrue(yield* untilPut(members[0]!), "etcd did not start")
  for (const member of members) {
    const said = JSON.parse(yield* status(member)) as {
      readonly leader?: string
      readonly header: { member_id: string }
    }
    if (said.leader === said.header.member_id) return member
  }
  return assert.fail("there is no leader")
})

/** The tables of a fence in its member's namespace. */
const fences = (order: FenceOrder): ReadonlyArray<string> =>
  execFileSync("nsenter", [`--net=/proc/${order.process.pid}/ns/net`, "nft", "list", "tables"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes("inq_"))
