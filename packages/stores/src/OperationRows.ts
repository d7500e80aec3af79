/**
 * An operation and its evidence as the columns of a row, the same in every store; and what is said of a row that cannot
 * be read.
 */
import * as Schema from "effect/Schema"
import { EvidenceEntry } from "@inquorate/core/Evidence"
import { Operation } from "@inquorate/core/Operation"
import { StoreError } from "@inquorate/core/OperationStore"
import type { Instant } from "@inquorate/core/Time"

const OperationJson = Schema.fromJsonString(Operation)
const EntryJson = Schema.fromJsonString(EvidenceEntry)
// Every move writes some. To write the JSON by the schema as well would start a fiber for each.
const encodeOperation = Schema.encodeSync(Operation)
const encodeEntry = Schema.encodeSync(EvidenceEntry)

/** Reads an operation from its column. */
export const readOperation = Schema.decodeUnknownResult(OperationJson)

/** An operation as it is stored. */
export const writeOperation = (operation: Operation): string => JSON.stringify(encodeOperation(operation))

/** Reads an entry of evidence from its column. */
export const readEntry = Schema.decodeUnknownResult(EntryJson)

/** An entry of evidence as it is stored. */
export const writeEntry = (entry: EvidenceEntry): string => JSON.stringify(encodeEntry(entry))

/** How many rows that cannot be read are told of at most. */
export const brokenMost = 1000

/** From when it may be claimed. A fresh operation is due at once, whatever a clock said when it was received. */
export const dueOf = ({ notBefore, receivedAt }: Operation): Instant => (notBefore <= receivedAt ? 0 : notBefore)

/** Says that the store at `where` holds a row that cannot be read. */
export const unreadableRow = (where: string, what: string, problem: string): StoreError =>
  new StoreError({
    reason: "Unavailable",
    detail: `The store ${where} holds ${what} in a form that cannot be read: ${problem}. Nothing was dropped or changed.`
  })
