/**
 * Goal: the quorum of a PostgreSQL whose primary and standbys are pods is taken, held and given back through a keeper pod. A
 * container that was started again is the same member in another one. A member that somebody froze is refused with that
 * reason, though a keeper pod sees no control group but its own.
 * Method: the bundled worker and a `kubectl` that runs pods as real containers by runc. Of the standbys one is the first
 * process of its container, and the other is a child of a shell. The observer trusts /proc and its own commits.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as KubectlDouble from "@inquorate/testkit/KubectlDouble"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import * as PodNetwork from "./PodNetwork.ts"

const binaries = fs
  .globSync("/usr/lib/postgresql/*/bin")
  .find((folder) => fs.existsSync(path.join(folder, "pg_basebackup")))
const skip =
  KubectlDouble.skip ?? (binaries === undefined ? "no /usr/lib/postgresql; apt-get install postgresql" : undefined)
if (skip !== undefined && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(skip)

const data = "/var/lib/postgresql/data"
const standbys = [1, 2]
const nameOf = (index: number): string => `pg-${index}`

type User = { readonly uid: number; readonly gid: number }

const run = (program: string, words: ReadonlyArray<string>, as?: User): string => {
  const { status, stderr, stdout } = spawnSync(program, words, { encoding: "utf8", cwd: "/", ...as })
  assert.strictEqual(status, 0, `${program} ${words.join(" ")}: ${stdout}${stderr}`)
  return stdout.trim()
}

const podOf = (index: number, folder: string, { uid }: User, network: PodNetwork.PodNetwork) => {
  const command = [`${binaries}/postgres`, "-D", data, "-c", "listen_addresses=0.0.0.0"]
  const settings = ["-c", "unix_socket_directories=/run/postgresql", "-c", "wal_receiver_status_interval=1s"]
  const words = [...command, ...settings]
  return {
    metadata: { name: nameOf(index), namespace: "db", labels: { app: "postgres" } },
    spec: {
      nodeName: "one",
      terminationGracePeriodSeconds: 0,
      network: network.of(index),
      owner: { apiVersion: "apps/v1", kind: "StatefulSet", name: "pg", controller: true },
      containers: [
        {
          name: "postgres",
          // As where a program of an operator's is the first process.
          command: index === 2 ? ["sh", "-c", `${words.join(" ")} & wait`] : words,
          securityContext: { runAsUser: uid },
          // Nobody carries it out here: what counts is that it is read.
          livenessProbe: { exec: { command: ["pg_isready"] }, failureThreshold: 4, periodSeconds: 10 },
          volumeMounts: [
            { name: "data", mountPath: data },
            { name: "run", mountPath: "/run/postgresql" }
          ]
        }
      ],
      volumes: [
        { name: "data", hostPath: { path: path.join(folder, nameOf(index)) } },
        { name: "run", emptyDir: {} }
      ]
    }
  }
}

/** The server of a pod, from its first process. */
const serverOf = (first: number, index: number): number =>
  index === 2 ? Number(fs.readFileSync(`/proc/${first}/task/${first}/children`, "utf8").split(" ")[0]) : first

describe.skipIf(skip !== undefined)(`PostgreSQL in pods${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  const scope = Scope.makeUnsafe()
  let folder = ""
  let double: KubectlDouble.KubectlDouble
  let network: PodNetwork.PodNetwork
  let user: User
  let world: Harness.World
  let worker: Harness.Worker
  let partition: string

  const create = (index: number): void =>
    void double.kubectl(["create", "--filename=-"], JSON.stringify(podOf(index, double.folder, user, network)))

  const makeMembers = async (): Promise<void> => {
    const [primary, ...others] = [0, ...standbys].map((index) => path.join(double.folder, nameOf(index)))
    for (const place of [primary!, ...others]) {
      fs.mkdirSync(place, { mode: 0o700 })
      fs.chownSync(place, user.uid, user.gid)
    }
    run(`${binaries}/initdb`, ["-D", primary!, "-U", "postgres", "--auth=trust", "--no-sync", "--locale=C"], user)
    const net = "0.0.0.0/0 trust\n"
    fs.appendFileSync(`${primary}/pg_hba.conf`, `host all all ${net}host replication all ${net}`)
    fs.appendFileSync(`${primary}/postgresql.conf`, `synchronous_standby_names = 'ANY 1 ("pg-1", "pg-2")'\n`)
    create(0)
    const { address } = network.of(0)
    await Harness.until(
      "the primary takes connections",
      30_000,
      () => spawnSync(`${binaries}/pg_isready`, ["-h", address]).status === 0
    )
    for (const index of standbys) {
      const place = path.join(double.folder, nameOf(index))
      run(`${binaries}/pg_basebackup`, ["-h", address, "-U", "postgres", "-c", "fast", "-R", "-D", place], user)
      const from = `host=${address} user=postgres application_name=${nameOf(index)}`
      fs.appendFileSync(`${place}/postgresql.auto.conf`, `primary_conninfo = '${from}'\n`)
      create(index)
    }
  }

  const members = () =>
    [0, ...standbys].map((index) => ({
      name: nameOf(index),
      pid: serverOf(double.pidOf("db", nameOf(index)), index),
      address: `${network.of(index).address}:5432`
    }))

  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-pods-"))
    fs.writeFileSync(path.join(folder, "password"), "none")
    double = await Effect.runPromise(Scope.provide(KubectlDouble.start(["one"]), scope))
    // The servers run as another user than the one who made it.
    fs.chmodSync(double.folder, 0o755)
    network = PodNetwork.make("198.19.251")
    user = { uid: Number(run("id", ["-u", "postgres"])), gid: Number(run("id", ["-g", "postgres"])) }
    await makeMembers()
    // Its shell may not have started it yet.
    await Harness.until("the server of the last one", 10_000, () => members().every(({ pid }) => pid > 0))
    const login = { user: "postgres", database: "postgres", password: { file: path.join(folder, "password") } }
    world = {
      folder,
      lab: { name: "orders", system: "postgres", members: members(), configuration: login } as never,
      config: "",
      fences: double.state
    }
    const pods = { host: "prod", namespace: "db", statefulSet: "pg" }
    const config = Harness.writeConfig(world, "pods.yaml", {
      hosts: { prod: { kubernetes: { image: "none", state: double.state } } },
      clusters: { orders: { system: "postgres", ...login, pods } }
    })
    world = { ...world, config }
    await Harness.until("the primary takes writes", 30_000, () => Harness.writeCommits(world, 1000))
    worker = await Harness.startWorker(world, "pods.db")
    partition = await Harness.partitionOf(worker, world)
  }, Harness.within(120_000))

  afterAll(async () => {
    worker?.kill("SIGTERM")
    await worker?.ended
    try {
      // Its deletion goes on after the worker's end.
      await Harness.until("the worker's pod is gone", 15_000, () => double.pods("inquorate").length === 0)
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      network?.remove()
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
    }
  }, Harness.within(60_000))

  const lose = async (): Promise<void> => {
    const id = await Harness.hold(worker, world, { partition, seconds: 3 })
    assert.deepStrictEqual(Harness.stoppedMembers(world), ["pg-1", "pg-2"])
    assert.isFalse(await Harness.writeCommits(world, 700), "a write was acknowledged without its quorum")
    const end = await Harness.ended(worker, id, Harness.within(60_000))
    assert.strictEqual(end.State, "Completed", worker.log())
    const { evidence } = await Harness.detail(worker, id)
    assert.deepStrictEqual(
      evidence.verdicts.map(({ about, outcome }) => `${about} ${outcome}`),
      ["Loss Confirmed", "Hold Confirmed", "Recovery Confirmed"],
      JSON.stringify(evidence.notes)
    )
    assert.deepStrictEqual([...new Set(evidence.fences.map(({ grade }) => grade))], ["Kernel"])
    assert.isTrue(Harness.nothingStopped(world))
  }

  const plan = (hold = 3000) =>
    Harness.call(worker, "POST", "/v1/plan", {
      serviceName: "fabric:/orders/quorum",
      partitionId: partition,
      mode: "QuorumReplicas",
      hold
    })

  it("lose their quorum, are held, given back and found recovered", lose, Harness.within(90_000))

  it(
    "lose it again through another container, where theirs was started anew",
    async () => {
      double.kubectl(["delete", "pod", "--namespace=db", nameOf(1)])
      create(1)
      world = { ...world, lab: { ...world.lab, members: members() } as never }
      await Harness.until("the standby is found in its new container, and streams", 30_000, async () => {
        const { body } = await plan()
        const found = JSON.stringify(body).includes(`"pid":${world.lab.members[1]!.pid},`)
        return found && (body as { readonly refusal: unknown }).refusal === null
      })
      await lose()
    },
    Harness.within(120_000)
  )

  it(
    "are refused where somebody froze one, with that reason",
    async () => {
      const still = /pg-1 is frozen: process \d+ stands still, by the freezer of its control group/
      const refused = Effect.promise(() =>
        Harness.until("the plan says why", 30_000, async () => still.test(JSON.stringify((await plan()).body)))
      )
      await Effect.runPromise(Effect.scoped(Effect.andThen(double.freeze("db", nameOf(1)), refused)))
    },
    Harness.within(60_000)
  )

  it(
    "are not held for longer than their kubelets would let them be",
    async () => {
      const refused = await plan(60_000)
      assert.match(JSON.stringify(refused.body), /liveness probe of pod db\/pg-[12] \(exec, 4 failures, every 10 s\)/)
    },
    Harness.within(60_000)
  )
})
