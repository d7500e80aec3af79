/**
 * Goal: a member in a podman container is found, proved, paused, killed and started like one of Docker. Method: etcd in
 * a container without a network, with a store and a configuration in a folder of the test's own. runc runs it without
 * the limits that podman asks for by default, which a root without CAP_SYS_RESOURCE may not have.
 */
import * as ContainerHealth from "@inquorate/injectors/ContainerHealth"
import * as Kill from "@inquorate/injectors/Kill"
import * as Pause from "@inquorate/injectors/Pause"
import { findBinary } from "@inquorate/lab/Etcd"
import * as ContainerEngine from "@inquorate/testkit/ContainerEngine"
import type { Member, ProcessRef } from "@inquorate/core/Topology"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Container from "../src/Container.ts"
import * as EtcdProcess from "../src/EtcdProcess.ts"
import * as ListeningProcess from "../src/ListeningProcess.ts"
import { armAll, eventually, host, runs } from "./ContainerLab.ts"

const isThere = childProcess.spawnSync("podman", ["--version"]).status === 0
const skip =
  ContainerEngine.skip ??
  (isThere ? undefined : "no podman; apt-get install podman") ??
  (findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined)

describe.skipIf(skip !== undefined)(
  `etcd in a podman container${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  () => {
    it.live("is found by name and by compose service, paused, killed and started by podman, refused when frozen", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const podman = yield* start
          const hosts = new Map([["here", host]])
          const [pause, kill] = [Pause.make(hosts), Kill.make(hosts)]
          const found = yield* find({ container: "pm0", engine: "podman" })
          assert.deepStrictEqual(
            yield* find({ compose: { project: "shop", service: "etcd" }, engine: "podman" }),
            found
          )
          assert.strictEqual(found.container?.id, podman("inspect", "--format", "{{.Id}}", "pm0"))
          assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members: [memberAt(found)] }), [
            {
              watches: "pm0",
              source:
                "podman's health-on-failure=restart by the health check of its container (4 failed checks, one every 3600000 ms)",
              patience: 10_800_000,
              reaction: "RestartsMember"
            }
          ])
          const seen = yield* pause.preflight(found, "pm0")
          assert.strictEqual(seen._tag === "Ready" && seen.grade, "Kernel", JSON.stringify(seen))

          const [held] = yield* armAll(pause, [memberAt(found)])
          assert.isFalse(runs(found))
          assert.isFalse((yield* pause.lift("here", held!.fence, 1)).broken)
          assert.isTrue(runs(found))

          const [killed] = yield* armAll(kill, [memberAt(found)])
          assert.strictEqual(podman("inspect", "--format", "{{.State.Running}}", "pm0"), "false")
          assert.match((yield* kill.lift("here", killed!.fence, 1)).detail ?? "", /runs again as process/)
          const again = yield* find({ container: "pm0", engine: "podman" })
          assert.notStrictEqual(again.pid, found.pid)
          assert.deepStrictEqual(again.container, found.container)

          podman("pause", "pm0")
          const frozen = yield* pause.preflight(again, "pm0")
          podman("unpause", "pm0")
          assert.match(frozen._tag === "Impossible" ? frozen.problem : "", /is frozen by/)
        })
      )
    )
  }
)

// --- internal ---

const find = (fields: Container.Fields): Effect.Effect<ProcessRef> =>
  Effect.gen(function* () {
    const look = ListeningProcess.findInside(host, Container.placeOf(fields)!, EtcdProcess.database, 8000)
    const seen = Effect.map(look, ({ container, listening }) =>
      EtcdProcess.candidate("here", { address: "127.0.0.1:2379", configured: "" }, listening, container)
    )
    const one = yield* eventually(seen, (candidate) => typeof candidate !== "string")
    return typeof one === "string" ? yield* Effect.die(new Error(one)) : one.process
  })

const memberAt = (process: ProcessRef): Member => ({
  name: "pm0",
  node: "here",
  address: "127.0.0.1:2379",
  role: "Primary",
  counts: true,
  up: true,
  cuttable: "Always",
  process,
  processProblem: ""
})

const start = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-podman-"))),
    (made) => Effect.sync(() => ContainerEngine.removeFolder(made))
  )
  const runtime = path.join(folder, "runtime.mjs")
  fs.writeFileSync(runtime, wrapper, { mode: 0o755 })
  fs.writeFileSync(
    path.join(folder, "containers.conf"),
    `[engine]\ncgroup_manager="cgroupfs"\nruntime="limitless"\ntmp_dir="${folder}/tmp"\nevents_logger="file"\n[engine.runtimes]\nlimitless=["${runtime}"]\n`
  )
  fs.writeFileSync(
    path.join(folder, "storage.conf"),
    `[storage]\ndriver="vfs"\ngraphroot="${folder}/graph"\nrunroot="${folder}/run"\n`
  )
  const settings: Readonly<Record<string, string>> = {
    CONTAINERS_CONF: path.join(folder, "containers.conf"),
    CONTAINERS_STORAGE_CONF: path.join(folder, "storage.conf"),
    INQUORATE_STATE: path.join(folder, "state")
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(settings).map((name) => [name, process.env[name]] as const)
      Object.assign(process.env, settings)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const [name, value] of before) {
          if (value === undefined) delete process.env[name]
          else process.env[name] = value
        }
      })
  )
  const podman = (...words: ReadonlyArray<string>): string => {
    const { status, stderr, stdout } = childProcess.spawnSync("podman", words, { encoding: "utf8" })
    assert.strictEqual(status, 0, `podman ${words.join(" ")}: ${stderr}`)
    return stdout.trim()
  }
  const engine = { folder, docker: (...words: ReadonlyArray<string>) => Effect.sync(() => podman(...words)) }
  yield* ContainerEngine.image(engine, "localhost/lab/etcd:1", [findBinary(null)!])
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => void childProcess.spawnSync("podman", ["rm", "--force", "--time", "0", "pm0"]))
  )
  podman(
    ...["run", "--detach", "--health-cmd", "etcdctl endpoint health", "--health-on-failure", "restart"],
    ...[
      "--health-interval",
      "1h",
      "--health-retries",
      "4",
      "--name",
      "pm0",
      "--network",
      "none",
      "--label",
      "com.docker.compose.project=shop"
    ],
    ...["--label", "com.docker.compose.service=etcd", "localhost/lab/etcd:1", "etcd", "--data-dir", "/var/lib/etcd"]
  )
  return podman
})

const wrapper = `#!${process.execPath}
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
const words = process.argv.slice(2)
if (words.includes("create")) {
  const file = words[words.findIndex((word) => word === "--bundle" || word === "-b") + 1] + "/config.json"
  const config = JSON.parse(readFileSync(file, "utf8"))
  delete config.process.rlimits
  if (config.process.oomScoreAdj < 0) delete config.process.oomScoreAdj
  writeFileSync(file, JSON.stringify(config))
}
process.exit(spawnSync("runc", words, { stdio: "inherit" }).status ?? 1)
`
