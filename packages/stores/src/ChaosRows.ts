/**
 * What chaos stores as JSON, in both stores alike, and the words for what stands in the way of a write.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ChaosEvent, type NumberedChaosEvent } from "@inquorate/core/Chaos"
import { ChaosState, initialState } from "@inquorate/core/ChaosRun"
import type { StoredChaos } from "@inquorate/core/ChaosStore"
import { StoreError } from "@inquorate/core/OperationStore"
import { formatInstant, type Instant } from "@inquorate/core/Time"
import { unreadableRow } from "./OperationRows.ts"

/** The row of the state, as both databases give it. */
export interface ChaosRow {
  readonly state: string
  readonly version: number
  readonly driver: string | null
  readonly epoch: number
}

/** The row of an event. */
export interface ChaosEventRow {
  readonly sequence: number
  readonly at: Instant
  readonly event: string
}

/** The state as JSON. */
export const writeState = Schema.encodeSync(Schema.fromJsonString(ChaosState))

/** An event as JSON. */
export const writeEvent = Schema.encodeSync(Schema.fromJsonString(ChaosEvent))

/** The state before anything was stored, as JSON. */
export const initialJson: string = writeState(initialState)

/** Reads a row, or says which store holds what cannot be read. */
export const readState = (where: string, row: ChaosRow): Result.Result<StoredChaos, StoreError> =>
  Result.mapBoth(decodeState(row.state), {
    onSuccess: (state): StoredChaos => ({ state, version: row.version, driver: row.driver, epoch: row.epoch }),
    onFailure: ({ message }) => unreadableRow(where, "the state of chaos", message)
  })

/** Reads the row of an event. A row that cannot be read is told in its place, so that it hides none of the others. */
export const readEvent = (where: string, { at, event, sequence }: ChaosEventRow): NumberedChaosEvent =>
  Result.match(decodeEvent(event), {
    onSuccess: (event) => ({ sequence, event }),
    onFailure: ({ message }): NumberedChaosEvent => ({
      sequence,
      event: {
        Kind: "Waiting",
        TimeStampUtc: formatInstant(at),
        Reason: unreadableRow(where, `the chaos event ${sequence}`, message).detail
      }
    })
  })

/** Another worker drives chaos now. */
export const chaosFenced = (): StoreError =>
  new StoreError({ reason: "Fenced", detail: "another worker drives chaos now" })

/** The state of chaos changed since it was read. */
export const chaosConflict = (): StoreError =>
  new StoreError({ reason: "Conflict", detail: "the state of chaos changed since it was read" })

// --- internal ---

const decodeState = Schema.decodeUnknownResult(Schema.fromJsonString(ChaosState))
const decodeEvent = Schema.decodeUnknownResult(Schema.fromJsonString(ChaosEvent))
