/**
 * Goal: members of real systems are restarted and nodes stopped and started, as a lab comes, beside a loss of the quorum
 * by pause; each is over only when the members are back, whoever dies meanwhile, and nothing outlives the lab. Method: a
 * lab of each system with the configuration it brings, the bundled worker, its Service Fabric surface by hand, `inq`;
 * which processes the members are is read from /proc.
 */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const invalidOperation = -2147017731

for (const system of ["etcd", "postgres"]) {
  describe(`a restart of ${system}`, () => {
    let world: Harness.World
    let worker: Harness.Worker
    let partition: string
    let last: Servers = new Map()

    beforeAll(async () => {
      world = await Harness.open(system, `restart-${system}`)
      worker = await Harness.startWorker(world, "restart.db")
      partition = await Harness.partitionOf(worker, world)
    }, Harness.within(120_000))

    afterAll(() => Harness.close(world), Harness.within(60_000))

    const service = () => `${world.lab.name}~${Harness.groupOf(world)}`
    const below = () => `/Faults/Services/${service()}/$/GetPartitions/${partition}/$`

    const restart = async (id: string, mode: string) => {
      const asked = `${below()}/StartRestart?api-version=6.0&OperationId=${id}&RestartPartitionMode=${mode}&timeout=60`
      const answer = await Harness.call(worker, "POST", asked)
      assert.deepStrictEqual([answer.status, answer.body], [202, {}])
    }

    const restarted = (id: string) =>
      ended(worker, `${below()}/GetRestartProgress?api-version=6.0&OperationId=${id}&timeout=60`)

    const recoveryOf = async (id: string) => {
      const { evidence } = await Harness.detail(worker, id)
      const told = JSON.stringify({ notes: evidence.notes, verdicts: evidence.verdicts, fences: evidence.fences })
      return { told, proven: evidence.verdicts.some((one) => one.about === "Recovery" && one.outcome === "Confirmed") }
    }

    const nodes = async () => {
      const { body } = await Harness.call(worker, "GET", "/Nodes?api-version=6.3&timeout=60")
      return (body as { readonly Items: ReadonlyArray<Node> }).Items
    }

    it(
      "gives every member a new process, and says Completed once writes are taken again",
      async () => {
        const before = serversOf(world)
        const id = randomUUID()
        await restart(id, "AllReplicasOrInstances")
        const end = await restarted(id)
        const { proven, told } = await recoveryOf(id)
        assert.deepStrictEqual(
          end,
          {
            State: "Completed",
            RestartPartitionResult: {
              ErrorCode: 0,
              SelectedPartition: { ServiceName: `fabric:/${service().replace("~", "/")}`, PartitionId: partition }
            }
          },
          told
        )
        assert.isTrue(proven, told)
        last = serversOf(world)
        for (const [member, pid] of before) assert.notStrictEqual(last.get(member), pid, `${member}: ${told}`)
        assert.strictEqual(last.size, world.lab.members.length)
        assert.isTrue(await Harness.writeCommits(world, Harness.within(10_000)))
      },
      Harness.within(90_000)
    )

    it(
      "spares the primary where it is asked of the secondaries only, by inq",
      async () => {
        const before = serversOf(world)
        const leader = await Harness.leaderOf(world)
        const ran = await Harness.inq(
          ...["restart", partition, "--mode", "OnlyActiveSecondaries", "--watch", "--endpoint", worker.endpoint]
        )
        assert.strictEqual(ran.code, 0, ran.stdout + ran.stderr)
        assert.match(ran.stdout, /Recovery: Confirmed[^]*ended Completed/)
        last = serversOf(world)
        for (const [member, pid] of before) {
          if (member === leader) assert.strictEqual(last.get(member), pid, "the primary was restarted")
          else assert.notStrictEqual(last.get(member), pid, `${member} was not restarted: ${ran.stdout}`)
        }
      },
      Harness.within(90_000)
    )

    it(
      "of a node's members is a stop that lasts until the node is started, long before its time",
      async () => {
        const leader = await Harness.leaderOf(world)
        const member = world.lab.members.find(({ name }) => name !== leader)!.name
        const name = `${world.lab.name}-${member}`
        const before = serversOf(world)
        const shown = async () => (await nodes()).find(({ Name }) => Name === name)!
        let node = await shown()
        await Harness.until("the node is shown up", 15_000, async () => {
          node = await shown()
          return node.NodeStatus === "Up" && !node.IsStopped
        })
        const stop = randomUUID()
        const transition = (id: string, rest: string) =>
          Harness.call(
            worker,
            "POST",
            `/Faults/Nodes/${name}/$/StartTransition/?api-version=6.0&OperationId=${id}&${rest}&timeout=60`
          )
        const progress = (id: string) =>
          ended(worker, `/Faults/Nodes/${name}/$/GetTransitionProgress?api-version=6.0&OperationId=${id}&timeout=60`)
        const stopping = `NodeTransitionType=Stop&NodeInstanceId=${node.InstanceId}&StopDurationInSeconds=300`
        assert.strictEqual((await transition(stop, stopping)).status, 202)
        const stopped = { ErrorCode: 0, NodeResult: { NodeName: name, NodeInstanceId: node.InstanceId } }
        const { told } = await recoveryOf(stop)
        assert.deepStrictEqual(await progress(stop), { State: "Completed", NodeTransitionResult: stopped }, told)
        assert.isFalse(serversOf(world).has(member))
        assert.isTrue(await Harness.writeCommits(world, Harness.within(10_000)), "one member of three is no quorum")
        await Harness.until("the node is shown down", 15_000, async () => {
          const { IsStopped, NodeStatus } = await shown()
          return NodeStatus === "Down" && IsStopped
        })
        const listed = await Harness.inq("node", "list", "--endpoint", worker.endpoint)
        assert.match(listed.stdout, new RegExp(`${name} +Down`))
        // A second stop finds it stopped.
        const again = randomUUID()
        assert.strictEqual((await transition(again, stopping)).status, 202)
        assert.deepStrictEqual(await progress(again), {
          State: "Faulted",
          NodeTransitionResult: { ...stopped, ErrorCode: -2147017634 }
        })
        const start = randomUUID()
        const current = (await shown()).InstanceId
        assert.strictEqual(
          (await transition(start, `NodeTransitionType=Start&NodeInstanceId=${current}&StopDurationInSeconds=0`))
            .status,
          202
        )
        assert.strictEqual((await progress(start)).State, "Completed", (await recoveryOf(start)).told)
        last = serversOf(world)
        assert.isDefined(last.get(member))
        assert.notStrictEqual(last.get(member), before.get(member))
        await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
      },
      Harness.within(90_000)
    )

    it(
      "ends at once when it is cancelled, with every member back",
      async () => {
        const before = serversOf(world)
        const id = randomUUID()
        await restart(id, "AllReplicasOrInstances")
        await Harness.until("a member is gone", 20_000, () => missing(world, before))
        assert.deepStrictEqual(await Harness.cancel(worker, id, false), { status: 200, code: "" })
        const end = await restarted(id)
        assert.deepStrictEqual(end, { State: "Cancelled" }, (await recoveryOf(id)).told)
        last = serversOf(world)
        assert.strictEqual(last.size, world.lab.members.length)
        await Harness.until("writes", 20_000, () => Harness.writeCommits(world, 3000))
      },
      Harness.within(90_000)
    )

    it(
      "goes on when the worker is killed in the middle of it, under the next one",
      async () => {
        const before = serversOf(world)
        const id = randomUUID()
        await restart(id, "AllReplicasOrInstances")
        await Harness.until("a member is gone", 20_000, () => missing(world, before))
        worker.kill("SIGKILL")
        await worker.ended
        worker = await Harness.startWorker(world, "restart.db")
        const end = await restarted(id)
        const { proven, told } = await recoveryOf(id)
        assert.strictEqual(end.State, "Completed", told)
        assert.isTrue(proven, told)
        last = serversOf(world)
        for (const [member, pid] of before) assert.notStrictEqual(last.get(member), pid, `${member}: ${told}`)
        await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
      },
      Harness.within(90_000)
    )

    it(
      "is no loss of data, which is refused",
      async () => {
        const before = serversOf(world)
        const id = randomUUID()
        const asked = `${below()}/StartDataLoss?api-version=6.0&OperationId=${id}&DataLossMode=FullDataLoss&timeout=60`
        assert.strictEqual((await Harness.call(worker, "POST", asked)).status, 202)
        const end = await ended(worker, `${below()}/GetDataLossProgress?api-version=6.0&OperationId=${id}&timeout=60`)
        assert.strictEqual(end.State, "Faulted")
        assert.strictEqual(end.InvokeDataLossResult?.ErrorCode, invalidOperation)
        const { evidence } = await Harness.detail(worker, id)
        assert.include(JSON.stringify(evidence), "DataProtected")
        assert.deepStrictEqual(serversOf(world), before)
      },
      Harness.within(30_000)
    )

    it(
      "leaves servers that go with their lab, also while a node is stopped",
      async () => {
        const leader = await Harness.leaderOf(world)
        const member = world.lab.members.find(({ name }) => name !== leader)!.name
        const ran = await Harness.inq(
          ...[
            "node",
            "stop",
            `${world.lab.name}-${member}`,
            "--duration",
            "5m",
            "--watch",
            "--endpoint",
            worker.endpoint
          ]
        )
        assert.strictEqual(ran.code, 0, ran.stdout + ran.stderr)
        assert.isFalse(serversOf(world).has(member))
        assert.isAbove(Harness.keepers(world).length, 0)
        const others = serversOf(world)
        assert.deepInclude((await Harness.labs())[0], { state: "Partly", running: [...others.keys()] })
        worker.kill("SIGTERM")
        await worker.ended
        await Harness.downLab(world)
        await Harness.until("no keeper", 5000, () => Harness.keepers(world).length === 0)
        assert.strictEqual(serversOf(world).size, 0)
        for (const pid of others.values()) assert.isTrue(isGone(pid), `process ${pid} outlived its lab`)
      },
      Harness.within(90_000)
    )
  })
}

// --- internal ---

/** The main process of each member that runs. */
type Servers = ReadonlyMap<string, number>

interface Node {
  readonly Name: string
  readonly NodeStatus: string
  readonly InstanceId: string
  readonly IsStopped: boolean
}

interface Progress {
  readonly State: string
  readonly InvokeDataLossResult?: { readonly ErrorCode: number }
  readonly RestartPartitionResult?: unknown
  readonly NodeTransitionResult?: unknown
}

/** The progress of an operation once it has ended. */
const ended = async (worker: Harness.Worker, at: string): Promise<Progress> => {
  let last: Progress = { State: "Running" }
  await Harness.until(`the end of ${at}`, 60_000, async () => {
    const { body, status } = await Harness.call(worker, "GET", at)
    assert.strictEqual(status, 200, at)
    last = body as Progress
    return last.State !== "Running" && last.State !== "RollingBack"
  })
  return last
}

const serversOf = (world: Harness.World): Servers =>
  new Map(
    world.lab.members.flatMap(({ dataDirectory, name }) => {
      const pid = Harness.serverOf(dataDirectory)
      return pid === undefined ? [] : [[name, pid] as const]
    })
  )

const missing = (world: Harness.World, before: Servers): boolean => {
  const now = serversOf(world)
  return [...before].some(([member, pid]) => now.get(member) !== pid)
}

/** A dead process that nobody has collected yet is gone. */
const isGone = (pid: number): boolean => Harness.statesOf(pid).every((state) => state === "Z")
