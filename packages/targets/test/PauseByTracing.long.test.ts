/**
 * Goal: on real systems, a quorum that is taken by ptrace comes back by the kernel. Method: both standbys of a PostgreSQL
 * lab, and a majority of an etcd lab with its leader, are paused; writes hang; everything of ours is killed; writes return.
 */
import type { Injector } from "@inquorate/core/Injector"
import { chooseCut, smallestCut } from "@inquorate/core/Plan"
import type { Target } from "@inquorate/core/Target"
import { health, type Topology } from "@inquorate/core/Topology"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Pause from "@inquorate/injectors/Pause"
import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import { within } from "@inquorate/testkit/Pace"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { etcd, EtcdSettings } from "../src/Etcd.ts"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"
import { killAll } from "./KillAll.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-tracing-"))
const hosts = new Map([["local", LocalHost.make("local")]])
const pause: Injector = Pause.make(hosts)

const settingsOf = ({ configuration }: LabRecord): unknown => {
  const { system: _, ...settings } = configuration as Record<string, unknown>
  return settings
}

const systems = [
  {
    system: "postgres",
    absent: false,
    open: (lab: LabRecord) =>
      Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(PostgresSettings)(settingsOf(lab))), (settings) =>
        postgres.make("orders", settings, hosts)
      )
  },
  {
    system: "etcd",
    absent: findBinary(null) === null,
    open: (lab: LabRecord) =>
      Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(EtcdSettings)(settingsOf(lab))), (settings) =>
        etcd.make("orders", settings, hosts)
      )
  }
]

for (const { absent, open, system } of systems) {
  describe.skipIf(absent)(`${system} under a pause of kernel grade`, () => {
    let lab: LabRecord
    const before = { lab: process.env.INQUORATE_LAB_STATE, state: process.env.INQUORATE_STATE }

    beforeAll(async () => {
      process.env.INQUORATE_LAB_STATE = path.join(folder, `${system}-labs`)
      lab = await Effect.runPromise(Lab.up({ system, name: "traced" }))
      // After the lab, whose processes would else look like ours.
      process.env.INQUORATE_STATE = path.join(folder, `${system}-state`)
    })

    afterAll(async () => {
      await Effect.runPromise(Lab.down("traced"))
      assert.deepStrictEqual(ours(), [], "something of ours is left")
      for (const [name, value] of [
        ["INQUORATE_LAB_STATE", before.lab],
        ["INQUORATE_STATE", before.state]
      ] as const) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    })

    it.live("hangs its writes, and takes them again when everything of ours is killed", () =>
      Effect.gen(function* () {
        const target = yield* open(lab)
        const probe = yield* target.probe((yield* only(target)).group)
        for (let attempt = 1; attempt <= 3; attempt++) {
          yield* writesReturn(target, probe.write(probe.endpoints[0]!))
          const topology = yield* eventually(
            only(target),
            (now) => health(now) === "Healthy" && now.members.every(({ process }) => process !== null)
          )
          const fences = yield* armAll(topology, attempt)
          const writing = yield* Effect.forkChild(probe.write(probe.endpoints[0]!))
          const word = yield* eventually(probe.survivors, ({ word }) => word !== "QuorumHeld")
          assert.notStrictEqual(word.word, "QuorumHeld")
          yield* Effect.sleep(1000)
          assert.isUndefined(writing.pollUnsafe(), "a write was answered without a quorum")
          // A keeper that starts a command has its own words twice for a moment.
          const doomed = yield* eventually(Effect.sync(ours), (pids) => pids.length === 3 * fences.length)
          killAll(doomed)
          const killed = performance.now()
          yield* writesReturn(target, probe.write(probe.endpoints[0]!))
          if (process.env.INQUORATE_RUNS !== undefined) {
            console.log(`${system}: writes came back ${Math.round(performance.now() - killed)} ms after all was killed`)
          }
          yield* Fiber.interrupt(writing)
          for (const fence of fences) assert.isTrue((yield* pause.lift("local", fence, 1)).broken)
        }
        yield* eventually(only(target), (topology) => health(topology) === "Healthy")
      })
    )
  })
}

afterAll(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))

// --- internal ---

const only = (target: Target) => Effect.map(target.discover, ([topology]) => topology!)

/** PostgreSQL: both standbys. etcd: the leader and a follower. */
const armAll = Effect.fnUntraced(function* (topology: Topology, attempt: number) {
  const followers = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
  assert.deepStrictEqual(Result.getOrThrow(smallestCut(topology, "QuorumReplicas")), followers)
  const leader = topology.members.find(({ role }) => role === "Primary")!
  const cut = leader.cuttable === "Always" ? [leader, followers[0]!] : followers
  assert.lengthOf(cut, 2)
  const operationId = randomUUID()
  const fences = []
  for (const member of cut) {
    const preflight = yield* pause.preflight(member.process!)
    assert.strictEqual(preflight._tag === "Ready" && preflight.grade, "Kernel")
    const fence = { operationId, attempt, member: member.name }
    const armed = yield* pause.arm({
      fence,
      process: member.process!,
      epoch: 1,
      deadline: (yield* Clock.currentTimeMillis) + 30_000,
      startByMonotonic: Number((yield* Clock.monotonicTimeNanos) / 1_000_000n) + within(10_000)
    })
    assert.strictEqual(armed.grade, "Kernel")
    fences.push(fence)
  }
  return fences
})

const writesReturn = <A extends { readonly _tag: string }>(target: Target, write: Effect.Effect<A>) =>
  eventually(
    Effect.timeoutOption(write, target.recoveryWriteTimeout),
    Option.exists(({ _tag }) => _tag === "Acknowledged")
  )

/** Repeats a look at the world, not a sleep, until it shows what is expected. */
const eventually = <A, E>(look: Effect.Effect<A, E>, until: (value: A) => boolean): Effect.Effect<A, E> =>
  Effect.timeoutOrElse(Effect.repeat(look, { until, schedule: Schedule.spaced(20) }), {
    duration: within(20_000),
    orElse: () => Effect.flatMap(look, (last) => Effect.die(new Error(`still ${JSON.stringify(last)}`)))
  })

/** The keepers and holders that live on our state directory. */
const ours = (): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) return []
    try {
      const command = fs.readFileSync(`/proc/${name}/cmdline`, "latin1")
      const mine = command.includes(`${folder}/`)
      return mine && /\0inquorate-keeper\0|inquorate-holder\0/.test(command) ? [Number(name)] : []
    } catch {
      return []
    }
  })
