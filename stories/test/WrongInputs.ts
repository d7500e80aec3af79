/**
 * Every wrong input as one table and a few stories, run against each system: asked on the Service Fabric surface, on
 * `/v1` and with `inq`. Each answer has the right status or exit code and says what was wrong, where, and what to do; a
 * refused request leaves no operation behind, an accepted one is never lost, and no member is ever touched.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

// --- models ---

/** What is asked, the same from every front. What is left out is right. */
interface Ask {
  readonly cluster?: string
  readonly group?: string
  readonly partition?: string
  readonly mode?: string
  readonly duration?: string | number
  readonly id?: string
}

/** One wrong input with what each front answers. */
interface Row {
  readonly what: string
  readonly ask: Ask
  /** The Service Fabric surface: refused at once with a status and code, or accepted and Faulted with a HRESULT. */
  readonly fabric: readonly [status: number, code: string] | { readonly faulted: number; readonly refusal: string }
  readonly v1: readonly [status: number, code: string, refusal: string]
  readonly inq: readonly [exit: number, says: RegExp]
  /** What the sentence tells, wherever there is one. */
  readonly says: RegExp
}

/** What differs between the systems. */
export interface System {
  readonly system: "postgres" | "etcd"
  readonly lab: string
  /** The answer to a cluster of whose members one is not configured. */
  readonly partial: Pick<Row, "fabric" | "v1" | "inq" | "says">
  /** A configuration that is wrong in a key of the system's own, and what is told of it. */
  readonly broken: readonly [cluster: unknown, told: string]
}

const hresult = {
  invalidOperation: -2147017731,
  communication: -2147017796,
  noService: -2147017779,
  noPartition: -2147017753
} as const

/** The refusal of a request that another one forbids now. */
const invalid = "FABRIC_E_INVALID_OPERATION"

// --- make ---

/** PostgreSQL, whose first rows run apart from the rest. */
export const postgres: System = {
  system: "postgres",
  lab: "shop",
  partial: {
    fabric: { faulted: -2147017796, refusal: "" },
    v1: [504, "FABRIC_E_COMMUNICATION_ERROR", ""],
    inq: [3, /groups of partial are not known: .*lists s2, but no member of that name/],
    says: /partial at .*lists s2, but no member of that name .* is configured/
  },
  broken: [
    {
      system: "postgres",
      user: "postgres",
      database: "postgres",
      members: [{ name: "p", address: "nowhere" }]
    },
    "an address such as 127.0.0.1:5432"
  ]
}

/** A few rows that cost little and stand for the others: one that is accepted and Faulted, two that are refused. */
const firstRows = new Set(["an unknown cluster", "an unknown mode", "a hold that is too long"])

/** The suite of wrong inputs of one system: whole, its first rows alone, or all but these. */
export const suite = (system: System, part: "whole" | "first" | "rest" = "whole"): void => {
  let world: Harness.World
  let worker: Harness.Worker
  let partition: string

  beforeAll(async () => {
    world = await Harness.open(system.system, system.lab)
    worker = await Harness.startWorker(world, "wrong.db", { config: await writeClusters(world) })
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterEach(async () => {
    await Harness.until("nothing stopped", 20_000, () => Harness.nothingStopped(world))
    await Harness.until("writes are acknowledged", 30_000, () => Harness.writeCommits(world, 1000))
  }, Harness.within(60_000))

  afterAll(() => Harness.close(world), Harness.within(60_000))

  const fill = (ask: Ask): Required<Ask> => ({
    cluster: system.lab,
    group: Harness.groupOf(world),
    partition,
    mode: "QuorumReplicas",
    duration: 1,
    id: randomUUID(),
    ...ask
  })

  const onFabric = (ask: Ask, { cluster, duration, group, id, mode, partition } = fill(ask)) =>
    Harness.call(
      worker,
      "POST",
      `/Faults/Services/${cluster}~${group}/$/GetPartitions/${partition}/$/StartQuorumLoss?api-version=6.0` +
        `&OperationId=${id}&QuorumLossMode=${mode}&QuorumLossDuration=${duration}&timeout=60`
    )

  const onV1 = (ask: Ask, { cluster, duration, group, id, mode, partition } = fill(ask)) =>
    Harness.call(worker, "PUT", `/v1/operations/${id}`, {
      serviceName: `fabric:/${cluster}/${group}`,
      partitionId: partition,
      mode,
      hold: typeof duration === "number" ? duration * 1000 : duration
    })

  const withInq = (ask: Ask, { cluster, duration, group, id, mode } = fill(ask)) => {
    const named = ask.partition ?? `${cluster}/${group}`
    return inq("start", named, `--duration=${duration}`, "--mode", mode, "--id", id)
  }

  const inq = (...arguments_: ReadonlyArray<string>) => Harness.inq("--endpoint", worker.endpoint, ...arguments_)

  const stored = async (id: string): Promise<boolean> =>
    (await Harness.operations(worker)).some(({ OperationId }) => OperationId === id)

  const refusedEverywhere = async ({ ask, fabric, inq: [exit, told], says, v1, what }: Row): Promise<void> => {
    const ids = { fabric: ask.id ?? randomUUID(), v1: ask.id ?? randomUUID(), inq: ask.id ?? randomUUID() }
    const answer = await onFabric({ ...ask, id: ids.fabric })
    if ("faulted" in fabric) {
      assert.strictEqual(answer.status, 202, `${what}: ${answer.message}`)
      const end = await Harness.ended(worker, ids.fabric)
      const { evidence } = await Harness.detail(worker, ids.fabric)
      assert.strictEqual(end.State, "Faulted", what)
      assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, fabric.faulted, what)
      assert.deepStrictEqual(
        evidence.refusals.map(({ _tag }) => _tag as string),
        fabric.refusal === "" ? [] : [fabric.refusal]
      )
      assert.match(evidence.notes.map(({ text }) => text).join("\n"), says, what)
    } else {
      assert.deepStrictEqual([answer.status, answer.code], [...fabric], what)
      assert.match(answer.message, says, what)
      assert.isFalse(await stored(ids.fabric), `${what}: a refused request was stored`)
    }
    const own = await onV1({ ...ask, id: ids.v1 })
    assert.deepStrictEqual([own.status, own.code, own.refusal], [...v1], `${what}: ${own.message}`)
    assert.match(own.message, says, what)
    const { code, stderr, stdout } = await withInq({ ...ask, id: ids.inq })
    assert.strictEqual(code, exit, `${what}: ${stderr}`)
    assert.match(stderr + stdout, told, what)
    assert.isFalse((await stored(ids.v1)) || (await stored(ids.inq)), `${what}: a refused request was stored`)
    assert.isTrue(Harness.nothingStopped(world), what)
  }

  const guardRow = (cluster: string, refusal: string, says: RegExp, status = 422): Omit<Row, "what"> => ({
    ask: { cluster },
    fabric: { faulted: hresult.invalidOperation, refusal },
    v1: [status, invalid, refusal],
    inq: [3, says],
    says
  })

  describe(`a wrong request on ${system.system}`, () => {
    const rows: ReadonlyArray<Row> = [
      {
        what: "an unknown cluster",
        ask: { cluster: "warehouse" },
        fabric: { faulted: hresult.noService, refusal: "UnknownService" },
        v1: [422, "FABRIC_E_SERVICE_DOES_NOT_EXIST", "UnknownService"],
        inq: [3, /no partition warehouse.*There are: /],
        says: /fabric:\/warehouse\/.*"inq partitions"/
      },
      {
        what: "an unknown group of a known cluster",
        ask: { group: "other" },
        fabric: { faulted: hresult.noService, refusal: "UnknownService" },
        v1: [422, "FABRIC_E_SERVICE_DOES_NOT_EXIST", "UnknownService"],
        inq: [3, /no partition \w+\/other.*There are: /],
        says: /\/other.*"inq partitions"/
      },
      {
        what: "an unknown partition",
        ask: { partition: "77777777-7777-4777-8777-777777777777" },
        fabric: { faulted: hresult.noPartition, refusal: "UnknownPartition" },
        v1: [422, "FABRIC_E_PARTITION_NOT_FOUND", "UnknownPartition"],
        inq: [3, /no partition 77777777.*There are: /],
        says: /77777777.*"inq partitions"/
      },
      {
        what: "a partition that is no GUID",
        ask: { partition: "first" },
        fabric: [400, "E_INVALIDARG"],
        v1: [400, "E_INVALIDARG", ""],
        inq: [3, /no partition first/],
        says: /first|partitionId/i
      },
      {
        what: "an operation id that is no GUID",
        ask: { id: "not-a-guid" },
        fabric: [400, "E_INVALIDARG"],
        v1: [400, "E_INVALIDARG", ""],
        inq: [2, /GUID of 36 characters, got "not-a-guid"/],
        says: /OperationId|id/
      },
      {
        what: "an unknown mode",
        ask: { mode: "SomeReplicas" },
        fabric: [400, "E_INVALIDARG"],
        v1: [400, "E_INVALIDARG", ""],
        inq: [2, /QuorumReplicas/],
        says: /mode/i
      },
      ...(["soon", "1.5.2", -5] as const).map((duration) => ({
        what: `a duration of ${duration}`,
        ask: { duration },
        fabric: [400, "E_INVALIDARG"] as const,
        v1: [400, "E_INVALIDARG", ""] as const,
        inq: [2, /--duration: expected a length such as 5s/] as const,
        says: /duration|hold/i
      })),
      {
        what: "a hold that is too long",
        ask: { duration: 901 },
        fabric: [400, "E_INVALIDARG"],
        v1: [422, "E_INVALIDARG", "TooLong"],
        inq: [3, /15 min 1 s is longer than the 15 min 0 s.*limits\.maxHold/],
        says: /15 min 1 s is longer than the 15 min 0 s.*Ask for less(, raise| or raise) limits\.maxHold/
      },
      {
        what: "a hold that is too long for this cluster",
        ask: { cluster: "brief", duration: 3 },
        fabric: [400, "E_INVALIDARG"],
        v1: [422, "E_INVALIDARG", "TooLong"],
        inq: [3, /3\.0 s is longer than the 2\.0 s/],
        says: /3\.0 s is longer than the 2\.0 s/
      },
      { what: "a protected cluster", ...guardRow("guarded", "Protected", /guarded is marked protected.*Remove/) },
      {
        what: "a wrong data directory",
        ...guardRow("misplaced", "NotTheServer", /data directory is .*but \/usr\/\w+ is configured.*Check/)
      },
      {
        what: "a cluster where nothing listens",
        ask: { cluster: "nowhere" },
        fabric: { faulted: hresult.communication, refusal: "" },
        v1: [504, "FABRIC_E_COMMUNICATION_ERROR", ""],
        inq: [3, /groups of nowhere are not known: .*127\.0\.0\.1:1\b/],
        says: /nowhere at .*127\.0\.0\.1:1\b.*ECONNREFUSED/
      },
      { what: "a cluster of which one member is not configured", ask: { cluster: "partial" }, ...system.partial }
    ]

    const chosen = part === "whole" ? rows : rows.filter(({ what }) => firstRows.has(what) === (part === "first"))
    for (const row of chosen)
      it(`(${row.what}) is refused by every front`, () => refusedEverywhere(row), Harness.within(60_000))

    if (part === "first") return

    it(
      "about an operation that is not there is answered 404 by every front",
      async () => {
        const id = randomUUID()
        const asked = [
          [
            "GET",
            `/Faults/Services/a~b/$/GetPartitions/${id}/$/GetQuorumLossProgress?api-version=6.0&OperationId=${id}`
          ],
          ["POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=false`],
          ["POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=true`],
          ["GET", `/v1/operations/${id}`],
          ["GET", `/v1/operations/${id}/events`],
          ["POST", `/v1/operations/${id}/cancel`]
        ] as const
        for (const [method, at] of asked) {
          const answer = await Harness.call(worker, method, at)
          assert.deepStrictEqual([answer.status, answer.code], [404, "FABRIC_E_KEY_NOT_FOUND"], at)
          assert.include(answer.message, id)
        }
        for (const command of [["show"], ["watch"], ["cancel"], ["cancel", "--force"]]) {
          const { code, stderr } = await inq(...command, id)
          assert.strictEqual(code, 3, command.join(" "))
          assert.include(stderr, id)
        }
      },
      Harness.within(30_000)
    )
  })

  if (part === "first") return

  describe(`on ${system.system}, while an operation holds the partition`, () => {
    afterEach(() => Harness.whole(worker, world), Harness.within(60_000))

    const first = randomUUID()
    const cancel = (id: string, force: boolean) =>
      Harness.call(worker, "POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${id}&Force=${force}`)
    const ownCancel = (id: string, force: boolean) =>
      Harness.call(worker, "POST", `/v1/operations/${id}/cancel?force=${force}`)

    it(
      "others are Busy, its id is taken, force comes too early, and its end refuses a cancel",
      async () => {
        const ask: Ask = { id: first, duration: 60 }
        assert.strictEqual((await onFabric(ask)).status, 202)
        await Harness.holding(worker, first)
        const held = Harness.stoppedMembers(world)

        const second = randomUUID()
        assert.strictEqual((await onFabric({ id: second })).status, 202)
        const end = await Harness.ended(worker, second)
        assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, hresult.invalidOperation)
        assert.strictEqual((await Harness.detail(worker, second)).evidence.refusals[0]!._tag, "Busy")
        const own = await onV1({})
        assert.deepStrictEqual([own.status, own.code, own.refusal], [409, invalid, "Busy"])
        assert.match(own.message, new RegExp(`busy with operation ${first}.*wait for its end or cancel it`))
        const told = await withInq({})
        assert.strictEqual(told.code, 3)
        assert.include(told.stderr, first)

        const taken = "FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS"
        for (const again of [ask, { ...ask, duration: 7 }]) {
          const answer = await onFabric(again)
          assert.deepStrictEqual([answer.status, answer.code], [409, taken])
          assert.include(answer.message, first)
        }
        const replayed = await onV1(ask)
        assert.strictEqual(replayed.status, 200)
        assert.isTrue((replayed.body as { readonly replayed: boolean }).replayed)
        const other = await onV1({ ...ask, duration: 7 })
        assert.deepStrictEqual([other.status, other.code], [409, taken])
        assert.match((await withInq(ask)).stdout, /started before/)
        assert.strictEqual((await withInq({ ...ask, duration: 7 })).code, 3)

        const early = "FABRIC_E_INVALID_TEST_COMMAND_STATE"
        const forced = await cancel(first, true)
        assert.deepStrictEqual([forced.status, forced.code], [400, early])
        assert.match(forced.message, /force needs a graceful cancel first/)
        const ownForced = await ownCancel(first, true)
        assert.deepStrictEqual([ownForced.status, ownForced.code], [409, early])
        const inqForced = await inq("cancel", "--force", first)
        assert.strictEqual(inqForced.code, 3)
        assert.match(inqForced.stderr, /force needs a graceful cancel first/)

        assert.deepStrictEqual(Harness.stoppedMembers(world), held, "none of that touched the hold")
        assert.deepStrictEqual(await Harness.progress(worker, first), { State: "Running" })
        assert.strictEqual((await cancel(first, false)).status, 200)
        assert.deepStrictEqual(await Harness.ended(worker, first), { State: "Cancelled" })
        for (const force of [false, true]) {
          for (const answer of [await cancel(first, force), await ownCancel(first, force)]) {
            assert.deepStrictEqual([answer.status, answer.code], [404, "FABRIC_E_KEY_NOT_FOUND"])
          }
        }
        assert.strictEqual((await inq("cancel", first)).code, 3)
        assert.deepStrictEqual(await Harness.progress(worker, first), { State: "Cancelled" })
      },
      Harness.within(90_000)
    )

    it(
      "a voter that goes on ends it as a Mismatch, told by every front",
      async () => {
        const id = randomUUID()
        assert.strictEqual((await onFabric({ id, duration: 60 })).status, 202)
        await Harness.holding(worker, id)
        const [stopped] = Harness.stoppedMembers(world)
        Harness.wake(world.lab.members.find(({ name }) => name === stopped)!.pid)
        assert.strictEqual((await Harness.ended(worker, id)).InvokeQuorumLossResult!.ErrorCode, -2147467260)
        const { evidence } = await Harness.detail(worker, id)
        assert.isTrue(evidence.verdicts.some(({ about, outcome }) => about === "Hold" && outcome === "Mismatch"))
        assert.match((await inq("show", id)).stdout, /Hold\s+Mismatch/)
        assert.strictEqual((await inq("watch", id)).code, 4)
      },
      Harness.within(60_000)
    )
  })

  describe(`on ${system.system}, a group that is not whole`, () => {
    afterEach(() => Harness.whole(worker, world), Harness.within(60_000))

    const without = async (count: number, row: Omit<Row, "what" | "ask">): Promise<void> => {
      const followers = await followersOf(worker, system.lab)
      const down = world.lab.members.filter(({ name }) => followers.slice(0, count).includes(name))
      assert.lengthOf(down, count)
      for (const { pid } of down) Harness.signalMember(pid, "SIGSTOP")
      try {
        const id = randomUUID()
        assert.strictEqual((await onFabric({ id })).status, 202)
        const end = await Harness.ended(worker, id)
        assert.strictEqual(end.InvokeQuorumLossResult?.ErrorCode, hresult.invalidOperation, JSON.stringify(end))
        const { refusals } = (await Harness.detail(worker, id)).evidence
        assert.strictEqual(refusals[0]!._tag, row.v1[2])
        const own = await onV1({})
        assert.deepStrictEqual([own.status, own.code, own.refusal], [...row.v1], own.message)
        assert.match(own.message, row.says)
        const told = await withInq({})
        assert.strictEqual(told.code, row.inq[0])
        assert.match(told.stderr, row.inq[1])
        assert.sameMembers(
          [...Harness.stoppedMembers(world)],
          down.map(({ name }) => name),
          "only ours are stopped"
        )
      } finally {
        for (const { pid } of down) Harness.signalMember(pid, "SIGCONT")
      }
    }

    it(
      "because a member is down is refused as degraded, naming it",
      () => {
        const says = /degraded already: \w+ down.*Bring every member back first/
        return without(1, { ...guardRow("", "Degraded", says, 409) })
      },
      Harness.within(60_000)
    )

    it(
      "because its quorum is gone is refused as lost",
      () => {
        const says = /quorum is lost already: \d up, \d needed.*repair the group first/
        return without(2, { ...guardRow("", "AlreadyLost", says, 409) })
      },
      Harness.within(60_000)
    )
  })

  describe(`a worker for ${system.system}`, () => {
    /** How a worker ended that must not run. */
    const refusedToRun = async (config: string, ...arguments_: ReadonlyArray<string>): Promise<string> => {
      try {
        const started = await Harness.startWorker(world, `never-${randomUUID()}.db`, { config, arguments: arguments_ })
        started.kill("SIGKILL")
        await started.ended
        return "it ran"
      } catch (error) {
        return (error as Error).message
      }
    }

    it(
      "with broken YAML, or a wrong key of the system's own, tells file, line and key",
      async () => {
        const broken = path.join(world.folder, "broken.yaml")
        fs.writeFileSync(broken, "listen: 127.0.0.1:0\nclusters:\n  a: [\n")
        assert.match(await refusedToRun(broken), /ended with 2 .*broken\.yaml:\d+: /s)
        const [cluster, told] = system.broken
        const wrong = Harness.writeConfig(world, "wrong.yaml", { clusters: { a: cluster } })
        const message = await refusedToRun(wrong)
        assert.match(message, /ended with 2 .*wrong\.yaml:\d+: clusters\.a\./s)
        assert.include(message, told)
      },
      Harness.within(30_000)
    )

    it(
      "whose port is in use, whose store cannot be written or is held by another, ends and says so",
      async () => {
        const port = new URL(worker.endpoint).port
        assert.match(await refusedToRun(world.config, "--listen", `127.0.0.1:${port}`), /ended with 4 .*in use/s)
        assert.match(
          await refusedToRun(world.config, "--store", "sqlite:/proc/nowhere/worker.db"),
          /ended with 3 .*the store.s folder \/proc\/nowhere is not there: mend the path of the store/s
        )
        const store = path.join(world.folder, "wrong.db")
        const second = await refusedToRun(world.config, "--store", `sqlite:${store}`)
        assert.match(second, /ended with 3 .*held by another worker\. Stop that worker, or give this one a store/s)
        assert.include(second, store)
        assert.strictEqual((await Harness.call(worker, "GET", "/healthz")).status, 200)
      },
      Harness.within(30_000)
    )

    it(
      "whose store lies within what would be cut refuses the plan",
      async () => {
        const { fences } = (
          (await Harness.call(worker, "POST", "/v1/plan", requestFor(system.lab, 1000))).body as Preview
        ).plan!
        const { dataDirectory } = world.lab.members.find(({ name }) => name === fences[0]!.member)!
        // Through a link, which must not hide where the store really is.
        const link = path.join(world.folder, "elsewhere")
        fs.symlinkSync(dataDirectory, link)
        const store = path.join(link, "inquorate", "worker.db")
        fs.mkdirSync(path.dirname(store))
        // A worker as root begins no store of another user, unless it was that user who became root.
        const { gid, uid } = fs.statSync(dataDirectory)
        const inside = await Harness.startWorker(world, "unused.db", {
          arguments: ["--store", `sqlite:${store}`],
          environment: { SUDO_UID: String(uid), SUDO_GID: String(gid) }
        })
        try {
          const own = await Harness.call(inside, "PUT", `/v1/operations/${randomUUID()}`, requestFor(system.lab, 1000))
          assert.deepStrictEqual([own.status, own.code, own.refusal], [422, invalid, "StoreInside"], own.message)
          assert.match(own.message, new RegExp(`store lies on ${fences[0]!.member}, inside the cut\\. Keep the store`))
          const told = await Harness.inq("--endpoint", inside.endpoint, "start", system.lab, "--duration", "1s")
          assert.strictEqual(told.code, 3)
          const id = randomUUID()
          const asked = await Harness.startLoss(inside, world, { id, partition, seconds: 1 })
          assert.strictEqual(asked.status, 202)
          const end = await Harness.ended(inside, id)
          assert.strictEqual(end.InvokeQuorumLossResult!.ErrorCode, hresult.invalidOperation)
          assert.strictEqual((await Harness.detail(inside, id)).evidence.refusals[0]!._tag, "StoreInside")
        } finally {
          inside.kill("SIGTERM")
          await inside.ended
          fs.rmSync(path.join(dataDirectory, "inquorate"), { recursive: true, force: true })
        }
      },
      Harness.within(60_000)
    )

    it(
      "has lost nothing of what it accepted, and still does its work",
      async () => {
        const before = await Harness.operations(worker)
        assert.isAtLeast(before.length, 10)
        assert.isTrue(before.every(({ State }) => State === "Faulted" || State === "Cancelled"))
        const { code, stderr, stdout } = await inq("start", system.lab, "--duration", "1s", "--watch")
        assert.strictEqual(code, 0, `${stdout}${stderr}`)
        const after = await Harness.operations(worker)
        assert.deepStrictEqual(after.slice(0, -1), before)
        assert.strictEqual(after.at(-1)!.State, "Completed")
        assert.notMatch(worker.log(), /level=(ERROR|FATAL)/i)
      },
      Harness.within(60_000)
    )
  })

  const requestFor = (cluster: string, hold: number) => ({
    serviceName: `fabric:/${cluster}/${Harness.groupOf(world)}`,
    partitionId: partition,
    mode: "QuorumReplicas",
    hold
  })
}

// --- internal ---

interface Preview {
  readonly plan: { readonly fences: ReadonlyArray<{ readonly member: string }> } | null
}

interface Settings {
  readonly members: ReadonlyArray<Readonly<Record<string, unknown>>>
}

/** The lab, and the same lab configured wrongly in every way that only shows when it is used. */
const writeClusters = async (world: Harness.World): Promise<string> => {
  const right = world.lab.configuration as unknown as Settings
  const leader = await Harness.leaderOf(world)
  const absent = right.members.findLast(({ name }) => name !== leader)
  const members = (change: (index: number) => Readonly<Record<string, unknown>>) => ({
    ...right,
    members: right.members.map((member, index) => ({ ...member, ...change(index) }))
  })
  return Harness.writeConfig(world, "clusters.yaml", {
    clusters: {
      [world.lab.name]: right,
      guarded: { ...right, protected: true },
      brief: { ...right, maxHold: "2s" },
      misplaced: members((index) => ({ dataDirectory: ["/usr/lib", "/usr/bin", "/usr/sbin"][index]! })),
      nowhere: members((index) => ({ address: `127.0.0.1:${index + 1}` })),
      partial: { ...right, members: right.members.filter((member) => member !== absent) }
    }
  })
}

/** The members of the lab's group that do not lead. */
const followersOf = async (worker: Harness.Worker, cluster: string): Promise<ReadonlyArray<string>> => {
  const views = (await Harness.call(worker, "GET", "/v1/clusters")).body as ReadonlyArray<{
    readonly name: string
    readonly groups: ReadonlyArray<{
      readonly members: ReadonlyArray<{ readonly name: string; readonly role: string }>
    }>
  }>
  const view = views.find(({ name }) => name === cluster)!
  return view.groups[0]!.members.filter(({ role }) => role !== "Primary").map(({ name }) => name)
}
