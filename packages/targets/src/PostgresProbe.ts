/**
 * The probe of a PostgreSQL group: one synchronous commit that needs no table. A commit whose quorum is gone waits for
 * ever: no statement timeout ends it, and the server does not notice when its client leaves. So at most four are ever
 * open, and closing the probe ends those that still wait. A commit that comes back with a warning was not acknowledged
 * by the standbys.
 */
import { ProbeOutcome, type SurvivorsWord } from "@inquorate/core/Evidence"
import { type Probe, TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { monotonicMillis } from "./Monotonic.ts"
import {
  type Connection,
  ConnectionError,
  type ConnectionSettings,
  open,
  type Session,
  session
} from "./PostgresConnection.ts"

/** How many writes may be unanswered at once, the waited-for and the abandoned together. */
const unansweredMax = 4

/** What a probe has to know of its cluster. */
export interface ProbeOf {
  readonly cluster: string
  /** Where writes go now. */
  readonly endpoints: () => readonly [string, ...ReadonlyArray<string>]
  /** How to connect to an address. */
  readonly settings: (address: string) => ConnectionSettings
  /** How many connections the server has and how many are used, in words for a person; empty where nobody knows. */
  readonly connections: () => string
  /** How long a connection to an address took to be made when one was; 0 where none was. */
  readonly connecting: (address: string) => Millis
}

/**
 * Opens a probe. The connection that writes and the one that asks for the commits that wait are opened now and held, so
 * that they are there during a loss. A server that answers and has no room for both makes the probe `Unfit`.
 */
export const make = Effect.fn("PostgresProbe.make")(function* ({
  cluster,
  connecting,
  connections,
  endpoints,
  settings
}: ProbeOf): Effect.fn.Return<Probe, TargetError, Scope.Scope> {
  const first = endpoints()[0]
  // Who lets people in by a service elsewhere may take seconds for it, and be quick with every statement after that.
  const within = Math.min(warmMost, Math.max(warmTimeout, 3 * connecting(first)))
  const side = yield* session(settings(first), waitersQuestion, {
    patience: { within: () => askWithin, took: () => {} },
    giveUp: Math.max(giveUpAfter, within)
  })
  const writes = yield* writer(settings, first, side)
  const waiters = side.ask.pipe(
    Effect.flatMap(({ rows }) => Schema.decodeUnknownEffect(Waiting)(rows[0])),
    Effect.result
  )
  const [opened, asked] = yield* Effect.all([Effect.timeoutOption(writes.warm(first), within), waiters] as const, {
    concurrency: "unbounded"
  })
  const unfit = unfitOf(cluster, first, connections)
  // A server that does not answer does not keep the probe from opening, since the probe must see the writes come back.
  if (Option.isSome(opened) && opened.value !== null && isAnswer(opened.value)) return yield* unfit(opened.value)
  if (Result.isFailure(asked) && asked.failure instanceof ConnectionError && isAnswer(asked.failure)) {
    return yield* unfit(asked.failure)
  }
  const isReady = Option.isSome(opened) && opened.value === null
  const again = Effect.repeat(waiters, { until: Result.isSuccess, times: Math.max(5, Math.ceil(within / askWithin)) })
  const answer = isReady && Result.isFailure(asked) ? yield* again : asked
  if (isReady && Result.isFailure(answer)) {
    const detail = "it takes writes, but the question for the commits that wait is not answered"
    return yield* new TargetError({ cluster, endpoint: first, reason: "Unfit", detail: `${first}: ${detail}` })
  }
  let rule = Result.isSuccess(answer) ? answer.success.rule : null

  const survivors = Effect.gen(function* (): Effect.fn.Return<SurvivorsWord> {
    const unanswered = writes.unanswered()
    const before = yield* waiters
    if (Result.isFailure(before)) return silence(before.failure)
    rule ??= before.success.rule
    // Healthy commits wait too, for a millisecond: only one that still waits a moment later tells of a loss.
    if (before.success.waiters.length > 0) yield* Effect.sleep(waiterAge)
    const after = yield* waiters
    if (Result.isFailure(after)) return silence(after.failure)
    const changed =
      after.success.rule === rule ? "" : `; synchronous_standby_names was changed to '${after.success.rule}'`
    if (changed !== "" && after.success.rule.trim() === "") {
      return {
        word: "QuorumHeld",
        detail: "primary: synchronous_standby_names was emptied, so commits wait for nobody"
      }
    }
    const stuck = after.success.waiters.filter((waiter) =>
      before.success.waiters.some((other) => isSame(waiter, other))
    )
    // Our own commit waits for the quorum and for nothing else. Another client's commit may wait until a standby
    // applies it, which needs no lost quorum.
    const ours = stuck.filter(({ pid }) => unanswered.includes(pid) && writes.unanswered().includes(pid))
    const words = stuck.length === 1 ? "1 commit waits" : `${stuck.length} commits wait`
    if (ours.length > 0) return { word: "QuorumLost", detail: `primary: ${words} on SyncRep${changed}` }
    if (stuck.length > 0) return { word: "Silent", detail: `primary: ${words} on SyncRep, but none of ours${changed}` }
    const said = yield* writes.word
    return { ...said, detail: `${said.detail}${changed}` }
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

const askWithin: Millis = 400
const giveUpAfter: Millis = 2000

/** How long the first connection is waited for, where nobody knows that it takes longer, and at most. */
const warmTimeout: Millis = 500
const warmMost: Millis = 6000
const connectTimeout = 10_000
const waiterAge = 100
/** An acknowledgement this young says that the quorum is there, in milliseconds. */
const acknowledgedLately = 1000

const write = "select pg_logical_emit_message(true, 'inquorate', 'probe')"
// A role that takes another one's place by a setting could not end what it began itself.
const asOurselves = "set role none"
const terminate = "select pg_terminate_backend(pid) from pg_stat_activity where pid = any($1) and application_name = $2"

// A batch that commits again and again in one statement waits again and again, each time in another transaction.
const waitersQuestion = `
select current_setting('synchronous_standby_names') as "rule", (
  select coalesce(json_agg(json_build_object('pid', pid, 'since', concat(backend_xid, ' ', xact_start))), '[]')
  from pg_stat_activity where wait_event_type = 'IPC' and wait_event = 'SyncRep'
) as "waiters"`

const Waiter = Schema.Struct({ pid: Schema.Int, since: Schema.String })
type Waiter = typeof Waiter.Type
const Waiting = Schema.Struct({ rule: Schema.String, waiters: Schema.Array(Waiter) })

const isSame = (one: Waiter, other: Waiter): boolean => one.pid === other.pid && one.since === other.since

const unfitOf =
  (cluster: string, endpoint: string, connections: ProbeOf["connections"]) =>
  (error: ConnectionError): TargetError => {
    const words = [error.code === "" ? error.detail : `${error.detail} (${error.code})`]
    if (isCrowded(error)) words.push(`the proof needs two connections of its own to ${endpoint}`, connections())
    const detail = words.filter((word) => word !== "").join("; ")
    return new TargetError({ cluster, endpoint, reason: "Unfit", detail })
  }

const silence = (error: { readonly _tag: string; readonly message: string }): SurvivorsWord => ({
  word: "Silent",
  detail: `primary: no answer (${error instanceof ConnectionError ? error.detail : error.message})`
})

// True for what a server says that runs and takes connections, where it would say the same to a later connection.
const isAnswer = (error: ConnectionError): boolean =>
  error.reason === "Rejected" || isCrowded(error) || (error.reason === "Failed" && !/^(08|57|58)/.test(error.code))

/** Too many connections, or the last ones reserved. */
const isCrowded = ({ code }: ConnectionError): boolean => code === "53300"

/** One connection of the writer. `isBusy` from the moment it is taken until its write is answered. */
interface Slot {
  readonly endpoint: string
  connection: Connection | null
  isBusy: boolean
  isWaitedFor: boolean
}

interface Writer {
  readonly write: (endpoint: string) => Effect.Effect<ProbeOutcome>
  /** Opens a connection for the first write. Gives null, or the error where no connection was made. */
  readonly warm: (endpoint: string) => Effect.Effect<ConnectionError | null>
  /** The servers' processes whose writes are unanswered. */
  readonly unanswered: () => ReadonlyArray<number>
  /** What the writes themselves say, where no commit waits on a standby. */
  readonly word: Effect.Effect<SurvivorsWord>
}

const writer = Effect.fnUntraced(function* (
  settings: (address: string) => ConnectionSettings,
  first: string,
  side: Session
): Effect.fn.Return<Writer, never, Scope.Scope> {
  const slots: Array<Slot> = []
  let acknowledgedAt = 0
  const exchanges = yield* Scope.make()
  yield* Effect.addFinalizer((exit) =>
    Effect.andThen(closeAll(slots, settings, first, side), Scope.close(exchanges, exit))
  )

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
  const exchange = <A>(endpoint: string, use: (slot: Slot) => Effect.Effect<A>, none: () => A): Effect.Effect<A> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const slot = take(endpoint)
        if (slot === null) return none()
        const answer = yield* Deferred.make<A>()
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
      acknowledgedAt = yield* monotonicMillis
      return ProbeOutcome.cases.Acknowledged.make({})
    }).pipe(Effect.catch((error) => Effect.succeed(outcomeOf(error))))

  return {
    write: (endpoint) => exchange(endpoint, writeOn, () => unknown(`${slots.length} writes still unanswered`)),
    warm: (endpoint) =>
      exchange<ConnectionError | null>(
        endpoint,
        (slot) => Effect.match(connect(slot, settings), { onFailure: (error) => error, onSuccess: () => null }),
        () => null
      ),
    unanswered: () =>
      slots.flatMap((slot) => (slot.isBusy && slot.connection !== null ? [slot.connection.backend] : [])),
    word: Effect.gen(function* (): Effect.fn.Return<SurvivorsWord> {
      const unanswered = slots.filter((slot) => slot.isBusy).length
      if (unanswered > 0)
        return { word: "Silent", detail: "primary: a write is unanswered, yet no commit waits on SyncRep" }
      return (yield* monotonicMillis) - acknowledgedAt <= acknowledgedLately
        ? { word: "QuorumHeld", detail: "primary: no commit waits on SyncRep, and one was just acknowledged" }
        : { word: "Silent", detail: "primary: no commit waits on SyncRep, and none was sent" }
    })
  }
})

const unknown = (detail: string): ProbeOutcome => ProbeOutcome.cases.Unknown.make({ detail })

const connect = (
  slot: Slot,
  settings: (address: string) => ConnectionSettings
): Effect.Effect<Connection, ConnectionError> =>
  Effect.gen(function* () {
    if (slot.connection?.isOpen() === true) return slot.connection
    slot.connection = yield* Effect.timeoutOrElse(open(settings(slot.endpoint)), {
      duration: connectTimeout,
      orElse: () =>
        Effect.fail(
          new ConnectionError({ reason: "TimedOut", code: "", detail: `no connection within ${connectTimeout} ms` })
        )
    })
    return slot.connection
  })

// A statement that the server turned down wrote nothing. Shutdown, lost resources and internal errors may come after the
// commit was written here, and a connection that could not be made or was lost tells nothing at all.
const outcomeOf = ({ code, detail, reason }: Pick<ConnectionError, "code" | "detail" | "reason">): ProbeOutcome =>
  reason === "Failed" && !/^(08|53|57|58|XX)/.test(code)
    ? ProbeOutcome.cases.Refused.make({ detail: `${code}: ${detail}` })
    : unknown(code === "" ? detail : `${code}: ${detail}`)

// The connection that asks is open already, so it can end the waiting writes where the server has no room for another one.
const closeAll = Effect.fnUntraced(function* (
  slots: ReadonlyArray<Slot>,
  settings: (address: string) => ConnectionSettings,
  first: string,
  held: Session
) {
  for (const endpoint of new Set(slots.map((slot) => slot.endpoint))) {
    const hung = slots.flatMap((slot) =>
      slot.endpoint === endpoint && slot.isBusy && slot.connection !== null ? [slot.connection.backend] : []
    )
    if (hung.length === 0) continue
    const { applicationName } = settings(endpoint)
    const end = (side: Connection) =>
      Effect.andThen(side.query(asOurselves), side.query(terminate, [hung, applicationName]))
    const anew = Effect.flatMap(open({ ...settings(endpoint), applicationName: "inquorate-close" }), (side) =>
      Effect.ensuring(end(side), Effect.sync(side.destroy))
    )
    const side = endpoint === first ? held.connection() : undefined
    const ended = side === undefined ? anew : Effect.catch(end(side), () => anew)
    yield* Effect.ignore(Effect.timeoutOption(Effect.interruptible(ended), closeTimeout))
  }
  for (const slot of slots) slot.connection?.destroy()
})

const closeTimeout = 800
