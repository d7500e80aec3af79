/**
 * What Patroni tells about a PostgreSQL cluster: the supervisor that bounds a hold, what a person should know, and the
 * history of roles and of `synchronous_standby_names` through an operation.
 */
import type { WitnessAnswer } from "@inquorate/core/Evidence"
import type { Supervisor } from "@inquorate/core/Supervision"
import type { Topology } from "@inquorate/core/Topology"
import { gentlest, type Witness } from "@inquorate/core/Witness"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Patroni from "./Patroni.ts"
import * as PostgresRule from "./PostgresRule.ts"
import * as SynchronousStandbyNames from "./SynchronousStandbyNames.ts"

/** What came of asking Patroni; null where no address of it is configured. */
export type Looked = Result.Result<Patroni.Look, string> | null

/** Asks Patroni, within the time that a discovery has for it. */
export const look = (settings: Patroni.PatroniSettings | undefined): Effect.Effect<Looked> =>
  settings === undefined ? Effect.succeed(null) : Effect.result(Patroni.look(settings, lookTimeout))

/** A group, with what Patroni tells about it. */
export const beside = (topology: Topology, looked: Looked): Topology => {
  const { warnings = [] } = topology
  if (looked !== null && Result.isSuccess(looked)) {
    const told = [
      ...warnings.filter((warning) => warning !== PostgresRule.patroniUnread),
      ...Patroni.warnings(looked.success),
      ...strangers(topology, looked.success)
    ]
    return withSupervisors({ ...topology, warnings: told }, Patroni.supervisors(looked.success, topology))
  }
  if (looked === null && !warnings.includes(PostgresRule.patroniUnread)) return topology
  // What Patroni would do is not known, so we assume its own defaults.
  const why = looked === null ? "name its REST API under the key patroni, and it is read" : looked.failure
  const assumed: Supervisor = {
    watches: topology.group,
    source: `Patroni's ttl (taken as 30 s, less two loop_wait, 10 s each, its defaults: ${why})`,
    patience: 10_000,
    reaction: "EmptiesQuorum"
  }
  return withSupervisors(looked === null ? topology : { ...topology, warnings: [...warnings, looked.failure] }, [
    assumed
  ])
}

/** Tells throughout an operation what Patroni does. `namesOn` reads what the commits of a member wait for. */
export const witness = (
  settings: Patroni.PatroniSettings,
  namesOn: (member: string) => Effect.Effect<string | null>
): Witness => ({
  name: "Patroni",
  every: gentlest,
  ask: Effect.gen(function* (): Effect.fn.Return<WitnessAnswer> {
    const looked = yield* Effect.result(Patroni.look(settings, witnessTimeout))
    if (Result.isFailure(looked)) return { _tag: "Silent", detail: looked.failure }
    const { members } = looked.success
    const leader = members.find(({ role }) => isLeader(role))
    const roles = Patroni.inWords(members)
    if (leader === undefined) return { _tag: "Fails", detail: `no leader: ${roles}` }
    const names = yield* namesOn(leader.name)
    const waitsFor = names === null ? "not read" : `'${names}'`
    return { _tag: "Serves", detail: `${roles}; synchronous_standby_names ${waitsFor}` }
  })
})

// --- internal ---

/** How long Patroni may take to answer, in milliseconds: less than a whole discovery. */
const lookTimeout = 700
const witnessTimeout = 2000

const isLeader = (role: string): boolean => role === "leader" || role === "master" || role === "primary"

const strangers = ({ members }: Topology, seen: Patroni.Look): ReadonlyArray<string> => [
  ...seen.members
    .filter(({ name }) => !members.some((one) => SynchronousStandbyNames.sameName(one.name, name)))
    .map(({ name }) => `Patroni has a member ${name} that is not configured here`),
  ...members
    .filter(({ name }) => !seen.members.some((one) => SynchronousStandbyNames.sameName(one.name, name)))
    .map(({ name }) => `${name} is configured here, and Patroni has no member of that name`)
]

const withSupervisors = (topology: Topology, supervisors: ReadonlyArray<Supervisor>): Topology =>
  supervisors.length === 0 ? topology : { ...topology, supervisors }
