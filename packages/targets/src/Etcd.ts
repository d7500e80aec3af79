/**
 * etcd 3.4 and later as a target: one group, `raft`, whose voters are the cluster's members that are no learners. All
 * members and their hosts are asked at once and none is waited for longer than 800 ms, so that discovery ends within a
 * second while members are stopped. Plain HTTP without authentication; TLS is not supported yet.
 */
import type { Host } from "@inquorate/core/Host"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as EtcdGateway from "./EtcdGateway.ts"
import * as EtcdProbe from "./EtcdProbe.ts"
import * as EtcdProcess from "./EtcdProcess.ts"
import * as EtcdTopology from "./EtcdTopology.ts"
import * as ListeningProcess from "./ListeningProcess.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as OpenQuestion from "./OpenQuestion.ts"
import * as TargetModule from "./TargetModule.ts"

/** One member of an etcd cluster. */
export const EtcdMember = Schema.Struct(MemberAddress.fields("127.0.0.1:2379")).annotate({ identifier: "EtcdMember" })
/** One member of an etcd cluster. */
export type EtcdMember = typeof EtcdMember.Type

const areDistinct = (key: "name" | "address") =>
  Schema.makeFilter(
    (members: ReadonlyArray<EtcdMember>) => new Set(members.map((member) => member[key])).size === members.length,
    { expected: `members that each have a ${key} of their own` }
  )

/** What an etcd cluster holds in a configuration file. */
export const EtcdSettings = Schema.Struct({
  /** All members, in any order. */
  members: Schema.NonEmptyArray(EtcdMember).check(areDistinct("name"), areDistinct("address"))
}).annotate({ identifier: "EtcdSettings" })
/** What an etcd cluster holds in a configuration file. */
export type EtcdSettings = typeof EtcdSettings.Type

/** etcd. */
export const etcd = TargetModule.make({
  system: "etcd",
  config: EtcdSettings,
  make: Effect.fn("Etcd.make")(function* (cluster, settings, hosts): Effect.fn.Return<
    Target,
    TargetError,
    Scope.Scope
  > {
    const members = yield* Effect.forEach(settings.members, (member) => memberOf(cluster, settings, member, hosts))
    let known: EtcdTopology.Known | null = null

    const discover = Effect.gen(function* () {
      const look = yield* lookAt(members)
      const asked = yield* Effect.forEach(members, (open) => ask(open, look), { concurrency: "unbounded" })
      const read = EtcdTopology.interpret(cluster, asked, known)
      if (Result.isFailure(read)) return yield* read.failure
      known = read.success
      return [EtcdTopology.topology(cluster, asked, known, yield* Clock.currentTimeMillis)]
    })
    const survivors = Effect.map(statuses(members), (heard) => EtcdTopology.survivorsWord(heard, known))
    return {
      system: "etcd",
      cluster,
      discover,
      probe: Effect.fn("Etcd.probe")(function* (group) {
        if (group !== EtcdTopology.group) {
          const detail = `an etcd cluster has one group, ${EtcdTopology.group}, and no ${group}`
          return yield* new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
        }
        // To know the leader. While nobody answers a probe is wanted too, to see the writes come back.
        if (known === null) yield* Effect.ignore(discover)
        return yield* EtcdProbe.make(() => EtcdTopology.writable(settings.members, known), survivors)
      }),
      survivorsSpeak: true,
      // One that is not configured is never asked.
      canSpeak: ({ counts, cuttable }) => counts && cuttable !== "Never",
      // A leader without its quorum steps down after one to two election timeouts, of 1 s each by etcd's own default.
      survivorsSpeakAfter: 3000,
      recoveryBudget: 60_000,
      recoveryWriteTimeout: 1000
    }
  })
})

// --- internal ---

const answerTimeout = 800
const survivorsTimeout = 500
/** How much longer the survivors are waited for once one of them has answered, in milliseconds. */
const survivorsGrace = 100
/** A question that stays open this long is dropped and asked over a new connection, in milliseconds. */
const giveUp = 2000
/** What discovery may take in all, the look at processes included, in milliseconds. */
const discoveryTimeout = 950

/** A member with what is kept between two discoveries. */
interface OpenMember {
  readonly member: EtcdMember
  readonly node: string
  readonly host: Host | null
  readonly askStatus: OpenQuestion.Ask<EtcdGateway.Status, EtcdGateway.GatewayError>
  readonly askList: OpenQuestion.Ask<EtcdGateway.MemberList, EtcdGateway.GatewayError>
  readonly askBegan: OpenQuestion.Ask<number, EtcdGateway.GatewayError>
  /** The process that was once found to be the member's. */
  believed: ProcessRef | null
}

const memberOf = Effect.fnUntraced(function* (
  cluster: string,
  { members }: EtcdSettings,
  member: EtcdMember,
  hosts: ReadonlyMap<string, Host>
): Effect.fn.Return<OpenMember, TargetError, Scope.Scope> {
  const { host, node } = yield* MemberAddress.place(cluster, members, member, hosts)
  const gateway = yield* EtcdGateway.make(member.address)
  const late = (after: number) =>
    new EtcdGateway.GatewayError({ reason: "TimedOut", detail: `${member.address} did not answer within ${after} ms` })
  return {
    member,
    node,
    host,
    askStatus: yield* OpenQuestion.make(gateway.call(EtcdGateway.status), { giveUp, late }),
    askList: yield* OpenQuestion.make(gateway.call(EtcdGateway.memberList), { giveUp, late }),
    askBegan: yield* OpenQuestion.make(gateway.call(EtcdGateway.processBegan), { giveUp, late }),
    believed: null
  }
})

// Members that stand still would else cost each question its whole time, and a short hold has time for few questions.
const statuses = Effect.fnUntraced(function* (
  members: ReadonlyArray<OpenMember>
): Effect.fn.Return<ReadonlyArray<EtcdTopology.Heard>> {
  const heard = yield* Deferred.make<void>()
  const enough = Effect.as(Effect.andThen(Deferred.await(heard), Effect.sleep(survivorsGrace)), Option.none())
  return yield* Effect.forEach(
    members,
    ({ askStatus, member: { name } }) =>
      askStatus(survivorsTimeout).pipe(
        Effect.tap(() => Deferred.succeed(heard, undefined)),
        Effect.option,
        Effect.raceFirst(enough),
        Effect.map((status) => ({ name, status }))
      ),
    { concurrency: "unbounded" }
  )
})

/** What one discovery sees of the hosts. Each is looked at once, when the first of its members wants to know. */
interface Look {
  readonly endsAt: number
  readonly on: (host: Host) => Effect.Effect<Result.Result<ListeningProcess.Listening, string>>
}

const lookAt = Effect.fnUntraced(function* (members: ReadonlyArray<OpenMember>): Effect.fn.Return<Look> {
  const hosts = new Map<Host, Effect.Effect<Result.Result<ListeningProcess.Listening, string>>>()
  for (const { host } of members) {
    if (host === null || hosts.has(host)) continue
    const there = members.flatMap((open) => (open.host === host ? [open.member] : []))
    const sought = {
      addresses: there.map(({ address }) => address),
      openFile: EtcdProcess.database,
      folders: there.flatMap(({ dataDirectory }) => dataDirectory ?? [])
    }
    const look = ListeningProcess.find(host, sought, answerTimeout).pipe(
      Effect.mapError(({ detail, reason }) => `host ${host.label}: ${reason}, ${detail}`),
      Effect.result
    )
    hosts.set(host, yield* Effect.cached(look))
  }
  return { endsAt: (yield* Clock.currentTimeMillis) + discoveryTimeout, on: (host) => hosts.get(host)! }
})

const ask = Effect.fnUntraced(function* (open: OpenMember, look: Look): Effect.fn.Return<EtcdTopology.Asked> {
  const { address, name } = open.member
  const [status, list, located] = yield* Effect.all(
    [Effect.result(open.askStatus(answerTimeout)), Effect.result(open.askList(answerTimeout)), locate(open, look)],
    { concurrency: "unbounded" }
  )
  return { name, node: open.node, address, status, list, process: located.process, processProblem: located.problem }
})

const problem = (text: string): EtcdProcess.Located => ({ process: null, problem: text })

// A process is asked for its beginning once. It is still the same while its number and start time are, also while the
// member is silent, and while its host cannot be asked.
const locate = Effect.fnUntraced(function* (open: OpenMember, look: Look): Effect.fn.Return<EtcdProcess.Located> {
  const { believed, host, member } = open
  if (host === null) return problem("no host is configured for this member")
  const seen = yield* look.on(host)
  if (Result.isFailure(seen)) return believed === null ? problem(seen.failure) : { process: believed, problem: "" }
  const { address, dataDirectory: configured = "" } = member
  const found = EtcdProcess.candidate(host.label, { address, configured }, seen.success)
  if (typeof found === "string") return problem(found)
  const isKnown = believed?.pid === found.process.pid && believed.startTime === found.process.startTime
  if (!isKnown) {
    const left = look.endsAt - (yield* Clock.currentTimeMillis)
    const word = yield* Effect.result(open.askBegan(Math.max(0, Math.min(answerTimeout, left))))
    if (Result.isFailure(word)) return problem(`the member did not say when it began: ${word.failure.detail}`)
    if (!EtcdProcess.fits(found, word.success)) {
      return problem(`process ${found.process.pid} on host ${host.label} is not the server that answers on ${address}`)
    }
  }
  open.believed = found.process
  return { process: found.process, problem: "" }
})
