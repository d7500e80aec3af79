/**
 * Group commit on the shared store. Writes that come while a commit is on its way share the next one. Within a batch
 * each write is judged by itself. If PostgreSQL refuses a batch for one of them, each is tried alone. A commit whose
 * answer was lost is unknown: every write carries a name of its own, so that the next try finds out under the row's
 * lock whether the first one stands.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import type { Guid } from "@inquorate/core/Guid"
import type { Operation } from "@inquorate/core/Operation"
import { StoreError, type Stored } from "@inquorate/core/OperationStore"
import type { Millis } from "@inquorate/core/Time"
import {
  commitAtOnce,
  type Connection,
  passes,
  PostgresFailure,
  type Site,
  transaction,
  unavailable
} from "./StoreConnection.ts"
import { type Line, noAnswer } from "./PostgresLine.ts"
import { columnsOf, type Row } from "./PostgresRows.ts"
import { writeEntry } from "../OperationRows.ts"

/** Who writes; null for a write that any worker may do. */
export type Guard = { readonly worker: string; readonly epoch: number } | null

/** Writes that share commits. */
export interface Batch {
  readonly create: (operation: Operation) => Effect.Effect<"Created" | "Duplicate", StoreError>
  readonly save: (
    stored: Stored,
    operation: Operation,
    entries: ReadonlyArray<EvidenceEntry>,
    as: Guard
  ) => Effect.Effect<Stored, StoreError>
  readonly append: (id: Guid, entries: ReadonlyArray<EvidenceEntry>, as: Guard) => Effect.Effect<void, StoreError>
}

/** How batches are made. */
export interface BatchOptions {
  /** How many live operations there may be. */
  readonly queueBound: number
  /** How long a writer waits. */
  readonly within: Millis
  /** The most writes of one commit. */
  readonly writesMost: number
  /** Hears of each commit. */
  readonly onCommit: () => void
  /** Hears of each operation that stands as it was written under this name. */
  readonly onStored: (operation: Operation, written: string) => void
}

/** Makes the queue of writes over a line of its own. When the scope closes, a write that waits is not written. */
export const make = (site: Site, line: Line, options: BatchOptions): Effect.Effect<Batch, never, Scope.Scope> =>
  Effect.gen(function* () {
    let queue: Array<Pending> = []
    const waiting = Latch.makeUnsafe(false)
    const statements = statementsOf(site.schema)
    const room: Room = { bound: options.queueBound, spare: 0 }

    // A write whose turn has not come is taken back. After that it stands, or its outcome is unknown.
    const takeBack = (pending: Pending): void => void (queue = queue.filter((other) => other !== pending))
    const { answerAll, answerEach, enter, leave } = yield* makeWriters(site, options.within, takeBack)

    const write = (id: Guid, change: Change): Effect.Effect<unknown, StoreError> =>
      Clock.clockWith((clock) => {
        if (queue.length >= waitingMost) return Effect.fail(noAnswer(site, options.within))
        const pending: Pending = {
          id,
          change,
          name: crypto.randomUUID(),
          deadline: clock.currentTimeMillisUnsafe() + options.within,
          doubtful: false,
          answer: Deferred.makeUnsafe()
        }
        queue.push(pending)
        waiting.openUnsafe()
        enter(pending)
        return Effect.onInterrupt(Deferred.await(pending.answer), () => Effect.sync(() => leave(pending)))
      })

    // A batch has at most one write of an operation, so that no write has to see what another one of its batch did.
    const take = (): ReadonlyArray<Pending> => {
      const taken = new Map<Guid, Pending>()
      const left: Array<Pending> = []
      for (const pending of queue) {
        if (taken.size < options.writesMost && !taken.has(pending.id)) taken.set(pending.id, pending)
        else left.push(pending)
      }
      queue = left
      return [...taken.values()]
    }

    // Gives the answers of a batch that was stored. Those of one that was not have been told.
    const run = (batch: ReadonlyArray<Pending>, pause: Millis, alone = false): Effect.Effect<ReadonlyArray<Told>> =>
      Effect.gen(function* () {
        const outcome = yield* Effect.result(
          line
            .attempt((connection) => carryOut(connection, statements, batch, { alone, room }))
            .pipe(
              // The writers die of a broken invariant. The queue goes on.
              Effect.catchDefect((defect) => Effect.succeed(batch.map((): Answer => Effect.die(defect))))
            )
        )
        if (Result.isSuccess(outcome)) {
          options.onCommit()
          return batch.map((pending, index): Told => {
            const told = outcome.success[index]!
            const { change, name } = pending
            if (change._tag !== "Append" && Exit.isExit(told) && Exit.isSuccess(told)) {
              options.onStored(change.operation, name)
            }
            return [pending, told]
          })
        }
        const { failure } = outcome
        if (failure._tag === "StoreError") return answerAll(batch, failure)
        if (failure.committing) for (const pending of batch) pending.doubtful = true
        if (refusesOne.test(failure.code)) {
          if (alone) return answerAll(batch, refusalOf(site, batch[0]!, failure))
          yield* Effect.forEach(batch, (pending) => Effect.map(run([pending], pause, true), answerEach), {
            discard: true
          })
          return []
        }
        if (!passes(failure)) return answerAll(batch, unavailable(site, failure))
        const now = yield* Clock.currentTimeMillis
        answerAll(
          batch.filter(({ deadline }) => deadline <= now + pause),
          unavailable(site, failure)
        )
        const left = batch.filter(({ deadline }) => deadline > now + pause)
        if (left.length === 0) return []
        yield* Effect.sleep(pause)
        return yield* run(left, Math.min(2 * pause, pauseMost), alone)
      })

    yield* Effect.forkScoped(sendOn({ waiting, take, send: (batch) => run(batch, pauseFirst), answerEach }))
    return {
      create: (operation) =>
        write(operation.id, { _tag: "Create", operation }) as Effect.Effect<"Created" | "Duplicate", StoreError>,
      save: (stored, operation, entries, as) =>
        write(operation.id, { _tag: "Save", stored, operation, entries, as }) as Effect.Effect<Stored, StoreError>,
      append: (id, entries, as) => Effect.asVoid(write(id, { _tag: "Append", entries, as }))
    }
  })

// --- internal ---

const waitingMost = 20_000
const pauseFirst: Millis = 50
const pauseMost: Millis = 1000
/** Data that cannot be stored, or a constraint. Some write of the batch is at fault, and hears of it alone. */
const refusesOne = /^(22|23|54)/
const uniqueViolation = "23505"

type Change =
  | { readonly _tag: "Create"; readonly operation: Operation }
  | {
      readonly _tag: "Save"
      readonly stored: Stored
      readonly operation: Operation
      readonly entries: ReadonlyArray<EvidenceEntry>
      readonly as: Guard
    }
  | { readonly _tag: "Append"; readonly entries: ReadonlyArray<EvidenceEntry>; readonly as: Guard }

interface Pending {
  readonly id: Guid
  readonly change: Change
  /** The write's own name, stored with it. */
  readonly name: string
  readonly deadline: number
  /** A commit of it was sent and not answered. */
  doubtful: boolean
  readonly answer: Deferred.Deferred<unknown, StoreError>
}

/**
 * Those who wait for an answer, `within` at most. All wait equally long, so one timer that follows the first of them serves
 * them all. `takeBack` hears of each who waits no longer, and so has no answer.
 */
const makeWriters = (site: Site, within: Millis, takeBack: (pending: Pending) => void) =>
  Clock.clockWith((clock) =>
    Effect.gen(function* () {
      const since = new Map<Pending, Millis>()
      const any = Latch.makeUnsafe(false)
      const now = (): Millis => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
      const followFirst = Effect.suspend(() => {
        const [first] = since
        if (first === undefined) {
          any.closeUnsafe()
          return any.await
        }
        const left = first[1] + within - now()
        if (left > 0) return Effect.sleep(left)
        takeBack(first[0])
        answer(first[0], Effect.fail(noAnswer(site, within)))
        return Effect.void
      })
      yield* Effect.forkScoped(Effect.forever(followFirst))
      const enter = (pending: Pending): void => {
        since.set(pending, now())
        any.openUnsafe()
      }
      const leave = (pending: Pending): void => {
        since.delete(pending)
        takeBack(pending)
      }
      const answer = (pending: Pending, told: Answer): void => {
        since.delete(pending)
        Deferred.doneUnsafe(pending.answer, told)
      }
      const answerAll = (batch: ReadonlyArray<Pending>, error: StoreError): ReadonlyArray<never> => {
        for (const pending of batch) answer(pending, refusal(pending, error))
        return []
      }
      const answerEach = (told: ReadonlyArray<Told>): void => told.forEach(([pending, how]) => answer(pending, how))
      return { enter, leave, answerEach, answerAll }
    })
  )

/**
 * Sends batch after batch. Who is answered goes on at once, mostly to its next write. Were all of a batch answered before
 * the next one is sent, the server would wait for all of them, and then all of them for the server. So half of them are
 * answered, and the others while the server has what those have written.
 */
const sendOn = ({ answerEach, send, take, waiting }: Sending): Effect.Effect<never> => {
  let untold: ReadonlyArray<Told> = []
  const tell = (count: number): void => {
    const told = untold.slice(0, count)
    untold = untold.slice(count)
    answerEach(told)
  }
  return Effect.forever(
    Effect.gen(function* () {
      yield* waiting.await
      let batch = take()
      if (batch.length === 0) {
        tell(Math.ceil(untold.length / 2))
        batch = take()
      }
      if (batch.length > 0) {
        const sent = yield* Effect.forkChild(send(batch), { startImmediately: true })
        tell(untold.length)
        untold = yield* Fiber.join(sent)
      } else if (untold.length === 0) waiting.closeUnsafe()
    })
  )
}

interface Sending {
  /** Open while something waits. */
  readonly waiting: Latch.Latch
  readonly take: () => ReadonlyArray<Pending>
  readonly send: (batch: ReadonlyArray<Pending>) => Effect.Effect<ReadonlyArray<Told>>
  readonly answerEach: (told: ReadonlyArray<Told>) => void
}

type Answer = Effect.Effect<unknown, StoreError>

/** A writer and what it is told. */
type Told = readonly [Pending, Answer]

const refusal = ({ doubtful }: Pending, { detail, reason }: StoreError): Answer =>
  Effect.fail(
    new StoreError({ reason, detail: doubtful ? `${detail} Whether the write was stored is not known.` : detail })
  )

const fenced = (id: Guid): StoreError =>
  new StoreError({ reason: "Fenced", detail: `operation ${id} belongs to another worker or epoch now` })

const conflict = (detail: string): StoreError => new StoreError({ reason: "Conflict", detail })

const refusalOf = (site: Site, { change }: Pending, failure: PostgresFailure): StoreError =>
  failure.code === uniqueViolation && change._tag === "Save"
    ? conflict("another operation's fences stand on the partition")
    : unavailable(site, failure)

/**
 * Everything a batch does, committed. The answers are in the order of its writes. Nearly every batch is changes alone, or
 * creates alone, of which none is doubtful: one statement does all that. A write that was refused within one is tried
 * `alone`, step by step.
 */
const carryOut = (
  connection: Connection,
  statements: Statements,
  batch: ReadonlyArray<Pending>,
  { alone, room }: { readonly alone: boolean; readonly room: Room }
): Effect.Effect<ReadonlyArray<Answer>, PostgresFailure> => {
  const creates = batch.filter(({ change }) => change._tag === "Create")
  const atOnce = !alone && !batch.some(({ doubtful }) => doubtful)
  if (atOnce && creates.length === 0) return changeAtOnce(connection, statements, batch)
  if (atOnce && creates.length === batch.length) {
    const created = createAll(connection, statements, creates, room, commitAtOnce)
    return Effect.map(created, (answers) => [...answers.values()])
  }
  const steps = Effect.gen(function* () {
    const answers =
      creates.length === 0
        ? new Map<Pending, Answer>()
        : yield* createAll(connection, statements, creates, room, withinTransaction)
    const others = batch.filter(({ change }) => change._tag !== "Create")
    if (others.length > 0) yield* changeAll(connection, statements, others, answers)
    return batch.map((pending) => answers.get(pending)!)
  })
  return transaction(connection, steps)
}

/** How many may be live. */
interface Room {
  readonly bound: number
  /** How many more are created before the live ones are counted again: the more are live, the longer that takes. */
  spare: number
}

/** Of what was free, one in so many is created before the next count. Others may have taken all of it meanwhile. */
const countAgainAfter = 8

/** Runs the statement that creates: as a transaction of its own, or within one. */
type Place = (
  connection: Connection,
  text: string,
  values: ReadonlyArray<unknown>
) => Effect.Effect<{ readonly rows: ReadonlyArray<Placed> }, PostgresFailure>

const withinTransaction: Place = (connection, text, values) => connection.query(text, values)

const createAll = Effect.fnUntraced(function* (
  connection: Connection,
  statements: Statements,
  creates: ReadonlyArray<Pending>,
  room: Room,
  place: Place
) {
  const answers = new Map<Pending, Answer>()
  const rows = creates.map(({ change, name }) => ({
    ...columnsOf((change as Extract<Change, { _tag: "Create" }>).operation),
    written: name
  }))
  const counts = room.spare < creates.length
  room.spare = counts ? 0 : room.spare - creates.length
  const { rows: made } = yield* place(connection, statements.create, [...transposed(rows), counts ? room.bound : null])
  if (counts) room.spare = Math.floor(Math.max(0, made[0]!.places! - creates.length) / countAgainAfter)
  const placed = new Map(made.map((one) => [one.id, one]))
  // It was not there when the statement began, and was not made either: another one made it meanwhile. If the write is
  // doubtful, that may have been its own first try.
  const raced = creates.filter(({ doubtful, id }) => doubtful && placed.get(id)!.made === null && placed.get(id)!.room)
  const known = new Map(made.map(({ id, written }) => [id, written]))
  if (raced.length > 0) {
    const { rows } = yield* connection.query<{ readonly id: Guid; readonly written: string }>(statements.written, [
      raced.map(({ id }) => id)
    ])
    for (const { id, written } of rows) known.set(id, written)
  }
  // A write that is found again after its answer was lost may not have reached the standbys yet. To lock it is a write
  // of its own, whose commit waits for them. Without that this transaction would have nothing to wait for.
  const found = creates.filter(({ doubtful, id, name }) => doubtful && known.get(id) === name).map(({ id }) => id)
  if (found.length > 0) yield* connection.query(statements.lock, [found])
  for (const pending of creates) {
    const { made, room: fits } = placed.get(pending.id)!
    const written = known.get(pending.id) ?? null
    const full = written === null && made === null && !fits
    answers.set(
      pending,
      full
        ? Effect.fail(new StoreError({ reason: "Full", detail: `no more than ${room.bound} operations may be live` }))
        : Effect.succeed(made !== null || written === pending.name ? "Created" : "Duplicate")
    )
  }
  return answers
})

const changeAll = Effect.fnUntraced(function* (
  connection: Connection,
  statements: Statements,
  changes: ReadonlyArray<Pending>,
  answers: Map<Pending, Answer>
) {
  const { rows } = yield* connection.query<Omit<Row, "operation" | "sequence">>(statements.lock, [
    changes.map(({ id }) => id)
  ])
  const found = new Map(rows.map((row) => [row.id, row]))
  const settled = yield* settledOf(connection, statements, changes, found)
  const saves: Array<Pending> = []
  const writing: Array<Pending> = []
  for (const pending of changes) {
    const { change, id } = pending
    const row = found.get(id)
    const refusal = settled.has(pending.name) ? null : refusalFor(pending, row)
    if (refusal !== null) answers.set(pending, Effect.fail(refusal))
    else {
      const saved = change._tag === "Save"
      const { epoch, owner } = row!
      answers.set(
        pending,
        Effect.succeed(
          saved ? { operation: change.operation, version: change.stored.version + 1, owner, epoch } : undefined
        )
      )
      if (settled.has(pending.name)) continue
      if (saved) saves.push(pending)
      writing.push(pending)
    }
  }
  if (saves.length > 0) {
    const updates = saves.map(({ change, name }) => {
      const { as, operation, stored } = change as Extract<Change, { _tag: "Save" }>
      const { partition_id: _, received_at: __, shares: ___, ...rest } = columnsOf(operation)
      return { ...rest, written: name, version: stored.version, owner: as?.worker ?? null, epoch: as?.epoch ?? null }
    })
    const { changed } = yield* connection.query(statements.save, transposed(updates))
    // The rows are locked and were just judged by the very same guard.
    if (changed !== saves.length) return yield* Effect.die(new Error(`${changed} of ${saves.length} saves were taken`))
  }
  const entries = writing.flatMap(({ change, id, name }) =>
    change._tag === "Create"
      ? []
      : change.entries.map((entry, index) => ({ id, written: name, place: index + 1, entry: writeEntry(entry) }))
  )
  if (entries.length > 0) yield* connection.query(statements.append, transposed(entries))
})

// The same for changes of which none is doubtful: judged, saved and appended by one statement, which is a transaction of
// its own. Another one that changes one of the rows meanwhile may have it fail; each is then tried alone.
const changeAtOnce = Effect.fnUntraced(function* (
  connection: Connection,
  statements: Statements,
  changes: ReadonlyArray<Pending>
) {
  const { rows } = yield* commitAtOnce<Omit<Row, "operation" | "sequence" | "written"> & { readonly saved: number }>(
    connection,
    statements.change,
    [
      ...transposed(changes.map(givenOf)),
      ...transposed([
        ...changes.flatMap(({ change, id }) =>
          change._tag === "Create"
            ? []
            : change.entries.map((entry, index) => ({ of: id, place: index + 1, entry: writeEntry(entry) }))
        ),
        // So that there are columns where nothing is appended. No operation has this id.
        { of: "", place: 0, entry: "" }
      ])
    ]
  )
  const found = new Map(rows.map((row) => [row.id, row]))
  let taken = 0
  const answers = changes.map((pending): Answer => {
    const { change, id } = pending
    const row = found.get(id)
    const refusal = refusalFor(pending, row)
    if (refusal !== null) return Effect.fail(refusal)
    if (change._tag !== "Save") return Effect.succeed(undefined)
    taken++
    const { epoch, owner } = row!
    return Effect.succeed({ operation: change.operation, version: change.stored.version + 1, owner, epoch })
  })
  // The statement judged by the very same guard.
  const saved = rows[0]?.saved ?? 0
  if (saved !== taken) return yield* Effect.die(new Error(`${saved} of ${taken} saves were taken`))
  return answers
})

/** A change as the statement is given it. The columns of the operation are null where it stays as it is. */
const givenOf = ({ change, id, name }: Pending) => {
  const as = change._tag === "Create" ? null : change.as
  const saved = change._tag === "Save" ? columnsOf(change.operation) : null
  return {
    id,
    written: name,
    version: change._tag === "Save" ? change.stored.version : null,
    owner: as?.worker ?? null,
    epoch: as?.epoch ?? null,
    operation: saved?.operation ?? null,
    state: saved?.state ?? null,
    ended_at: saved?.ended_at ?? null,
    not_before: saved?.not_before ?? null,
    holds: saved?.holds ?? null,
    standing: saved?.standing ?? null,
    urgency: saved?.urgency ?? null
  }
}

/** The names of doubtful writes that do stand. Their rows are locked, so an earlier try has ended by now. */
const settledOf = Effect.fnUntraced(function* (
  connection: Connection,
  statements: Statements,
  changes: ReadonlyArray<Pending>,
  found: ReadonlyMap<Guid, { readonly written: string }>
) {
  const doubtful = changes.filter((pending) => pending.doubtful && found.has(pending.id))
  const names = new Set(doubtful.filter(({ id, name }) => found.get(id)!.written === name).map(({ name }) => name))
  if (doubtful.length === 0) return names
  const { rows } = yield* connection.query<{ readonly written: string }>(statements.told, [
    doubtful.map(({ id }) => id),
    doubtful.map(({ name }) => name)
  ])
  for (const { written } of rows) names.add(written)
  return names
})

const refusalFor = (
  { change, id }: Pending,
  row: { readonly version: number; readonly owner: string | null; readonly epoch: number } | undefined
): StoreError | null => {
  const as = change._tag === "Create" ? null : change.as
  if (row === undefined) return as === null ? conflict(`operation ${id} is gone`) : fenced(id)
  if (as !== null && (row.owner !== as.worker || row.epoch !== as.epoch)) return fenced(id)
  return change._tag === "Save" && row.version !== change.stored.version
    ? conflict(`operation ${id} changed since it was read`)
    : null
}

interface Placed {
  readonly id: Guid
  /** The name of the write that made it before this statement, if one did. */
  readonly written: string | null
  readonly made: string | null
  /** Whether there was room for it. */
  readonly room: boolean
  /** How many places were free before this statement, or null where they were not counted. */
  readonly places: number | null
}

/** Rows as one array for each column, in the order of the first row's keys. */
const transposed = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>): ReadonlyArray<unknown> =>
  Object.keys(rows[0]!).map((key) => {
    const column = rows.map((row) => row[key])
    return jsonColumns.has(key) ? arrayOfJson(column as ReadonlyArray<string | null>) : column
  })

const jsonColumns: ReadonlySet<string> = new Set(["operation", "entry"])

// Most of what a worker writes are such texts, and the driver would go through each of them twice. JSON has no bare control
// character, so to quote it once more escapes quotes and backslashes alone, as PostgreSQL wants them in an array's element.
const arrayOfJson = (texts: ReadonlyArray<string | null>): string =>
  `{${texts.map((text) => (text === null ? "NULL" : JSON.stringify(text))).join(",")}}`

// The bound is counted without a lock, and only where one is given. Workers that create at the same moment may pass
// it by one batch each, and by what each creates before it counts again.
const creating = (operation: string): string => `
    WITH given AS (
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::boolean[], $9::boolean[], $10::smallint[], $11::boolean[], $12::uuid[]) WITH ORDINALITY
        AS g(id, operation, state, partition_id, received_at, ended_at, not_before, holds, standing, urgency, shares,
          written, n)
    ), room AS (
      SELECT CASE WHEN $13::int IS NOT NULL
        THEN $13::int - (SELECT count(*) FROM (SELECT 1 FROM ${operation} WHERE ended_at IS NULL LIMIT $13::int) live)
        END AS places
    ), placed AS (
      SELECT g.*, k.written AS known, coalesce(
        count(*) FILTER (WHERE k.id IS NULL) OVER (ORDER BY n) <= (SELECT places FROM room), true) AS room
      FROM given g LEFT JOIN ${operation} k ON k.id = g.id
    ), made AS (
      INSERT INTO ${operation} (id, operation, state, partition_id, version, written, epoch, received_at, ended_at,
        not_before, holds, standing, urgency, shares)
      SELECT id, operation, state, partition_id, 1, written, 0, received_at, ended_at, not_before, holds, standing,
        urgency, shares
      FROM placed WHERE known IS NULL AND room ORDER BY n
      ON CONFLICT (id) DO NOTHING RETURNING id
    )
    SELECT p.id, p.known AS written, m.id AS made, p.room, (SELECT places FROM room) AS places
    FROM placed p LEFT JOIN made m ON m.id = p.id`

const statementsOf = (schema: string) => {
  const operation = `"${schema}".operation`
  const evidence = `"${schema}".evidence`
  return {
    create: creating(operation),
    written: `SELECT id, written FROM ${operation} WHERE id = ANY($1::text[])`,
    // In the order of ids, so that two batches never wait for each other.
    lock: `SELECT id, version, written, owner, epoch FROM ${operation} WHERE id = ANY($1::text[])
      ORDER BY id FOR NO KEY UPDATE`,
    change: `
      WITH given AS (
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[],
          $8::bigint[], $9::bigint[], $10::boolean[], $11::boolean[], $12::smallint[])
          AS g(id, written, version, owner, epoch, operation, state, ended_at, not_before, holds, standing, urgency)
      ), found AS MATERIALIZED (
        SELECT id, version, owner, epoch FROM ${operation} WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE
      ), taken AS MATERIALIZED (
        SELECT g.* FROM given g JOIN found f ON f.id = g.id
        WHERE (g.version IS NULL OR g.version = f.version)
          AND (g.owner IS NULL OR (g.owner = f.owner AND g.epoch = f.epoch))
      ), saved AS (
        UPDATE ${operation} o SET operation = t.operation, state = t.state, version = o.version + 1,
          written = t.written, ended_at = t.ended_at, not_before = t.not_before, holds = t.holds,
          standing = t.standing, urgency = t.urgency
        FROM taken t WHERE o.id = t.id AND t.version IS NOT NULL RETURNING 1
      ), last AS MATERIALIZED (
        SELECT t.id, t.written, coalesce((SELECT max(p.seq) FROM ${evidence} p WHERE p.operation_id = t.id), 0) AS seq
        FROM taken t
      ), appended AS (
        INSERT INTO ${evidence} (operation_id, seq, written, entry)
        SELECT l.id, l.seq + e.place, l.written, e.entry
        FROM unnest($13::text[], $14::int[], $15::text[]) AS e(id, place, entry) JOIN last l ON l.id = e.id
      )
      SELECT id, version, owner, epoch, (SELECT count(*) FROM saved) AS saved FROM found`,
    told: `SELECT DISTINCT written FROM ${evidence} WHERE operation_id = ANY($1::text[]) AND written = ANY($2::uuid[])`,
    save: `
      UPDATE ${operation} o SET operation = d.operation, state = d.state, version = o.version + 1, written = d.written,
        ended_at = d.ended_at, not_before = d.not_before, holds = d.holds, standing = d.standing, urgency = d.urgency
      FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], $7::boolean[],
        $8::smallint[], $9::uuid[], $10::bigint[], $11::text[], $12::bigint[])
        AS d(id, operation, state, ended_at, not_before, holds, standing, urgency, written, version, owner, epoch)
      WHERE o.id = d.id AND o.version = d.version AND (d.owner IS NULL OR (o.owner = d.owner AND o.epoch = d.epoch))`,
    append: `
      INSERT INTO ${evidence} (operation_id, seq, written, entry)
      SELECT d.id, coalesce(l.last, 0) + d.place, d.written, d.entry
      FROM unnest($1::text[], $2::uuid[], $3::int[], $4::text[]) AS d(id, written, place, entry)
      LEFT JOIN LATERAL (SELECT max(seq) AS last FROM ${evidence} e WHERE e.operation_id = d.id) l ON true`
  }
}

type Statements = ReturnType<typeof statementsOf>
