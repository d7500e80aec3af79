/**
 * How the workers of a shared store hear of each other's changes: `NOTIFY` after a commit, and `LISTEN` on one
 * connection that is checked and opened again for as long as the store is. While that connection is lost the store is
 * looked at instead. When it is back, everything that may have changed meanwhile is told once. These are hints only:
 * what must not be missed is read.
 * A transaction of its own sends a notification. The writing one would hold a lock over the whole database while its
 * commit waits for disk and standbys, and no two workers could commit at once.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import type { Guid } from "@inquorate/core/Guid"
import type { StoreError } from "@inquorate/core/OperationStore"
import type { Millis } from "@inquorate/core/Time"
import { type Connection, open, type PostgresFailure, type Site, unavailable } from "./StoreConnection.ts"

/** What an operation's version was when it was last looked at. */
export interface Seen {
  readonly id: Guid
  readonly version: number
}

/** The way in and out of one worker's hints. */
export interface Changes {
  /** Tells the other workers, soon. */
  readonly announce: (id: Guid) => void
  /** The statement that tells the other workers when the transaction commits that it is part of. */
  readonly announcement: (ids: ReadonlyArray<Guid>) => readonly [string, ReadonlyArray<unknown>]
}

/** Listens until the scope closes. `heard` hears of others' changes. `look` gives all that may have changed. */
export const make = (
  site: Site,
  heard: (id: Guid) => void,
  look: Effect.Effect<ReadonlyArray<Seen>, StoreError>
): Effect.Effect<Changes, StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const self = crypto.randomUUID()
    const channel = `${site.schema}_changes`
    const stirred = Latch.makeUnsafe(false)
    let pending = new Set<Guid>()
    let current: Connection | undefined

    const announcement = (ids: ReadonlyArray<Guid>): readonly [string, ReadonlyArray<unknown>] => [
      "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload",
      [channel, payloads(self, ids)]
    ]
    const onNotification = (payload: string): void => {
      const [from, ids = ""] = payload.split(" ")
      if (from !== self) for (const id of ids.split(",")) heard(id)
    }
    const listen = Effect.tap(open(site, { onNotification, onEnd: () => stirred.openUnsafe() }), (connection) => {
      current = connection
      return Effect.onError(connection.query(`LISTEN "${channel}"`), () => Effect.sync(() => connection.abandon()))
    })
    const send = (connection: Connection): Effect.Effect<void, PostgresFailure> =>
      Effect.suspend(() => {
        const ids = [...pending]
        pending = new Set()
        return Effect.asVoid(
          Effect.onError(connection.query(...announcement(ids)), () =>
            Effect.sync(() => void (pending = new Set([...ids, ...pending].slice(-pendingMost))))
          )
        )
      })
    const serve = (connection: Connection): Effect.Effect<never, PostgresFailure> =>
      Effect.forever(
        Effect.gen(function* () {
          yield* Effect.timeoutOption(stirred.await, checkEvery)
          stirred.closeUnsafe()
          // If there is nothing to tell, a question shows whether anybody is still there.
          if (pending.size > 0) yield* send(connection)
          else yield* connection.query("SELECT 1")
        })
      )
    const relisten = Effect.gen(function* () {
      let seen = new Map<Guid, number>()
      const tell = Effect.gen(function* () {
        const now = yield* Effect.result(look)
        if (Result.isFailure(now)) return
        for (const { id, version } of now.success) if (seen.get(id) !== version) heard(id)
        seen = new Map(now.success.map(({ id, version }) => [id, version]))
      })
      for (let pause = pauseFirst; ; pause = Math.min(2 * pause, pauseMost)) {
        const opened = yield* Effect.result(listen)
        // The store is looked at after LISTEN took effect, so that nothing falls in between.
        yield* tell
        if (Result.isSuccess(opened)) return opened.success
        yield* Effect.sleep(pause)
      }
    })

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const connection = current
        if (connection === undefined) return Effect.void
        const last = pending.size > 0 && connection.isOpen() ? Effect.ignore(send(connection)) : Effect.void
        return Effect.ensuring(
          Effect.timeoutOption(last, lastWords),
          Effect.sync(() => connection.abandon())
        )
      })
    )
    const first = yield* Effect.mapError(listen, (failure) => unavailable(site, failure))
    yield* Effect.forkScoped(
      Effect.gen(function* () {
        let connection = first
        while (true) {
          const { detail } = yield* Effect.flip(serve(connection))
          connection.abandon()
          yield* Effect.logWarning(`The store ${site.where} stopped telling changes (${detail}); looking instead`)
          connection = yield* relisten
          yield* Effect.logInfo(`The store ${site.where} tells changes again`)
        }
      })
    )
    return {
      announcement,
      announce: (id) => {
        if (pending.size < pendingMost) pending.add(id)
        stirred.openUnsafe()
      }
    }
  })

// --- internal ---

const checkEvery: Millis = 5000
const pauseFirst: Millis = 100
const pauseMost: Millis = 1000
const lastWords: Millis = 500
const pendingMost = 10_000
/** A payload has room for 8000 bytes. */
const idsOfPayload = 200

const payloads = (self: string, ids: ReadonlyArray<Guid>): ReadonlyArray<string> =>
  Array.from(
    { length: Math.ceil(ids.length / idsOfPayload) },
    (_, index) => `${self} ${ids.slice(index * idsOfPayload, (index + 1) * idsOfPayload).join(",")}`
  )
