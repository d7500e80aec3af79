/**
 * How long we wait for an answer: as long as the answers before it suggest, between a floor and a ceiling. From the
 * first slow answer on, we wait longer for a host or server. Once it is quick again, we wait no longer than before.
 */
import type { Millis } from "@inquorate/core/Time"

/** How long one kind of answer is waited for. */
export interface Patience {
  readonly within: () => Millis
  /**
   * Says how long an answer took that came now, on the monotonic clock. For a question that was given up, says how long
   * it took at least.
   */
  readonly took: (millis: Millis, now: Millis) => void
  /** Says that whoever was asked stood still just now. How long an answer takes that is open now tells nothing. */
  readonly excuse: (now: Millis) => void
}

/** Patience that knows of no answer yet. */
export const make = ({ ceiling, floor }: { readonly floor: Millis; readonly ceiling: Millis }): Patience => {
  let recent: ReadonlyArray<Millis> = []
  let excused = -Infinity
  return {
    within: () => Math.min(ceiling, Math.max(floor, Math.ceil(spread * Math.max(0, ...recent)))),
    took: (millis, now) => {
      // An answer that took longer than anybody waits came from a server that stood still meanwhile, whether or not
      // that was seen.
      if (millis > ceiling || now - millis <= excused) return
      recent = [...recent.slice(1 - kept), millis]
    },
    excuse: (now) => void (excused = now)
  }
}

/**
 * For answers of a server. Where it is quick we wait 800 ms, so that a look ends within a second while members stand
 * still.
 */
export const answers = { floor: 800, ceiling: 4000 }

/** How much longer than its answers a whole look may take, so that the answer that came last is still read. */
export const slack: Millis = 150

// --- internal ---

/** How many answers are remembered. */
const kept = 8
/**
 * The next answer may take so many times as long as the slowest of them: two looks at one busy host differ by that
 * much.
 */
const spread = 3
