/**
 * What the tests of a server's identity share: folders, databases and processes of the users nobody (a server's own) and
 * games (anybody), control groups, state directories, and what is said of them.
 */
import { factor, within as bounded } from "@inquorate/testkit/Pace"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import type { Preflight } from "@inquorate/core/Injector"
import type { ProcessRef } from "@inquorate/core/Topology"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as ProcessTree from "./ProcessTree.ts"

export const root = process.getuid?.() === 0
export const skip = root ? "" : " (skipped: needs root, for the users nobody and games)"
export const [nobody, games] = [65534, 5]
export const here = LocalHost.make("here")
export const pause = Pause.make(new Map([["here", here]]))
export let folder = ""

/** Gives the file a folder of its own, with the state directory in it. */
export const useFolder = (): void => {
  beforeAll(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-identity-"))
    fs.chmodSync(folder, 0o755)
    process.env.INQUORATE_STATE = path.join(folder, "state")
  })
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
}

/** A folder of this user. */
export const folderOf = (uid: number, mode = 0o700): string => {
  const made = fs.mkdtempSync(path.join(folder, "d"))
  fs.chownSync(made, uid, uid)
  fs.chmodSync(made, mode)
  return made
}

/** A data directory as etcd has it, of this user; `mode` is the database's. */
export const etcdOf = (uid: number, mode = 0o600): { readonly directory: string; readonly file: string } => {
  const directory = folderOf(uid, 0o755)
  const file = path.join(directory, "member/snap/db")
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, "")
  for (const each of ["member", "member/snap", "member/snap/db"]) fs.chownSync(path.join(directory, each), uid, uid)
  fs.chmodSync(file, mode)
  return { directory, file }
}

/** A process that has done this, in Perl, and waits. */
export const perl = (text: string, uid?: number) =>
  ProcessTree.startWith(
    ["perl", ["-e", `${text}; $| = 1; print "ready\\n"; sleep 1000`]],
    uid === undefined ? {} : { uid }
  )

export const judged = Effect.fnUntraced(function* (process: ProcessRef, dataDirectory = process.dataDirectory) {
  return yield* pause.preflight({ ...process, dataDirectory })
})

export const isReady = (preflight: Preflight): void =>
  assert.strictEqual(preflight._tag, "Ready", JSON.stringify(preflight))

export const isImpossible = (preflight: Preflight, words: string): void => {
  assert.strictEqual(preflight._tag, "Impossible", JSON.stringify(preflight))
  assert.include(preflight._tag === "Impossible" ? preflight.problem : "", words)
}

export const orderFor = Effect.fnUntraced(function* (tree: ProcessTree.ProcessTree, dataDirectory: string) {
  return {
    fence: { operationId: randomUUID(), attempt: 1, member: tree.member },
    process: { ...tree.process, dataDirectory },
    epoch: 1,
    deadline: (yield* Clock.currentTimeMillis) + bounded(20_000),
    startByMonotonic: Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + bounded(10_000)
  }
})

/** Where control groups are made. */
export const groups = fs.existsSync("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup"

/** Puts a process into a control group until the end of the scope. */
export const within = Effect.fnUntraced(function* (place: string, parts: ReadonlyArray<string>, pid: number) {
  const made = parts.map((_, index) => path.join(place, ...parts.slice(0, index + 1)))
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      for (const each of made) if (!fs.existsSync(each)) fs.mkdirSync(each)
      fs.writeFileSync(path.join(made.at(-1)!, "cgroup.procs"), String(pid))
    }),
    () =>
      Effect.promise(async () => {
        const procs = path.join(made.at(-1)!, "cgroup.procs")
        for (let turn = 0; turn < 100 * factor && fs.existsSync(made.at(-1)!); turn++) {
          for (const each of fs.readFileSync(procs, "utf8").split("\n").filter(Boolean)) {
            fs.writeFileSync(path.join(place, "cgroup.procs"), each)
          }
          for (const each of made.toReversed()) {
            try {
              fs.rmdirSync(each)
            } catch {
              // One that others use too stays; a busy one is tried again.
            }
          }
          await new Promise((resume) => setTimeout(resume, 20))
        }
      })
  )
  return made.at(-1)!
})

/** This machine with another state directory, asked as this user. */
export const withState = (directory: string, uid = 0): Host => ({
  label: "here",
  run: (program, words, options) =>
    here.run(
      `p=$1 s=$2; shift 2; exec setpriv --reuid=${uid} --regid=${uid} --clear-groups env INQUORATE_STATE="$s" sh -c "$p" inquorate "$@"`,
      [program, directory, ...words],
      options
    )
})

export const sweepOf = (directory: string, uid = 0) =>
  Pause.make(new Map([["here", withState(directory, uid)]])).sweep("here", { clear: true })

/** What a sweep says that takes nothing from this state directory. */
export const refusal = (directory: string, uid = 0) =>
  Effect.map(Effect.flip(sweepOf(directory, uid)), ({ detail, reason }) => {
    assert.strictEqual(reason, "OrderRefused")
    return detail
  })

/** Registers a test for each surroundings that a worker may have. */
export const isFencedWith = (surroundings: Readonly<Record<string, string>>): void => {
  it.live.each(Object.entries(surroundings))("is fenced by the same grade where the worker has %s", ([name, value]) =>
    Effect.gen(function* () {
      const { directory, file } = etcdOf(nobody)
      const { process: server } = yield* perl(`open(A, ">>", "${file}") or die`, nobody)
      const before = yield* judged(server, directory)
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env[name]))
      process.env[name] = value
      const now = yield* judged(server, directory)
      isReady(now)
      assert.strictEqual(now._tag === "Ready" && now.grade, before._tag === "Ready" && before.grade)
    })
  )
}

/** Registers a test for each name of a control group that is a service's, by its parts. */
export const areServices = (services: ReadonlyArray<ReadonlyArray<string>>): void => {
  it.live.each(services.map((parts) => ({ parts })))("is a service's own: $parts", ({ parts }) =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      yield* within(groups, parts, tree.process.pid)
      isReady(yield* judged(tree.process))
    })
  )
}

/** Registers a test for each name of a control group that is a container's, by its parts. */
export const areContainers = (containers: ReadonlyArray<ReadonlyArray<string>>): void => {
  it.live.each(containers.map((parts) => ({ parts })))("is a container's: $parts", ({ parts }) =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      yield* within(groups, [`inquorate-${randomUUID()}`, ...parts], tree.process.pid)
      isImpossible(yield* judged(tree.process), "runs in a ")
    })
  )
}
