/**
 * Goal: members in containers that `ctr` made on containerd itself are found, taken out and given back like those of any
 * other engine. Method: the suite of all engines, and what containerd alone has: namespaces, names that anybody may give a
 * control group too, and containers that a kill could not give back.
 */
import type { ProcessRef } from "@inquorate/core/Topology"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import { etcd } from "./ContainedSystems.ts"
import * as ContainerLab from "./ContainerLab.ts"
import { containerSuite, kill, netfilter, pause } from "./ContainerSuite.ts"

const { armAll, eventually, memberOf, only, ready } = ContainerLab

containerSuite(etcd, "containerd", (lab) => {
  it.live("says what stands in the way: another namespace, a container that does not run, no containerd", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { engine, members, system } = lab()
        const [first, second, third] = members
        const problemOf = (member: Readonly<Record<string, string>>, expected: RegExp) =>
          Effect.gen(function* () {
            const target = yield* system.open([first, second, { ...third, ...member }])
            yield* eventually(only(target), (topology) => expected.test(topology.members[2]!.processProblem))
          })
        const { namespace } = engine.fields
        yield* problemOf(
          { namespace: "default" },
          new RegExp(`containerd has none of this name there, but in: ${namespace} \\(name that as namespace\\)`)
        )
        yield* problemOf(
          { container: "nobody" },
          /container nobody in .* none of this name there: ctr --namespace lab\d+ containers list tells/
        )
        yield* engine.ask("containers", "create", "--rootfs", engine.folder, "idle", "sleep")
        yield* problemOf({ container: "idle" }, /the container does not run/)
        yield* engine.ask("containers", "delete", "idle")
        const socket = process.env.CONTAINERD_ADDRESS
        process.env.CONTAINERD_ADDRESS = "/nowhere/containerd.sock"
        yield* problemOf({}, /containerd has no socket \/nowhere\/containerd\.sock: it does not run, or/).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              process.env.CONTAINERD_ADDRESS = socket
            })
          )
        )
      })
    )
  )

  it.live("takes no process for the container's by the name of a control group that anybody may make", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { process: server } = memberOf(yield* ready(lab().target), "m2")
        const root = fs.existsSync("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup"
        const groups = [`${root}/inq${process.pid}`]
        for (const part of server.container!.id.split("/")) groups.push(`${groups.at(-1)}/${part}`)
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => {
            for (const group of groups) fs.mkdirSync(group)
            const one = childProcess.spawn("unshare", ["--mount", "--pid", "--fork", "--kill-child", "sleep", "600"])
            fs.writeFileSync(`${groups.at(-1)}/cgroup.procs`, String(one.pid))
            return one
          }),
          (one) =>
            Effect.gen(function* () {
              yield* Effect.callback<void>((resume) => {
                one.once("exit", () => resume(Effect.void))
                one.kill("SIGKILL")
              })
              const empty = Effect.sync(() => fs.readFileSync(`${groups.at(-1)}/cgroup.procs`, "utf8") === "")
              yield* eventually(empty, (is) => is)
              for (const group of groups.reverse()) fs.rmdirSync(group)
            })
        )
        const { pid, startTime } = yield* ContainerLab.processOf(child.pid!)
        const pretended: ProcessRef = { ...server, pid, startTime }
        for (const injector of [pause, kill, netfilter]) {
          const seen = yield* injector.preflight(pretended, "m2")
          assert.match(seen._tag === "Mistaken" ? seen.problem : JSON.stringify(seen), /its control group is another/)
        }
        const again = yield* ready(yield* lab().system.open(lab().members))
        assert.deepStrictEqual(memberOf(again, "m2").process, server)
      })
    )
  )

  it.live("ends no container that it could not give back, and says why", () =>
    Effect.gen(function* () {
      const { engine, target } = lab()
      const { process: server } = memberOf(yield* ready(target), "m2")
      const refusal = (expected: RegExp) =>
        eventually(kill.preflight(server, "m2"), (seen) => seen._tag === "Impossible" && expected.test(seen.problem))
      yield* engine.ask("containers", "label", "m2", "containerd.io/restart.status=running")
      yield* refusal(/restart monitor starts the container .*m2 again by itself/)
      yield* engine.ask("containers", "label", "m2", "containerd.io/restart.status=")
      const { namespace } = engine.fields
      const words = ["--namespace", namespace!, "run", "--rm", "--null-io", "--rootfs", `${engine.folder}/model`]
      const front = childProcess.spawn("ctr", [...words, "m2", "sleep"], {
        env: { ...process.env, CONTAINERD_ADDRESS: "/x" }
      })
      yield* refusal(/ctr removes the container .*m2 once it has ended/)
      yield* Effect.callback<void>((resume) => {
        front.once("exit", () => resume(Effect.void))
        front.kill("SIGKILL")
      })
      assert.strictEqual((yield* kill.preflight(server, "m2"))._tag, "Ready")
      const [order] = yield* armAll(
        kill,
        (yield* only(target)).members.filter(({ name }) => name === "m2")
      )
      const { broken, detail } = yield* kill.lift("here", order!.fence, 1)
      assert.isFalse(broken)
      assert.match(detail ?? "", /what it prints goes nowhere from now on .*; runs again as process/)
    })
  )

  it.live("ends no container whose network was made for this run of it alone", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { engine, target } = lab()
        const { process: other } = memberOf(yield* ready(target), "m2")
        const root = `${engine.folder}/root-alone`
        childProcess.spawnSync("cp", ["-a", `${engine.folder}/model`, root])
        const [client, peer] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"]
        yield* Effect.acquireRelease(
          engine.ask(
            ...[
              "run",
              "--detach",
              "--null-io",
              "--rootfs",
              root,
              "alone",
              "/usr/bin/etcd",
              "--data-dir",
              "/var/lib/etcd"
            ],
            ...["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer],
            ...["--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`]
          ),
          () =>
            Effect.andThen(
              engine.ask("tasks", "delete", "--force", "alone"),
              engine.ask("containers", "delete", "alone")
            )
        )
        const pid = yield* engine.pid("alone")
        const container = { engine: "containerd" as const, id: `${engine.fields.namespace}/alone` }
        const alone: ProcessRef = { ...other, ...(yield* ContainerLab.processOf(pid)), container }
        yield* eventually(kill.preflight(alone, "alone"), ({ _tag }) => _tag === "Ready")
        for (const words of [
          "link add a0 type veth peer name b0",
          "address add 198.18.255.1/24 dev a0",
          "link set a0 up"
        ]) {
          childProcess.spawnSync("nsenter", [`--net=/proc/${pid}/ns/net`, "ip", ...words.split(" ")])
        }
        yield* eventually(
          kill.preflight(alone, "alone"),
          (seen) =>
            seen._tag === "Impossible" && /network of the container .*\/alone was made for this run/.test(seen.problem)
        )
      })
    )
  )
})
