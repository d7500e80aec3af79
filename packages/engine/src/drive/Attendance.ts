/**
 * For how long of a fault nobody of ours watched: between the last word of an earlier owner and this drive's first look, and
 * while this drive's own process was frozen. A gap that was closed stands in the evidence.
 */
import type { Instant, Millis } from "@inquorate/core/Time"
import type { Journal } from "./Journal.ts"
import type { Timeline } from "./Timeline.ts"

/** For how long nobody of ours watched. */
export interface Attendance {
  /** Closes the gap that is open, if one is: somebody watches again. */
  readonly resume: () => void
  /** Tells that this drive itself was not there for so long until now. */
  readonly wasAway: (span: Millis) => void
  /** How long nobody watched in all, by every drive of the operation. */
  readonly unobserved: () => Millis
  /** How long this drive itself was not there. */
  readonly frozen: () => Millis
}

/** The attendance of one drive; `since` is when an earlier owner was last seen to watch, null where there is no gap. */
export const make = (
  journal: Pick<Journal, "note">,
  timeline: Timeline,
  before: { readonly unobserved: Millis; readonly since: Instant | null }
): Attendance => {
  let { since, unobserved } = before
  let frozen: Millis = 0
  const resume = (): void => {
    if (since === null) return
    const span = Math.max(0, timeline.now() - since)
    since = null
    if (span === 0) return
    unobserved += span
    journal.note({ _tag: "Unobserved", span })
  }
  return {
    resume,
    wasAway: (span) => {
      frozen += span
      since ??= timeline.now() - span
      resume()
    },
    unobserved: () => unobserved,
    frozen: () => frozen
  }
}
