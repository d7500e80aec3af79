/**
 * Operations and evidence as rows of the shared store, and every read of them. What still holds a partition is decoded
 * once per content. `written` names the content of a row for good. Its version does not, after a failover that lost a
 * write.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { EvidenceEntry } from "@inquorate/core/Evidence"
import { faultOf } from "@inquorate/core/Fault"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, type Operation, standingOrder } from "@inquorate/core/Operation"
import {
  type Elsewhere,
  isRival,
  type ListQuery,
  type StoreError,
  type Stored,
  type Tally,
  unreadableEntry,
  type UnreadableRow,
  urgencyOf,
  waitingUrgency
} from "@inquorate/core/OperationStore"
import { subjectOf } from "@inquorate/core/Request"
import { OperationState, stateOf } from "@inquorate/core/Wire"
import { brokenMost, dueOf, readEntry, readOperation, unreadableRow, writeOperation } from "../OperationRows.ts"
import type { Connection, PostgresFailure, Site } from "./StoreConnection.ts"

/** A row of an operation as it is read. */
export interface Row {
  readonly sequence: number
  readonly id: Guid
  readonly operation: string
  readonly version: number
  readonly written: string
  readonly owner: string | null
  readonly epoch: number
}

/** The columns of a `Row`. */
export const columns = "sequence, id, operation, version, written, owner, epoch"

/** The database's own clock in whole milliseconds; moves within a transaction. */
export const databaseNow = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

/** The columns that an operation decides, by name. */
export const columnsOf = (operation: Operation) => ({
  id: operation.id,
  operation: writeOperation(operation),
  state: stateOf(operation.stage),
  partition_id: subjectOf(operation.request),
  received_at: operation.receivedAt,
  ended_at: operation.endedAt,
  // Only delays are counted by the database's clock.
  not_before: dueOf(operation),
  holds: holdsPartition(operation),
  standing: standingOrder(operation) !== null,
  urgency: urgencyOf(operation),
  shares: faultOf(operation.request).sharesProcess
})

/** A question for `OperationStore.rivals`. */
export interface RivalsQuestion {
  readonly subject: Guid
  readonly elsewhere: Elsewhere
}

/** A question for `OperationStore.evidence`. */
export interface EvidenceQuestion {
  readonly id: Guid
  readonly from: number
}

/** Reads of rows over a connection, and how a row becomes an operation. */
export interface Rows {
  readonly decode: (row: Row) => Result.Result<Stored, StoreError>
  /** Keeps what was just written under this name, so that it need not be read again. */
  readonly remember: (operation: Operation, written: string) => void
  /** Those of these operations that there are, by id; one that cannot be read is its own failure. */
  readonly getAll: (
    connection: Connection,
    ids: ReadonlyArray<Guid>
  ) => Effect.Effect<ReadonlyMap<Guid, Result.Result<Stored, StoreError>>, PostgresFailure>
  /** The rivals of each of these questions, in their order. */
  readonly rivals: (
    connection: Connection,
    questions: ReadonlyArray<RivalsQuestion>
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<Stored>>, PostgresFailure>
  readonly list: (
    connection: Connection,
    query: ListQuery
  ) => Effect.Effect<ReadonlyArray<Stored>, StoreError | PostgresFailure>
  readonly holding: (connection: Connection) => Effect.Effect<ReadonlyArray<Stored>, StoreError | PostgresFailure>
  /** True while nothing was left out because it cannot be read. */
  readonly allReadable: () => boolean
  readonly unreadable: (connection: Connection) => Effect.Effect<ReadonlyArray<UnreadableRow>, PostgresFailure>
  readonly census: (connection: Connection) => Effect.Effect<ReadonlyArray<Tally>, PostgresFailure>
  /** The entries that each of these questions asks for, in their order. */
  readonly evidence: (
    connection: Connection,
    questions: ReadonlyArray<EvidenceQuestion>
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<EvidenceEntry>>, PostgresFailure>
  /** What a hint may have been missed about: all that holds a partition, and what ended within the last minute. */
  readonly lively: (
    connection: Connection
  ) => Effect.Effect<ReadonlyArray<{ readonly id: Guid; readonly version: number }>, PostgresFailure>
}

/** Makes the reads of one store. */
export const make = (site: Site): Rows => {
  const operation = `"${site.schema}".operation`
  const remembered = new Map<Guid, { readonly written: string; readonly operation: Operation }>()

  // What another worker ends is not read here again. So everything that is remembered is let go when it grows large.
  const remember = (operation: Operation, written: string): void => {
    if (remembered.size >= rememberedMost) remembered.clear()
    if (holdsPartition(operation)) remembered.set(operation.id, { written, operation })
    else remembered.delete(operation.id)
  }
  const decode = (row: Row): Result.Result<Stored, StoreError> => {
    const { epoch, owner, version } = row
    const known = remembered.get(row.id)
    if (known?.written === row.written) return Result.succeed({ operation: known.operation, version, owner, epoch })
    return Result.mapBoth(readOperation(row.operation), {
      onSuccess: (operation): Stored => {
        remember(operation, row.written)
        return { operation, version, owner, epoch }
      },
      onFailure: (problem) => unreadableRow(site.where, `operation ${row.id}`, problem.message)
    })
  }
  // A row that cannot be read is left out and told, so that it takes nothing of the others with it.
  const broken = new Map<Guid, string>()
  const readable = (rows: ReadonlyArray<Row>): ReadonlyArray<Stored> =>
    rows.flatMap((row) => {
      const decoded = decode(row)
      if (Result.isSuccess(decoded)) broken.delete(row.id)
      else if (broken.size < brokenMost || broken.has(row.id)) broken.set(row.id, decoded.failure.detail)
      return Result.isSuccess(decoded) ? [decoded.success] : []
    })
  const page = (
    connection: Connection,
    query: ListQuery,
    found: ReadonlyArray<Stored>
  ): Effect.Effect<ReadonlyArray<Stored>, PostgresFailure> =>
    Effect.flatMap(connection.query<Row>(...listStatement(operation, query)), ({ rows }) => {
      const all = [...found, ...readable(rows)]
      return rows.length < query.limit || all.length >= query.limit
        ? Effect.succeed(all.slice(0, query.limit))
        : page(connection, { ...query, after: rows.at(-1)!.id }, all)
    })

  return {
    decode,
    remember,
    getAll: (connection, ids) =>
      Effect.map(
        connection.query<Row>(`SELECT ${columns} FROM ${operation} WHERE id = ANY($1::text[])`, [[...new Set(ids)]]),
        ({ rows }) => new Map(rows.map((row) => [row.id, decode(row)]))
      ),
    rivals: (connection, questions) => {
      const standing = questions.some(({ elsewhere }) => elsewhere === "Standing")
        ? "standing"
        : questions.some(({ elsewhere }) => elsewhere === "Exclusive")
          ? "standing AND NOT shares"
          : null
      const select = `SELECT ${columns} FROM ${operation} WHERE`
      const there = `${select} holds AND partition_id = ANY($1::text[])`
      return Effect.map(
        connection.query<Row>(
          // These are two walks of an index. As one condition they might walk neither.
          standing === null ? there : `${there} UNION ALL ${select} ${standing} AND partition_id <> ALL($1::text[])`,
          [[...new Set(questions.map(({ subject }) => subject))]]
        ),
        ({ rows }) => {
          const found = readable([...rows].sort((a, b) => a.sequence - b.sequence))
          // What stands elsewhere is the same for every question of the message.
          const standing = (elsewhere: Elsewhere): ReadonlySet<Stored> =>
            new Set(found.filter(({ operation }) => isRival(operation, nobody, elsewhere)))
          const there = { None: new Set<Stored>(), Exclusive: standing("Exclusive"), Standing: standing("Standing") }
          return questions.map(({ elsewhere, subject }) =>
            found.filter((one) => isRival(one.operation, subject, "None") || there[elsewhere].has(one))
          )
        }
      )
    },
    list: (connection, query) => page(connection, query, []),
    allReadable: () => broken.size === 0,
    unreadable: (connection) =>
      Effect.suspend(() =>
        broken.size === 0
          ? Effect.succeed([])
          : Effect.map(
              connection.query<Row & Pick<UnreadableRow, "state" | "subject" | "holds">>(
                `SELECT ${columns}, state, partition_id AS subject, holds FROM ${operation} WHERE id = ANY($1::text[])
                   ORDER BY sequence`,
                [[...broken.keys()]]
              ),
              ({ rows }) => {
                // A row that was removed or mended since is none any more.
                broken.clear()
                return rows.flatMap((row) => {
                  if (readable([row]).length > 0) return []
                  const { holds, id, state, subject } = row
                  return [{ id, state, subject, holds, problem: broken.get(id)! }]
                })
              }
            )
      ),
    holding: (connection) =>
      connection.query<Row>(`SELECT ${columns} FROM ${operation} WHERE holds ORDER BY sequence`).pipe(
        Effect.tap(({ rows }) => Effect.sync(() => forget(remembered, rows))),
        Effect.map(({ rows }) => readable(rows))
      ),
    census: (connection) =>
      Effect.map(
        connection.query<Tally>(
          `SELECT state, urgency = ${waitingUrgency} AS waiting, count(*)::int AS count FROM ${operation} WHERE holds
           GROUP BY 1, 2`
        ),
        ({ rows }) => rows
      ),
    evidence: (connection, questions) => evidenceOf(site, connection, questions),
    lively: (connection) =>
      Effect.map(
        connection.query<{ readonly id: Guid; readonly version: number }>(
          `SELECT id, version FROM ${operation} WHERE holds
           UNION ALL SELECT id, version FROM ${operation}
             WHERE ended_at IS NOT NULL AND NOT holds AND ended_at > (SELECT ${databaseNow}) - 60000`
        ),
        ({ rows }) => rows
      )
  }
}

// --- internal ---

/** The subject of no operation. */
const nobody: Guid = ""

const evidenceOf = (
  site: Site,
  connection: Connection,
  questions: ReadonlyArray<EvidenceQuestion>
): Effect.Effect<ReadonlyArray<ReadonlyArray<EvidenceEntry>>, PostgresFailure> =>
  Effect.map(
    connection.query<{ readonly question: number; readonly seq: number; readonly entry: string }>(
      `SELECT q.question, e.seq, e.entry
       FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS q(id, after, question)
         JOIN "${site.schema}".evidence e ON e.operation_id = q.id AND e.seq > q.after
       ORDER BY q.question, e.seq`,
      [questions.map(({ id }) => id), questions.map(({ from }) => from)]
    ),
    ({ rows }) => {
      const answers = questions.map((): Array<EvidenceEntry> => [])
      for (const { entry, question, seq } of rows) {
        const entries = answers[question - 1]!
        entries.push(Result.getOrElse(readEntry(entry), ({ message }) => unreadableEntry(seq, message, entries.at(-1))))
      }
      return answers
    }
  )

/** How many operations are remembered as they were read. */
const rememberedMost = 20_000

// What another worker ended is never read here again; it must not be remembered for ever.
const forget = (remembered: Map<Guid, unknown>, holding: ReadonlyArray<Row>): void => {
  if (remembered.size <= holding.length) return
  const kept = new Set(holding.map(({ id }) => id))
  for (const id of remembered.keys()) if (!kept.has(id)) remembered.delete(id)
}

// A cursor that was pruned stood among the oldest. Nothing comes after it backward, and everything does forward.
const listStatement = (table: string, query: ListQuery): readonly [string, ReadonlyArray<unknown>] => {
  const { after, limit, newestFirst } = query
  const [beyond, order, end] = newestFirst ? ["<", "DESC", "-1"] : [">", "ASC", "0"]
  const start = newestFirst ? "9223372036854775807" : "0"
  const cursor = after === null ? start : `coalesce((SELECT sequence FROM ${table} WHERE id = $2), ${end})`
  const page = (where: string): string =>
    `SELECT ${columns} FROM ${table} WHERE ${where}sequence ${beyond} ${cursor} ORDER BY sequence ${order} LIMIT $1`
  const wanted = [...new Set(query.states)]
  const values = after === null ? [limit] : [limit, after]
  if (wanted.length === 0 || wanted.length >= OperationState.literals.length) return [page(""), values]
  // One walk of the index for each state and a merge: a filter over several states never sorts the whole table.
  const pages = wanted.map((_, index) => `(${page(`state = $${values.length + 1 + index} AND `)})`)
  const merged = `SELECT * FROM (${pages.join(" UNION ALL ")}) pages ORDER BY sequence ${order} LIMIT $1`
  return [merged, [...values, ...wanted]]
}
