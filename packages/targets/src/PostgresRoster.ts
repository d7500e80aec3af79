/**
 * Which members a PostgreSQL cluster has, and how to reach each: those that it is opened with, or, where there are none,
 * those that Patroni names. A member that Patroni once named stays, since a member that is held falls silent and
 * Patroni then strikes it off its own list. Once Patroni names another address for a member, we reach it there.
 */
import type { Host } from "@inquorate/core/Host"
import { TargetError } from "@inquorate/core/Target"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as MemberAddress from "./MemberAddress.ts"
import type * as Patroni from "./Patroni.ts"
import * as Patience from "./Patience.ts"
import * as PostgresAddress from "./PostgresAddress.ts"
import { type Session, session } from "./PostgresConnection.ts"
import * as PostgresLogin from "./PostgresLogin.ts"
import type { Looked } from "./PostgresPatroni.ts"
import { question } from "./PostgresQuestion.ts"
import { type OpenedMember, type OpenedSettings, PostgresMember } from "./PostgresSettings.ts"

/** A member with what is kept between two discoveries. */
export interface OpenMember {
  readonly member: PostgresLogin.Member
  readonly node: string
  readonly host: Host | null
  readonly session: Session
  /** How long we wait for its answer, and for its host's look at its process. */
  readonly patience: Patience.Patience
  readonly lookPatience: Patience.Patience
  located: { readonly key: string; readonly process: ProcessRef } | null
}

/** The members that are known now. */
export interface Roster {
  readonly members: () => ReadonlyArray<OpenMember>
  /** How to log in to them, and to any other address; null while no member is known. */
  readonly logins: () => PostgresLogin.Logins | null
  /** True where Patroni names the members. */
  readonly follows: boolean
  /** Takes up what Patroni said. Fails only while no member is known. */
  readonly adopt: (looked: Looked) => Effect.Effect<void, TargetError>
}

/** Makes the roster of these settings. Fails where a secret, a service or a host that they name does not exist. */
export const make = (
  cluster: string,
  settings: OpenedSettings,
  hosts: ReadonlyMap<string, Host>
): Effect.Effect<Roster, TargetError, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const named = new Map<string, PostgresMember>()
    const scopes = new Map<OpenMember, Scope.Closeable>()
    let logins: PostgresLogin.Logins | null = null
    let members: ReadonlyArray<OpenMember> = []

    // A member that has the same place as before keeps its session.
    const open = Effect.fnUntraced(function* (wanted: readonly [OpenedMember, ...ReadonlyArray<OpenedMember>]) {
      const next = yield* PostgresLogin.make(cluster, { ...settings, members: wanted })
      const before = members
      members = yield* Effect.forEach(
        next.members,
        Effect.fnUntraced(function* (member) {
          const same = before.find((one) => one.member.name === member.name && one.member.address === member.address)
          if (same !== undefined) return same
          const own = yield* Scope.fork(scope)
          const opened = yield* Scope.provide(memberOf(cluster, next.members, member, hosts), own)
          scopes.set(opened, own)
          return opened
        })
      )
      logins = next
      for (const gone of before.filter((one) => !members.includes(one))) {
        yield* Scope.close(scopes.get(gone)!, Exit.void)
        scopes.delete(gone)
      }
    })

    const adopt: Roster["adopt"] = Effect.fnUntraced(function* (looked) {
      if (looked === null || Result.isFailure(looked)) {
        if (members.length > 0 || looked === null) return
        return yield* unknown(cluster, `its members are Patroni's to name, and ${looked.failure}`)
      }
      const places = looked.success.members.flatMap((member) => placed(member, settings.patroni))
      const changed = places.filter(({ address, name }) => named.get(name)?.address !== address)
      if (changed.length === 0 && members.length > 0) return
      for (const member of changed) named.set(member.name, member)
      const [first, ...rest] = named.values()
      if (first === undefined) return yield* unknown(cluster, "Patroni names no member with an address")
      yield* open([first, ...rest])
    })

    const { members: configured } = settings
    if (configured !== undefined) yield* open(configured)
    return { members: () => members, logins: () => logins, follows: configured === undefined, adopt }
  })

// --- internal ---

/** A question that stays open this long is dropped and asked over a new connection, in milliseconds. */
const reconnectAfter = 5000

const unknown = (cluster: string, detail: string): TargetError =>
  new TargetError({ cluster, endpoint: "", reason: "Unreachable", detail })

// A member that Patroni names is taken only where a person might have written it so.
const placed = (
  { host, name, port }: Patroni.PatroniMember,
  patroni: OpenedSettings["patroni"]
): ReadonlyArray<PostgresMember & { readonly address: string }> => {
  if (host === undefined || port === undefined) return []
  const places = patroni !== undefined && typeof patroni === "object" && "api" in patroni ? patroni.hosts : undefined
  const label = typeof places === "string" ? places : places?.[name]
  const address = PostgresAddress.print({ host, port })
  const member = Schema.decodeUnknownResult(PostgresMember)({
    name,
    address,
    ...(label === undefined ? {} : { host: label })
  })
  return Result.isSuccess(member) ? [{ ...member.success, address }] : []
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
    session: yield* session(member.connection("inquorate-discovery"), question, { patience, giveUp: reconnectAfter }),
    patience,
    lookPatience: Patience.make(Patience.answers),
    located: null
  }
})
