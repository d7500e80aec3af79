import * as LocalHost from "@inquorate/injectors/LocalHost"
import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord, ProcessName } from "@inquorate/lab/LabModule"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import { chooseCut, smallestCut } from "@inquorate/core/Plan"
import type { Host } from "@inquorate/core/Host"
import type { SurvivorsWord } from "@inquorate/core/Evidence"
import type { Probe, Target, TargetError } from "@inquorate/core/Target"
import { health, type Member, type Topology } from "@inquorate/core/Topology"
import { targetContract } from "@inquorate/testkit/TargetContract"
import * as Pace from "@inquorate/testkit/Pace"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { etcd, EtcdSettings } from "../src/Etcd.ts"
import { unansweredMax } from "../src/EtcdProbe.ts"
import { eventually, freePort, isLate, only, written } from "./EtcdCluster.ts"

const skip = findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined
const reason = skip === undefined ? "" : ` (skipped: ${skip})`

// Hooks do not run where all is skipped, so there must be nothing to remove then.
const state = skip === undefined ? fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-targets-")) : os.tmpdir()
process.env["INQUORATE_LAB_STATE"] = state
let lab: LabRecord

// Elections as short as a busy machine bears, for these tests wait for many; the lab's own tests use etcd's timing.
const up = (name: string, members?: number) => Lab.up({ system: "etcd", name, members, options: { election: "300ms" } })

beforeAll(async () => {
  if (skip === undefined) lab = await Effect.runPromise(up("target"))
})

afterAll(async () => {
  await Effect.runPromise(Lab.down("target"))
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})

type Settings = typeof EtcdSettings.Encoded

const settingsOf = ({ configuration }: LabRecord): Settings => {
  const { system: _, ...settings } = configuration as Settings & { readonly system: string }
  return settings
}

const hosts = new Map([["local", LocalHost.make("local")]])

const openWith = (settings: unknown, on = hosts): Effect.Effect<Target, TargetError, Scope.Scope> =>
  Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(EtcdSettings)(settings)), (decoded) =>
    etcd.make("orders", decoded, on)
  )

/** A lab's target with the means to stop members; every stopped process is let go when the scope ends. */
const openLab = (which: () => LabRecord) =>
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

targetContract(
  "an etcd group",
  openLab(() => lab),
  { skip }
)

const within = <A, E, R>(bound: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(effect, {
    duration: Pace.within(bound),
    orElse: () => Effect.die(new Error(`took more than ${Pace.within(bound)} ms`))
  })

/**
 * The topology once somebody leads, and no member and no host is late with its word, which a busy one may be. With elections
 * as short as these, a leader that a busy machine held up is followed by another one.
 */
const told = (target: Target): Effect.Effect<Topology, TargetError> =>
  eventually(
    only(target),
    ({ members }) =>
      members.some(({ role }) => role === "Primary") &&
      members.every((member) => member.processLate !== true && !isLate(member))
  )

/** Waits until a quorum confirms its leader. */
const isHeld = ({ survivors }: Probe): Effect.Effect<SurvivorsWord> =>
  eventually(survivors, ({ word }) => word === "QuorumHeld")

const call = (address: string, question: string, body: unknown) =>
  Effect.promise(async () => {
    const reply = await fetch(`http://${address}${question}`, { method: "POST", body: JSON.stringify(body) })
    return { ok: reply.ok, body: (await reply.json()) as Record<string, unknown> }
  })

const roles = ({ members }: Topology) => members.map(({ role }) => role).sort()

describe.skipIf(skip !== undefined)(`an etcd cluster${reason}`, () => {
  it.live("is one group of equal voters with one leader, each with its own process", () =>
    Effect.gen(function* () {
      const topology = yield* told(yield* openWith(settingsOf(lab)))
      assert.deepInclude(topology, { system: "etcd", group: "raft", needed: 2, rule: "majority of 3" })
      assert.deepStrictEqual(roles(topology), ["ActiveSecondary", "ActiveSecondary", "Primary"])
      assert.deepStrictEqual(
        topology.members.map(({ counts, cuttable, name, node, up }) => [name, node, counts, cuttable, up]),
        ["m0", "m1", "m2"].map((name) => [name, `orders-${name}`, true, "Always", true])
      )
      for (const [index, { process }] of topology.members.entries()) {
        const { dataDirectory, pid, startTime } = lab.members[index]!
        assert.deepInclude(process, { host: "local", pid, startTime, dataDirectory })
        const others = topology.members.filter((_, other) => other !== index)
        assert.sameMembers(
          [...process!.peers!.others],
          others.flatMap((other) => other.process!.peers!.own)
        )
        assert.match(process!.peers!.own.join(), /^127\.0\.0\.1:\d+$/)
      }
      const cut = Result.getOrThrow(chooseCut(topology, "QuorumReplicas"))
      assert.deepStrictEqual(
        cut.map(({ role }) => role),
        ["ActiveSecondary", "ActiveSecondary"]
      )
    })
  )

  it.live("acknowledges no write while a majority with the leader is stopped, whatever the endpoint", () =>
    Effect.gen(function* () {
      const { pause, resume, target } = yield* openLab(() => lab)
      const before = yield* told(target)
      const leader = before.members.find(({ role }) => role === "Primary")!
      const [survivor, follower] = before.members.filter(({ role }) => role !== "Primary")
      const probe = yield* target.probe("raft")
      assert.strictEqual(probe.endpoints[0], leader.address)
      yield* isHeld(probe)
      yield* pause([leader, follower!])
      const writes = yield* Effect.forkChild(
        Effect.forEach(probe.endpoints, (endpoint) => probe.write(endpoint), { concurrency: "unbounded" })
      )
      const word = yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
      assert.strictEqual(word.detail, `${survivor!.name}: no leader`)
      const held = yield* within(2000, only(target))
      assert.strictEqual(health(held), "Lost")
      assert.notInclude(roles(held), "Primary")
      assert.strictEqual(held.partitionId, before.partitionId)
      // A process is told by its host, not by the member that stands still.
      assert.deepStrictEqual(
        held.members.map(({ process }) => process),
        before.members.map(({ process }) => process)
      )
      assert.isUndefined(writes.pollUnsafe())
      yield* resume
      const outcomes = yield* Fiber.join(writes)
      assert.lengthOf(outcomes, 3)
      yield* eventually(
        Effect.timeoutOption(probe.write(probe.endpoints[0]!), target.recoveryWriteTimeout),
        Option.exists(({ _tag }) => _tag === "Acknowledged")
      )
      yield* eventually(only(target), (topology) => health(topology) === "Healthy")
      yield* isHeld(probe)
    })
  )

  it.live("goes on with one member stopped, and says which", () =>
    Effect.gen(function* () {
      const { pause, resume, target } = yield* openLab(() => lab)
      yield* told(target)
      yield* pause([{ name: "m1" }])
      const probe = yield* target.probe("raft")
      const write = Effect.timeoutOption(probe.write(lab.members[0]!.address), 2000)
      yield* eventually(
        write,
        Option.exists(({ _tag }) => _tag === "Acknowledged")
      )
      const degraded = yield* eventually(only(target), (topology) => health(topology) === "Degraded")
      assert.deepStrictEqual(
        degraded.members.filter(({ up }) => !up).map(({ name }) => name),
        ["m1"]
      )
      yield* isHeld(probe)
      yield* resume
      yield* eventually(only(target), (topology) => health(topology) === "Healthy")
    })
  )

  it.live("keeps at most four writes unanswered at an endpoint, and none when the probe is closed", () =>
    Effect.gen(function* () {
      const { pause, resume, target } = yield* openLab(() => lab)
      yield* told(target)
      const scope = yield* Effect.scope
      const outcomes = yield* Effect.scoped(
        Effect.gen(function* () {
          const probe = yield* target.probe("raft")
          yield* pause(lab.members)
          const writes: Array<Fiber.Fiber<unknown>> = []
          for (let index = 0; index < unansweredMax; index++) {
            writes.push(yield* Effect.forkIn(probe.write(probe.endpoints[0]!), scope))
          }
          yield* Effect.yieldNow
          const fifth = yield* probe.write(probe.endpoints[0]!)
          assert.deepStrictEqual(fifth, { _tag: "Unknown", detail: "4 writes still unanswered" })
          assert.strictEqual((yield* probe.survivors).word, "Silent")
          return writes
        })
      )
      // The connections went with the probe's scope, although every server stands still.
      const unknown = yield* within(5000, Effect.forEach(outcomes, Fiber.join))
      assert.deepStrictEqual(
        unknown.map((outcome) => (outcome as { readonly _tag: string })._tag),
        ["Unknown", "Unknown", "Unknown", "Unknown"]
      )
      yield* resume
      yield* eventually(only(target), (topology) => health(topology) === "Healthy")
    })
  )

  it.live("has no process for a member whose data directory, host or address is another's", () =>
    Effect.gen(function* () {
      const [first, second, third] = settingsOf(lab).members
      const { host: _, ...hostless } = second!
      const topology = yield* told(
        yield* openWith({ members: [{ ...first, dataDirectory: second!.dataDirectory }, hostless, third] })
      )
      const problems = topology.members.map(({ processProblem }) => processProblem)
      assert.include(problems[0], `is ${first!.dataDirectory}, but ${second!.dataDirectory} is configured`)
      assert.include(problems[1], "no host is configured")
      assert.strictEqual(problems[2], "")
      assert.deepStrictEqual(
        topology.members.map(({ process }) => process === null),
        [true, true, false]
      )
      assert.isTrue(topology.members.every(({ cuttable, up }) => up && cuttable === "Always"))
      // A link to the directory is as good as its name.
      const link = path.join(state, "link")
      fs.symlinkSync(first!.dataDirectory!, link)
      const linked = yield* told(yield* openWith({ members: [{ ...first, dataDirectory: link }, second, third] }))
      fs.rmSync(link)
      assert.strictEqual(linked.members[0]!.process?.dataDirectory, first!.dataDirectory)
    })
  )

  it.live("is not believed to be the process of a member that answers from elsewhere", () =>
    Effect.gen(function* () {
      const [first, second, third] = settingsOf(lab).members
      // Passes all bytes on to the member, as a tunnel or a container's proxy does.
      const proxy = yield* serve((client) => {
        const [host, port] = first!.address.split(":")
        const server = net.connect(Number(port), host)
        server.on("error", () => client.destroy())
        client.on("close", () => server.destroy())
        client.pipe(server)
        server.pipe(client)
      })
      const topology = yield* told(yield* openWith({ members: [{ ...first, address: proxy }, second, third] }))
      assert.isTrue(topology.members[0]!.up)
      assert.isNull(topology.members[0]!.process)
      assert.match(topology.members[0]!.processProblem, /runs .*, not etcd/)
    })
  )

  it.live("is not believed to be the process of a member that began at another time", () =>
    Effect.gen(function* () {
      const here = LocalHost.make("local")
      // Looks as another machine does, on which an etcd of its own listens on the same port.
      const elsewhere: Host = {
        label: "local",
        run: (...words) =>
          Effect.map(here.run(...words), (output) => ({
            ...output,
            stdout: output.stdout.replaceAll(/^(process \d+ \d+)/gm, "$10")
          }))
      }
      const topology = yield* told(yield* openWith(settingsOf(lab), new Map([["local", elsewhere]])))
      for (const { address, process, processProblem } of topology.members) {
        assert.isNull(process)
        assert.match(processProblem, new RegExp(`^process \\d+ .* is not the server that answers on ${address}$`))
      }
    })
  )

  it.live("counts a member that is not configured, and will not have it cut", () =>
    Effect.gen(function* () {
      const { members } = settingsOf(lab)
      const whole = yield* told(yield* openWith({ members }))
      const without = (absent: Member) =>
        Effect.gen(function* () {
          const topology = yield* told(yield* openWith({ members: members.filter(({ name }) => name !== absent.name) }))
          assert.strictEqual(topology.needed, 2)
          assert.lengthOf(topology.members, 3)
          const { processProblem, ...stranger } = topology.members[2]!
          assert.include(processProblem, "not configured")
          return { topology, stranger }
        })
      const leader = whole.members.find(({ role }) => role === "Primary")!
      const follower = whole.members.find(({ role }) => role !== "Primary")!
      const { processProblem: _, ...asStranger } = { ...follower, cuttable: "Never", process: null, up: false }
      const first = yield* without(follower)
      assert.deepStrictEqual<unknown>(first.stranger, asStranger)
      assert.deepStrictEqual<unknown>(
        chooseCut(first.topology, "QuorumReplicas"),
        Result.fail({
          _tag: "Degraded",
          down: [follower.name],
          why: [`${follower.name} is a member of the cluster but not configured: add it with its address`]
        })
      )
      // A leader is known to be up by those that follow it, and both of them may go.
      const second = yield* without(leader)
      assert.deepInclude(second.stranger, { name: leader.name, role: "Primary", up: true, cuttable: "Never" })
      assert.lengthOf(Result.getOrThrow(chooseCut(second.topology, "QuorumReplicas")), 2)
      assert.isTrue(Result.isSuccess(chooseCut(second.topology, "AllReplicas")))
    })
  )

  it.live("refuses settings that are none, and answers that are not etcd's", () =>
    Effect.gen(function* () {
      const [first, second, third] = settingsOf(lab).members
      for (const members of [[], [first, first], [first, { ...second, address: first!.address }], [{ name: "a" }]]) {
        assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(EtcdSettings)({ members })))
      }
      const nowhere = yield* Effect.flip(openWith({ members: [{ ...first, host: "moon" }] }))
      assert.deepInclude(nowhere, { reason: "Misconfigured", endpoint: first!.address })
      const twice = yield* openWith({ members: [first, second, { ...third, address: alias(second!.address) }] })
      assert.deepInclude(yield* Effect.flip(twice.discover), { reason: "Misconfigured" })
      const web = yield* serveHttp((_, response) => response.writeHead(404).end("no such page"))
      const foreign = yield* openWith({ members: [first, second, { ...third, address: web }] })
      assert.deepInclude(yield* Effect.flip(foreign.discover), { reason: "Unsupported", endpoint: web })
    })
  )

  it.live(
    "that nobody answers for is unreachable at once where nothing listens, in a second where nothing is said",
    () =>
      Effect.gen(function* () {
        const mute = yield* serve(() => {})
        const closed = yield* Effect.scoped(serve(() => {}))
        const target = yield* openWith({
          members: [
            { name: "m0", address: mute },
            { name: "m1", address: closed }
          ]
        })
        const error = yield* within(3000, Effect.flip(target.discover))
        assert.deepInclude(error, { reason: "Unreachable", endpoint: `${mute}, ${closed}` })
        const probe = yield* target.probe("raft")
        assert.deepStrictEqual(probe.endpoints, [mute, closed])
        assert.strictEqual((yield* probe.write(closed))._tag, "Unknown")
        assert.strictEqual((yield* within(2000, probe.survivors)).word, "Silent")
      })
  )
})

describe.skipIf(skip !== undefined)(`an etcd cluster of five${reason}`, () => {
  it.live("loses its quorum with three members, not with two, and a learner is no voter", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const five = yield* Effect.acquireRelease(up("five", 5), () => Effect.orDie(Lab.down("five")))
        const { pause, resume, target } = yield* openLab(() => five)
        const before = yield* told(target)
        assert.deepInclude(before, { needed: 3, rule: "majority of 5" })
        const cut = Result.getOrThrow(smallestCut(before, "QuorumReplicas"))
        assert.lengthOf(cut, 3)
        const probe = yield* target.probe("raft")
        const [leader] = probe.endpoints
        yield* pause(cut.slice(0, 2))
        yield* written(probe, leader!)
        yield* pause(cut.slice(2))
        const write = yield* Effect.forkChild(probe.write(leader!))
        const word = yield* eventually(probe.survivors, ({ word }) => word === "QuorumLost")
        assert.include(word.detail, "no leader")
        assert.isUndefined(write.pollUnsafe())
        yield* resume
        yield* eventually(only(target), (topology) => health(topology) === "Healthy")
        yield* learn(five)
      })
    )
  )
})

/** Adds a learner and starts it. etcd takes none before all members have been connected for five seconds. */
const learn = Effect.fnUntraced(function* (five: LabRecord) {
  const [first] = five.members
  const [client, peer] = [`127.0.0.1:${yield* freePort()}`, `127.0.0.1:${yield* freePort()}`]
  // Where the answer was lost, the learner that is there already is as good.
  yield* eventually(
    call(first!.address, "/v3/cluster/member/add", { peerURLs: [`http://${peer}`], isLearner: true }),
    ({ body, ok }) => ok || /Peer URLs already exists/.test(JSON.stringify(body))
  )
  const unstarted = yield* told(yield* openWith(settingsOf(five)))
  assert.deepInclude(unstarted.members[5], { role: "IdleSecondary", counts: false, cuttable: "Never", up: false })
  assert.strictEqual(health(unstarted), "Healthy")

  const words = fs.readFileSync(`/proc/${first!.pid}/cmdline`, "utf8").split("\0")
  const dataDirectory = fs.mkdtempSync(path.join(state, "learner-"))
  const settings = {
    name: "learner",
    "data-dir": dataDirectory,
    "listen-client-urls": `http://${client}`,
    "advertise-client-urls": `http://${client}`,
    "listen-peer-urls": `http://${peer}`,
    "initial-advertise-peer-urls": `http://${peer}`,
    "initial-cluster": `${words[words.indexOf("--initial-cluster") + 1]},learner=http://${peer}`,
    "initial-cluster-state": "existing"
  }
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      childProcess.spawn(
        words[0]!,
        Object.entries(settings).map(([flag, value]) => `--${flag}=${value}`),
        { stdio: "ignore" }
      )
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => {
          fs.rmSync(dataDirectory, { recursive: true })
          resume(Effect.void)
        })
        child.kill("SIGKILL")
      })
  )
  const member = { name: "learner", address: client, host: "local", dataDirectory }
  const target = yield* openWith({ members: [member, ...settingsOf(five).members] })
  const topology = yield* eventually(
    only(target),
    ({ members }) => members[0]!.up && members[0]!.process !== null && members[0]!.processLate !== true
  )
  assert.deepInclude(topology, { needed: 3, rule: "majority of 5" })
  assert.lengthOf(topology.members, 6)
  assert.deepInclude(topology.members[0], { name: "learner", role: "IdleSecondary", counts: false, cuttable: "Never" })
  assert.strictEqual(topology.members[0]!.process?.dataDirectory, dataDirectory)
  const probe = yield* target.probe("raft")
  assert.notInclude(probe.endpoints, client)
  yield* isHeld(probe)
})

const alias = (address: string): string => address.replace("127.0.0.1", "localhost")

const listening = (server: net.Server): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed(`127.0.0.1:${(server.address() as net.AddressInfo).port}`))
      )
    }),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

/** A server of ours on a free port; with the scope it ends and drops every connection. */
const serve = Effect.fnUntraced(function* (connected: (client: net.Socket) => void) {
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

const serveHttp = Effect.fnUntraced(function* (answer: http.RequestListener) {
  const server = http.createServer(answer)
  const address = yield* listening(server)
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return address
})
