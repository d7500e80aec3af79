/**
 * Goal: nobody is taken for a server by what he says of himself, and no record is believed that somebody else could
 * have written. Method: what Identity.test.ts does, for more surroundings of the worker, more names of control groups,
 * and each file of a record.
 */
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as IdentityBench from "./IdentityBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const { etcdOf, folderOf, games, groups, isImpossible, isReady, judged, nobody, orderFor, perl, refusal } =
  IdentityBench
const { root, skip, withState, within } = IdentityBench

IdentityBench.useFolder()

describe.skipIf(!root)(`the server of a data directory${skip}`, () => {
  const surroundings = { PERL5OPT: "-Mno_such", PERL5LIB: "/nonexistent", PERL_UNICODE: "SAD" }
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
})

describe.skipIf(!root)(`the control group of a process${skip}`, () => {
  const id = "0123456789abcdef".repeat(4)
  const services = [
    ["inquorate-docker.slice", "kubepods-exporter.service"],
    ["docker", `inquorate-${id.slice(0, 20)}`],
    ["inquorate-crio-containerd-libpod.scope"],
    ["inquorate a b", `docker-${id.slice(1)}.scope`]
  ]
  it.live.each(services.map((parts) => ({ parts })))("is a service's own: $parts", ({ parts }) =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      yield* within(groups, parts, tree.process.pid)
      isReady(yield* judged(tree.process))
    })
  )

  const containers = [
    ["system.slice", `docker-${id}.scope`],
    ["machine.slice", `libpod-${id}.scope`],
    ["libpod_parent", `libpod-${id}`],
    ["kubepods", "burstable", "pod6f2c", id],
    ["kubepods.slice", `crio-${id}.scope`, "inner"],
    ["lxc.payload.db1"]
  ]
  it.live.each(containers.map((parts) => ({ parts })))("is a container's: $parts", ({ parts }) =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      yield* within(groups, [`inquorate-${randomUUID()}`, ...parts], tree.process.pid)
      isImpossible(yield* judged(tree.process), "runs in a ")
    })
  )
})

describe.skipIf(!root)(`the state directory${skip}`, () => {
  it.live("is believed only where each folder and file of a record is ours", () =>
    Effect.gen(function* () {
      const tree = yield* ProcessTree.start("still")
      const bad: ReadonlyArray<(fence: string, operation: string) => void> = [
        (fence) => fs.chownSync(path.join(fence, "order"), games, games),
        (fence) => fs.chmodSync(path.join(fence, "order"), 0o666),
        (fence) => fs.chmodSync(fence, 0o777),
        (_, operation) => fs.chownSync(operation, games, games),
        (fence) => {
          fs.renameSync(path.join(fence, "order"), path.join(IdentityBench.folder, "order"))
          fs.symlinkSync(path.join(IdentityBench.folder, "order"), path.join(fence, "order"))
        },
        (fence) => assert.strictEqual(spawnSync("mkfifo", [path.join(fence, "extra")]).status, 0),
        (_, operation) => {
          const moved = path.join(folderOf(games), "operation")
          fs.renameSync(operation, moved)
          fs.symlinkSync(moved, operation)
        }
      ]
      for (const spoil of bad) {
        const state = path.join(folderOf(0), "state")
        const injector = Pause.make(new Map([["here", withState(state)]]))
        const order = yield* orderFor(tree, tree.process.dataDirectory)
        yield* injector.arm(order)
        yield* injector.lift("here", order.fence, 1)
        assert.lengthOf(yield* injector.sweep("here", { clear: true }), 1)
        const operation = path.join(state, "fences", order.fence.operationId)
        spoil(path.join(operation, `1.${Buffer.from(tree.member).toString("hex")}`), operation)
        assert.include(yield* refusal(state), "nothing of it is believed")
        const error = yield* Effect.flip(injector.lift("here", order.fence, 1))
        assert.include(error.detail, "nothing of it is believed")
      }
    })
  )
})
