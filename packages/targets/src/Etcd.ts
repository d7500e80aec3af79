/**
 * etcd 3.4 and later as a target. We speak gRPC to it, as its own clients do. It has one group, `raft`, whose voters
 * are the cluster's members that are no learners. All members and their hosts are asked at once. Where answers are
 * quick, none is waited for longer than 800 ms, so that discovery ends within a second while members are stopped.
 */
import type { Host } from "@inquorate/core/Host"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import type { ContainerRef, ProcessRef } from "@inquorate/core/Topology"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { monotonicMillis } from "./Monotonic.ts"
import * as Container from "./Container.ts"
import * as EtcdClient from "./EtcdClient.ts"
import { EtcdError } from "./EtcdError.ts"
import * as EtcdFacts from "./EtcdFacts.ts"
import * as EtcdProbe from "./EtcdProbe.ts"
import * as EtcdProcess from "./EtcdProcess.ts"
import * as EtcdTopology from "./EtcdTopology.ts"
import * as ListeningProcess from "./ListeningProcess.ts"
import { type Located, type Unseen, unseen, untoldOf } from "./Located.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as OpenQuestion from "./OpenQuestion.ts"
import * as Patience from "./Patience.ts"
import * as Pods from "./Pods.ts"
import { Secret } from "./Secret.ts"
import { standingGrace, standingOf, standsStill } from "./Standing.ts"
import * as TargetModule from "./TargetModule.ts"

const file = (description: string) =>
  Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\//, { expected: "an absolute path" }))).annotateKey({
    description
  })

/** How the members are spoken to over TLS; files are PEM, and read again for each connection. */
export const EtcdTls = Schema.Struct({
  ca: file("The file of the authorities that members' certificates may come from; the system's own unless given."),
  certificate: file("The file of our certificate, its chain after it, where the members ask for a client's."),
  key: file("The file of the private key that belongs to it."),
  serverName: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1, { expected: "a name" }))).annotateKey({
    description: "The name that members' certificates are for, where it is not the one in their address."
  })
})
  .check(
    Schema.makeFilter(
      ({ certificate, key }) =>
        (certificate === undefined) === (key === undefined) || "Expected certificate and key together, or neither"
    )
  )
  .annotate({ identifier: "EtcdTls" })
export type EtcdTls = typeof EtcdTls.Type

/** One member of an etcd cluster. */
export const EtcdMember = Schema.Struct({
  ...MemberAddress.fields("127.0.0.1:2379"),
  /** Where its metrics are, if not at its client address: what `listen-metrics-urls` says. */
  metrics: Schema.optionalKey(
    Schema.String.check(
      Schema.isPattern(/^https?:\/\/([^:\s/[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}\/?$/, {
        expected: "a place such as http://127.0.0.1:2381"
      })
    )
  ),
  ...Container.fields
})
  .check(Container.isWhole)
  .annotate({ identifier: "EtcdMember" })
export type EtcdMember = typeof EtcdMember.Type

const areDistinct = (key: "name" | "address") =>
  Schema.makeFilter(
    (members: ReadonlyArray<EtcdMember>) => MemberAddress.shared(members, key, (member) => [member[key]]) ?? true
  )

const areTogether = Schema.makeFilter(
  ({ password, user }: { readonly password?: unknown; readonly user?: unknown }) =>
    (password === undefined) === (user === undefined) || "Expected user and password together, or neither"
)

/** What an etcd cluster of named members holds in a configuration file. */
export const EtcdSettings = Schema.Struct({
  /** TLS to the members; plain without it. */
  tls: Schema.optionalKey(EtcdTls),
  /** The user that looks and probes, where authentication is on and it is not the certificate's common name. */
  user: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1, { expected: "a user's name" }))),
  password: Schema.optionalKey(Secret),
  /** All members, in any order. */
  members: Schema.NonEmptyArray(EtcdMember).check(
    areDistinct("name"),
    Schema.makeFilter((members: ReadonlyArray<EtcdMember>) => MemberAddress.sharedPlace(members) ?? true),
    areDistinct("address")
  )
})
  .check(areTogether)
  .annotate({ identifier: "EtcdSettings" })
export type EtcdSettings = typeof EtcdSettings.Type

/** What an etcd cluster holds in a configuration file: its members, or the pods that are its members. */
const EtcdConfig = Schema.Struct({
  ...EtcdSettings.fields,
  members: Schema.optionalKey(EtcdSettings.fields.members),
  pods: Schema.optionalKey(Pods.PodsSettings)
})
  .check(areTogether)
  .check(Pods.isOneOf)
  .annotate({ identifier: "EtcdConfig" })

/** etcd. */
export const etcd = TargetModule.make({
  system: "etcd",
  config: EtcdConfig,
  make: (cluster, settings, hosts) => {
    const { members, pods } = settings
    if (pods === undefined) return open(cluster, settings, members!, hosts)
    return Pods.follow(cluster, { pods, port: 2379, system: "etcd" }, hosts, (members) =>
      open(cluster, settings, members, hosts)
    )
  }
})

// --- internal ---

type Member = EtcdMember & Pick<Container.Fields, "pod">

type Members = readonly [Member, ...ReadonlyArray<Member>]

const open = Effect.fn("Etcd.make")(function* (
  cluster: string,
  settings: Omit<EtcdSettings, "members">,
  configured: Members,
  hosts: ReadonlyMap<string, Host>
): Effect.fn.Return<Target, TargetError, Scope.Scope> {
  const credentials = { tls: settings.tls ?? null, user: settings.user ?? null, password: settings.password ?? null }
  const members = yield* Effect.forEach(configured, (member) =>
    memberOf(cluster, configured, member, hosts, credentials)
  )
  const looks = makeLooks()
  let known: EtcdTopology.Known | null = null

  const discover = Effect.gen(function* () {
    const look = yield* lookAt(members, looks)
    const asked = yield* Effect.forEach(members, (open) => ask(open, look), { concurrency: "unbounded" })
    const read = EtcdTopology.interpret(cluster, asked, known)
    if (Result.isFailure(read)) return yield* read.failure
    known = read.success
    return [EtcdTopology.topology(cluster, asked, known, yield* Clock.currentTimeMillis)]
  })
  const survivors = survivorsOf(members, () => known)
  return {
    system: "etcd",
    cluster,
    discover,
    probe: Effect.fn("Etcd.probe")(function* (group) {
      if (group !== EtcdTopology.group) {
        const detail = `an etcd cluster has one group, ${EtcdTopology.group}, and no ${group}`
        return yield* new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
      }
      // The look tells who leads. A probe is wanted while nobody answers too, since it must see the writes come back.
      if (known === null) yield* Effect.ignore(discover)
      const endpoints = () => EtcdTopology.writable(configured, known)
      return yield* EtcdProbe.make(cluster, endpoints, credentials, survivors)
    }),
    survivorsSpeak: true,
    // A member that is not configured is never asked.
    canSpeak: ({ counts, cuttable }) => counts && cuttable !== "Never",
    // Where a member does not tell its election timeout, the survivors are heard, and nobody waits for them.
    get survivorsSpeakAfter() {
      return EtcdFacts.speakAfter(members.map(patienceOf)) ?? Number.POSITIVE_INFINITY
    },
    get recoveryBudget() {
      return EtcdFacts.recoverWithin(members.map(patienceOf))
    },
    recoveryWriteTimeout: 1000
  }
})

const survivorsTimeout = 500
/** How much longer the survivors are waited for once one of them has answered, in milliseconds. */
const survivorsGrace = 100
/** A question that stays open this long, or for longer than it is waited for, is dropped and asked over a new connection. */
const giveUpAfter: Millis = 2000
/** How long the look at one process may take. A discovery, which is bounded to a second, does not wait for it. */
const factsTimeout = 5000

/** A member's election timeout, where its process is known and tells it. */
const patienceOf = ({ believed, electionTimeout }: OpenMember): Millis | null =>
  believed === null ? null : electionTimeout

/** A member with what is kept between two discoveries. */
interface OpenMember {
  readonly member: Member
  readonly node: string
  readonly host: Host | null
  readonly askStatus: OpenQuestion.Ask<EtcdClient.Status, EtcdError>
  readonly askList: OpenQuestion.Ask<ReadonlyArray<EtcdClient.Entry>, EtcdError>
  readonly askEntrance: OpenQuestion.Ask<void, EtcdError>
  readonly askQuorum: OpenQuestion.Ask<void, EtcdError>
  readonly askBegan: OpenQuestion.Ask<number, EtcdError>
  /** Looks into its container; null where it runs in none. */
  readonly askContainer: OpenQuestion.Ask<Seen, Unseen> | null
  /** How long its answers are waited for. */
  readonly patience: Patience.Patience
  readonly askFacts: (process: ProcessRef, patience: Millis) => Effect.Effect<EtcdFacts.Facts | null>
  /** The process that was once found to be the member's, and how patient it is. */
  believed: ProcessRef | null
  electionTimeout: Millis | null
}

/** Who listens on a host, or in a container. */
interface Seen {
  readonly listening: ListeningProcess.Listening
  readonly container?: ContainerRef
}

const memberOf = Effect.fnUntraced(function* (
  cluster: string,
  members: Members,
  member: Member,
  hosts: ReadonlyMap<string, Host>,
  credentials: EtcdClient.Credentials
): Effect.fn.Return<OpenMember, TargetError, Scope.Scope> {
  const { host, node } = yield* MemberAddress.place(cluster, members, member, hosts)
  const { address } = member
  const client = yield* EtcdClient.make(address, credentials)
  const late = (after: number) =>
    new EtcdError({ reason: "TimedOut", detail: `${address} did not answer within ${after} ms` })
  const patience = Patience.make(Patience.answers)
  const giveUp = () => Math.max(giveUpAfter, patience.within() + Patience.slack)
  const question = <A>(exchange: Effect.Effect<A, EtcdError>, took?: Patience.Patience["took"]) =>
    OpenQuestion.make(exchange, { giveUp, late, ...(took === undefined ? {} : { took }) })
  const metrics = member.metrics ?? `${credentials.tls === null ? "http" : "https"}://${address}`
  return {
    member,
    node,
    host,
    askStatus: yield* question(client.status, patience.took),
    patience,
    askList: yield* question(client.memberList, patience.took),
    askEntrance: yield* question(client.enter),
    askQuorum: yield* question(client.confirmQuorum),
    askBegan: yield* question(EtcdClient.processBegan(metrics, credentials.tls)),
    askContainer: yield* insideOf(host, member),
    askFacts: yield* factsOf(host),
    believed: null,
    electionTimeout: null
  }
})

// An engine may need longer than one discovery has, so its answer is waited for beyond that.
const insideOf = (host: Host | null, member: Member): Effect.Effect<OpenMember["askContainer"], never, Scope.Scope> => {
  const place = Container.placeOf(member)
  if (host === null || place === null) return Effect.succeed(null)
  // The container of a pod is another one after each restart.
  const look = Effect.suspend(() =>
    ListeningProcess.findInside(host, Container.placeOf(member) ?? place, EtcdProcess.database, factsTimeout)
  )
  return OpenQuestion.make(look, {
    giveUp: () => factsTimeout,
    late: (after) => ({
      problem: `${place.called} was not looked at within ${after} ms on host ${host.label}`,
      untold: "Late"
    })
  })
}

/** Looks at each process once, for as long as that takes. Whoever asks waits only for his own time. */
const factsOf = Effect.fnUntraced(function* (
  host: Host | null
): Effect.fn.Return<OpenMember["askFacts"], never, Scope.Scope> {
  const scope = yield* Effect.scope
  let looked: { readonly key: string; readonly facts: Deferred.Deferred<EtcdFacts.Facts | null> } | undefined
  return ({ pid, startTime }, patience) =>
    Effect.gen(function* () {
      if (host === null) return null
      const key = `${pid}/${startTime}`
      if (looked?.key !== key) {
        const begun = { key, facts: yield* Deferred.make<EtcdFacts.Facts | null>() }
        looked = begun
        yield* EtcdFacts.find(host, pid, factsTimeout).pipe(
          Effect.tap((facts) => Effect.sync(() => void (facts === null && looked === begun && (looked = undefined)))),
          Effect.flatMap((facts) => Deferred.succeed(begun.facts, facts)),
          Effect.forkIn(scope)
        )
      }
      const { facts } = looked
      return Option.getOrNull(yield* Effect.timeoutOption(Deferred.await(facts), patience))
    })
})

// A quorum's confirmation ends the wait. Without one, those who answer are heard. Where their answers leave it open whether
// the quorum is gone, the probe waits a little longer for a confirmation.
const survivorsOf = (members: ReadonlyArray<OpenMember>, known: () => EtcdTopology.Known | null) =>
  Effect.scoped(
    Effect.gen(function* () {
      const confirmed = new Set<string>()
      const anybody = yield* Deferred.make<void>()
      yield* Effect.forkScoped(
        Effect.forEach(
          members,
          ({ askQuorum, member: { name } }) =>
            Effect.ignore(
              Effect.tap(askQuorum(survivorsTimeout), () => {
                confirmed.add(name)
                return Deferred.succeed(anybody, undefined)
              })
            ),
          { concurrency: "unbounded", discard: true }
        )
      )
      const began = yield* monotonicMillis
      const statuses = yield* Effect.raceFirst(heardOf(members), Effect.as(Deferred.await(anybody), []))
      const word = () =>
        EtcdTopology.survivorsWord(
          members.map(({ member: { name } }) => ({
            name,
            status: statuses.find((one) => one.name === name)?.status ?? Option.none(),
            confirmed: confirmed.has(name)
          })),
          known()
        )
      if (word().word !== "Silent") return word()
      const left = survivorsTimeout - ((yield* monotonicMillis) - began)
      yield* Effect.timeoutOption(Deferred.await(anybody), Math.max(0, left))
      return word()
    })
  )

// Otherwise each question would wait its whole time for members that stand still, and a short hold has time for few questions.
const heardOf = Effect.fnUntraced(function* (
  members: ReadonlyArray<OpenMember>
): Effect.fn.Return<ReadonlyArray<Omit<EtcdTopology.Heard, "confirmed">>> {
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
  /** How long the slowest of its answers is waited for. */
  readonly patience: Millis
  readonly on: (host: Host) => Effect.Effect<Result.Result<ListeningProcess.Listening, Unseen>>
}

const lookAt = Effect.fnUntraced(function* (members: ReadonlyArray<OpenMember>, looks: Looks): Effect.fn.Return<Look> {
  const hosts = new Map<Host, Effect.Effect<Result.Result<ListeningProcess.Listening, Unseen>>>()
  const began = yield* monotonicMillis
  let within = 0
  for (const { host } of members) {
    if (host === null || hosts.has(host)) continue
    const there = members.flatMap((open) => (open.host === host && open.askContainer === null ? [open.member] : []))
    const sought = {
      addresses: there.map(({ address }) => address),
      openFile: EtcdProcess.database,
      folders: there.flatMap(({ dataDirectory }) => dataDirectory ?? [])
    }
    const patience = looks(host)
    within = Math.max(within, patience.within())
    const look = ListeningProcess.find(host, sought, patience.within()).pipe(
      Effect.mapError((error) => unseen(error)),
      Effect.result,
      Effect.tap(() => Effect.map(monotonicMillis, (now) => patience.took(now - began, now)))
    )
    hosts.set(host, yield* Effect.cached(look))
  }
  const patience = Math.max(within, ...members.map((open) => open.patience.within()))
  return { endsAt: began + patience + Patience.slack, patience, on: (host) => hosts.get(host)! }
})

/** How long the look at each host is waited for. */
type Looks = (host: Host) => Patience.Patience

const makeLooks = (): Looks => {
  const known = new Map<Host, Patience.Patience>()
  return (host) => {
    const patience = known.get(host) ?? Patience.make(Patience.answers)
    known.set(host, patience)
    return patience
  }
}

const ask = Effect.fnUntraced(function* (open: OpenMember, look: Look): Effect.fn.Return<EtcdTopology.Asked> {
  const { address, name } = open.member
  const told = yield* Deferred.make<Result.Result<EtcdClient.Status, EtcdError>>()
  const standing = standingOf(open.host, open.believed, look.patience + Patience.slack + standingGrace)
  const patience = open.patience.within()
  const looking = yield* Effect.forkChild(Effect.delay(standing, lookAfter))
  const [status, list, entered, located] = yield* Effect.all(
    [
      Effect.tap(Effect.result(open.askStatus(patience)), (status) => Deferred.succeed(told, status)),
      Effect.result(open.askList(patience)),
      Effect.result(open.askEntrance(patience)),
      locate(open, look, Deferred.await(told))
    ],
    { concurrency: "unbounded" }
  )
  const isSilent = Result.isFailure(status) && status.failure.reason === "TimedOut"
  if (!isSilent) yield* Fiber.interrupt(looking)
  const left = Math.max(0, look.endsAt - (yield* monotonicMillis))
  const seen = isSilent ? yield* Effect.timeoutOption(Fiber.join(looking), left) : Option.none()
  const stands = Option.getOrElse(seen, () => "Unknown" as const)
  // It stood still, so the time that its answer takes once it runs on says nothing about its speed.
  if (standsStill(stands)) open.patience.excuse(yield* monotonicMillis)
  return {
    name,
    node: open.node,
    address,
    stands,
    status,
    list,
    entered,
    process: located.process,
    processProblem: located.problem,
    ...untoldOf(located)
  }
})

/** A member that says nothing for this long has its process looked at, in milliseconds. */
const lookAfter = 400

const problem = (text: string): Located => ({ process: null, problem: text })

// A process is proven once. It is the same process for as long as its number and start time are the same, also while the
// member is silent and while its host cannot be asked.
const locate = Effect.fnUntraced(function* (
  open: OpenMember,
  look: Look,
  told: Effect.Effect<Result.Result<EtcdClient.Status, EtcdError>>
): Effect.fn.Return<Located> {
  const { believed, host, member } = open
  if (host === null) return problem("no host is configured for this member")
  // While the process that was believed lives, so does its container, whose engine need not be asked again.
  if (believed?.container !== undefined) {
    const standing = yield* Container.standing(host, believed, look.patience)
    if (standing !== "Gone") return { process: believed, problem: "" }
    open.believed = null
  }
  const seen = yield* seenOf(open, host, look)
  if (Result.isFailure(seen)) {
    return open.believed === null ? { process: null, ...seen.failure } : { process: open.believed, problem: "" }
  }
  const { address, dataDirectory: configured = "" } = member
  const found = EtcdProcess.candidate(
    host.label,
    { address, configured },
    seen.success.listening,
    seen.success.container
  )
  if (typeof found === "string") return problem(found)
  const isKnown = believed?.pid === found.process.pid && believed.startTime === found.process.startTime
  if (!isKnown) {
    const doubt = yield* doubtOf(open, found, look, yield* told)
    if (doubt !== null) return { process: null, ...doubt }
  }
  open.believed = found.process
  return { process: found.process, problem: "" }
})

const seenOf = ({ askContainer }: OpenMember, host: Host, look: Look): Effect.Effect<Result.Result<Seen, Unseen>> =>
  askContainer === null
    ? Effect.map(look.on(host), (seen) => Result.map(seen, (listening) => ({ listening })))
    : Effect.result(askContainer(look.patience))

// The socket and the open database say which process of this host it is. The ids in its log say that this process, and none of
// another machine, answers us. Where its metrics tell when it began, that must fit the process too.
const doubtOf = Effect.fnUntraced(function* (
  open: OpenMember,
  found: EtcdProcess.Candidate,
  look: Look,
  told: Result.Result<EtcdClient.Status, EtcdError>
): Effect.fn.Return<Unseen | null> {
  const { address } = open.member
  const { host, pid } = found.process
  if (Result.isFailure(told)) {
    const { detail, reason } = told.failure
    return { problem: `the member did not say who it is: ${detail}`, untold: reason === "TimedOut" ? "Late" : "Never" }
  }
  const left = Effect.map(monotonicMillis, (now) => Math.max(0, Math.min(look.patience, look.endsAt - now)))
  const [facts, began] = yield* Effect.all(
    [
      Effect.flatMap(left, (patience) => open.askFacts(found.process, patience)),
      Effect.flatMap(left, (patience) => Effect.result(open.askBegan(patience)))
    ],
    { concurrency: "unbounded" }
  )
  const { clusterId, memberId } = told.success
  const serves = facts?.serves ?? null
  const isOther =
    (serves !== null && (serves.memberId !== memberId || serves.clusterId !== clusterId)) ||
    (Result.isSuccess(began) && !EtcdProcess.fits(found, began.success))
  if (isOther) {
    const whose =
      serves === null || serves.memberId === memberId ? "" : `: it serves the data of member ${serves.memberId}`
    return {
      problem: `process ${pid} on host ${host} is not the server that answers on ${address}${whose}`
    }
  }
  if (serves === null && Result.isFailure(began)) {
    const why = facts === null ? `host ${host} did not answer in time` : "its log cannot be read"
    return {
      problem: `that process ${pid} on host ${host} is the server that answers on ${address} could not be checked: ${why}, and ${began.failure.detail}`,
      untold: facts === null || began.failure.reason === "TimedOut" ? "Late" : "Never"
    }
  }
  open.electionTimeout = facts?.electionTimeout ?? null
  return null
})
