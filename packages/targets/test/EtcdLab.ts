/**
 * Labs of etcd with the means to stop their members, looks at them that are repeated until nobody is late, and servers of
 * ours that are none of etcd. Each test file has a state of its own, in which it may leave nothing.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord, ProcessName } from "@inquorate/lab/LabModule"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import type { SurvivorsWord } from "@inquorate/core/Evidence"
import type { Probe, Target, TargetError } from "@inquorate/core/Target"
import type { Member, Topology } from "@inquorate/core/Topology"
import * as Pace from "@inquorate/testkit/Pace"
import { afterAll, assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { etcd, EtcdSettings } from "../src/Etcd.ts"
import { eventually, isLate, only } from "./EtcdCluster.ts"

export const skip = findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined
export const reason = skip === undefined ? "" : ` (skipped: ${skip})`

// Hooks do not run where all is skipped, so there must be nothing to remove then.
export const state =
  skip === undefined ? fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-targets-")) : os.tmpdir()
process.env["INQUORATE_LAB_STATE"] = state

// Elections as short as a busy machine bears, for these tests wait for many; the lab's own tests use etcd's timing.
export const up = (name: string, members?: number) =>
  Lab.up({ system: "etcd", name, members, options: { election: "300ms" } })

afterAll(() => {
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})

type Settings = typeof EtcdSettings.Encoded

export const settingsOf = ({ configuration }: LabRecord): Settings => {
  const { system: _, ...settings } = configuration as Settings & { readonly system: string }
  return settings
}

const hosts = new Map([["local", LocalHost.make("local")]])

export const openWith = (settings: unknown, on = hosts): Effect.Effect<Target, TargetError, Scope.Scope> =>
  Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(EtcdSettings)(settings)), (decoded) =>
    etcd.make("orders", decoded, on)
  )

/** A lab's target with the means to stop members; every stopped process is let go when the scope ends. */
export const openLab = (which: () => LabRecord) =>
  Effect.gen(function* () {
    const target = yield* openWith(settingsOf(which()))
    const paused: Array<ProcessName> = []
    const resume = Effect.suspend(() => ProcessTree.signal(paused.splice(0), "SIGCONT"))
    yield* Effect.addFinalizer(() => resume)
    const pause = Effect.fnUntraced(function* (members: ReadonlyArray<Pick<Member, "name">>) {
      const processes = which().members.filter(({ name }) => members.some((member) => member.name === name))
      assert.strictEqual(processes.length, members.length)
      paused.push(...processes)
      yield* ProcessTree.signal(processes, "SIGSTOP")
      for (const { pid } of processes) {
        yield* Effect.repeat(ProcessTree.find(pid), {
          until: (entry) => entry?.state === "T",
          schedule: Schedule.spaced(5)
        })
      }
    })
    return { target, group: "raft", pause, resume }
  })

export const within = <A, E, R>(bound: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(effect, {
    duration: Pace.within(bound),
    orElse: () => Effect.die(new Error(`took more than ${Pace.within(bound)} ms`))
  })

/**
 * The topology once somebody leads, and no member and no host is late with its word, which a busy one may be. With elections
 * as short as these, a leader that a busy machine held up is followed by another one.
 */
export const told = (target: Target): Effect.Effect<Topology, TargetError> =>
  eventually(
    only(target),
    ({ members }) =>
      members.some(({ role }) => role === "Primary") &&
      members.every((member) => member.processLate !== true && !isLate(member))
  )

/** Waits until a quorum confirms its leader. */
export const isHeld = ({ survivors }: Probe): Effect.Effect<SurvivorsWord> =>
  eventually(survivors, ({ word }) => word === "QuorumHeld")

export const listening = (server: net.Server): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed(`127.0.0.1:${(server.address() as net.AddressInfo).port}`))
      )
    }),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

/** A server of ours on a free port; with the scope it ends and drops every connection. */
export const serve = Effect.fnUntraced(function* (connected: (client: net.Socket) => void) {
  const clients = new Set<net.Socket>()
  const server = net.createServer((client) => {
    clients.add(client)
    client.on("error", () => {})
    connected(client)
  })
  const address = yield* listening(server)
  yield* Effect.addFinalizer(() => Effect.sync(() => clients.forEach((client) => client.destroy())))
  return address
})
