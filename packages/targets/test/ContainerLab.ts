/**
 * Three etcd in containers of a real engine, and what a test asks of them. In Docker's each is behind a published port, and
 * they know each other by names that their network alone knows.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import type { FenceOrder, Injector } from "@inquorate/core/Injector"
import type { Target, TargetError } from "@inquorate/core/Target"
import type { Member, ProcessRef, Topology } from "@inquorate/core/Topology"
import { findBinary } from "@inquorate/lab/Etcd"
import * as Containers from "@inquorate/testkit/Containers"
import { within } from "@inquorate/testkit/Pace"
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { etcd, EtcdSettings } from "../src/Etcd.ts"

/** Why none of this can run here with such an engine, or undefined. */
export const skip = (kind: Containers.Kind): string | undefined =>
  Containers.skip(kind) ?? (findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined)

/** This machine. */
export const host = LocalHost.make("here")

/** A cluster of etcd in containers. */
export interface ContainerLab {
  readonly engine: Containers.Containers
  readonly settings: EtcdSettings
  readonly target: Target
}

/** Starts the containers `m0` to `m2`, which end with the scope. Programs on this machine find the engine meanwhile. */
export const start = (kind: Containers.Kind): Effect.Effect<ContainerLab, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const engine = yield* Containers.start(kind)
    yield* engine.image([findBinary(null)!])
    // Docker's network alone knows names.
    const peer = (index: number): string => `http://${kind === "docker" ? `m${index}` : engine.address(index)}:2380`
    const peers = [0, 1, 2].map((index) => `m${index}=${peer(index)}`).join(",")
    for (const index of [0, 1, 2]) {
      const place = path.join(engine.folder, `etcd-${index}`)
      fs.mkdirSync(place)
      yield* engine.run({
        name: `m${index}`,
        index,
        port: 2379,
        labels: { "com.docker.compose.project": "lab", "com.docker.compose.service": `etcd-${index}` },
        volumes: [[place, "/var/lib/etcd"]],
        command: [
          ...["/usr/bin/etcd", "--name", `m${index}`, "--data-dir", "/var/lib/etcd", "--initial-cluster", peers],
          ...["--listen-client-urls", "http://0.0.0.0:2379", "--listen-peer-urls", "http://0.0.0.0:2380"],
          ...["--advertise-client-urls", `http://${engine.reached(index, 2379)}`],
          ...["--initial-advertise-peer-urls", peer(index)],
          // A busy machine holds up a leader for longer than a second.
          ...["--heartbeat-interval", "300", "--election-timeout", "3000"]
        ]
      })
    }
    const byCompose = { ...engine.fields, compose: { project: "lab", service: "etcd-2" } }
    const settings = yield* Effect.orDie(
      Schema.decodeUnknownEffect(EtcdSettings)({
        members: [0, 1, 2].map((index) => ({
          name: `m${index}`,
          address: engine.reached(index, 2379),
          host: "here",
          ...(index === 2 && kind !== "containerd" ? byCompose : { ...engine.fields, container: `m${index}` })
        }))
      })
    )
    const target = yield* open(settings)
    yield* ready(target)
    return { engine, settings, target }
  })

/** The target of these settings on this machine. */
export const open = (settings: EtcdSettings): Effect.Effect<Target, TargetError, Scope.Scope> =>
  etcd.make("orders", settings, new Map([["here", host]]))

/** The one group. */
export const only = (target: Target): Effect.Effect<Topology, TargetError> =>
  Effect.map(target.discover, ([topology]) => topology!)

/** Waits until all are up, one leads, and every process was found. */
export const ready = (target: Target): Effect.Effect<Topology> =>
  eventually(
    only(target),
    ({ members }) =>
      members.every(({ process, up }) => up && process !== null) && members.some(({ role }) => role === "Primary")
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
