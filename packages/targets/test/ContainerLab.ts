/**
 * A group of three members in containers of a real engine, whatever its system, and what a test asks of it. The containers
 * are called as the members are: `m0`, which leads at first, `m1` and `m2`.
 */
import type { FenceOrder, Injector } from "@inquorate/core/Injector"
import type { Target, TargetError } from "@inquorate/core/Target"
import { health, type Member, type ProcessRef, type Topology } from "@inquorate/core/Topology"
import * as ContainedServers from "@inquorate/testkit/ContainedServers"
import type * as Containers from "@inquorate/testkit/Containers"
import { within } from "@inquorate/testkit/Pace"
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import type { ContainedMember, ContainedSystem } from "./ContainedSystems.ts"

/** The containers of a system. */
export interface ContainerLab {
  readonly system: ContainedSystem
  readonly engine: Containers.Containers
  readonly members: readonly [ContainedMember, ContainedMember, ContainedMember]
  readonly target: Target
}

/** Starts a system on an engine that runs, and waits until it is whole. The last member is known as a service of compose. */
export const start = Effect.fnUntraced(function* (
  system: ContainedSystem,
  engine: Containers.Containers
): Effect.fn.Return<ContainerLab, TargetError, Scope.Scope> {
  yield* system.servers.start(engine)
  const member = (index: number): ContainedMember => {
    const name = ContainedServers.names[index]!
    const isOfCompose = index === 2 && engine.kind !== "containerd"
    const place = isOfCompose ? { compose: { project: ContainedServers.project, service: name } } : { container: name }
    return { name, address: engine.reached(index, system.servers.port), host: "here", ...engine.fields, ...place }
  }
  const members = [member(0), member(1), member(2)] as const
  const target = yield* system.open(members)
  yield* ready(target)
  return { system, engine, members, target }
})

/** The one group. */
export const only = (target: Target): Effect.Effect<Topology, TargetError> =>
  Effect.map(target.discover, ([topology]) => topology!)

/** Waits until the group is whole and every process was found. */
export const ready = (target: Target): Effect.Effect<Topology> =>
  eventually(
    only(target),
    (seen) => health(seen) === "Healthy" && seen.members.every(({ process, up }) => up && process !== null)
  )

/** Repeats a look at the world until it shows what is expected. */
export const eventually = <A, E>(look: Effect.Effect<A, E>, until: (value: A) => boolean): Effect.Effect<A> =>
  Effect.exit(look).pipe(
    Effect.repeat({ until: (seen) => seen._tag === "Success" && until(seen.value), schedule: Schedule.spaced(100) }),
    Effect.timeoutOrElse({
      duration: within(60_000),
      orElse: () => Effect.flatMap(Effect.exit(look), (last) => Effect.die(new Error(`still ${JSON.stringify(last)}`)))
    }),
    Effect.flatMap((exit) => (exit._tag === "Success" ? Effect.succeed(exit.value) : Effect.die(new Error("never"))))
  )

/** The member of this name, with its process. */
export const memberOf = (
  topology: Topology,
  name: string
): { readonly member: string; readonly process: ProcessRef } => {
  const { process } = topology.members.find((member) => member.name === name)!
  assert.isNotNull(process)
  return { member: name, process: process! }
}

/** Arms a fence on each of these members. */
export const armAll = Effect.fnUntraced(function* (injector: Injector, members: ReadonlyArray<Member>, hold = 60_000) {
  const operationId = randomUUID()
  const orders: Array<FenceOrder> = []
  for (const { name, process } of members) {
    const order: FenceOrder = {
      fence: { operationId, attempt: 1, member: name },
      process: process!,
      epoch: 1,
      deadline: (yield* Clock.currentTimeMillis) + hold,
      startByMonotonic: Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + within(10_000)
    }
    yield* injector.arm(order)
    orders.push(order)
  }
  return orders
})

/** True while a process is not stopped. */
export const runs = ({ pid }: ProcessRef): boolean => {
  try {
    return !/^[TtZX]$/.test(/\) (.) /.exec(fs.readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1] ?? "X")
  } catch {
    return false
  }
}

/** A process by its number and its start. */
export const processOf = (pid: number): Effect.Effect<Pick<ProcessRef, "pid" | "startTime">> =>
  Effect.sync(() => {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return { pid, startTime: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "" }
  })
