/**
 * The cut on the real kernel: its contract on loopback, who ends it, what it leaves alone, and true isolation in network
 * namespaces. At the end no table, namespace or process of ours may be left on the machine.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { randomUUID } from "node:crypto"
import type { Host } from "@inquorate/core/Host"
import type { FenceOrder, FenceState, Injector } from "@inquorate/core/Injector"
import { factor, within } from "@inquorate/testkit/Pace"
import { type InjectorBench, injectorContract } from "@inquorate/testkit/InjectorContract"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Netfilter from "../src/mechanisms/Netfilter.ts"
import * as Peers from "./NetfilterPeers.ts"
import * as ProcessTree from "./ProcessTree.ts"

const here = LocalHost.make("here")
const netfilter = Netfilter.make(new Map([["here", here]]))
const needs = (what: string): string => (what === "" ? "" : ` (skipped: needs ${what})`)
let state = ""

beforeAll(() => {
  state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-state-"))
  process.env.INQUORATE_STATE = state
})

afterAll(async () => {
  // A test that failed may have left one.
  for (const pid of frozenPids) if (ProcessTree.look(pid)?.state === "T") ProcessTree.signalAll([pid], "SIGKILL")
  await Effect.runPromise(untilNobody())
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
  if (Peers.missing !== "") return
  const tables = Peers.nft("list", "tables").said.split("\n")
  assert.deepStrictEqual(
    tables.filter((line) => line.endsWith(`_${checksum(state)}`)),
    [],
    "a table is left"
  )
  assert.deepStrictEqual(Peers.namespacesLeft(), [], "a namespace is left")
})

describe.skipIf(Peers.missing !== "")(`on loopback${needs(Peers.missing)}`, () => {
  const partners = new Map<number, Peers.Peer>()

  injectorContract(
    "the cut keeps the contract of an injector",
    Effect.succeed<InjectorBench>({
      injector: netfilter,
      start: Effect.map(Peers.start(2), ([first, second]) => {
        partners.set(first!.process.pid, second!)
        return first!
      }),
      runs: (replica) => Peers.meet(replica as Peers.Peer, partners.get(replica.process.pid)!),
      killKeepers: (fence) => Effect.sync(() => ProcessTree.signalAll([keeperOf(fence)], "SIGKILL"))
    }),
    { clock: "live" }
  )

  describe.concurrent("who ends it", () => {
    it.live("the kernel alone, when everything of ours is killed", () =>
      Effect.gen(function* () {
        const [first, second] = yield* Peers.start(2)
        const order = yield* orderFor(first!, { hold: 5000 })
        yield* armAndDie([order])
        assert.isFalse(yield* Peers.meet(first!, second!), "it ended with the worker")
        yield* Effect.sleep(Math.max(0, order.deadline - (yield* Clock.currentTimeMillis)) + 1500)
        assert.isTrue(yield* Peers.meet(first!, second!), "it stood past its deadline")
        assert.isEmpty(elementsOf(order), "elements are left")
        const seen = yield* netfilter.inspect("here", order.fence, 1)
        assert.strictEqual(seen._tag === "Lifted" && seen.by, "Kernel")
        assert.isFalse(Peers.nft("list", "table", "inet", tableOf(order)).ok, "a settled fence left its table")
      })
    )

    it.live("the wall clock, where somebody prolongs the elements", () =>
      Effect.gen(function* () {
        const [first, second] = yield* Peers.start(2)
        const order = yield* orderFor(first!, { hold: 3000 })
        yield* netfilter.arm(order)
        const table = tableOf(order)
        for (const [set, key] of elementsOf(order)) {
          assert.isTrue(Peers.nft("delete", "element", "inet", table, set, `{ ${key} }`).ok)
          assert.isTrue(Peers.nft("add", "element", "inet", table, set, `{ ${key} timeout 60s }`).ok)
        }
        assert.isFalse(yield* Peers.meet(first!, second!))
        yield* Effect.sleep(Math.max(0, order.deadline - (yield* Clock.currentTimeMillis)) + 1500)
        assert.isNotEmpty(elementsOf(order))
        assert.isTrue(yield* Peers.meet(first!, second!))
        yield* liftOf(order)
      })
    )

    it.live("the elements' timeout, where somebody takes the wall clock's limit away", () =>
      Effect.gen(function* () {
        const [first, second] = yield* Peers.start(2)
        const order = yield* orderFor(first!, { hold: 3000 })
        yield* netfilter.arm(order)
        const table = tableOf(order)
        assert.isTrue(Peers.nft("flush", "chain", "inet", table, "input").ok)
        for (const match of ["dport @own", "sport @own", "dport @others"]) {
          assert.isTrue(
            Peers.nft("add", "rule", "inet", table, "input", "iif", "lo", "tcp", ...match.split(" "), "drop").ok
          )
        }
        assert.isFalse(yield* Peers.meet(first!, second!))
        yield* Effect.sleep(Math.max(0, order.deadline - (yield* Clock.currentTimeMillis)) + 1500)
        assert.isEmpty(elementsOf(order))
        assert.isTrue(yield* Peers.meet(first!, second!))
        yield* liftOf(order)
      })
    )
  })

  describe("a sweep", () => {
    it.live("removes a table past its deadline and one that no standing fence accounts for, and no other", () =>
      Effect.gen(function* () {
        const [first] = yield* Peers.start(2)
        const late = yield* orderFor(first!, { hold: 1000 })
        const lifted = yield* orderFor(first!)
        const unknown = yield* orderFor(first!)
        const standing = yield* orderFor(first!)
        yield* netfilter.arm(late)
        yield* netfilter.arm(lifted)
        yield* liftOf(lifted)
        // As a process of ours that was frozen before the lift would make it again.
        assert.isTrue(Peers.nft("create", "table", "inet", tableOf(lifted)).ok)
        assert.isTrue(Peers.nft("create", "table", "inet", tableOf(unknown)).ok)
        const armed = yield* netfilter.arm(standing)
        const foreign = ["inq_mine", `${tableOf(unknown)}x`, `${tableOf(unknown)}_1`, "inquorate"].map(
          (name) => ["inet", name] as const
        )
        const alike = [...foreign, ["ip", tableOf(unknown)] as const]
        for (const name of alike) assert.isTrue(Peers.nft("create", "table", ...name).ok)
        yield* Effect.sleep(Math.max(0, late.deadline - Date.now()) + 500)
        const seen = yield* netfilter.sweep("here", { clear: false })
        assert.strictEqual(stateIn(seen, unknown)?._tag, "Arming")
        assert.isTrue(Peers.nft("list", "table", "inet", tableOf(unknown)).ok, "a look touched it")
        const swept = yield* netfilter.sweep("here", { clear: true })
        assert.strictEqual(stateIn(swept, late)?._tag, "Lifted")
        const found = stateIn(swept, unknown)
        assert.strictEqual(found?._tag === "Lifted" && found.by, "Sweep")
        assert.deepStrictEqual(stateIn(swept, standing), armed)
        for (const order of [late, lifted, unknown]) {
          assert.isFalse(Peers.nft("list", "table", "inet", tableOf(order)).ok, "a table is left")
        }
        for (const name of alike) {
          assert.isTrue(Peers.nft("delete", "table", ...name).ok, `${name.join(" ")} was not ours to remove`)
        }
        yield* liftOf(standing)
      })
    )

    const makeStranger = () => {
      const other = fs.mkdtempSync(path.join(state, "other-"))
      const own = `env INQUORATE_STATE='${other}'`
      const open: Host["open"] = (program, words) => here.open!(wrap(own), [program, ...words])
      const host = { ...wrapped(own), open }
      return { other, stranger: Netfilter.make(new Map([["here", host]])) }
    }

    it.live("leaves what another state directory has made ready alone, so that its go still cuts", () =>
      Effect.gen(function* () {
        const { stranger } = makeStranger()
        const [first] = yield* Peers.start(2)
        const order = yield* orderFor(first!)
        const prepared = yield* stranger.prepare!("here", [order], 60_000)
        yield* netfilter.sweep("here", { clear: true })
        const [answer] = yield* prepared.go(order)
        assert.strictEqual(answer?._tag, "Success", JSON.stringify(answer))
        assert.strictEqual((yield* stranger.lift("here", order.fence, 1))._tag, "Lifted")
      }).pipe(Effect.scoped)
    )

    it.live("leaves a cut of another state directory alone until nothing stands in it", () =>
      Effect.gen(function* () {
        const { other, stranger } = makeStranger()
        const [first] = yield* Peers.start(2)
        const order = yield* orderFor(first!, { hold: 2000 })
        yield* stranger.arm(order)
        const stands = (): boolean => Peers.nft("list", "table", "inet", tableOf(order, other)).ok
        assert.isUndefined(stateIn(yield* netfilter.sweep("here", { clear: true }), order))
        assert.isTrue(stands(), "it was another's")
        yield* Effect.sleep(Math.max(0, order.deadline - Date.now()) + 500)
        yield* netfilter.sweep("here", { clear: true })
        assert.isFalse(stands(), "it is litter")
        assert.strictEqual((yield* stranger.lift("here", order.fence, 1)).by, "Kernel")
      })
    )
  })

  describe("what was prepared and hears no go", () => {
    it.live.each(["the program that listens", "the process beside its table", "both"])(
      "is never applied, and leaves no table, where somebody kills %s",
      (what) =>
        Effect.gen(function* () {
          const [first, second] = yield* Peers.start(2)
          const order = yield* orderFor(first!)
          const earlier = sessions()
          const prepared = yield* netfilter.prepare!("here", [order], 1500 * factor)
          assert.isTrue(Peers.nft("list", "table", "inet", tableOf(order)).ok, "nothing was prepared")
          assert.isEmpty(elementsOf(order))
          if (what !== "the program that listens") process.kill(keeperOf(order.fence), "SIGKILL")
          if (what !== "the process beside its table") {
            ProcessTree.signalAll(
              sessions().filter((pid) => !earlier.includes(pid)),
              "SIGKILL"
            )
            const [answer] = yield* prepared.go(order)
            assert.isTrue(answer !== undefined && Result.isFailure(answer) && answer.failure.reason === "Unknown")
          }
          let seen = yield* netfilter.inspect("here", order.fence, 1)
          for (let turn = 0; turn < 200 * factor && seen._tag === "Arming"; turn++) {
            yield* Effect.sleep(50)
            seen = yield* netfilter.inspect("here", order.fence, 1)
          }
          assert.include(seen._tag === "Refused" ? seen.problem : seen._tag, "never applied")
          assert.isFalse(Peers.nft("list", "table", "inet", tableOf(order)).ok, "a table is left")
          assert.isTrue(yield* Peers.meet(first!, second!))
        }).pipe(Effect.scoped)
    )

    it.live("is applied by a go although the process beside its table is frozen, and that is gone then", () =>
      Effect.gen(function* () {
        const [first, second] = yield* Peers.start(2)
        const order = yield* orderFor(first!)
        const prepared = yield* netfilter.prepare!("here", [order], 60_000)
        const keeper = keeperOf(order.fence)
        process.kill(keeper, "SIGSTOP")
        const [answer] = yield* prepared.go(order)
        assert.isTrue(answer !== undefined && Result.isSuccess(answer), JSON.stringify(answer))
        assert.isFalse(ProcessTree.isThere(keeper))
        assert.isFalse(yield* Peers.meet(first!, second!))
        yield* liftOf(order)
      }).pipe(Effect.scoped)
    )

    it.live("two members of one host are cut by one go", () =>
      Effect.gen(function* () {
        const [first, second, third] = yield* Peers.start(3)
        const operationId = randomUUID()
        const orders = [yield* orderFor(first!, { operationId }), yield* orderFor(second!, { operationId })]
        const prepared = yield* netfilter.prepare!("here", orders, 60_000)
        const answers = yield* prepared.go(orders[0]!)
        assert.isTrue(answers.length === 2 && answers.every(Result.isSuccess), JSON.stringify(answers))
        assert.isFalse(yield* Peers.meet(first!, third!))
        assert.isFalse(yield* Peers.meet(second!, third!))
        for (const order of orders) yield* liftOf(order)
      }).pipe(Effect.scoped)
    )
  })

  describe("what cannot prolong or revive it", () => {
    it.live("the same transaction again: the kernel answers File exists and the time runs on", () =>
      Effect.gen(function* () {
        const [first] = yield* Peers.start(2)
        const order = yield* orderFor(first!, { hold: 10_000 })
        yield* netfilter.arm(order)
        const before = expiriesOf(order)
        assert.isNotEmpty(before)
        const again = Peers.nft("-f", path.join(directoryOf(order), "rules.print_cut"))
        assert.include(again.said, "File exists")
        const [set, key] = elementsOf(order)[0]!
        const longer = Peers.nft("create", "element", "inet", tableOf(order), set, `{ ${key} timeout 60s }`)
        assert.include(longer.said, "File exists")
        assert.isAtMost(Math.max(...expiriesOf(order)), Math.max(...before))
        yield* liftOf(order)
      })
    )

    it.live("a tightening: every element has less time at once, and none is ever missing on the way", () =>
      Effect.gen(function* () {
        const [first] = yield* Peers.start(2)
        const order = yield* orderFor(first!)
        yield* netfilter.arm(order)
        const count = elementsOf(order).length
        let gaps = 0
        const watching = yield* Effect.forkChild(
          Effect.forever(
            Effect.andThen(
              Effect.promise(() => Peers.run(["sh", "-c", `nft -j list table inet ${tableOf(order)} 2>&1 || :`])),
              (text) =>
                Effect.sync(() => {
                  // Where the rules changed while nft read them, it saw neither the old ones nor the new ones.
                  if (text.includes("Interrupted system call")) return
                  if (!text.startsWith("{") || parseElements(text).length !== count) gaps++
                })
            )
          )
        )
        for (const hold of [18_000, 15_000, 12_000, 9000, 6000]) {
          const deadline = (yield* orderFor(first!, { hold })).deadline
          yield* netfilter.tighten("here", order.fence, 1, deadline)
          assert.isAtMost(Math.max(...expiriesOf(order)), within(hold))
        }
        yield* Fiber.interrupt(watching)
        assert.strictEqual(gaps, 0)
        yield* liftOf(order)
      })
    )

    it.live.each(["sets", "cut"] as const)(
      "a process of ours that was frozen at the kernel's door (%s): the lift ends it",
      (before) =>
        Effect.gen(function* () {
          const [first, second] = yield* Peers.start(2)
          const order = yield* orderFor(first!)
          const frozen = freezing(before)
          const arming = yield* Effect.forkChild(Effect.result(frozen.injector.arm(order)))
          const pid = yield* frozen.pid
          assert.strictEqual((yield* liftOf(order)).by, "Worker")
          assert.isFalse(ProcessTree.isThere(pid), "it could still thaw")
          assert.strictEqual((yield* Fiber.join(arming))._tag, "Failure")
          assert.isFalse(Peers.nft("list", "table", "inet", tableOf(order)).ok)
          assert.isTrue(yield* Peers.meet(first!, second!))
        })
    )

    it.live("one that thaws past the deadline: the wall clock in its rules has passed, and it takes them back", () =>
      Effect.gen(function* () {
        const [first, second] = yield* Peers.start(2)
        const order = yield* orderFor(first!, { hold: 1500 })
        const frozen = freezing("cut")
        const arming = yield* Effect.forkChild(Effect.result(frozen.injector.arm(order)))
        const pid = yield* frozen.pid
        yield* Effect.sleep(Math.max(0, order.deadline - Date.now()) + 1100)
        process.kill(pid, "SIGCONT")
        const answer = yield* Fiber.join(arming)
        assert.strictEqual(answer._tag === "Failure" && answer.failure.reason, "NotApplied")
        assert.isFalse(Peers.nft("list", "table", "inet", tableOf(order)).ok)
        assert.isTrue(yield* Peers.meet(first!, second!))
      })
    )
  })

  describe.concurrent("what is cut", () => {
    it.live("new connections and those that were open, of this member only, and they go on after the lift", () =>
      Effect.gen(function* () {
        const peers = yield* Peers.start(3)
        const [first, second, third] = peers as [Peers.Peer, Peers.Peer, Peers.Peer]
        const order = yield* orderFor(first)
        yield* netfilter.arm(order)
        yield* untilHeard(first, none)
        // New connections between the others are refused with it, for nothing on loopback tells whose they are.
        for (const peer of [second, third]) yield* untilHeard(peer, { fresh: [false, false], standing: [false, true] })
        yield* liftOf(order)
        yield* untilEchoed(first)
        yield* untilEchoed(second)
      })
    )

    it.live("a member that meets the others on the loopback of IPv6, named by its addresses and by names", () =>
      Effect.gen(function* () {
        const [first, second] = (yield* Peers.start(2, { loopback: "::1" })) as [Peers.Peer, Peers.Peer]
        const names = { own: [first.peer], others: [second.peer.replace("[::1]", "localhost")] }
        for (const peer of [first, { ...first, process: { ...first.process, peers: names } }]) {
          const order = yield* orderFor(peer)
          yield* netfilter.arm(order)
          assert.isFalse(yield* Peers.meet(first, second))
          yield* liftOf(order)
          for (const one of [first, second]) yield* untilEchoed(one)
        }
      })
    )

    it.live("what the connections tell, where nobody says who the peers are", () =>
      Effect.gen(function* () {
        const [first, second] = yield* Peers.start(2, { named: false })
        const order = yield* orderFor(first!)
        yield* netfilter.arm(order)
        assert.isFalse(yield* Peers.meet(first!, second!))
        const ports = elementsOf(order).flatMap(([set, key]) => (set === "dialled" ? [] : [`${set} ${key}`]))
        assert.sameMembers(ports, [`own ${first!.peer.split(":")[1]}`, `others ${second!.peer.split(":")[1]}`])
        yield* liftOf(order)
      })
    )

    it.live("nothing, where clients and peers share the port, or it is to be kept, or is not the member's", () =>
      Effect.gen(function* () {
        const [single] = yield* Peers.start(2, { ports: "one", named: false })
        yield* isImpossible(netfilter, single!, "its clients too")
        const [first, second] = yield* Peers.start(2)
        const port = Number(first!.peer.split(":")[1])
        yield* isImpossible(Netfilter.make(new Map([["here", here]]), { keepPorts: [port] }), first!, "is kept open")
        const withPeers = (own: string, other: string): Peers.Peer => ({
          ...first!,
          process: { ...first!.process, peers: { own: [own], others: [other] } }
        })
        yield* isImpossible(netfilter, withPeers(first!.peer, "127.0.0.1:22"), "is kept open")
        yield* isImpossible(netfilter, withPeers(second!.peer, second!.peer), "does not listen on")
        for (const other of [
          "1.1.1.1:22; drop",
          "$(id):2380",
          "-A:2380",
          "1.1.1.256:2380",
          "::1:2380",
          "[fe80::1%lo]:2380"
        ]) {
          yield* isImpossible(netfilter, withPeers(first!.peer, other), "not all addresses or names with a port")
        }
        yield* isImpossible(netfilter, withPeers(first!.peer, "203.0.113.7:2380"), "namespace of the member's own")
        const [alone] = yield* Peers.start(1, { named: false })
        yield* isImpossible(netfilter, alone!, "no peers of it were found")
        const mistaken = { ...first!.process, dataDirectory: os.tmpdir() }
        assert.strictEqual((yield* netfilter.preflight(mistaken))._tag, "Mistaken")
      })
    )

    it.live("nothing by a user without CAP_NET_ADMIN, who is told so; with it an ordinary user cuts its own", () =>
      Effect.gen(function* () {
        const own = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-nobody-"))
        fs.chownSync(own, 65534, 65534)
        const [first, second] = yield* Peers.start(2, { uid: 65534 })
        const without = Netfilter.make(new Map([["here", asNobody(own, "")]]))
        yield* isImpossible(without, first!, "lacks CAP_NET_ADMIN, which nftables needs")
        const swept = yield* without.sweep("here", { clear: true })
        assert.deepStrictEqual(
          [...new Set(swept.map(({ state }) => state._tag))],
          ["Refused"],
          "it can have made nothing"
        )
        const order = yield* orderFor(first!)
        const capable = Netfilter.make(
          new Map([["here", asNobody(own, "--inh-caps=+net_admin --ambient-caps=+net_admin")]])
        )
        const preflight = yield* capable.preflight(first!.process)
        assert.strictEqual(preflight._tag === "Ready" && preflight.grade, "Kernel", JSON.stringify(preflight))
        yield* capable.arm(order)
        assert.isFalse(yield* Peers.meet(first!, second!))
        assert.strictEqual((yield* Effect.flip(without.sweep("here", { clear: true }))).reason, "OrderRefused")
        yield* capable.lift("here", order.fence, 1)
        assert.isTrue(yield* Peers.meet(first!, second!))
        fs.rmSync(own, { recursive: true, force: true, maxRetries: 10 })
      })
    )
  })

  it.live("tells where the table was taken away while the fence stood", () =>
    Effect.gen(function* () {
      const [first] = yield* Peers.start(2)
      const order = yield* orderFor(first!)
      yield* netfilter.arm(order)
      assert.isTrue(Peers.nft("delete", "table", "inet", tableOf(order)).ok)
      const seen = yield* netfilter.inspect("here", order.fence, 1)
      assert.strictEqual(seen._tag === "Armed" && seen.broken, true)
      assert.isTrue((yield* liftOf(order)).broken)
    })
  )

  it.live("takes the records of another boot as void", () =>
    Effect.gen(function* () {
      const [first] = yield* Peers.start(2)
      const order = yield* orderFor(first!)
      yield* netfilter.arm(order)
      yield* liftOf(order)
      fs.rmSync(path.join(directoryOf(order), "lifted"))
      const file = path.join(directoryOf(order), "order")
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/^.*\n/, "of-another-boot\n"))
      const seen = yield* netfilter.inspect("here", order.fence, 1)
      assert.strictEqual(seen._tag === "Lifted" && seen.by, "Sweep")
    })
  )
})

describe
  .skipIf(Peers.missingNamespaces !== "")
  .concurrent(`in namespaces of their own${needs(Peers.missingNamespaces)}`, () => {
    it.live("one member is alone, the others still meet, and clients reach all of them", () =>
      Effect.gen(function* () {
        const peers = yield* Peers.start(3, { inside: yield* Peers.namespaces(3) })
        const order = yield* orderFor(peers[0]!)
        assert.strictEqual((yield* netfilter.preflight(order.process))._tag, "Ready")
        yield* netfilter.arm(order)
        assert.notInclude(Peers.nft("list", "tables").said, tableOf(order), "it stands in the host's own namespace")
        yield* untilHeard(peers[0]!, none)
        for (const peer of peers.slice(1)) {
          yield* untilHeard(peer, { fresh: [false, true], standing: [false, true] })
        }
        yield* liftOf(order)
        for (const peer of peers) yield* untilEchoed(peer)
      })
    )

    it.live("one member of IPv6 is alone, and a tightening ends its cut earlier", () =>
      Effect.gen(function* () {
        const peers = yield* Peers.start(3, { inside: yield* Peers.namespaces(3, 6) })
        const order = yield* orderFor(peers[0]!)
        yield* netfilter.arm(order)
        yield* untilHeard(peers[0]!, none)
        yield* untilHeard(peers[1]!, { fresh: [false, true], standing: [false, true] })
        const deadline = Math.floor(yield* Clock.currentTimeMillis) + 2000
        yield* netfilter.tighten("here", order.fence, 1, deadline)
        yield* Effect.sleep(Math.max(0, deadline - (yield* Clock.currentTimeMillis)) + 500)
        for (const peer of peers) yield* untilEchoed(peer)
        assert.strictEqual((yield* liftOf(order)).by, "Kernel")
      })
    )

    it.live("a peer's name is looked up as the member would, in a file that it alone sees", () =>
      Effect.gen(function* () {
        const inside = yield* Peers.namespaces(2, 6)
        const peers = yield* Peers.start(2, { inside, ownHosts: true })
        const [own, other] = peers.map(({ peer }) => peer.slice(peer.lastIndexOf(":")))
        const named = { own: [`m0.example${own}`], others: [`m1.example${other}`] }
        const peer = { ...peers[0]!, process: { ...peers[0]!.process, peers: named } }
        Peers.writeHosts(peer, `${inside.members[1]!.address} m1.example`)
        const order = yield* orderFor(peer)
        yield* netfilter.arm(order)
        yield* untilHeard(peer, { fresh: [false], standing: [false] })
        yield* liftOf(order)
        for (const one of peers) yield* untilEchoed(one)
        Peers.writeHosts(peer, `${inside.members[1]!.address} another.example`)
        yield* isImpossible(netfilter, peer, "m1.example cannot be looked up")
      })
    )

    it.live.each([4, 6] as const)(
      "of a majority of IPv%i each is alone, found by its connections, until the kernel ends it",
      (kind) =>
        Effect.gen(function* () {
          const peers = yield* Peers.start(3, { inside: yield* Peers.namespaces(3, kind), named: false })
          const operationId = randomUUID()
          const orders = yield* Effect.forEach(peers.slice(0, 2), (peer) => orderFor(peer, { hold: 6000, operationId }))
          yield* armAndDie(orders)
          yield* Effect.forEach(peers, (peer) => untilHeard(peer, none), { concurrency: 3, discard: true })
          yield* Effect.sleep(Math.max(0, orders[0]!.deadline - (yield* Clock.currentTimeMillis)) + 500)
          for (const peer of peers) yield* untilEchoed(peer)
          for (const order of orders) assert.strictEqual((yield* liftOf(order)).by, "Kernel")
        })
    )

    it.live("whoever connects from where the same program runs too is no peer, found by connections", () =>
      Effect.gen(function* () {
        const inside = yield* Peers.namespaces(2)
        const peers = yield* Peers.start(2, { inside, named: false })
        const [address, port] = peers[0]!.client.split(":")
        const dial = `exec 3<>/dev/tcp/${address}/${port} && echo there && read -r _`
        yield* Peers.beside([...inside.hub, "bash", "-c", dial])
        yield* Peers.beside([...inside.hub, process.execPath, "-e", 'console.log("there"); setInterval(() => {}, 1e6)'])
        const order = yield* orderFor(peers[0]!)
        yield* netfilter.arm(order)
        yield* untilHeard(peers[0]!, { fresh: [false], standing: [false] })
        yield* liftOf(order)
        for (const peer of peers) yield* untilEchoed(peer)
      })
    )

    it.live(
      "a table of a fence that is over is swept there too, one that no record knows is not looked at, and a namespace that is gone took its table along",
      () =>
        Effect.gen(function* () {
          const order = yield* Effect.scoped(
            Effect.gen(function* () {
              const inside = yield* Peers.namespaces(2)
              const peers = yield* Peers.start(2, { inside })
              const enter = inside.members[1]!.enter
              const unknown = yield* orderFor(peers[1]!)
              const stray = yield* orderFor(peers[1]!)
              yield* netfilter.arm(stray)
              yield* liftOf(stray)
              // As a process of ours that was frozen before the lift would make it again.
              for (const each of [stray, unknown]) {
                yield* Effect.promise(() => Peers.run([...enter, "nft", "create", "table", "inet", tableOf(each)]))
              }
              const swept = yield* netfilter.sweep("here", { clear: true })
              assert.strictEqual(stateIn(swept, stray)?._tag, "Lifted")
              assert.isUndefined(stateIn(swept, unknown))
              const left = yield* Effect.promise(() => Peers.run([...enter, "nft", "list", "tables"]))
              assert.strictEqual(left.trim(), `table inet ${tableOf(unknown)}`)
              assert.isFalse(fs.existsSync(directoryOf(unknown)), "a record was written for a stranger's table")
              const order = yield* orderFor(peers[0]!)
              yield* netfilter.arm(order)
              return order
            })
          )
          assert.strictEqual((yield* liftOf(order)).by, "Worker")
        })
    )

    it.live("our own way in is never cut", () =>
      Effect.gen(function* () {
        const inside = yield* Peers.namespaces(2)
        const peers = yield* Peers.start(2, { inside })
        const own = Object.values(os.networkInterfaces())
          .flat()
          .find((each) => each?.family === "IPv4" && !each.internal)
        if (own === undefined) return
        const process = { ...peers[0]!.process, peers: { own: [peers[0]!.peer], others: [`${own.address}:2380`] } }
        yield* isImpossible(netfilter, { ...peers[0]!, process }, "our own way in")
      })
    )
  })

// --- internal ---

const none: Peers.Echo = { fresh: [false, false], standing: [false, false] }

const orderFor = Effect.fnUntraced(function* (
  peer: Peers.Peer,
  changes: { readonly hold?: number; readonly operationId?: string } = {}
) {
  const monotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
  const order: FenceOrder = {
    fence: { operationId: changes.operationId ?? randomUUID(), attempt: 1, member: peer.member },
    process: peer.process,
    epoch: 1,
    deadline: Math.floor(yield* Clock.currentTimeMillis) + within(changes.hold ?? 20_000),
    startByMonotonic: monotonic + within(10_000)
  }
  return order
})

const liftOf = (order: FenceOrder) => netfilter.lift("here", order.fence, 1)

const stateIn = (
  reports: ReadonlyArray<{ readonly fence: FenceOrder["fence"]; readonly state: FenceState }>,
  order: FenceOrder
): FenceState | undefined => reports.find(({ fence }) => fence.operationId === order.fence.operationId)?.state

// What was sent into the cut is sent again later and later, by TCP itself: the longer the cut, the later.
const untilEchoed = Effect.fnUntraced(function* (peer: Peers.Peer) {
  for (let turn = 0; turn < 20 * factor; turn++) {
    const echo = yield* Peers.ask(peer, 500)
    if (echo !== undefined && [...echo.fresh, ...echo.standing].every(Boolean)) return
  }
  assert.fail(`${peer.member} does not reach the others again`)
})

/** Waits until a member hears those that it is to hear, and fails where it ever hears another. */
const untilHeard = Effect.fnUntraced(function* (peer: Peers.Peer, wanted: Peers.Echo) {
  const expected = [...wanted.fresh, ...wanted.standing]
  // A busy machine may answer later than that.
  for (let turn = 0; turn < 10 * factor; turn++) {
    const echo = yield* Peers.ask(peer, 500)
    if (echo === undefined) continue
    const heard = [...echo.fresh, ...echo.standing]
    assert.isTrue(heard.length === expected.length && expected.every((is, index) => is || !heard[index]), heard.join())
    if (expected.every((is, index) => is === heard[index])) return
  }
  assert.fail(`${peer.member} does not hear ${JSON.stringify(wanted)}`)
})

const isImpossible = Effect.fnUntraced(function* (injector: Injector, peer: Peers.Peer, words: string) {
  const preflight = yield* injector.preflight(peer.process)
  assert.strictEqual(preflight._tag, "Impossible", JSON.stringify(preflight))
  assert.include(preflight._tag === "Impossible" ? preflight.problem : "", words)
  const error = yield* Effect.flip(injector.arm(yield* orderFor(peer)))
  assert.strictEqual(error.reason, "OrderRefused")
  assert.include(error.detail, words)
})

/** Arms in a process of its own, which is killed; nothing of ours runs after that. */
const armAndDie = Effect.fnUntraced(function* (orders: ReadonlyArray<FenceOrder>) {
  yield* Peers.armAndDie(orders)
  yield* untilNobody(orders[0]!.fence.operationId)
})

/** Waits for the end of what a program of ours left to be tidied; fails where anything of ours stays. */
const untilNobody = Effect.fnUntraced(function* (mark?: string) {
  for (let turn = 0; turn < 100 * factor && ours(mark).length > 0; turn++) yield* Effect.sleep(50)
  assert.deepStrictEqual(ours(mark), [], "something of ours still runs")
})

const frozenPids: Array<number> = []

/** An injector whose nft freezes before it makes the table, or before it cuts; `pid` is the frozen process. */
const freezing = (before: "sets" | "cut"): { readonly injector: Injector; readonly pid: Effect.Effect<number> } => {
  const directory = fs.mkdtempSync(path.join(state, "freezing-"))
  const nft = path.join(directory, "nft")
  const real = fs.existsSync("/usr/sbin/nft") ? "/usr/sbin/nft" : "/sbin/nft"
  fs.writeFileSync(
    nft,
    `#!/bin/sh\ncase "$*" in *rules.print_${before}*) echo $$ >'${directory}/pid'; kill -STOP $$ ;; esac\nexec ${real} "$@"\n`
  )
  fs.chmodSync(nft, 0o755)
  return {
    injector: Netfilter.make(new Map([["here", wrapped(`env PATH='${directory}:${process.env["PATH"]}'`)]])),
    pid: Effect.gen(function* () {
      for (let turn = 0; turn < 500; turn++) {
        const file = path.join(directory, "pid")
        const pid = fs.existsSync(file) ? Number(fs.readFileSync(file, "utf8")) : 0
        if (pid > 0 && ProcessTree.look(pid)?.state === "T") {
          frozenPids.push(pid)
          return pid
        }
        yield* Effect.sleep(20)
      }
      return assert.fail("nft was not called")
    })
  }
}

const wrapped = (prefix: string): Host => ({
  label: "here",
  run: (program, words, options) => here.run(wrap(prefix), [program, ...words], options)
})

const wrap = (prefix: string): string => `p=$1; shift; exec ${prefix} sh -c "$p" inquorate "$@"`

const asNobody = (directory: string, capabilities: string): Host =>
  wrapped(
    `setpriv --reuid=65534 --regid=65534 --clear-groups ${capabilities} env INQUORATE_STATE='${directory}' PATH=/usr/sbin:/usr/bin:/sbin:/bin`
  )

const memberHex = (order: FenceOrder): string => Buffer.from(order.fence.member).toString("hex")

const tableOf = (order: FenceOrder, stateDirectory: string = state): string => {
  const { attempt, operationId } = order.fence
  return `inq_${operationId.replaceAll("-", "")}_${attempt}_${memberHex(order)}_${checksum(stateDirectory)}`
}

const checksum = (text: string): string => spawnSync("cksum", { input: text, encoding: "utf8" }).stdout.split(" ")[0]!

const directoryOf = (order: FenceOrder): string =>
  path.join(state, "netfilter", order.fence.operationId, `${order.fence.attempt}.${memberHex(order)}`)

/** The process beside a prepared table. */
const keeperOf = (fence: FenceOrder["fence"]): number => {
  const directory = path.join(
    state,
    "netfilter",
    fence.operationId,
    `${fence.attempt}.${Buffer.from(fence.member).toString("hex")}`
  )
  return Number(
    fs
      .readdirSync(directory)
      .find((name) => name.startsWith("keeper."))!
      .split(".")[1]
  )
}

/** The shells of ours that listen for orders. */
const sessions = (): ReadonlyArray<number> =>
  ProcessTree.carrying("\0inquorate\0").filter(
    (pid) => ProcessTree.look(pid)?.parent === process.pid && ProcessTree.commandOf(pid).endsWith("\0inquorate\0")
  )

interface StandingSet {
  readonly name: string
  readonly elem?: ReadonlyArray<{
    readonly elem: { readonly val: number | { readonly concat: ReadonlyArray<number> }; readonly expires?: number }
  }>
}

const parseSets = (text: string): ReadonlyArray<StandingSet> =>
  text === ""
    ? []
    : (JSON.parse(text) as { readonly nftables: ReadonlyArray<{ readonly set?: StandingSet }> }).nftables.flatMap(
        ({ set }) => (set === undefined ? [] : [set])
      )

const parseElements = (text: string): ReadonlyArray<readonly [set: string, key: string]> =>
  parseSets(text).flatMap(({ elem = [], name }) =>
    elem.map(({ elem: { val } }) => [name, typeof val === "number" ? String(val) : val.concat.join(" . ")] as const)
  )

/** The elements of the fence that cut in the kernel. */
const elementsOf = (order: FenceOrder): ReadonlyArray<readonly [set: string, key: string]> =>
  parseElements(listing(order)).filter(([set]) => set !== "standby")

/** How long each element has still to live, in milliseconds rounded down to seconds. */
const expiriesOf = (order: FenceOrder): ReadonlyArray<number> =>
  parseSets(listing(order)).flatMap(({ elem = [] }) => elem.map(({ elem: { expires = 0 } }) => expires * 1000))

const listing = (order: FenceOrder): string => {
  const { ok, said } = Peers.nft("-j", "list", "table", "inet", tableOf(order))
  return ok ? said : ""
}

/** Processes that carry our state directory, or this, in their arguments, whoever their parent is. */
const ours = (mark = `${state}/`): ReadonlyArray<number> => ProcessTree.carrying(mark)
