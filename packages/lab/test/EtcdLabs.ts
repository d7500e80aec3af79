/**
 * Labs of etcd with a state of their own, and what is left of them, which is nothing once they are down. Each test file has
 * a state of its own.
 */
import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { afterAll, assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

export const binary = findBinary(null)
export const skip = binary === null ? " (skipped: no etcd on the PATH; apt-get install etcd-server)" : ""
export const isRoot = process.getuid?.() === 0

export const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-labs-"))
process.env["INQUORATE_LAB_STATE"] = state

/** Everything of a lab that may have been started, to be looked for once it should be gone. */
const seen: Array<LabRecord> = []

export const withLab = <A, E>(options: Omit<Lab.UpOptions, "system">, use: (lab: LabRecord) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.tap(Lab.up({ system: "etcd", ...options }), (lab) => Effect.sync(() => seen.push(lab))),
    use,
    () => Effect.orDie(Lab.down(options.name))
  )

export const argumentsOf = (pid: number): ReadonlyArray<string> =>
  fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")

interface Answer {
  readonly header: { readonly cluster_id: string }
  readonly members: ReadonlyArray<{ readonly name: string; readonly clientURLs: ReadonlyArray<string> }>
}

export const membersSeenBy = (lab: LabRecord, member: number): Effect.Effect<Answer> =>
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
