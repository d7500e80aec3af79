/**
 * What holds a partition or node, in memory beside the rows, and found by what it holds. With thousands held at once,
 * every start would else look through all of them.
 */
import type { Guid } from "@inquorate/core/Guid"
import { standingOrder, standsAlone } from "@inquorate/core/Operation"
import type { Elsewhere, Stored } from "@inquorate/core/OperationStore"
import { subjectOf } from "@inquorate/core/Request"

/** What holds a partition or node. */
export interface Holding {
  readonly put: (stored: Stored) => void
  readonly remove: (id: Guid) => void
  /** In the order in which they were first put. */
  readonly all: () => ReadonlyArray<Stored>
  /** See `OperationStore.rivals`. */
  readonly rivals: (subject: Guid, elsewhere: Elsewhere) => ReadonlyArray<Stored>
}

/** Nothing holds anything. */
export const make = (): Holding => {
  const members = new Map<Guid, Stored>()
  const bySubject = new Map<Guid, Set<Guid>>()
  const exclusive = new Set<Guid>()
  let list: ReadonlyArray<Stored> | undefined = []

  const found = (ids: Iterable<Guid>): ReadonlyArray<Stored> => [...ids].map((id) => members.get(id)!)
  return {
    put: (stored) => {
      const { id, request } = stored.operation
      const subject = subjectOf(request)
      members.set(id, stored)
      const beside = bySubject.get(subject)
      if (beside === undefined) bySubject.set(subject, new Set([id]))
      else beside.add(id)
      if (standsAlone(stored.operation)) exclusive.add(id)
      else exclusive.delete(id)
      list = undefined
    },
    remove: (id) => {
      const known = members.get(id)
      if (known === undefined) return
      const subject = subjectOf(known.operation.request)
      const beside = bySubject.get(subject)
      members.delete(id)
      exclusive.delete(id)
      beside?.delete(id)
      if (beside?.size === 0) bySubject.delete(subject)
      list = undefined
    },
    all: () => (list ??= [...members.values()]),
    rivals: (subject, elsewhere) => {
      const there = bySubject.get(subject) ?? new Set<Guid>()
      if (elsewhere === "None") return found(there)
      if (elsewhere === "Exclusive") return found(new Set([...there, ...exclusive]))
      return [...members.values()].filter(
        ({ operation }) => there.has(operation.id) || standingOrder(operation) !== null
      )
    }
  }
}
