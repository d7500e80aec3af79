/**
 * What holds of a system in containers of every engine: three members lose their quorum and get it back like any other.
 * The contracts of a target and of each mechanism; holds by each that end by a lift; what breaks a fence, and what does
 * not: everything of ours killed, the container started anew, the engine started anew; what must be refused.
 */
import type { Injector } from "@inquorate/core/Injector"
import { chooseCut } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import { health, type Member, type ProcessRef } from "@inquorate/core/Topology"
import * as Command from "@inquorate/injectors/Command"
import * as Kill from "@inquorate/injectors/Kill"
import * as Netfilter from "@inquorate/injectors/Netfilter"
import * as Pause from "@inquorate/injectors/Pause"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import * as Containers from "@inquorate/testkit/Containers"
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
import * as path from "node:path"
import { type ContainedSystem, hosts } from "./ContainedSystems.ts"
import * as ContainerLab from "./ContainerLab.ts"
import { killAll } from "./KillAll.ts"

const { armAll, eventually, memberOf, only, ready, runs } = ContainerLab

export const pause = Pause.make(hosts)
export const kill = Kill.make(hosts)
export const netfilter = Netfilter.make(hosts)

/** Registers the suite, and what else is to be shown of the same three. */
export const containerSuite = (
  system: ContainedSystem,
  kind: Containers.Kind,
  more: (lab: () => ContainerLab.ContainerLab) => void = () => {}
): void => {
  const skip = Containers.skip(kind) ?? system.servers.skip
  describe.skipIf(skip !== undefined)(
    `${system.servers.called} in containers of ${kind}${skip === undefined ? "" : ` (skipped: ${skip})`}`,
    () => {
      const scope = Scope.makeUnsafe()
      const before = process.env.INQUORATE_STATE
      let lab: ContainerLab.ContainerLab

      beforeAll(async () => {
        const starting = Effect.flatMap(Containers.start(kind), (engine) => ContainerLab.start(system, engine))
        lab = await Effect.runPromise(Scope.provide(starting, scope))
        process.env.INQUORATE_STATE = stateOf(lab)
      })

      afterAll(async () => {
        await Effect.runPromise(Scope.close(scope, Exit.void))
        assert.deepStrictEqual(ours(stateOf(lab)), [], "something of ours is left")
        if (before === undefined) delete process.env.INQUORATE_STATE
        else process.env.INQUORATE_STATE = before
      })

      contracts(() => lab)
      holds(() => lab)
      ends(kind, () => lab)
      refusals(() => lab)
      more(() => lab)
    }
  )
}

// --- internal ---

type Lab = () => ContainerLab.ContainerLab

/** The records of our fences. They go with the engine. */
const stateOf = ({ engine }: ContainerLab.ContainerLab): string => path.join(engine.folder, "fences")

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

/** Kills everything of ours that lives on this state, and gives how much that was. */
const killOurs = (lab: ContainerLab.ContainerLab): Effect.Effect<number> =>
  Effect.sync(() => {
    const doomed = ours(stateOf(lab))
    killAll(doomed)
    return doomed.length
  })

const contracts = (lab: Lab): void => {
  targetContract(
    "keeps the contract of a target",
    Effect.map(ProcessTree.pausing, ({ pause, resume }) => ({
      target: lab().target,
      group: lab().system.group,
      pause: (members) => pause(members.map((member) => member.process!)),
      resume
    }))
  )

  const replica = Effect.suspend(() => Effect.map(ready(lab().target), (topology) => memberOf(topology, "m2")))

  injectorContract(
    "the pause keeps the contract of an injector",
    Effect.sync(() => ({
      injector: pause,
      start: replica,
      runs: ({ process }) => Effect.sync(() => runs(process)),
      killKeepers: () => Effect.asVoid(killOurs(lab()))
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
      runs: () => isRunning,
      killKeepers: () => Effect.asVoid(killOurs(lab()))
    })),
    { clock: "live" }
  )

  injectorContract(
    "the cut keeps the contract of an injector",
    Effect.sync(() => ({
      injector: netfilter,
      start: replica,
      runs: ({ process }) =>
        Effect.sync(() => reaches(process, lab().engine.address(0), lab().system.servers.peerPort)),
      killKeepers: () => Effect.asVoid(killOurs(lab()))
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
          const preflight = yield* takeable(injector, process!, member)
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
            yield* writesReturn(lab())
          })
        )
        yield* eventually(only(target), (after) => health(after) === "Healthy")
      })
    )
  }
}

const ends = (kind: Containers.Kind, lab: Lab): void => {
  for (const injector of [pause, netfilter]) {
    it.live(`has its quorum back by the kernel when everything of ours is killed, by ${injector.name}`, () =>
      Effect.gen(function* () {
        const { target } = lab()
        const topology = yield* ready(target)
        const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
        for (const { name, process } of cut) yield* takeable(injector, process!, name)
        const orders = yield* armAll(injector, cut, injector === pause ? 60_000 : 6000)
        assert.isAtLeast(yield* killOurs(lab()), injector === pause ? 2 * orders.length : 0)
        yield* writesReturn(lab())
        for (const { fence } of orders) {
          // Where one member is a quorum with the primary, writes return before the last deadline.
          if (injector === netfilter) {
            yield* eventually(injector.inspect("here", fence, 1), ({ _tag }) => _tag === "Lifted")
          }
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
        yield* takeable(injector, process, "m2")
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
        const { process } = memberOf(yield* ready(target), "m2")
        yield* takeable(injector, process, "m2")
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
        yield* eventually(only(target), ({ members }) =>
          /^is frozen: process \d+ stands still/.test(members[2]!.downBecause ?? "")
        )
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
        const { engine, members, system, target } = lab()
        for (const { process } of (yield* ready(target)).members) {
          assert.strictEqual(process?.container?.engine, engine.kind)
        }
        const [first, second, third] = members
        const crossed = yield* system.open([
          { ...first, container: second.container! },
          { ...second, container: first.container! },
          third
        ])
        yield* eventually(only(crossed), ({ members: [m0, m1] }) =>
          [m0!, m1!].every(({ process, processProblem, up }) => {
            assert.isNull(process)
            return up && /is not the server that answers on/.test(processProblem)
          })
        )
        const { compose: _, ...bare } = third
        const absent = yield* system.open([first, second, { ...bare, container: "nobody" }])
        yield* eventually(only(absent), (topology) => /nobody/.test(topology.members[2]!.processProblem))
        const { container: _1, engine: _2, namespace: _3, ...nowhere } = bare
        const plain = yield* system.open([first, second, nowhere])
        yield* eventually(only(plain), (topology) =>
          /in a container|namespaces/.test(topology.members[2]!.processProblem)
        )
      })
    )
  )
}

/** The user's own commands: the engine's pause. */
const commandOf = (kind: Containers.Kind, { namespace = "" }: Readonly<Record<string, string>>): Injector => {
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

/**
 * Waits until a member may be taken out. A standby that has just run on may lose its connection to the primary once more,
 * and has no peers then.
 */
const takeable = (injector: Injector, process: ProcessRef, member: string) =>
  eventually(injector.preflight(process, member), ({ _tag }) => _tag === "Ready")

const named = (target: Target, wanted: string): Effect.Effect<ReadonlyArray<Member>> =>
  Effect.map(ready(target), ({ members }) => members.filter(({ name }) => name === wanted))

const writesReturn = ({ system, target }: ContainerLab.ContainerLab) =>
  Effect.scoped(
    Effect.gen(function* () {
      const probe = yield* target.probe(system.group)
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
