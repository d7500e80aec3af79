import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import { chooseCut } from "@inquorate/core/Plan"
import type { Host } from "@inquorate/core/Host"
import { health, type Member, type Topology } from "@inquorate/core/Topology"
import { targetContract } from "@inquorate/testkit/TargetContract"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as path from "node:path"
import { EtcdSettings } from "../src/Etcd.ts"
import { unansweredMax } from "../src/EtcdProbe.ts"
import { eventually, only } from "./EtcdCluster.ts"
import {
  isHeld,
  listening,
  openLab,
  openWith,
  reason,
  serve,
  settingsOf,
  skip,
  state,
  told,
  up,
  within
} from "./EtcdLab.ts"

let lab: LabRecord

beforeAll(async () => {
  if (skip === undefined) lab = await Effect.runPromise(up("target"))
})

afterAll(async () => {
  await Effect.runPromise(Lab.down("target"))
})

targetContract(
  "an etcd group",
  openLab(() => lab),
  { skip }
)

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
})

const alias = (address: string): string => address.replace("127.0.0.1", "localhost")

const serveHttp = Effect.fnUntraced(function* (answer: http.RequestListener) {
  const server = http.createServer(answer)
  const address = yield* listening(server)
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return address
})
