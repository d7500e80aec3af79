import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { argumentsOf, binary, isRoot, membersSeenBy, skip, state, withLab } from "./EtcdLabs.ts"

describe.skipIf(binary === null)(`an etcd lab${skip}`, () => {
  it.live("has three members with pre-vote and etcd's own timing, and goes down with a majority paused", () =>
    withLab({ name: "three" }, (lab) =>
      Effect.gen(function* () {
        const { members } = yield* membersSeenBy(lab, 0)
        assert.sameMembers(
          members.map(({ clientURLs, name }) => `${name} ${clientURLs.join()}`),
          ["m0", "m1", "m2"].map((name, index) => `${name} http://${lab.members[index]!.address}`)
        )
        for (const { dataDirectory, pid } of lab.members) {
          assert.include(argumentsOf(pid), "--pre-vote")
          assert.notInclude(argumentsOf(pid), "--election-timeout")
          assert.isTrue(fs.existsSync(path.join(dataDirectory, "member", "snap", "db")))
          if (isRoot) assert.notStrictEqual(fs.statSync(`/proc/${pid}`).uid, 0)
        }
        assert.deepInclude((yield* Lab.list)[0], { name: "three", state: "Up", running: ["m0", "m1", "m2"] })
        yield* ProcessTree.signal(lab.members.slice(0, 2), "SIGSTOP")
        assert.deepInclude(yield* Lab.down("three"), { found: true, stopped: 3 })
      })
    )
  )

  it.live.skipIf(!isRoot)("runs as nobody for root, though the executable lies in a folder closed to others", () =>
    Effect.gen(function* () {
      const closed = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-closed-"))
      fs.chmodSync(closed, 0o700)
      fs.copyFileSync(binary!, path.join(closed, "etcd"))
      yield* withLab({ name: "closed", bin: closed }, (lab) =>
        Effect.sync(() => {
          const executable = fs.readlinkSync(`/proc/${lab.members[0]!.pid}/exe`)
          assert.strictEqual(executable, path.join(lab.folder, "bin", "etcd"))
        })
      )
      fs.rmSync(closed, { recursive: true })
    })
  )
})

const reasonOf = (options: Omit<Lab.UpOptions, "system" | "name">) =>
  Effect.map(Effect.flip(Lab.up({ system: "etcd", name: "none", ...options })), ({ detail, reason }) => {
    assert.isFalse(fs.existsSync(path.join(state, "none")))
    return { detail, reason }
  })

describe("an etcd lab that cannot be made", () => {
  it.live("for want of an executable says how to get one", () =>
    Effect.gen(function* () {
      assert.isNull(findBinary(state))
      assert.isNull(findBinary(null, state))
      const { detail, reason } = yield* reasonOf({ bin: state })
      assert.strictEqual(reason, "NoBinaries")
      assert.include(detail, "apt-get install etcd-server")
    })
  )

  it.live("for its number of members or its options says what there is", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* reasonOf({ members: 4 })).reason, "BadMembers")
      for (const election of ["soon", "49ms", "51s"]) {
        assert.strictEqual((yield* reasonOf({ options: { election } })).reason, "BadOption")
      }
      for (const flag of ["tls", "auth"]) {
        assert.strictEqual((yield* reasonOf({ options: { [flag]: "yes" } })).reason, "BadOption")
      }
      const unknown = yield* reasonOf({ options: { elections: "1s" } })
      assert.strictEqual(unknown.reason, "BadOption")
      assert.include(unknown.detail, "election (")
      const none = yield* Effect.flip(Lab.up({ system: "postgres", name: "none", options: { election: "1s" } }))
      assert.strictEqual(none.reason, "BadOption")
    })
  )
})
