/**
 * PostgreSQL with quorum commit as a target: one group, `quorum`, whose voters are the standbys that
 * `synchronous_standby_names = 'ANY k (…)'` lists. All members are asked at once and none is waited for longer than
 * 800 ms where answers are quick, so that discovery ends within a second while members are stopped.
 */
import type { Host } from "@inquorate/core/Host"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "./Monotonic.ts"
import * as Container from "./Container.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as Patience from "./Patience.ts"
import { ConnectionError, type Session, session } from "./PostgresConnection.ts"
import * as PostgresLogin from "./PostgresLogin.ts"
import * as PostgresProbe from "./PostgresProbe.ts"
import * as PostgresPatroni from "./PostgresPatroni.ts"
import * as PostgresProcess from "./PostgresProcess.ts"
import { Answer, question } from "./PostgresQuestion.ts"
import { PostgresSettings } from "./PostgresSettings.ts"
import * as PostgresTopology from "./PostgresTopology.ts"
import { type Standing, standingOf } from "./Standing.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"
import * as TargetModule from "./TargetModule.ts"

/** PostgreSQL with quorum commit. */
export const postgres = TargetModule.make({
  system: "postgres",
  config: PostgresSettings,
  make: Effect.fn("Postgres.make")(function* (cluster, settings, hosts): Effect.fn.Return<
    Target,
    TargetError,
    Scope.Scope
  > {
    const logins = yield* PostgresLogin.make(cluster, settings)
    const members = yield* Effect.forEach(logins.members, (member) => memberOf(cluster, logins.members, member, hosts))
    let known: PostgresTopology.Known | null = null

    const discover = Effect.gen(function* () {
      const [asked, looked] = yield* Effect.all(
        [Effect.forEach(members, ask, { concurrency: "unbounded" }), PostgresPatroni.look(settings.patroni)],
        { concurrency: 2 }
      )
      const read = PostgresTopology.interpret(cluster, asked, known)
      if (Result.isFailure(read)) return yield* read.failure
      known = read.success
      return [
        PostgresPatroni.beside(PostgresTopology.topology(cluster, asked, known, yield* Clock.currentTimeMillis), looked)
      ]
    })
    const endpoints = (): readonly [string, ...ReadonlyArray<string>] => {
      const primary = logins.members.find(({ name }) => name === known?.primary)
      if (primary !== undefined) return [primary.address]
      const [first, ...rest] = logins.members
      return [first.address, ...rest.map(({ address }) => address)]
    }
    return {
      system: "postgres",
      cluster,
      discover,
      probe: Effect.fn("Postgres.probe")(function* (group) {
        if (group !== PostgresTopology.group) {
          const detail = `a PostgreSQL cluster has one group, ${PostgresTopology.group}, and no ${group}`
          return yield* new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
        }
        // While nobody answers every member is tried: a probe is wanted then too, to see the writes come back.
        if (known === null) yield* Effect.ignore(discover)
        const applicationName = `inquorate-probe-${yield* probeNumber}`
        return yield* PostgresProbe.make({
          cluster,
          endpoints,
          settings: (address) => logins.to(address, applicationName),
          connections: () => known?.connections ?? ""
        })
      }),
      survivorsSpeak: true,
      // The primary sees its commits wait; a standby knows nothing of them.
      canSpeak: ({ role }) => role === "Primary",
      recoveryBudget: 60_000,
      recoveryWriteTimeout: 1000,
      ...(settings.patroni === undefined
        ? {}
        : { witnesses: [PostgresPatroni.witness(settings.patroni, namesOn(members))] })
    }
  })
})

// --- internal ---

/** A question that stays open this long is dropped and asked over a new connection, in milliseconds. */
const reconnectAfter = 5000
/** What a container's engine may take to tell its process, which is asked once for each start of the server. */
const engineTimeout = 3000

// Tells the backends of one probe from those of every other, on every worker.
const probeNumber = Effect.sync(() => crypto.randomUUID().slice(0, 8))

// What a member says that its commits wait for; null where it does not say.
const namesOn =
  (members: ReadonlyArray<OpenMember>) =>
  (name: string): Effect.Effect<string | null> => {
    const open = members.find(({ member }) => SynchronousStandbyNames.sameName(member.name, name))
    if (open === undefined) return Effect.succeed(null)
    return Effect.map(Effect.result(open.session.ask), (reply) => {
      const answer = Result.flatMap(reply, ({ rows }) => decode(open.member.address, rows))
      return Result.isSuccess(answer) ? answer.success.standbyNames : null
    })
  }

/** A member with what is kept between two discoveries. */
interface OpenMember {
  readonly member: PostgresLogin.Member
  readonly node: string
  readonly host: Host | null
  readonly session: Session
  /** How long its answer is waited for, and how long its host's look at its process. */
  readonly patience: Patience.Patience
  readonly lookPatience: Patience.Patience
  located: { readonly key: string; readonly process: ProcessRef } | null
}

const memberOf = Effect.fnUntraced(function* (
  cluster: string,
  members: ReadonlyArray<PostgresLogin.Member>,
  member: PostgresLogin.Member,
  hosts: ReadonlyMap<string, Host>
): Effect.fn.Return<OpenMember, TargetError, Scope.Scope> {
  const { host, node } = yield* MemberAddress.place(cluster, members, member, hosts)
  const patience = Patience.make(Patience.answers)
  return {
    member,
    node,
    host,
    session: yield* session(member.connection("inquorate-discovery"), question, {
      patience,
      giveUp: reconnectAfter
    }),
    patience,
    lookPatience: Patience.make(Patience.answers),
    located: null
  }
})

const ask = Effect.fnUntraced(function* (open: OpenMember): Effect.fn.Return<PostgresTopology.Asked> {
  const { address, name, otherAddresses } = open.member
  const began = yield* monotonicMillis
  // Quick where all is quick; a slow host is given the time that its looks have taken.
  const within =
    open.patience.within() + Math.max(0, open.lookPatience.within() - Patience.answers.floor) + Patience.slack
  const looking = yield* Effect.forkChild(Effect.delay(standing(open, within), lookAfter))
  const reply = yield* Effect.result(open.session.ask)
  const answer = Result.flatMap(reply, ({ rows }) => decode(address, rows))
  const left = Effect.map(monotonicMillis, (now) => within - (now - began))
  const isSilent = Result.isFailure(answer) && answer.failure.reason === "TimedOut"
  if (!isSilent) yield* Fiber.interrupt(looking)
  const look = isSilent
    ? Fiber.join(looking)
    : Result.isSuccess(answer)
      ? Effect.succeed("Runs")
      : standing(open, within)
  const state = Option.getOrElse(yield* Effect.timeoutOption(look, yield* left), () => "Unknown")
  if (state === "Gone") open.located = null
  // It stood still, so how long its answer takes when it runs on says nothing.
  if (state === "Stopped") open.patience.excuse(yield* monotonicMillis)
  const located = yield* locate(open, answer, Result.isSuccess(reply) ? reply.success.backend : 0, yield* left)
  return {
    name,
    node: open.node,
    address,
    otherAddresses,
    answer,
    process: located.process,
    processProblem: located.problem,
    processLate: located.process === null && located.isLate === true,
    hasHost: open.host !== null,
    isStopped: state === "Stopped"
  }
})

/** A member that says nothing for this long has its process looked at, in milliseconds. */
const lookAfter = 400

const standing = ({ host, located }: OpenMember, within: number): Effect.Effect<Standing> =>
  standingOf(host, located?.process ?? null, within)

const decode = (address: string, rows: ReadonlyArray<unknown>): Result.Result<Answer, ConnectionError> =>
  Result.mapError(
    Schema.decodeUnknownResult(Answer)(rows[0]),
    (error) =>
      new ConnectionError({ reason: "Failed", code: "", detail: `${address} answered nonsense: ${error.message}` })
  )

// The process cannot have changed while its server's start time has not; a member that is silent keeps the one it had.
const locate = Effect.fnUntraced(function* (
  open: OpenMember,
  answer: Result.Result<Answer, ConnectionError>,
  backend: number,
  timeout: number
): Effect.fn.Return<PostgresProcess.Located> {
  if (open.host === null) return { process: null, problem: "no host is configured for this member" }
  if (Result.isFailure(answer)) {
    return open.located === null
      ? {
          process: null,
          problem: `it cannot be asked which process it is (${answer.failure.detail})`,
          isLate: answer.failure.reason === "TimedOut"
        }
      : { process: open.located.process, problem: "" }
  }
  const { client = "", dataDirectory, startedAt } = answer.success
  const key = JSON.stringify([startedAt, dataDirectory])
  if (open.located?.key === key) return { process: open.located.process, problem: "" }
  const { address, dataDirectory: configured = "", otherAddresses } = open.member
  const addresses = [address, ...otherAddresses]
  const place = Container.placeOf(open.member)
  const sought = { dataDirectory, configured, addresses, backend, client, place }
  const began = yield* monotonicMillis
  const located = yield* PostgresProcess.locate(open.host, sought, place === null ? timeout : engineTimeout)
  const now = yield* monotonicMillis
  if (place === null) open.lookPatience.took(now - began, now)
  open.located = located.process === null ? null : { key, process: located.process }
  return located
})
