/**
 * Hosts over ssh, against a real sshd on this machine. They give the same answers as the machine itself. Keepers live on
 * when the connection is cut, and nobody guesses what was cut off. SshHost.long.test.ts holds the pause to its contract.
 */
import { factor } from "@inquorate/testkit/Pace"
import * as fs from "node:fs"
import * as path from "node:path"
import * as HostContract from "@inquorate/testkit/HostContract"
import { assert, describe, it } from "@effect/vitest"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fiber from "effect/Fiber"
import * as SshHost from "../src/hosts/SshHost.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as Far from "./SshScene.ts"

const farPause = Far.useFar()

describe.skipIf(Far.skip)(`a host over ssh${Far.skipped}`, () => {
  Bench.useState()

  HostContract.hostContract(
    "keeps the contract of a host",
    Effect.map(farPause, ({ host }) => host)
  )

  it.live("makes one connection for everything", () =>
    Effect.gen(function* () {
      const { host, sshd } = yield* farPause
      yield* host.run("true", [], Far.bound)
      const connection = yield* host.run("echo $SSH_CONNECTION", [], Far.bound)
      const answers = yield* Effect.forEach([1, 2, 3, 4], () => host.run("echo $SSH_CONNECTION", [], Far.bound), {
        concurrency: 4
      })
      for (const answer of answers) assert.deepStrictEqual(answer, connection)
      assert.isAtMost(fs.readdirSync(path.join(sshd.folder, "sockets")).length, 1)
    })
  )

  it.live("closes its connection with its scope", () =>
    Effect.gen(function* () {
      const sshd = yield* Sshd.start
      yield* Effect.scoped(Effect.flatMap(SshHost.make(sshd.target("far")), (host) => host.run("true", [], Far.bound)))
      yield* Bench.until("no session left", () => sshd.sessions().length === 0)
      assert.deepStrictEqual(fs.readdirSync(path.join(sshd.folder, "sockets")), [])
    })
  )

  it.live("says that nothing was sent where no connection could be made", () =>
    Effect.gen(function* () {
      const sshd = yield* Sshd.start
      const { options, ...target } = sshd.target("far")
      const cases: ReadonlyArray<readonly [SshHost.SshOptions, RegExp]> = [
        [{ ...options, port: 1 }, /refused/],
        [{ ...options, knownHosts: "/dev/null" }, /verification failed/i],
        [{ ...options, identity: path.join(sshd.folder, "host") }, /denied/i]
      ]
      for (const [options, words] of cases) {
        const host = yield* SshHost.make({ ...target, options })
        const error = yield* Effect.flip(host.run("true", [], Far.bound))
        assert.strictEqual(error.reason, "Unreachable", error.detail)
        assert.match(error.detail, words)
      }
    })
  )

  it.live("loses the answer where the connection is cut, and connects again for the next", () =>
    Effect.gen(function* () {
      const { host, sshd } = yield* farPause
      const mark = path.join(sshd.folder, "began")
      const running = yield* Effect.forkChild(Effect.result(host.run(`true >${mark}; sleep 5`, [], Far.bound)))
      yield* Bench.until("the command runs", () => fs.existsSync(mark))
      Sshd.cut(sshd)
      const result = yield* Fiber.join(running)
      assert.strictEqual(result._tag === "Failure" && result.failure.reason, "LostAnswer")
      assert.strictEqual((yield* host.run("echo again", [], Far.bound)).stdout, "again\n")
      Sshd.cut(sshd)
      yield* masterGone(sshd)
      assert.strictEqual((yield* host.run("echo and again", [], Far.bound)).stdout, "and again\n")
    })
  )

  it.live("whose connection is cut while it arms leaves an unknown outcome, and its record tells which", () =>
    Effect.gen(function* () {
      const { pause, sshd } = yield* farPause
      const tree = yield* ProcessTree.start("still")
      let unknown = 0
      for (let attempt = 1; attempt <= 4; attempt++) {
        const order = yield* Bench.orderFor(tree, { attempt })
        yield* pause.inspect("here", order.fence, 1)
        const arming = yield* Effect.forkChild(Effect.result(pause.arm(order)))
        const record = `${attempt}.${Buffer.from(tree.member).toString("hex")}`
        const began = path.join(sshd.state, "fences", order.fence.operationId, record)
        yield* Bench.until("the order has begun", () => fs.existsSync(began))
        yield* Effect.sleep((attempt - 1) * 10)
        Sshd.cut(sshd)
        const result = yield* Fiber.join(arming)
        if (result._tag === "Failure") {
          assert.strictEqual(result.failure.reason, "Unknown", result.failure.detail)
          unknown++
        } else yield* masterGone(sshd)
        // What was cut off goes on by itself to an end that the record tells.
        let state = yield* pause.inspect("here", order.fence, 2)
        for (let turn = 0; turn < 100 * factor && state._tag === "Arming"; turn++) {
          yield* Effect.sleep(50)
          state = yield* pause.inspect("here", order.fence, 2)
        }
        assert.include(["Armed", "Refused", "Lifted"], state._tag)
        assert.strictEqual(ProcessTree.runs(tree), state._tag !== "Armed")
        yield* pause.lift("here", order.fence, 2)
        assert.isTrue(ProcessTree.runs(tree))
      }
      assert.isAtLeast(unknown, 1, "no arming was cut off")
    })
  )

  it.live(
    "has keepers, one pair for all members, that outlive every connection and end each fence at its deadline",
    () =>
      Effect.gen(function* () {
        const { pause, sshd } = yield* farPause
        const trees = [yield* ProcessTree.start("still"), yield* ProcessTree.start("threads")]
        const first = yield* Bench.orderFor(trees[0]!, { hold: 2500 })
        const orders = trees.map(({ process, member }) => ({ ...first, process, fence: { ...first.fence, member } }))
        const prepared = yield* pause.prepare!("here", orders, 60_000)
        const armed = yield* prepared.go(yield* Bench.orderFor(trees[0]!, { hold: 2500 }))
        assert.deepStrictEqual(armed.map(Result.isSuccess), [true, true])
        const records = path.join(sshd.state, "fences", first.fence.operationId)
        const keepers = orders.map(({ fence }) => {
          const folder = path.join(records, `1.${Buffer.from(fence.member).toString("hex")}`)
          return ["keepers", "holder"].map((name) => fs.readFileSync(path.join(folder, name), "utf8")).join("")
        })
        assert.strictEqual(new Set(keepers).size, 1)
        Sshd.cut(sshd)
        yield* Bench.until("every connection has ended", () => sshd.sessions().length === 0)
        for (const tree of trees) assert.isFalse(ProcessTree.runs(tree), "the end of a connection is no lift")
        for (const order of orders) assert.strictEqual((yield* Bench.ended(order, pause)).by, "Keeper")
        for (const tree of trees) assert.isTrue(ProcessTree.runs(tree))
      })
  )
})

// --- internal ---

/** A master that has not seen its end yet may lose an answer; one that has is gone with its socket. */
const masterGone = (sshd: Sshd.Sshd) =>
  Bench.until("the master is gone", () => fs.readdirSync(sshd.target("here").socketDirectory).length === 0)
