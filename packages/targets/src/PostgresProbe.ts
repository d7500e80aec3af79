/**
 * The probe of a PostgreSQL group: one synchronous commit that needs no table. A commit whose quorum is gone waits for
 * ever (no statement timeout ends it, and the server does not notice when its client leaves), so at most four are ever
 * open, and those that still wait are ended when the probe is closed. A commit that comes back with a warning was not
 * acknowledged by the standbys.
 */
import { ProbeOutcome, type SurvivorsWord } from "@inquorate/core/Evidence"
import type { Probe } from "@inquorate/core/Target"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { type Connection, type ConnectionError, type ConnectionSettings, open, session } from "./PostgresConnection.ts"

/** How many writes may be unanswered at once, the waited-for and the abandoned together. */
export const unansweredMax = 4

/** Opens a probe. `endpoints` tells where writes go now; `settings` how to connect to an address. */
export const make = Effect.fn("PostgresProbe.make")(function* (
  endpoints: () => readonly [string, ...ReadonlyArray<string>],
  settings: (address: string) => ConnectionSettings
): Effect.fn.Return<Probe, never, Scope.Scope> {
  const writes = yield* writer(settings)
  const first = endpoints()[0]
  // So that the first write costs no connecting. A server that does not answer keeps nobody.
  yield* writes.warm(first).pipe(Effect.timeoutOption(warmTimeout))
  const side = yield* session(settings(first), waitersQuestion, { patience: 400, giveUp: 2000 })
  const waiters = side.ask.pipe(
    Effect.flatMap(({ rows }) => Schema.decodeUnknownEffect(Waiters)(rows)),
    Effect.result
  )
  const survivors = Effect.gen(function* (): Effect.fn.Return<SurvivorsWord> {
    const before = yield* waiters
    if (Result.isFailure(before)) return { word: "Silent", detail: "primary: no answer" }
    // Healthy commits wait too, for a millisecond: only one that still waits a moment later tells of a loss.
    if (before.success.length > 0) yield* Effect.sleep(waiterAge)
    const after = yield* waiters
    if (Result.isFailure(after)) return { word: "Silent", detail: "primary: no answer" }
    const stuck = after.success.filter((waiter) => before.success.some((other) => isSame(waiter, other))).length
    if (stuck > 0) {
      const words = stuck === 1 ? "1 commit waits" : `${stuck} commits wait`
      return { word: "QuorumLost", detail: `primary: ${words} on SyncRep` }
    }
    return yield* writes.word
  })
  return {
    get endpoints() {
      return endpoints()
    },
    write: writes.write,
    survivors
  }
})

// --- internal ---

const warmTimeout = 500
const connectTimeout = 10_000
const waiterAge = 100
/** An acknowledgement this young says that the quorum is there, in milliseconds. */
const acknowledgedLately = 1000

// Explicit, since a database or role may have it off.
const prepare = "set synchronous_commit = on"
const write = "select pg_logical_emit_message(true, 'inquorate', 'probe')"
const terminate = "select pg_terminate_backend(pid) from pg_stat_activity where pid = any($1) and application_name = $2"

const waitersQuestion = `
select pid, query_start::text as "since" from pg_stat_activity where wait_event_type = 'IPC' and wait_event = 'SyncRep'`

const Waiters = Schema.Array(Schema.Struct({ pid: Schema.Int, since: Schema.NullOr(Schema.String) }))

type Waiter = (typeof Waiters.Type)[number]

const isSame = (one: Waiter, other: Waiter): boolean => one.pid === other.pid && one.since === other.since

/** One connection of the writer. `isBusy` from the moment it is taken until its write is answered. */
interface Slot {
  readonly endpoint: string
  connection: Connection | null
  isBusy: boolean
  isWaitedFor: boolean
}

interface Writer {
  readonly write: (endpoint: string) => Effect.Effect<ProbeOutcome>
  readonly warm: (endpoint: string) => Effect.Effect<void>
  /** What the writes themselves say, where no commit waits on a standby. */
  readonly word: Effect.Effect<SurvivorsWord>
}

const writer = Effect.fnUntraced(function* (
  settings: (address: string) => ConnectionSettings
): Effect.fn.Return<Writer, never, Scope.Scope> {
  const slots: Array<Slot> = []
  let acknowledgedAt = 0
  const exchanges = yield* Scope.make()
  yield* Effect.addFinalizer((exit) => Effect.andThen(closeAll(slots, settings), Scope.close(exchanges, exit)))

  const take = (endpoint: string): Slot | null => {
    const dead = slots.filter((slot) => !slot.isBusy && slot.connection?.isOpen() !== true)
    for (const slot of dead) slots.splice(slots.indexOf(slot), 1)
    let slot = slots.find((slot) => !slot.isBusy && slot.endpoint === endpoint)
    if (slot === undefined) {
      // An idle connection to another endpoint gives way.
      const idle = slots.findIndex((slot) => !slot.isBusy)
      if (slots.length >= unansweredMax && idle >= 0) slots.splice(idle, 1)[0]!.connection?.destroy()
      if (slots.length >= unansweredMax) return null
      slot = { endpoint, connection: null, isBusy: false, isWaitedFor: false }
      slots.push(slot)
    }
    slot.isBusy = true
    slot.isWaitedFor = true
    return slot
  }
  const release = (slot: Slot): Effect.Effect<void> =>
    Effect.sync(() => {
      slot.isBusy = false
      if (slot.connection?.isOpen() !== true && slots.includes(slot)) slots.splice(slots.indexOf(slot), 1)
    })
  // The exchange goes on alone when its waiter leaves, so that a connection is used again only once its write was
  // answered. Nothing may come between taking a slot and starting what gives it back.
  const exchange = (
    endpoint: string,
    use: (slot: Slot) => Effect.Effect<ProbeOutcome>,
    none: () => ProbeOutcome
  ): Effect.Effect<ProbeOutcome> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const slot = take(endpoint)
        if (slot === null) return none()
        const answer = yield* Deferred.make<ProbeOutcome>()
        yield* use(slot).pipe(Effect.ensuring(release(slot)), Deferred.into(answer), Effect.forkIn(exchanges))
        return yield* Effect.onInterrupt(restore(Deferred.await(answer)), () =>
          Effect.sync(() => {
            slot.isWaitedFor = false
          })
        )
      })
    )

  const writeOn = (slot: Slot): Effect.Effect<ProbeOutcome> =>
    Effect.gen(function* () {
      const connection = yield* connect(slot, settings)
      if (!slot.isWaitedFor) return unknown("abandoned before it was sent")
      const { warnings } = yield* connection.query(write)
      if (warnings.length > 0) return unknown(warnings.join("; "))
      acknowledgedAt = yield* Clock.currentTimeMillis
      return ProbeOutcome.cases.Acknowledged.make({})
    }).pipe(Effect.catch((error) => Effect.succeed(outcomeOf(error))))

  return {
    write: (endpoint) => exchange(endpoint, writeOn, () => unknown(`${slots.length} writes still unanswered`)),
    warm: (endpoint) =>
      Effect.asVoid(
        exchange(
          endpoint,
          (slot) => Effect.match(connect(slot, settings), { onFailure: outcomeOf, onSuccess: () => unknown("") }),
          () => unknown("")
        )
      ),
    word: Effect.gen(function* (): Effect.fn.Return<SurvivorsWord> {
      const unanswered = slots.filter((slot) => slot.isBusy).length
      if (unanswered > 0)
        return { word: "Silent", detail: "primary: a write is unanswered, yet no commit waits on SyncRep" }
      return (yield* Clock.currentTimeMillis) - acknowledgedAt <= acknowledgedLately
        ? { word: "QuorumHeld", detail: "primary: no commit waits on SyncRep, and one was just acknowledged" }
        : { word: "Silent", detail: "primary: no commit waits on SyncRep, and none was sent" }
    })
  }
})

const unknown = (detail: string): ProbeOutcome => ProbeOutcome.cases.Unknown.make({ detail })

const connect = (
  slot: Slot,
  settings: (address: string) => ConnectionSettings
): Effect.Effect<
  Connection,
  ConnectionError | { readonly reason: "TimedOut"; readonly code: ""; readonly detail: string }
> =>
  Effect.gen(function* () {
    if (slot.connection?.isOpen() === true) return slot.connection
    const connection = yield* Effect.timeoutOrElse(open(settings(slot.endpoint)), {
      duration: connectTimeout,
      orElse: () =>
        Effect.fail({ reason: "TimedOut", code: "", detail: `no connection within ${connectTimeout} ms` } as const)
    })
    yield* Effect.onError(connection.query(prepare), () => Effect.sync(connection.destroy))
    slot.connection = connection
    return connection
  })

// A statement that the server turned down wrote nothing. Shutdown, lost resources and internal errors may come after the
// commit was written here, and a connection that could not be made or was lost tells nothing at all.
const outcomeOf = ({ code, detail, reason }: Pick<ConnectionError, "code" | "detail" | "reason">): ProbeOutcome =>
  reason === "Failed" && !/^(08|53|57|58|XX)/.test(code)
    ? ProbeOutcome.cases.Refused.make({ detail: `${code}: ${detail}` })
    : unknown(code === "" ? detail : `${code}: ${detail}`)

const closeAll = Effect.fnUntraced(function* (
  slots: ReadonlyArray<Slot>,
  settings: (address: string) => ConnectionSettings
) {
  for (const endpoint of new Set(slots.map((slot) => slot.endpoint))) {
    const hung = slots.flatMap((slot) =>
      slot.endpoint === endpoint && slot.isBusy && slot.connection !== null ? [slot.connection.backend] : []
    )
    if (hung.length === 0) continue
    yield* open({ ...settings(endpoint), applicationName: "inquorate-close" }).pipe(
      Effect.flatMap((side) =>
        Effect.ensuring(side.query(terminate, [hung, settings(endpoint).applicationName]), Effect.sync(side.destroy))
      ),
      Effect.interruptible,
      Effect.timeoutOption(closeTimeout),
      Effect.ignore
    )
  }
  for (const slot of slots) slot.connection?.destroy()
})

const closeTimeout = 800
