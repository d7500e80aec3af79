/**
 * PostgreSQL with quorum commit as a target. It has one group, `quorum`, whose voters are the standbys that
 * `synchronous_standby_names = 'ANY k (…)'` lists. All members are asked at once. Where answers are quick, none is
 * waited for longer than 800 ms, so that discovery ends within a second while members are stopped.
 */
import type { Host } from "@inquorate/core/Host"
import { type Target, TargetError } from "@inquorate/core/Target"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "./Monotonic.ts"
import * as Container from "./Container.ts"
import { type Located, untoldOf } from "./Located.ts"
import * as Patience from "./Patience.ts"
import * as Pods from "./Pods.ts"
import * as PostgresAddress from "./PostgresAddress.ts"
import { ConnectionError } from "./PostgresConnection.ts"
import * as PostgresLogin from "./PostgresLogin.ts"
import * as PostgresProbe from "./PostgresProbe.ts"
import * as PostgresPatroni from "./PostgresPatroni.ts"
import * as PostgresProcess from "./PostgresProcess.ts"
import { Answer } from "./PostgresQuestion.ts"
import * as PostgresRoster from "./PostgresRoster.ts"
import type { OpenMember } from "./PostgresRoster.ts"
import { type OpenedSettings, PostgresSettings } from "./PostgresSettings.ts"
import * as PostgresTopology from "./PostgresTopology.ts"
import { type Standing, standingGrace, standingOf, standsStill } from "./Standing.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"
import * as TargetModule from "./TargetModule.ts"

/** PostgreSQL with quorum commit. */
export const postgres = TargetModule.make({
  system: "postgres",
  config: PostgresSettings,
  make: (cluster, settings, hosts) => {
    const { members: _, pods, ...others } = settings
    if (pods === undefined) return open(cluster, settings, hosts)
    const how = { pods, port: PostgresAddress.defaultPort, system: "postgres" }
    return Pods.follow(cluster, how, hosts, (members) => open(cluster, { ...others, members }, hosts))
  }
})

// --- internal ---

const open = Effect.fn("Postgres.make")(function* (
  cluster: string,
  settings: OpenedSettings,
  hosts: ReadonlyMap<string, Host>
): Effect.fn.Return<Target, TargetError, Scope.Scope> {
  const roster = yield* PostgresRoster.make(cluster, settings, hosts)
  let known: PostgresTopology.Known | null = null

  const look = PostgresPatroni.look(settings.patroni)
  const askAll = Effect.forEach((open: OpenMember) => Effect.map(ask(open), (asked) => [open, asked] as const), {
    concurrency: "unbounded"
  })
  const discover = Effect.gen(function* () {
    if (roster.members().length === 0) yield* Effect.flatMap(look, roster.adopt)
    const before = roster.members()
    const [first, looked] = yield* Effect.all([askAll(before), look], { concurrency: 2 })
    if (roster.follows) yield* roster.adopt(looked)
    const now = roster.members()
    const answers = new Map([...first, ...(yield* askAll(now.filter((open) => !before.includes(open))))])
    const asked = now.flatMap((open) => answers.get(open) ?? [])
    const read = PostgresTopology.interpret(cluster, asked, known)
    if (Result.isFailure(read)) return yield* read.failure
    known = read.success
    return [
      PostgresPatroni.beside(PostgresTopology.topology(cluster, asked, known, yield* Clock.currentTimeMillis), looked)
    ]
  })
  const endpoints = (logins: PostgresLogin.Logins): readonly [string, ...ReadonlyArray<string>] => {
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
      // While nobody answers, the probe tries every member, since it must see the writes come back.
      if (known === null) yield* Effect.ignore(discover)
      const first = roster.logins()
      if (first === null) return yield* noMember(cluster)
      const applicationName = `inquorate-probe-${yield* probeNumber}`
      return yield* PostgresProbe.make({
        cluster,
        endpoints: () => endpoints(roster.logins() ?? first),
        settings: (address) => (roster.logins() ?? first).to(address, applicationName),
        connections: () => known?.connections ?? "",
        connecting: (address) =>
          roster
            .members()
            .find(({ member }) => member.address === address)
            ?.session.connecting() ?? 0
      })
    }),
    survivorsSpeak: true,
    // The primary sees its commits wait; a standby knows nothing of them.
    canSpeak: ({ role }) => role === "Primary",
    recoveryBudget: 60_000,
    recoveryWriteTimeout: 1000,
    ...(settings.patroni === undefined
      ? {}
      : { witnesses: [PostgresPatroni.witness(settings.patroni, namesOn(roster.members))] })
  }
})

/**
 * How long a container's engine may take to tell the server's process. It is asked once for each start of the server.
 */
const engineTimeout = 3000

const noMember = (cluster: string): TargetError =>
  new TargetError({ cluster, endpoint: "", reason: "Unreachable", detail: "Patroni has not named its members yet" })

// Tells the backends of one probe from those of every other, on every worker.
const probeNumber = Effect.sync(() => crypto.randomUUID().slice(0, 8))

// What a member says that its commits wait for; null where it does not say.
const namesOn =
  (members: () => ReadonlyArray<OpenMember>) =>
  (name: string): Effect.Effect<string | null> => {
    const open = members().find(({ member }) => SynchronousStandbyNames.sameName(member.name, name))
    if (open === undefined) return Effect.succeed(null)
    return Effect.map(Effect.result(open.session.ask), (reply) => {
      const answer = Result.flatMap(reply, ({ rows }) => decode(open.member.address, rows))
      return Result.isSuccess(answer) ? answer.success.standbyNames : null
    })
  }

const ask = Effect.fnUntraced(function* (open: OpenMember): Effect.fn.Return<PostgresTopology.Asked> {
  const { address, name, otherAddresses } = open.member
  const began = yield* monotonicMillis
  // The look is short where all answers are quick. A slow host is given as long as its looks have taken.
  const within =
    open.patience.within() + Math.max(0, open.lookPatience.within() - Patience.answers.floor) + Patience.slack
  const looking = yield* Effect.forkChild(Effect.delay(standing(open, within + standingGrace), lookAfter))
  const reply = yield* Effect.result(open.session.ask)
  const answer = Result.flatMap(reply, ({ rows }) => decode(address, rows))
  const left = Effect.map(monotonicMillis, (now) => within - (now - began))
  const isSilent = Result.isFailure(answer) && answer.failure.reason === "TimedOut"
  if (!isSilent) yield* Fiber.interrupt(looking)
  const look = isSilent
    ? Fiber.join(looking)
    : Result.isSuccess(answer)
      ? Effect.succeed<Standing>("Runs")
      : standing(open, within)
  const wait = Math.max(0, yield* left) + (isSilent ? standingGrace : 0)
  const state = Option.getOrElse(yield* Effect.timeoutOption(look, wait), (): Standing => "Unknown")
  if (state === "Gone") open.located = null
  // It stood still, so the time that its answer takes once it runs on says nothing about its speed.
  if (standsStill(state)) open.patience.excuse(yield* monotonicMillis)
  const located = yield* locate(open, answer, Result.isSuccess(reply) ? reply.success.backend : 0, yield* left)
  return {
    name,
    node: open.node,
    address,
    otherAddresses,
    answer,
    process: located.process,
    processProblem: located.problem,
    ...untoldOf(located),
    hasHost: open.host !== null,
    stands: state
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

// The process is the same while the server's start time is the same. A silent member keeps the process that it had.
const locate = Effect.fnUntraced(function* (
  open: OpenMember,
  answer: Result.Result<Answer, ConnectionError>,
  backend: number,
  timeout: number
): Effect.fn.Return<Located> {
  if (open.host === null) return { process: null, problem: "no host is configured for this member" }
  if (Result.isFailure(answer)) {
    return open.located === null
      ? {
          process: null,
          problem: `it cannot be asked which process it is (${answer.failure.detail})`,
          untold: answer.failure.reason === "TimedOut" ? "Late" : "Never"
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
