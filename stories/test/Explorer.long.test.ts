/**
 * Goal: Service Fabric Explorer, unmodified, finds every answer it asks for, whichever cluster stands behind the worker, with
 * a quorum loss running and without, and the event store tells what happened. Method: the request lines that it sends, as
 * they were recorded (`explorer.json`), for the simulated cluster, a real PostgreSQL group and a real etcd cluster; each is
 * judged by its status and by the properties that the Explorer's own models read.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

interface Line {
  readonly method: string
  readonly line: string
  readonly status: number
  readonly shape: ReadonlyArray<string>
}

const { lines } = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "explorer.json"), "utf8")) as {
  readonly lines: ReadonlyArray<Line>
}

/** What the Explorer asks the health chunk for. */
const description = { ApplicationFilters: [{ HealthStateFilter: 65535 }], NodeFilters: [{ HealthStateFilter: 65535 }] }

/** What one cluster calls the things that the lines name. */
type Names = Readonly<Record<string, string>>

interface Subject {
  readonly worker: Harness.Worker
  readonly application: string
  readonly service: string
}

for (const system of ["emulator", "postgres", "etcd"] as const) {
  describe(`an explorer of ${system}`, () => {
    let world: Harness.World | undefined
    let subject: Subject
    let names: Names

    beforeAll(async () => {
      if (system === "emulator") {
        const worker = await Harness.startEmulator(["--speed", "10", "--seed", "1"])
        subject = { worker, application: "Bank", service: "Accounts" }
      } else {
        world = await Harness.open(system, "shown")
        const worker = await Harness.startWorker(world, "explorer.db")
        subject = { worker, application: "shown", service: Harness.groupOf(world) }
      }
      names = await namesOf(subject)
    }, 120_000)

    afterAll(async () => {
      subject?.worker.kill("SIGKILL")
      await subject?.worker.ended
      if (world !== undefined) await Harness.close(world)
    }, 60_000)

    it("is answered on every line, as its models read it", async () => {
      await walk(subject, names)
    }, 60_000)

    it("sees a loss while it is held, and what it saw stands still", async () => {
      const { worker } = subject
      const id = randomUUID()
      const service = `${subject.application}~${subject.service}`
      const query = `api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=120`
      const at = `/Faults/Services/${service}/$/GetPartitions/${names["partition"]}/$/StartQuorumLoss?${query}`
      assert.strictEqual((await Harness.call(worker, "POST", at)).status, 202)
      await Harness.holding(worker, id)
      await walk(subject, names)
      const long = `/Applications/${subject.application}/$/GetServices/${names["service"]}/$/GetPartitions/${names["partition"]}`
      const partition = (await got(worker, `${long}?api-version=3.0`)) as Record<string, unknown>
      assert.strictEqual(partition["PartitionStatus"], "InQuorumLoss")
      const health = () => got(worker, `${long}/$/GetHealth?api-version=3.0`) as Promise<{ HealthEvents: unknown }>
      const { HealthEvents } = await health()
      assert.deepStrictEqual((await health()).HealthEvents, HealthEvents)
      // What the card of a quorum loss counts: the replicas that vote, as long as nobody is reconfigured.
      const replicas = async () => {
        const page = (await got(worker, `${long}/$/GetReplicas?api-version=3.0`)) as {
          readonly Items: ReadonlyArray<Record<string, string>>
        }
        return page.Items
      }
      const voting = (await replicas()).filter(
        (replica) =>
          replica["PreviousReplicaRole"] === "None" && ["Primary", "ActiveSecondary"].includes(replica["ReplicaRole"]!)
      )
      assert.lengthOf(voting, 3)
      assert.isNotEmpty(voting.filter((replica) => replica["ReplicaStatus"] !== "Ready"))
      assert.include(await kindsOf(worker, `Partitions/${names["partition"]}/$`), "PartitionNewHealthReport Error")

      assert.strictEqual((await Harness.cancel(worker, id, false)).status, 200)
      await Harness.ended(worker, id)
      await Harness.until("Ready", 30_000, async () => {
        const now = (await got(worker, `${long}?api-version=3.0`)) as Record<string, unknown>
        const isReady = (replica: Record<string, string>) => replica["ReplicaStatus"] === "Ready"
        return now["PartitionStatus"] === "Ready" && (await replicas()).every(isReady)
      })
      const whose = [
        ["Cluster", "ClusterNewHealthReport"],
        [`Applications/${names["application"]}/$`, "ApplicationNewHealthReport"],
        [`Services/${service}/$`, "ServiceNewHealthReport"],
        [`Partitions/${names["partition"]}/$`, "PartitionNewHealthReport"]
      ] as const
      for (const [of, kind] of whose) {
        assert.includeMembers(
          [...(await kindsOf(worker, of))],
          ["FaultOperationStarted", `${kind} Error`, "FaultOperationEnded"],
          of
        )
      }
      const nodes = await kindsOf(worker, "Nodes")
      assert.includeMembers([...nodes], ["NodeNewHealthReport Warning", "NodeNewHealthReport Ok"])
      // Each member of the real clusters is the only one on its node. The simulated nodes stay up.
      for (const kind of ["NodeDown", "NodeUp"]) assert.strictEqual(nodes.has(kind), system !== "emulator", kind)
      const down = voting.find((replica) => replica["ReplicaStatus"] !== "Ready")!
      const ofReplica = await kindsOf(worker, `Partitions/${names["partition"]}/$/Replicas/${down["ReplicaId"]}/$`)
      assert.includeMembers(
        [...ofReplica],
        ["StatefulReplicaNewHealthReport Warning", "StatefulReplicaNewHealthReport Ok"]
      )
      await correlate(worker, `Partitions/${names["partition"]}/$`)
    }, 120_000)

    it("restarts, deactivates and activates a node by its buttons, and restarts a replica", async () => {
      const { worker } = subject
      const { node, partition } = names as { readonly node: string; readonly partition: string }
      const at = (name: string) => `/Nodes/${node}/$/${name}?api-version=3.0`
      const look = async () => (await got(worker, `/Nodes/${node}?api-version=3.0`)) as NodeShown
      const up = () => Harness.until(`${node} is up`, 60_000, async () => (await look()).NodeStatus === "Up")
      const quiet = () =>
        Harness.until(
          "nothing runs",
          60_000,
          async () => (await Harness.operations(worker, "&StateFilter=3")).length === 0
        )
      const press = async (name: string, body?: object) => {
        const { code, message, status } = await Harness.call(worker, "POST", at(name), body)
        assert.strictEqual(status, 200, `${name}: ${code} ${message}`)
      }
      await press("Restart", { NodeInstanceId: (await look()).InstanceId })
      await quiet()
      await up()
      await press("Deactivate", { DeactivationIntent: 2 })
      await Harness.until(`${node} is deactivated`, 60_000, async () => (await look()).NodeStatus === "Disabled")
      const { NodeDeactivationInfo } = await look()
      assert.strictEqual(NodeDeactivationInfo.NodeDeactivationIntent, "Restart")
      // It names no time, and ends by itself all the same.
      assert.match(NodeDeactivationInfo.NodeDeactivationTask[0]!.NodeDeactivationDescription, /by themselves at \d{4}-/)
      await walk(subject, { ...names })
      await press("Activate")
      await up()
      await quiet()
      const replicas = (await got(worker, `/Partitions/${partition}/$/GetReplicas?api-version=6.0`)) as {
        readonly Items: ReadonlyArray<Record<string, string>>
      }
      const second = replicas.Items.find(({ ReplicaRole }) => ReplicaRole === "ActiveSecondary")!
      const there = `/Nodes/${second["NodeName"]}/$/GetPartitions/${partition}/$/GetReplicas/${second["ReplicaId"]}/$`
      const restarted = await Harness.call(worker, "POST", `${there}/Restart?api-version=6.0`)
      assert.strictEqual(restarted.status, 200, restarted.message)
      await quiet()
      const removed = await Harness.call(worker, "POST", `${there}/Delete?api-version=3.0`)
      // The data of a real system goes nowhere.
      if (system === "emulator") assert.strictEqual(removed.status, 200, removed.message)
      else assert.deepStrictEqual([removed.status, removed.code], [400, "FABRIC_E_INVALID_OPERATION"])
      await quiet()
      const ended = await Harness.operations(worker, "&StateFilter=65535")
      const states = ended.slice(1).map(({ State }) => State)
      assert.deepStrictEqual(
        states,
        states.map(() => "Completed")
      )
      assert.lengthOf(states, system === "emulator" ? 5 : 4)
      const nodeEvents = await kindsOf(worker, `Nodes/${node}/$`)
      assert.includeMembers([...nodeEvents], ["NodeDown", "NodeUp", "FaultOperationEnded"])
    }, 240_000)

    it("is answered on every line again afterwards", async () => {
      await walk(subject, await namesOf(subject))
    }, 60_000)
  })
}

// --- internal ---

interface NodeShown {
  readonly NodeStatus: string
  readonly InstanceId: string
  readonly NodeDeactivationInfo: {
    readonly NodeDeactivationIntent: string
    readonly NodeDeactivationTask: ReadonlyArray<{ readonly NodeDeactivationDescription: string }>
  }
}

const got = async (worker: Harness.Worker, at: string): Promise<unknown> => {
  const { body, message, status } = await Harness.call(worker, "GET", at)
  assert.strictEqual(status, 200, `${at}: ${message}`)
  return body
}

const namesOf = async ({ application, service, worker }: Subject): Promise<Names> => {
  const partition = await Harness.partitionAt(worker.endpoint, `${application}~${service}`)
  const app = (await got(worker, `/Applications/${application}?api-version=6.0`)) as Record<string, string>
  const { Items } = (await got(worker, `/Partitions/${partition}/$/GetReplicas?api-version=6.0`)) as {
    readonly Items: ReadonlyArray<Record<string, string>>
  }
  return {
    application,
    service: `${application}/${service}`,
    "service~": `${application}~${service}`,
    partition,
    replica: Items[0]!["ReplicaId"]!,
    node: Items[0]!["NodeName"]!,
    other: Items.at(-1)!["NodeName"]!,
    type: app["TypeName"]!,
    package: `${app["TypeName"]}Pkg`,
    version: app["TypeVersion"]!
  }
}

const windowOf = () => {
  const text = (at: number): string => encodeURIComponent(`${new Date(at).toISOString().slice(0, 19)}Z`)
  return { from: text(Date.now() - 7 * 24 * 3_600_000), to: text(Date.now() + 2000) }
}

/**
 * Sends every line, several at once as a page does, and fails with all that were not answered as they should be. While
 * members do not answer, a request may take a second.
 */
const walk = async ({ worker }: Subject, names: Names): Promise<void> => {
  const fill: Names = { ...names, ...windowOf() }
  const judge = async ({ line, method, shape, status }: Line): Promise<ReadonlyArray<string>> => {
    const at = line.replaceAll(/\{([^}]+)\}/g, (_, name: string) => fill[name]!)
    const answer = await Harness.call(worker, method, at, method === "POST" ? description : undefined)
    if (answer.status !== status) return [`${at}: ${answer.status} ${answer.code} ${answer.message}`]
    return shape.flatMap((property) => missing(answer.body, property)).map((what) => `${at}: ${what}`)
  }
  const wrong: Array<string> = []
  for (let from = 0; from < lines.length; from += atOnce) {
    wrong.push(...(await Promise.all(lines.slice(from, from + atOnce).map(judge))).flat())
  }
  assert.deepStrictEqual(wrong, [])
}

const atOnce = 12

/** What of a property such as `Items[].Id.Id` is not there; `[]` is every item of a list, which then has one. */
const missing = (value: unknown, property: string): ReadonlyArray<string> => {
  let found: ReadonlyArray<unknown> = [value]
  for (const part of property.split(".")) {
    const list = part.endsWith("[]")
    const name = list ? part.slice(0, -2) : part
    const next = found.map((one) => (name === "" ? one : (one as Record<string, unknown> | null)?.[name]))
    if (next.some((one) => one === undefined || one === null)) return [`${property} is missing`]
    if (list && next.some((one) => !Array.isArray(one))) return [`${property} is no list`]
    if (list && property !== part && next.some((one) => (one as ReadonlyArray<unknown>).length === 0)) {
      return [`${property}: the list is empty`]
    }
    found = list ? next.flatMap((one) => one as ReadonlyArray<unknown>) : next
  }
  return []
}

interface Event {
  readonly Kind: string
  readonly EventInstanceId: string
  readonly TimeStamp: string
  readonly HealthState?: string
}

const eventsOf = async (worker: Harness.Worker, of: string): Promise<ReadonlyArray<Event>> => {
  const { from, to } = windowOf()
  return (await got(
    worker,
    `/EventsStore/${of}/Events?starttimeutc=${from}&endtimeutc=${to}&api-version=7.2`
  )) as ReadonlyArray<Event>
}

const kindsOf = async (worker: Harness.Worker, of: string): Promise<ReadonlySet<string>> =>
  new Set(
    (await eventsOf(worker, of)).map(({ HealthState, Kind }) =>
      HealthState === undefined ? Kind : `${Kind} ${HealthState}`
    )
  )

/** The events are in order, told alike when asked again, and each leads to the others of its operation. */
const correlate = async (worker: Harness.Worker, of: string): Promise<void> => {
  const events = await eventsOf(worker, of)
  assert.deepStrictEqual(await eventsOf(worker, of), events)
  const times = events.map(({ TimeStamp }) => TimeStamp)
  assert.deepStrictEqual(times, times.toSorted())
  const [first] = events
  const others = (await got(
    worker,
    `/EventsStore/CorrelatedEvents/${first!.EventInstanceId}/$/Events?api-version=7.2`
  )) as ReadonlyArray<Event>
  const ids = others.map(({ EventInstanceId }) => EventInstanceId)
  assert.includeMembers(
    ids,
    events.slice(1).map(({ EventInstanceId }) => EventInstanceId)
  )
  assert.notInclude(ids, first!.EventInstanceId)
}
