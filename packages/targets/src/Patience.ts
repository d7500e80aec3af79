/**
 * How long an answer is waited for: as long as those before it let one expect, between a floor and a ceiling. A host or a
 * server that is slow today is waited for longer from its first slow answer on, and one that is quick again no longer than
 * before.
 */
import type { Millis } from "@inquorate/core/Time"

/** How long one kind of answer is waited for. */
export interface Patience {
  readonly within: () => Millis
  /** Says how long an answer took that came now, on the monotonic clock; or took at least, where it was given up. */
  readonly took: (millis: Millis, now: Millis) => void
  /** Says that who was asked stood still just now: how long an answer takes that is open says nothing. */
  readonly excuse: (now: Millis) => void
}

/** Patience that knows of no answer yet. */
export const make = ({ ceiling, floor }: { readonly floor: Millis; readonly ceiling: Millis }): Patience => {
  let recent: ReadonlyArray<Millis> = []
  let excused = -Infinity
  return {
    within: () => Math.min(ceiling, Math.max(floor, Math.ceil(spread * Math.max(0, ...recent)))),
    took: (millis, now) => {
      // What took longer than anybody waits stood still meanwhile as well, seen or unseen.
      if (millis > ceiling || now - millis <= excused) return
      recent = [...recent.slice(1 - kept), millis]
    },
    excuse: (now) => void (excused = now)
  }
}

/** An answer of a server: 800 ms where it is quick, so that a look ends within a second while members stand still. */
export const answers = { floor: 800, ceiling: 4000 }

/** How much longer than its answers a whole look may take, so that what came last is still read. */
export const slack: Millis = 150

// --- internal ---

/** How many answers are remembered. */
const kept = 8
/** How much longer than the slowest of them the next one may take: two looks at one busy host differ by that much. */
const spread = 3
