/**
 * Goal: nobody is taken for a server by what he says of himself, and no record is believed that somebody else could
 * have written. Method: what Identity.test.ts does, for more surroundings of the worker, more names of control groups,
 * and each file of a record.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as IdentityBench from "./IdentityBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const { areContainers, areServices, folderOf, games, isFencedWith, orderFor, refusal, root, skip, withState } =
  IdentityBench

IdentityBench.useFolder()

describe.skipIf(!root)(`the server of a data directory${skip}`, () => {
  isFencedWith({ PERL5OPT: "-Mno_such", PERL5LIB: "/nonexistent", PERL_UNICODE: "SAD" })
})

describe.skipIf(!root)(`the control group of a process${skip}`, () => {
  const id = "0123456789abcdef".repeat(4)
  areServices([
    ["inquorate-docker.slice", "kubepods-exporter.service"],
    ["docker", `inquorate-${id.slice(0, 20)}`],
    ["inquorate-crio-containerd-libpod.scope"],
    ["inquorate a b", `docker-${id.slice(1)}.scope`]
  ])

  areContainers([
    ["system.slice", `docker-${id}.scope`],
    ["machine.slice", `libpod-${id}.scope`],
    ["libpod_parent", `libpod-${id}`],
    ["kubepods", "burstable", "pod6f2c", id],
    ["kubepods.slice", `crio-${id}.scope`, "inner"],
    ["lxc.payload.db1"]
  ])
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
