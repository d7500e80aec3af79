import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const binary = findBinary(null)
const skip = binary === null ? " (skipped: no etcd on the PATH; apt-get install etcd-server)" : ""
const isRoot = process.getuid?.() === 0

const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-labs-"))
process.env["INQUORATE_LAB_STATE"] = state

/** Everything of a lab that may have been started, to be looked for once it should be gone. */
const seen: Array<LabRecord> = []

const withLab = <A, E>(options: Omit<Lab.UpOptions, "system">, use: (lab: LabRecord) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.tap(Lab.up({ system: "etcd", ...options }), (lab) => Effect.sync(() => seen.push(lab))),
    use,
    () => Effect.orDie(Lab.down(options.name))
  )

const argumentsOf = (pid: number): ReadonlyArray<string> => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")

interface Answer {
  readonly header: { readonly cluster_id: string }
  readonly members: ReadonlyArray<{ readonly name: string; readonly clientURLs: ReadonlyArray<string> }>
}

const membersSeenBy = (lab: LabRecord, member: number): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const reply = await fetch(`http://${lab.members[member]!.address}/v3/cluster/member/list`, {
      method: "POST",
      body: "{}"
    })
    return (await reply.json()) as Partial<Answer>
  }).pipe(
    // A busy machine may hold up a leader for longer than a short election takes, and without one there is no list.
    Effect.repeat({ until: ({ members }) => members !== undefined, schedule: Schedule.spaced(100) }),
    Effect.map((answer) => answer as Answer)
  )

afterAll(async () => {
  for (const { folder, members } of seen) {
    for (const member of members) assert.isFalse(await Effect.runPromise(ProcessTree.isRunning(member)))
    assert.isFalse(fs.existsSync(folder), `${folder} is left`)
  }
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true })
})

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

  it.live("may have five members and an election time of its own, and is another cluster than its neighbour", () =>
    Effect.gen(function* () {
      const ids = yield* withLab({ name: "five", members: 5, options: { election: "200ms" } }, (five) =>
        Effect.gen(function* () {
          assert.lengthOf((yield* membersSeenBy(five, 4)).members, 5)
          const words = argumentsOf(five.members[4]!.pid)
          assert.strictEqual(words[words.indexOf("--election-timeout") + 1], "200")
          assert.strictEqual(words[words.indexOf("--heartbeat-interval") + 1], "20")
          return yield* withLab({ name: "three", options: { election: "200ms" } }, (three) =>
            Effect.all([membersSeenBy(five, 0), membersSeenBy(three, 0)])
          )
        })
      )
      assert.notStrictEqual(ids[0].header.cluster_id, ids[1].header.cluster_id)
    })
  )

  it.live("speaks TLS and asks for users where told to, with all that a worker needs, and goes with its secrets", () =>
    Effect.gen(function* () {
      const options = { election: "200ms", tls: "true", auth: "true" }
      const files = yield* withLab({ name: "secured", options }, ({ configuration, members }) =>
        Effect.sync(() => {
          const { password, tls, user } = configuration as unknown as {
            readonly user: string
            readonly password: { readonly file: string }
            readonly tls: { readonly ca: string; readonly certificate: string; readonly key: string }
          }
          for (const file of [password.file, tls.key]) assert.strictEqual(fs.statSync(file).mode & 0o077, 0, file)
          for (const { pid } of members) {
            for (const flag of ["--client-cert-auth", "--peer-client-cert-auth"]) assert.include(argumentsOf(pid), flag)
          }
          const flags = [
            `--endpoints=${members[1]!.address}`,
            "--cacert",
            tls.ca,
            "--cert",
            tls.certificate,
            "--key",
            tls.key
          ]
          const put = (key: string, as: ReadonlyArray<string>) =>
            childProcess.spawnSync("etcdctl", [...flags, ...as, "put", key, "lab"], {
              env: { ...process.env, ETCDCTL_API: "3" },
              encoding: "utf8"
            }).status
          const own = [`--user=${user}:${fs.readFileSync(password.file, "utf8").trim()}`]
          assert.notStrictEqual(put("inquorate/probe", []), 0)
          // A busy machine may hold up a leader for longer than a short election takes.
          assert.isTrue(Array.from({ length: 5 }).some(() => put("inquorate/probe", own) === 0))
          assert.notStrictEqual(put("other", own), 0)
          return [password.file, tls.key, tls.ca]
        })
      )
      for (const file of files) assert.isFalse(fs.existsSync(file), file)
    })
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
