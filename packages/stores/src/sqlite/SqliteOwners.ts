/**
 * Who owns what holds a partition, in memory beside the rows. A heartbeat and a claim ask it several times a second.
 * With thousands owned, reading every row each time would keep everything else waiting. No other process writes the
 * file, so only what was written here since the last look is read again. Nothing of an operation itself is kept.
 */
import type { DatabaseSync } from "node:sqlite"
import type { Guid } from "@inquorate/core/Guid"
import { pauseMost } from "@inquorate/core/Operation"
import type { Instant } from "@inquorate/core/Time"

/** One operation that holds its partition. */
export interface Owned {
  readonly id: Guid
  readonly version: number
  readonly epoch: number
}

/** Who owns what holds a partition. */
export interface Owners {
  /** Says that the operation's row was written, or may have been. */
  readonly touch: (id: Guid) => void
  /** Says that a fresh operation was stored as this row, or may have been. */
  readonly created: (sequence: number) => void
  /**
   * Reads again what was written. Inside a transaction it will be read once more afterwards, since a rollback would
   * take it back.
   */
  readonly look: () => void
  /** What a worker owns, in the order it was received. */
  readonly ownedBy: (worker: string) => ReadonlyArray<Owned>
  /** What is due and owned by nobody, or by a worker that is not alive, the most urgent and the oldest first. */
  readonly claimable: (now: Instant, isAlive: (worker: string) => boolean) => ReadonlyArray<Guid>
}

/** Reads who owns what at the first look. */
export const make = (database: DatabaseSync): Owners => {
  const columns = "id, sequence, urgency, not_before AS notBefore, owner, version, epoch"
  const one = database.prepare(`SELECT ${columns} FROM operation WHERE holds = 1 AND id = ?`)
  const since = database.prepare(`SELECT ${columns} FROM operation WHERE holds = 1 AND sequence >= ? ORDER BY sequence`)
  const rows = new Map<Guid, OwnerRow>()
  const byOwner = new Map<string | null, Map<Guid, OwnerRow>>()
  const touched = new Set<Guid>()
  // Where the rows begin that were stored since the last look; at first these are all. They lie side by side, so that to
  // read them all at once costs far less than to look for each of them by its id.
  let fresh = 0

  const remove = (id: Guid): void => {
    const known = rows.get(id)
    if (known === undefined) return
    rows.delete(id)
    const beside = byOwner.get(known.owner)
    beside?.delete(id)
    if (beside?.size === 0) byOwner.delete(known.owner)
  }
  const put = (row: OwnerRow): void => {
    if (rows.get(row.id)?.owner !== row.owner) remove(row.id)
    rows.set(row.id, row)
    const beside = byOwner.get(row.owner)
    if (beside === undefined) byOwner.set(row.owner, new Map([[row.id, row]]))
    else beside.set(row.id, row)
  }

  return {
    touch: (id) => void touched.add(id),
    created: (sequence) => void (fresh = Math.min(fresh, sequence)),
    look: () => {
      const { isTransaction } = database
      if (fresh < Infinity) {
        for (const row of since.iterate(fresh)) {
          put(row as unknown as OwnerRow)
          if (isTransaction) touched.add(String(row["id"]))
        }
      }
      for (const id of touched) {
        const row = one.get(id)
        if (row === undefined) remove(id)
        else put(row as unknown as OwnerRow)
      }
      // A rollback may yet take back what a transaction shows.
      if (isTransaction) return
      touched.clear()
      fresh = Infinity
    },
    ownedBy: (worker) =>
      [...(byOwner.get(worker)?.values() ?? [])]
        .sort(bySequence)
        .map(({ epoch, id, version }) => ({ id, version, epoch })),
    claimable: (now, isAlive) => {
      const due: Array<OwnerRow> = []
      for (const [owner, beside] of byOwner) {
        if (owner !== null && isAlive(owner)) continue
        for (const row of beside.values()) if (row.notBefore <= now || row.notBefore > now + pauseMost) due.push(row)
      }
      return due.sort((a, b) => a.urgency - b.urgency || bySequence(a, b)).map(({ id }) => id)
    }
  }
}

// --- internal ---

interface OwnerRow extends Owned {
  readonly sequence: number
  readonly urgency: number
  readonly notBefore: Instant
  readonly owner: string | null
}

const bySequence = (a: OwnerRow, b: OwnerRow): number => a.sequence - b.sequence
