/**
 * Goal: several workers on one PostgreSQL are one service, whichever of them is killed, frozen, asked or cut off. Method:
 * one lab to break and another to store in, bundled workers as processes, and the faults of the real world at chosen
 * moments. INQUORATE_TAKEOVER_RUNS says how many takeovers are measured; their spread is printed, never asserted.
 */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as pg from "pg"
import { afterAll, afterEach, assert, beforeAll, beforeEach, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

let world: Harness.World
let storeLab: LabRecord
let config: string
let partition: string
let workers: Map<string, Harness.Worker>

const storeSettings = () =>
  storeLab.configuration as { readonly user: string; readonly database: string; readonly password: { file: string } }

const sql = async (text: string): Promise<ReadonlyArray<Record<string, unknown>>> => {
  const { database, password, user } = storeSettings()
  const [host, port] = storeLab.members[0]!.address.split(":")
  const secret = fs.readFileSync(password.file, "utf8").trim()
  const client = new pg.Client({ host: host!, port: Number(port), user, database, password: secret })
  client.on("error", () => undefined)
  await client.connect()
  try {
    return (await client.query(text)).rows as ReadonlyArray<Record<string, unknown>>
  } finally {
    await client.end()
  }
}

const startWorker = async (id: string): Promise<Harness.Worker> => {
  const arguments_ = ["--worker-id", id, "--log-format", "json"]
  const worker = await Harness.startWorker(world, null, { config, arguments: arguments_ })
  workers.set(id, worker)
  return worker
}

const both = async (): Promise<readonly [Harness.Worker, Harness.Worker]> => [
  workers.get("one") ?? (await startWorker("one")),
  workers.get("two") ?? (await startWorker("two"))
]

beforeAll(async () => {
  workers = new Map()
  world = await Harness.open("postgres", "orders")
  storeLab = await Effect.runPromise(Lab.up({ system: "postgres", name: "store" }))
  const { database, password, user } = storeSettings()
  const [host, port] = storeLab.members[0]!.address.split(":")
  const store = { postgres: { host, port: Number(port), database, user, password, schema: "faults" } }
  config = path.join(world.folder, "workers.yaml")
  // JSON is YAML too.
  fs.writeFileSync(config, `${fs.readFileSync(world.config, "utf8")}\nstore: ${JSON.stringify(store)}\n`)
}, Harness.within(120_000))

afterAll(async () => {
  await Effect.runPromise(Lab.down("store"))
  await Harness.close(world)
}, Harness.within(60_000))

beforeEach(async () => {
  const [one] = await both()
  partition = await Harness.partitionOf(one, world)
}, Harness.within(30_000))

afterEach(async () => {
  await Harness.until("nothing stopped", 20_000, () => Harness.nothingStopped(world))
  await Harness.until("writes commit again", 20_000, () => Harness.writeCommits(world, 1000))
  await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
}, Harness.within(60_000))

const phaseOf = async (worker: Harness.Worker, id: string): Promise<string> => {
  const { stage } = (await Harness.detail(worker, id)).operation
  return stage._tag === "Advancing" && stage.step._tag === "PerformingActions" ? stage.step.phase._tag : stage._tag
}

/** What a loss is in before it is held. A short hold may be over when we look. */
const early = new Set(["Advancing", "Arming", "Verifying"])

/** Starts a loss at one worker and gives back its id, the worker that owns it and the other one, once it is held. */
const hold = async (seconds: number) => {
  const [one, two] = await both()
  const id = randomUUID()
  assert.strictEqual((await Harness.startLoss(one, world, { id, partition, seconds })).status, 202)
  await Harness.until("the hold", 40_000, async () => !early.has(await phaseOf(two, id)))
  const name = (await Harness.detail(two, id)).evidence.owners.at(-1)!.worker
  return { id, name, owner: workers.get(name)!, other: name === "one" ? two : one }
}

/** Waits until each of these says that it is ready. */
const untilReady = (...asked: ReadonlyArray<Harness.Worker>): Promise<number> =>
  Harness.until("all are ready", 20_000, async () => {
    const answers = await Promise.all(asked.map(({ endpoint }) => fetch(`${endpoint}/readyz`)))
    return answers.every(({ status }) => status === 200)
  })

const end = async (id: string, signal: NodeJS.Signals): Promise<number | null> => {
  const worker = workers.get(id)!
  workers.delete(id)
  worker.kill(signal)
  return worker.ended
}

describe("two workers on one PostgreSQL", () => {
  it(
    "answer every call alike: what one started, the other shows and cancels",
    async () => {
      const [one, two] = await both()
      const { id } = await hold(60)
      assert.deepStrictEqual(await Harness.progress(two, id), { State: "Running" })
      assert.deepStrictEqual(await Harness.progress(one, id), { State: "Running" })
      const duplicate = await Harness.startLoss(two, world, { id, partition, seconds: 60 })
      assert.strictEqual(duplicate.status, 409)
      assert.strictEqual((await Harness.cancel(two, id, false)).status, 200)
      await Harness.until("the lift", 3000, () => Harness.nothingStopped(world))
      assert.deepStrictEqual(await Harness.ended(one, id), { State: "Cancelled" })
      assert.deepStrictEqual(await Harness.ended(two, id), { State: "Cancelled" })
      assert.deepStrictEqual((await Harness.cancel(one, id, false)).code, "FABRIC_E_KEY_NOT_FOUND")
      const lists = await Promise.all(
        [one, two].map(async ({ endpoint }) => (await fetch(`${endpoint}/v1/operations`)).json())
      )
      assert.deepStrictEqual(lists[0], lists[1])
    },
    Harness.within(60_000)
  )

  it(
    "go on when the owner is killed in mid-hold: the other ends it with the time that remained",
    async () => {
      const { id, name, other } = await hold(8)
      const { deadline } = (await Harness.detail(other, id)).evidence.fences[0]!
      await end(name, "SIGKILL")
      assert.isFalse(Harness.nothingStopped(world), "a dead worker must not end the hold")
      const last = await Harness.ended(other, id)
      const { evidence } = await Harness.detail(other, id)
      assert.strictEqual(last.State, "Completed", JSON.stringify(evidence.notes))
      // A busy machine may have given it to and fro before it was held. After the kill it goes over once.
      const since = evidence.owners.findLastIndex(({ worker }) => worker === name)
      const [before, after, ...more] = evidence.owners.slice(since)
      assert.deepStrictEqual(more, [])
      assert.isAbove(after!.epoch, before!.epoch)
      assert.isAtLeast(evidence.hold!.measured, 8000)
      assert.isTrue(evidence.fences.every(({ offAt }) => offAt! <= deadline + Harness.overrunMost))
      assert.isAbove(evidence.unobserved, 0)
    },
    Harness.within(60_000)
  )

  it(
    "hand over at once when the owner is asked to end",
    async () => {
      const { id, name, other } = await hold(6)
      assert.strictEqual(await end(name, "SIGTERM"), 0)
      const stopped = Date.now()
      await Harness.until("the other to own it", 10_000, async () => {
        return (await Harness.detail(other, id)).evidence.owners.at(-1)!.worker !== name
      })
      process.stdout.write(`handed over within ${Date.now() - stopped} ms of the polite end\n`)
      assert.strictEqual((await Harness.ended(other, id)).State, "Completed")
    },
    Harness.within(60_000)
  )

  it(
    "let a frozen owner do nothing when it thaws",
    async () => {
      const { id, name, other, owner } = await hold(6)
      owner.kill("SIGSTOP")
      assert.strictEqual((await Harness.ended(other, id)).State, "Completed")
      const before = await Harness.detail(other, id)
      owner.kill("SIGCONT")
      const began = Date.now()
      await Harness.until("the thawed worker to stay harmless", 6000, () => {
        assert.isTrue(Harness.nothingStopped(world), "the thawed worker stopped something again")
        return Date.now() - began > 3000
      })
      assert.deepStrictEqual(await Harness.detail(other, id), before)
      // It lives on, with a lease of its own, and is one of the service again.
      await untilReady(owner)
      assert.deepStrictEqual(await Harness.progress(owner, id), await Harness.progress(other, id))
      assert.isTrue(workers.has(name))
    },
    Harness.within(60_000)
  )

  it(
    "lose nothing they accepted when the store's connections are cut and it crashes under load",
    async () => {
      const [one, two] = await both()
      const { id } = await hold(10)
      const accepted: Array<string> = []
      let refused = 0
      const load = { on: true }
      const loads = [one, two].map(async (worker) => {
        while (load.on) {
          const next = randomUUID()
          // Each of these that is looked up while the partition is held ends Faulted; what counts is that it is never lost.
          const answer = await Harness.startLoss(worker, world, { id: next, partition, seconds: 1 })
          if (answer.status === 202) accepted.push(next)
          else refused++
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      })
      const ours = "FROM pg_stat_activity WHERE application_name = 'inquorate worker'"
      await Harness.until("some to be accepted", 10_000, () => accepted.length > 5)
      await sql(`SELECT pg_terminate_backend(pid) ${ours}`)
      const after = accepted.length
      await Harness.until("some to be accepted after the cut", 10_000, () => accepted.length > after + 5)
      // One killed server process makes PostgreSQL end them all and recover from its log. One that was seen may be gone.
      await Harness.until("a server process is killed", 5000, async () => {
        const [backend] = await sql(`SELECT pid ${ours} LIMIT 1`)
        return backend !== undefined && Harness.kill(Number(backend["pid"]), "SIGKILL")
      })
      const crashed = accepted.length
      await Harness.until("some to be accepted after the crash", 20_000, () => accepted.length > crashed + 5)
      load.on = false
      await Promise.all(loads)
      // The one that took them may have reached the store before the other.
      await untilReady(one, two)
      assert.strictEqual((await Harness.ended(two, id)).State, "Completed")
      const freeFrom = (await Harness.detail(two, id)).evidence.phases.find(({ phase }) => phase === "Lifting")!.began
      for (const next of accepted) {
        if ((await Harness.ended(two, next)).State === "Faulted") continue
        // It was looked up only after the first was lifted.
        const { evidence, state } = await Harness.detail(two, next)
        assert.strictEqual(state, "Completed", JSON.stringify(evidence.notes))
        assert.isAtLeast(evidence.phases.find(({ phase }) => phase === "Arming")!.began, freeFrom)
      }
      process.stdout.write(`${accepted.length} accepted and none lost, ${refused} refused while the store was away\n`)
    },
    Harness.within(90_000)
  )

  it(
    "say that they are not ready while the store is away, do nothing then, and come back by themselves",
    async () => {
      const [one, two] = await both()
      const ready = async () => (await fetch(`${one.endpoint}/readyz`)).status
      await untilReady(one, two)
      const signalStore = (signal: NodeJS.Signals) => {
        for (const { pid } of storeLab.members) Harness.signalMember(pid, signal)
      }
      signalStore("SIGSTOP")
      try {
        await Harness.until("not ready", 10_000, async () => (await ready()) === 503)
        assert.strictEqual((await fetch(`${one.endpoint}/healthz`)).status, 200)
        assert.isTrue(Harness.nothingStopped(world))
      } finally {
        signalStore("SIGCONT")
      }
      await untilReady(one, two)
      const { id, other } = await hold(1)
      assert.strictEqual((await Harness.ended(other, id)).State, "Completed")
    },
    Harness.within(90_000)
  )

  it(
    "refuse to break the group that their own store lies in",
    async () => {
      const guarded = path.join(world.folder, "inside.yaml")
      const text = fs.readFileSync(config, "utf8").replace(/^store: .*$/m, "")
      const { database, password, user } = world.lab.configuration as ReturnType<typeof storeSettings>
      const [host, port] = world.lab.members[0]!.address.split(":")
      const store = { postgres: { host, port: Number(port), database, user, password } }
      fs.writeFileSync(guarded, `${text}\nstore: ${JSON.stringify(store)}\n`)
      const worker = await Harness.startWorker(world, null, { config: guarded, arguments: ["--worker-id", "inside"] })
      const body = { serviceName: "fabric:/orders/quorum", partitionId: partition, mode: "QuorumReplicas", hold: 1000 }
      const response = await fetch(`${worker.endpoint}/v1/operations/${randomUUID()}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body)
      })
      assert.strictEqual(response.status, 422)
      assert.deepStrictEqual(((await response.json()) as { Refusal: unknown }).Refusal, {
        _tag: "StoreInside",
        member: "p"
      })
      assert.isTrue(Harness.nothingStopped(world))
      worker.kill("SIGTERM")
      assert.strictEqual(await worker.ended, 0)
    },
    Harness.within(60_000)
  )

  it(
    "end the older of two that go by one name",
    async () => {
      const first = await startWorker("same")
      const second = await startWorker("same")
      assert.strictEqual(await first.ended, 3)
      await Harness.until("it said why", 5000, () => /"same\\*" was taken by a newer start/.test(first.log()))
      assert.strictEqual((await fetch(`${second.endpoint}/readyz`)).status, 200)
      assert.strictEqual(await end("same", "SIGTERM"), 0)
    },
    Harness.within(60_000)
  )

  it(
    "keep figures, and no secret in them, in the log or in an answer",
    async () => {
      const [one, two] = await both()
      const { id, name } = await hold(1)
      assert.strictEqual((await Harness.ended(one, id)).State, "Completed")
      const metricsOf = async ({ endpoint }: Harness.Worker) => (await fetch(`${endpoint}/metrics`)).text()
      // An operation has ended before its worker counts it and writes that in its log.
      const counted = /^inquorate_operations_ended_total\{kind="PartitionQuorumLoss",state="Completed"\} \d+$/m
      await Harness.until("it is counted", 5000, async () => counted.test(await metricsOf(workers.get(name)!)))
      const pages = await Promise.all([one, two].map(metricsOf))
      for (const page of pages) {
        assert.match(page, /^# HELP inquorate_fault_past_deadline .*\n# TYPE inquorate_fault_past_deadline gauge\n/)
        assert.match(page, /^inquorate_fault_past_deadline 0$/m)
        assert.match(page, /^inquorate_lease_held 1$/m)
        assert.match(page, /^inquorate_http_answers_total\{.*status="202".*\} \d+$/m)
      }
      const owners = pages[name === "one" ? 0 : 1]!
      for (const figure of ["hold_error", "fence_overrun", "recovery", "store_commit"]) {
        assert.match(owners, new RegExp(`^inquorate_${figure}_seconds_count(\\{[^}]*\\})? \\d+$`, "m"))
      }
      assert.match(owners, /^inquorate_phase_seconds_count\{phase="Holding"\} \d+$/m)
      const log = () => workers.get(name)!.log()
      await Harness.until("a line of the log about the operation", 5000, () => log().includes(`"operationId":"${id}"`))
      const lines = log()
        .slice(0, log().lastIndexOf("\n"))
        .split("\n")
        .map((line) => JSON.parse(line) as { annotations: Record<string, unknown> })
      assert.isTrue(lines.some(({ annotations }) => annotations["operationId"] === id))
      const secret = fs.readFileSync(storeSettings().password.file, "utf8").trim()
      for (const text of [...pages, one.log(), two.log()]) assert.notInclude(text, secret)
    },
    Harness.within(60_000)
  )
})

describe("a takeover", () => {
  const runs = Number(process.env["INQUORATE_TAKEOVER_RUNS"] ?? 3)
  it(
    `is measured ${runs} times`,
    async () => {
      const taken: Array<number> = []
      for (let run = 0; run < runs; run++) {
        const { id, name, other } = await hold(60)
        const killed = Date.now()
        await end(name, "SIGKILL")
        let at = 0
        await Harness.until("another owner", 15_000, async () => {
          const last = (await Harness.detail(other, id)).evidence.owners.at(-1)!
          at = last.at
          return last.worker !== name
        })
        taken.push(at - killed)
        assert.strictEqual((await Harness.cancel(other, id, false)).status, 200)
        assert.strictEqual((await Harness.ended(other, id)).State, "Cancelled")
        await startWorker(name)
      }
      taken.sort((a, b) => a - b)
      const at = (share: number) => taken[Math.min(taken.length - 1, Math.ceil(share * taken.length) - 1)]
      process.stdout.write(
        `takeover over ${runs} kills: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${taken.at(-1)} ms [${taken.join(", ")}]\n`
      )
      assert.isBelow(taken.at(-1)!, Harness.within(10_000))
    },
    Harness.within(30_000 + runs * 30_000)
  )
})
