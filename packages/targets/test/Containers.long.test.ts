/**
 * Goal: etcd in containers of a real Docker engine loses its quorum and gets it back like any other. Method: three of them
 * behind published ports; the contracts of a target and of each mechanism; holds that end by a lift, by the death of
 * everything of ours, and by the container's restart; what must be refused.
 */
import type { Injector } from "@inquorate/core/Injector"
import { chooseCut } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import { health, type ProcessRef } from "@inquorate/core/Topology"
import * as ContainerHealth from "@inquorate/injectors/ContainerHealth"
import * as Kill from "@inquorate/injectors/Kill"
import * as Netfilter from "@inquorate/injectors/Netfilter"
import * as Pause from "@inquorate/injectors/Pause"
import { injectorContract } from "@inquorate/testkit/InjectorContract"
import { targetContract } from "@inquorate/testkit/TargetContract"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as ContainerLab from "./ContainerLab.ts"

const { armAll, eventually, memberOf, only, ready, runs, skip } = ContainerLab
const hosts = new Map([["here", ContainerLab.host]])
const pause = Pause.make(hosts)
const kill = Kill.make(hosts)
const netfilter = Netfilter.make(hosts)

describe.skipIf(skip !== undefined)(
  `etcd in Docker containers${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  () => {
    const scope = Scope.makeUnsafe()
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-contained-"))
    const before = process.env.INQUORATE_STATE
    let lab: ContainerLab.ContainerLab
    const docker = (...words: ReadonlyArray<string>) => lab.engine.docker(...words)

    beforeAll(async () => {
      lab = await Effect.runPromise(Scope.provide(ContainerLab.start, scope))
      process.env.INQUORATE_STATE = folder
    })

    afterAll(async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(ours(folder), [], "something of ours is left")
      if (before === undefined) delete process.env.INQUORATE_STATE
      else process.env.INQUORATE_STATE = before
      fs.rmSync(folder, { recursive: true, force: true })
    })

    targetContract(
      "keeps the contract of a target",
      Effect.sync(() => {
        const stopped = new Set<number>()
        return {
          target: lab.target,
          group: "raft",
          pause: (members) =>
            Effect.gen(function* () {
              for (const { process: one } of members) {
                process.kill(one!.pid, "SIGSTOP")
                stopped.add(one!.pid)
              }
              yield* eventually(
                Effect.sync(() => [...stopped]),
                (pids) => pids.every((pid) => !runs({ pid } as ProcessRef))
              )
            }),
          resume: Effect.sync(() => {
            for (const pid of stopped) process.kill(pid, "SIGCONT")
            stopped.clear()
          })
        }
      })
    )

    const replica = Effect.suspend(() => Effect.map(ready(lab.target), (topology) => memberOf(topology, "m2")))

    injectorContract(
      "the pause keeps the contract of an injector",
      Effect.sync(() => ({
        injector: pause,
        start: replica,
        runs: ({ process }) => Effect.sync(() => runs(process))
      })),
      { clock: "live" }
    )

    injectorContract(
      "the kill keeps the contract of an injector",
      Effect.sync(() => ({
        injector: kill,
        start: replica,
        current: (given) =>
          Effect.flatMap(docker("inspect", "--format", "{{.State.Running}}", "m2"), (word) =>
            word === "true" ? Effect.map(replica, ({ process }) => process) : Effect.succeed(given.process)
          ),
        runs: () => Effect.map(docker("inspect", "--format", "{{.State.Running}}", "m2"), (word) => word === "true")
      })),
      { clock: "live" }
    )

    injectorContract(
      "the cut keeps the contract of an injector",
      Effect.sync(() => ({
        injector: netfilter,
        start: replica,
        runs: ({ process }) => Effect.sync(() => reaches(process, "198.19.253.10", 2380))
      })),
      { clock: "live" }
    )

    for (const injector of [pause, netfilter]) {
      it.live(`loses its quorum by ${injector.name}, keeps it lost, and has it back after the lift`, () =>
        Effect.gen(function* () {
          const topology = yield* ready(lab.target)
          const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
          for (const { name, process } of cut) {
            const preflight = yield* injector.preflight(process!, name)
            assert.strictEqual(preflight._tag === "Ready" && preflight.grade, "Kernel", JSON.stringify(preflight))
          }
          yield* Effect.scoped(
            Effect.gen(function* () {
              const probe = yield* lab.target.probe(topology.group)
              const orders = yield* armAll(injector, cut)
              const writing = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
              yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
              yield* Effect.sleep(1000)
              assert.isFalse(isAcknowledged(writing), "a write was acknowledged without a quorum")
              for (const { fence } of orders) assert.isFalse((yield* injector.lift("here", fence, 1)).broken)
              yield* Fiber.interrupt(writing)
              yield* writesReturn(lab.target)
            })
          )
          yield* eventually(only(lab.target), (after) => health(after) === "Healthy")
        })
      )
    }

    it.live("has its quorum back by the kernel when everything of ours is killed", () =>
      Effect.gen(function* () {
        const topology = yield* ready(lab.target)
        const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
        const orders = yield* armAll(pause, cut)
        const doomed = ours(folder)
        assert.strictEqual(doomed.length, 3 * orders.length)
        for (const pid of doomed) process.kill(pid, "SIGKILL")
        yield* writesReturn(lab.target)
        for (const { fence } of orders) assert.isTrue((yield* pause.lift("here", fence, 1)).broken)
      })
    )

    for (const injector of [pause, netfilter]) {
      it.live(`tells a fence of ${injector.name} broken when its container is started anew`, () =>
        Effect.gen(function* () {
          const { process } = memberOf(yield* ready(lab.target), "m2")
          const [order] = yield* armAll(
            injector,
            (yield* only(lab.target)).members.filter(({ name }) => name === "m2")
          )
          yield* docker("restart", "--time", "0", "m2")
          // A network namespace goes with the last process in it, and the cut with that.
          yield* eventually(
            injector.inspect("here", order!.fence, 1),
            (state) => state._tag === "Armed" && state.broken
          )
          assert.isTrue((yield* injector.lift("here", order!.fence, 1)).broken)
          const again = yield* eventually(
            Effect.map(ready(lab.target), (topology) => memberOf(topology, "m2").process),
            ({ pid }) => pid !== process.pid
          )
          assert.strictEqual(again.container?.id, process.container?.id)
        })
      )
    }

    it.live("starts a container that it killed by its engine, whatever its restart policy", () =>
      Effect.gen(function* () {
        yield* docker("update", "--restart", "always", "m2")
        const { member, process } = memberOf(yield* ready(lab.target), "m2")
        const [order] = yield* armAll(
          kill,
          (yield* only(lab.target)).members.filter(({ name }) => name === member)
        )
        yield* Effect.sleep(1500)
        assert.strictEqual(yield* docker("inspect", "--format", "{{.State.Running}}", "m2"), "false")
        const lifted = yield* kill.lift("here", order!.fence, 1)
        assert.isFalse(lifted.broken)
        assert.match(lifted.detail ?? "", /runs again as process/)
        yield* docker("update", "--restart", "no", "m2")
        const again = memberOf(yield* ready(lab.target), "m2").process
        assert.notStrictEqual(again.pid, process.pid)
      })
    )

    it.live("refuses a container that somebody has paused, and says so", () =>
      Effect.gen(function* () {
        const { process } = memberOf(yield* ready(lab.target), "m2")
        yield* docker("pause", "m2")
        yield* Effect.gen(function* () {
          for (const injector of [pause, kill, netfilter] as ReadonlyArray<Injector>) {
            const seen = yield* injector.preflight(process, "m2")
            assert.strictEqual(seen._tag, "Impossible", injector.name)
            assert.match(seen._tag === "Impossible" ? seen.problem : "", /frozen by .*docker pause/)
          }
        }).pipe(Effect.ensuring(docker("unpause", "m2")))
        yield* ready(lab.target)
      })
    )

    it.live("tells that autoheal would act on the health check of a container that has one and its label", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { members } = yield* ready(lab.target)
          assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members }), [])
          const run = (...words: ReadonlyArray<string>) =>
            Effect.acquireRelease(docker("run", "--detach", ...words), (id) => docker("rm", "--force", id))
          yield* docker("tag", "lab/etcd:1", "lab/autoheal:1")
          const id = yield* run(
            ...["--health-cmd", "etcdctl endpoint health", "--health-interval", "1h", "--health-retries", "4"],
            ...["--label", "heal.me=true", "lab/etcd:1", "etcd"]
          )
          const first = members[0]!
          const watched = { ...first, process: { ...first.process!, container: { engine: "docker" as const, id } } }
          assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members: [watched] }), [])
          yield* run("--env", "AUTOHEAL_CONTAINER_LABEL=heal.me", "lab/autoheal:1", "etcd")
          assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members: [watched] }), [
            {
              watches: first.name,
              source: "autoheal by the health check of its container (4 failed checks, one every 3600000 ms)",
              patience: 10_800_000,
              reaction: "RestartsMember"
            }
          ])
        })
      )
    )

    it.live("refuses a process in a container that no member names, and one of another container", () =>
      Effect.gen(function* () {
        const topology = yield* ready(lab.target)
        const { container, ...bare } = memberOf(topology, "m2").process
        const other = memberOf(topology, "m1").process
        for (const injector of [pause, kill, netfilter] as ReadonlyArray<Injector>) {
          const seen = yield* injector.preflight(bare, "m2")
          assert.match(seen._tag === "Impossible" ? seen.problem : "", /runs in a container, which its member/)
          const strange = yield* injector.preflight({ ...other, container: container! }, "m2")
          assert.match(strange._tag === "Mistaken" ? strange.problem : "", /is not of the container/)
        }
      })
    )

    it.live("believes no container by a published port, nor one that is not there", () =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* ready(lab.target)
          const [first, second, third] = lab.settings.members
          const crossed = yield* ContainerLab.open({
            ...lab.settings,
            members: [{ ...first, container: "m1" }, { ...second!, container: "m0" }, third!]
          })
          const seen = yield* eventually(only(crossed), ({ members }) => members.every(({ up }) => up))
          for (const name of ["m0", "m1"]) {
            assert.match(
              seen.members.find((member) => member.name === name)!.processProblem,
              /is not the server that answers on/
            )
          }
          const { compose: _, ...bare } = third!
          const absent = yield* ContainerLab.open({
            ...lab.settings,
            members: [first, second!, { ...bare, container: "nobody" }]
          })
          yield* eventually(only(absent), ({ members }) => /nobody/.test(members[2]!.processProblem))
          const plain = yield* ContainerLab.open({ ...lab.settings, members: [first, second!, bare] })
          yield* eventually(only(plain), ({ members }) => /in a container/.test(members[2]!.processProblem))
        })
      )
    )

    const writesReturn = (target: Target) =>
      Effect.scoped(
        Effect.gen(function* () {
          const probe = yield* target.probe("raft")
          yield* eventually(
            Effect.timeoutOption(probe.write(probe.endpoints[0]!), target.recoveryWriteTimeout),
            Option.exists(({ _tag }) => _tag === "Acknowledged")
          )
        })
      )
  }
)

// --- internal ---

const isAcknowledged = (writing: Fiber.Fiber<{ readonly _tag: string }>): boolean => {
  const exit = writing.pollUnsafe()
  return exit !== undefined && Exit.isSuccess(exit) && exit.value._tag === "Acknowledged"
}

/** True where a connection comes to be from the network namespace of a process. */
const reaches = ({ pid }: ProcessRef, address: string, port: number): boolean =>
  childProcess.spawnSync("nsenter", [`--net=/proc/${pid}/ns/net`, "busybox", "nc", "-w", "1", address, String(port)], {
    stdio: ["ignore", "ignore", "ignore"],
    timeout: 3000
  }).status === 0

/** The keepers and holders that live on a state directory. */
const ours = (folder: string): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return []
    try {
      return fs.readFileSync(`/proc/${name}/cmdline`, "latin1").includes(`${folder}/`) ? [Number(name)] : []
    } catch {
      return []
    }
  })
