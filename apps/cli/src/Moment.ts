/**
 * Moments and ages as a person before this terminal reads them: in local time, with the date where it is not today's.
 */
import type { Instant, Millis } from "@inquorate/core/Time"

/** The time of day, to the second; with its date where that is not the date of `now`. */
export const localTime = (instant: Instant, now: Instant): string => {
  const time = clock(instant)
  return dateOf(instant) === dateOf(now) ? time : `${dateOf(instant)} ${time}`
}

/** The same to the millisecond. */
export const localMoment = (instant: Instant, now: Instant): string =>
  `${localTime(instant, now)}.${String(instant % 1000).padStart(3, "0")}`

/** How long ago in one unit: `3s`, `12m`, `5h`, `4d`. */
export const age = (millis: Millis): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}

// --- internal ---

const two = (number: number): string => String(number).padStart(2, "0")

const clock = (instant: Instant): string => {
  const date = new Date(instant)
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

const dateOf = (instant: Instant): string => {
  const date = new Date(instant)
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}
