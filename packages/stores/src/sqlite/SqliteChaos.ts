/**
 * Core's `ChaosStore` in the file of the embedded store. If a right to drive is found when the file is opened, it is a
 * dead worker's, and is ended at once.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { DatabaseSync } from "node:sqlite"
import type { ChaosEvent, ChaosEventQuery } from "@inquorate/core/Chaos"
import { ChaosStore, type StoredChaos } from "@inquorate/core/ChaosStore"
import type { StoreError } from "@inquorate/core/OperationStore"
import type { Instant } from "@inquorate/core/Time"
import {
  chaosConflict,
  type ChaosEventRow,
  chaosFenced,
  type ChaosRow,
  initialJson,
  readEvent,
  readState,
  writeEvent,
  writeState
} from "../ChaosRows.ts"
import type { GroupCommit } from "./GroupCommit.ts"
import { unavailable } from "./SqliteFile.ts"

/** What stands under it: the held file, the queue of its writes and its clock. */
export interface SqliteChaosOptions {
  readonly path: string
  readonly database: DatabaseSync
  readonly commit: GroupCommit
  readonly now: Effect.Effect<Instant>
}

/** Makes the store of chaos over a file that is held and up to date. */
export const make = (options: SqliteChaosOptions): Effect.Effect<ChaosStore["Service"], StoreError> =>
  Effect.map(
    Effect.try({ try: () => prepare(options.database), catch: (thrown) => unavailable(options.path, thrown) }),
    (statements) => storeOf(options, statements)
  )

// --- internal ---

const prepare = (database: DatabaseSync) => {
  database
    .prepare("INSERT INTO chaos (single, state, version, epoch, expires) VALUES (1, ?, 0, 0, 0) ON CONFLICT DO NOTHING")
    .run(initialJson)
  database.exec("UPDATE chaos SET driver = NULL, expires = 0")
  return {
    read: database.prepare("SELECT state, version, driver, epoch, expires FROM chaos"),
    save: database.prepare("UPDATE chaos SET state = ?, version = version + 1"),
    append: database.prepare("INSERT INTO chaos_event (at, event) VALUES (?, ?)"),
    drive: database.prepare("UPDATE chaos SET driver = ?, epoch = ?, expires = ?"),
    release: database.prepare("UPDATE chaos SET driver = NULL, expires = 0 WHERE driver = ?"),
    events: database.prepare(
      "SELECT sequence, at, event FROM chaos_event WHERE sequence > ? AND at >= ? AND at <= ? ORDER BY sequence LIMIT ?"
    ),
    prune: database.prepare(
      `DELETE FROM chaos_event WHERE sequence <= (
         SELECT sequence FROM chaos_event ORDER BY sequence DESC LIMIT 1 OFFSET ?)`
    )
  }
}

const storeOf = (
  { commit, now, path }: SqliteChaosOptions,
  statements: ReturnType<typeof prepare>
): ChaosStore["Service"] => {
  const row = () => statements.read.get() as unknown as ChaosRow & { readonly expires: Instant }
  const read = (): StoredChaos => Result.getOrThrow(readState(path, row()))
  const save = (
    stored: StoredChaos,
    json: string,
    events: ReadonlyArray<ChaosEvent>,
    as: { readonly driver: string; readonly epoch: number } | null
  ): { readonly version: number; readonly driver: string | null; readonly epoch: number } => {
    const { driver, epoch, version } = row()
    if (as !== null && (driver !== as.driver || epoch !== as.epoch)) throw chaosFenced()
    if (version !== stored.version) throw chaosConflict()
    statements.save.run(json)
    for (const event of events) statements.append.run(Date.parse(event.TimeStampUtc), writeEvent(event))
    return { version: version + 1, driver, epoch }
  }
  const drive = (driver: string, instant: Instant, until: Instant): StoredChaos | null => {
    const before = row()
    if (before.driver !== null && before.driver !== driver && before.expires > instant) return null
    statements.drive.run(driver, before.driver === driver ? before.epoch : before.epoch + 1, until)
    return read()
  }
  const attempt = <A>(run: () => A): Effect.Effect<A, StoreError> =>
    Effect.try({ try: run, catch: (thrown) => (isStoreError(thrown) ? thrown : unavailable(path, thrown)) })

  return ChaosStore.of({
    now,
    read: attempt(read),
    save: (stored, state, events, as) =>
      Effect.suspend(() => {
        const json = writeState(state)
        return Effect.map(
          commit.write(() => save(stored, json, events, as)),
          (written): StoredChaos => ({ state, ...written })
        )
      }),
    drive: (driver, lease) =>
      Effect.flatMap(now, (instant) => commit.write(() => drive(driver, instant, instant + lease))),
    release: (driver) => Effect.asVoid(commit.write(() => void statements.release.run(driver))),
    events: (query) => attempt(() => eventsOf(path, statements, query)),
    prune: (keepAtMost) => commit.write(() => Number(statements.prune.run(keepAtMost).changes))
  })
}

const isStoreError = (thrown: unknown): thrown is StoreError =>
  typeof thrown === "object" && thrown !== null && "_tag" in thrown && thrown._tag === "StoreError"

const eventsOf = (path: string, statements: ReturnType<typeof prepare>, query: ChaosEventQuery) =>
  (
    statements.events.all(
      query.after,
      query.from ?? Number.MIN_SAFE_INTEGER,
      query.to ?? Number.MAX_SAFE_INTEGER,
      query.limit
    ) as unknown as ReadonlyArray<ChaosEventRow>
  ).map((found) => readEvent(path, found))
