/**
 * What one drive knows beyond the stored operation, as a value. Each action is given what was known when it began, and its
 * session keeps what it learns for the next one. It is lost with the drive: the next drive recalls it from the evidence, and
 * asks the hosts.
 */
import type { Cluster } from "@inquorate/core/Cluster"
import type { Evidence, SurvivorsWord } from "@inquorate/core/Evidence"
import type { Operation } from "@inquorate/core/Operation"
import type { Instant, Millis } from "@inquorate/core/Time"
import type { Topology } from "@inquorate/core/Topology"
import type { Prober } from "./Prober.ts"

// --- models ---

/** The group that a drive watches. */
export interface Place {
  readonly cluster: Cluster
  readonly group: string
  readonly prober: Prober
  /** The group as it was last seen before the fault; null where no look-up has seen it yet. */
  readonly topology: Topology | null
}

/** What a drive knows of the fences of the order that stands. */
export type Fences =
  /** An earlier drive ordered them, or this one was cut off while it sent the order. Only the hosts know. */
  | { readonly _tag: "Unknown" }
  | Ordered
  /** Their hosts have said that they are armed, at this moment. */
  | { readonly _tag: "Armed"; readonly at: Instant }

/** This drive ordered the fences and has sent nothing yet. */
export interface Ordered {
  readonly _tag: "Ordered"
  /** How long the loss may take to show, by what hosts, store and writes were last seen to need. */
  readonly verifyWithin: Millis
  /** Since when, on the monotonic clock, the order has been made anew because it was late; null where it has not. */
  readonly waitingSince: Millis | null
}

/** What one drive knows beyond the stored operation. */
export interface Known {
  /** Null where no cluster of that name is configured, and for a node, whose members may be of several clusters. */
  readonly place: Place | null
  readonly fences: Fences
  /** What the epochs on the hosts of another operation's fences begin at, which this operation lifts. */
  readonly standingEpoch: number
  /** When the loss began, once it was proven. */
  readonly lossBegan: Instant | null
  /** When the lift of this attempt was first sent, by this drive or as stored by an earlier one. */
  readonly liftSentAt: Instant | null
  /** When the last fence was off, once all are. */
  readonly liftedAt: Instant | null
  /** What the survivors have said since the fences were armed. */
  readonly survivors: ReadonlyArray<SurvivorsWord>
}

// --- make ---

/** What is known of an attempt whose order is only about to be stored. */
export const ordered = (verifyWithin: Millis): Omit<Known, "place" | "standingEpoch"> => ({
  fences: { _tag: "Ordered", verifyWithin, waitingSince: null },
  lossBegan: null,
  liftSentAt: null,
  liftedAt: null,
  survivors: []
})

/** What the evidence of earlier drives tells of the present attempt. */
export const recall = (operation: Operation, evidence: Evidence): Omit<Known, "place" | "standingEpoch"> => {
  const verifying = evidence.phases.findLast(({ phase }) => phase === "Verifying")
  const lifting = evidence.phases.findLast(({ phase }) => phase === "Lifting" || phase === "Undoing")
  return {
    fences: { _tag: "Unknown" },
    lossBegan: lossBeganOf(operation),
    liftSentAt: lifting !== undefined && lifting.attempt === operation.attempt ? lifting.began : null,
    liftedAt: null,
    survivors: evidence.survivors
      .filter(({ at }) => verifying !== undefined && at >= verifying.began)
      .map(({ detail, word }) => ({ detail, word }))
  }
}

/** When the loss began, by the stored operation; null where that does not say. */
export const lossBeganOf = ({ stage }: Operation): Instant | null =>
  stage._tag === "Advancing" && stage.step._tag === "PerformingActions" && "lossBegan" in stage.step.phase
    ? stage.step.phase.lossBegan
    : null
