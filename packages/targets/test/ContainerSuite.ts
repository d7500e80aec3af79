/**
 * What holds of etcd in containers of every engine: three of them lose their quorum and get it back like any other. The
 * contracts of a target and of each mechanism; holds by each that end by a lift; what breaks a fence, and what does not:
 * everything of ours killed, the container started anew, the engine started anew; what must be refused.
 */
import type { Injector } from "@inquorate/core/Injector"
import { chooseCut } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import { health, type Member, type ProcessRef } from "@inquorate/core/Topology"
import * as Command from "@inquorate/injectors/Command"
import * as Kill from "@inquorate/injectors/Kill"
import * as Netfilter from "@inquorate/injectors/Netfilter"
import * as Pause from "@inquorate/injectors/Pause"
import type { Kind } from "@inquorate/testkit/Containers"
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

const { armAll, eventually, memberOf, only, ready, runs } = ContainerLab

/** This machine, by label. */
export const hosts = new Map([["here", ContainerLab.host]])
export const pause = Pause.make(hosts)
export const kill = Kill.make(hosts)
export const netfilter = Netfilter.make(hosts)

/** Registers the suite, and what else is to be shown of the same three. */
export const containerSuite = (kind: Kind, more: (lab: () => ContainerLab.ContainerLab) => void): void => {
  const skip = ContainerLab.skip(kind)
  describe.skipIf(skip !== undefined)(
    `etcd in containers of ${kind}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
    () => {
      const scope = Scope.makeUnsafe()
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-contained-"))
      const before = process.env.INQUORATE_STATE
      let lab: ContainerLab.ContainerLab

      beforeAll(async () => {
        lab = await Effect.runPromise(Scope.provide(ContainerLab.start(kind), scope))
        process.env.INQUORATE_STATE = folder
      })

      afterAll(async () => {
        await Effect.runPromise(Scope.close(scope, Exit.void))
        assert.deepStrictEqual(ours(folder), [], "something of ours is left")
        if (before === undefined) delete process.env.INQUORATE_STATE
        else process.env.INQUORATE_STATE = before
        fs.rmSync(folder, { recursive: true, force: true })
      })

      contracts(() => lab)
      holds(() => lab)
      ends(kind, () => lab, folder)
      refusals(() => lab)
      more(() => lab)
    }
  )
}

/** The keepers and holders that live on a state directory. */
export const ours = (folder: string): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return []
    try {
      return fs.readFileSync(`/proc/${name}/cmdline`, "latin1").includes(`${folder}/`) ? [Number(name)] : []
    } catch {
      return []
    }
  })

// --- internal ---

type Lab = () => ContainerLab.ContainerLab

const contracts = (lab: Lab): void => {
  targetContract(
    "keeps the contract of a target",
    Effect.sync(() => {
      const stopped = new Set<number>()
      return {
        target: lab().target,
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

  const replica = Effect.suspend(() => Effect.map(ready(lab().target), (topology) => memberOf(topology, "m2")))

  injectorContract(
    "the pause keeps the contract of an injector",
    Effect.sync(() => ({
      injector: pause,
      start: replica,
      runs: ({ process }) => Effect.sync(() => runs(process))
    })),
    { clock: "live" }
  )

  const isRunning = Effect.suspend(() => lab().engine.isRunning("m2"))

  injectorContract(
    "the kill keeps the contract of an injector",
    Effect.sync(() => ({
      injector: kill,
      start: replica,
      current: (given) =>
        Effect.flatMap(isRunning, (is) =>
          is ? Effect.map(replica, ({ process }) => process) : Effect.succeed(given.process)
        ),
      runs: () => isRunning
    })),
    { clock: "live" }
  )

  injectorContract(
    "the cut keeps the contract of an injector",
    Effect.sync(() => ({
      injector: netfilter,
      start: replica,
      runs: ({ process }) => Effect.sync(() => reaches(process, lab().engine.address(0), 2380))
    })),
    { clock: "live" }
  )
}

const holds = (lab: Lab): void => {
  for (const name of ["pause", "netfilter", "kill", "command"] as const) {
    it.live(`loses its quorum by ${name}, keeps it lost, and has it back after the lift`, () =>
      Effect.gen(function* () {
        const { engine, target } = lab()
        const injector = { pause, netfilter, kill, command: commandOf(engine.kind, engine.fields) }[name]
        const topology = yield* ready(target)
        const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
        for (const { name: member, process } of cut) {
          const preflight = yield* injector.preflight(process!, member)
          const grade = name === "pause" || name === "netfilter" ? "Kernel" : "Keeper"
          assert.strictEqual(preflight._tag === "Ready" && preflight.grade, grade, JSON.stringify(preflight))
        }
        yield* Effect.scoped(
          Effect.gen(function* () {
            const probe = yield* target.probe(topology.group)
            const orders = yield* armAll(injector, cut)
            const writing = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
            yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
            yield* Effect.sleep(1000)
            assert.isFalse(isAcknowledged(writing), "a write was acknowledged without a quorum")
            for (const { fence } of orders) assert.isFalse((yield* injector.lift("here", fence, 1)).broken)
            yield* Fiber.interrupt(writing)
            yield* writesReturn(target)
          })
        )
        yield* eventually(only(target), (after) => health(after) === "Healthy")
      })
    )
  }
}

const ends = (kind: Kind, lab: Lab, folder: string): void => {
  for (const injector of [pause, netfilter]) {
    it.live(`has its quorum back by the kernel when everything of ours is killed, by ${injector.name}`, () =>
      Effect.gen(function* () {
        const { target } = lab()
        const topology = yield* ready(target)
        const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
        const orders = yield* armAll(injector, cut, injector === pause ? 60_000 : 6000)
        const doomed = ours(folder)
        assert.isAtLeast(doomed.length, injector === pause ? 2 * orders.length : 0)
        for (const pid of doomed) process.kill(pid, "SIGKILL")
        yield* writesReturn(target)
        for (const { fence } of orders) {
          const { broken, by } = yield* injector.lift("here", fence, 1)
          assert.strictEqual(injector === pause ? broken : by, injector === pause ? true : "Kernel")
        }
      })
    )
  }

  for (const injector of [pause, netfilter]) {
    it.live(`tells whether a fence of ${injector.name} still stands when its container is started anew`, () =>
      Effect.gen(function* () {
        const { engine, target } = lab()
        const { process } = memberOf(yield* ready(target), "m2")
        const [order] = yield* armAll(injector, yield* named(target, "m2"))
        yield* engine.restart("m2")
        // A network namespace that nobody named goes with the last process in it, and the cut with that.
        if (injector === pause || engine.kind === "docker") {
          yield* eventually(
            injector.inspect("here", order!.fence, 1),
            (state) => state._tag === "Armed" && state.broken
          )
          assert.isTrue((yield* injector.lift("here", order!.fence, 1)).broken)
        } else {
          yield* eventually(engine.isRunning("m2"), (is) => is)
          const state = yield* injector.inspect("here", order!.fence, 1)
          assert.isTrue(state._tag === "Armed" && !state.broken, JSON.stringify(state))
          assert.isFalse((yield* injector.lift("here", order!.fence, 1)).broken)
        }
        const again = yield* eventually(
          Effect.map(ready(target), (topology) => memberOf(topology, "m2").process),
          ({ pid }) => pid !== process.pid
        )
        assert.strictEqual(again.container?.id, process.container?.id)
      })
    )
  }

  // podman has no process of its own.
  if (kind === "podman") return
  it.live("keeps a hold by each mechanism while its engine is started anew, and is given back by it", () =>
    Effect.gen(function* () {
      const { engine, target } = lab()
      for (const injector of [pause, netfilter, kill]) {
        yield* ready(target)
        const [order] = yield* armAll(injector, yield* named(target, "m2"))
        yield* engine.restartEngine!
        const state = yield* injector.inspect("here", order!.fence, 1)
        assert.isTrue(state._tag === "Armed" && !state.broken, JSON.stringify(state))
        assert.isFalse((yield* injector.lift("here", order!.fence, 1)).broken)
      }
      yield* ready(target)
    })
  )
}

const refusals = (lab: Lab): void => {
  const all: ReadonlyArray<Injector> = [pause, kill, netfilter]

  it.live("refuses a container that somebody has paused, and says so", () =>
    Effect.gen(function* () {
      const { engine, target } = lab()
      const { process } = memberOf(yield* ready(target), "m2")
      yield* engine.freeze("m2")
      yield* Effect.gen(function* () {
        for (const injector of all) {
          const seen = yield* injector.preflight(process, "m2")
          assert.strictEqual(seen._tag, "Impossible", injector.name)
          assert.match(seen._tag === "Impossible" ? seen.problem : "", /frozen by .*docker pause/)
        }
      }).pipe(Effect.ensuring(engine.thaw("m2")))
      yield* ready(target)
    })
  )

  it.live("refuses a process in a container that no member names, and one of another container", () =>
    Effect.gen(function* () {
      const topology = yield* ready(lab().target)
      const { container, ...bare } = memberOf(topology, "m2").process
      const other = memberOf(topology, "m1").process
      for (const injector of all) {
        const seen = yield* injector.preflight(bare, "m2")
        assert.match(
          seen._tag === "Impossible" ? seen.problem : "",
          /runs in a container, which its member|namespaces of its own, as in a container: name it \(container\)/
        )
        const strange = yield* injector.preflight({ ...other, container: container! }, "m2")
        assert.match(strange._tag === "Mistaken" ? strange.problem : "", /is not of the container/)
      }
    })
  )

  it.live("believes no container by its address, nor one that is not there", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { engine, settings, target } = lab()
        yield* ready(target)
        const [first, second, third] = settings.members
        const crossed = yield* ContainerLab.open({
          ...settings,
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
          ...settings,
          members: [first, second!, { ...bare, container: "nobody" }]
        })
        yield* eventually(only(absent), ({ members }) => /nobody/.test(members[2]!.processProblem))
        const { container: _1, engine: _2, namespace: _3, ...nowhere } = bare
        const plain = yield* ContainerLab.open({ ...settings, members: [first, second!, nowhere] })
        yield* eventually(only(plain), ({ members }) => /in a container|namespaces/.test(members[2]!.processProblem))
        assert.strictEqual(engine, lab().engine)
      })
    )
  )
}

/** The user's own commands: the engine's pause. */
const commandOf = (kind: Kind, { namespace = "" }: Readonly<Record<string, string>>): Injector => {
  const ctr = `ctr --namespace ${namespace} tasks`
  const { apply, lift } =
    kind === "containerd"
      ? { apply: `${ctr} pause`, lift: `${ctr} resume` }
      : { apply: `${kind} pause`, lift: `${kind} unpause` }
  return Command.make(hosts, {
    members: Object.fromEntries(
      ["m0", "m1", "m2"].map((name) => [name, { apply: `${apply} ${name}`, lift: `${lift} ${name}` }])
    )
  })
}

const named = (target: Target, wanted: string): Effect.Effect<ReadonlyArray<Member>> =>
  Effect.map(ready(target), ({ members }) => members.filter(({ name }) => name === wanted))

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
