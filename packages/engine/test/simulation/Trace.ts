/**
 * What happened in one life, line by line. Every line goes into the hash that tells two lives apart; the lines themselves
 * are kept only where somebody wants to read them.
 */
import type { Millis } from "@inquorate/core/Time"
import { digest } from "@inquorate/testkit/Seed"

/** The trace of one life. */
export interface Trace {
  readonly write: (line: string) => void
  readonly hash: () => string
  readonly lines: () => ReadonlyArray<string>
}

/** Begins a trace; keeps the lines where `keep` says so. */
export const make = (now: () => Millis, keep: boolean): Trace => {
  const lines: Array<string> = []
  let hash = digest("")
  let other = digest("other")
  return {
    write: (line) => {
      const stamped = `${now()} ${line}`
      hash = digest(stamped, hash)
      other = digest(stamped, other ^ hash)
      if (keep) lines.push(stamped)
    },
    hash: () => (hash.toString(16) + other.toString(16)).padStart(16, "0"),
    lines: () => lines
  }
}
