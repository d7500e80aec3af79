/**
 * What comes of looking for a member's process on its host: the process, or why it was not found or not believed. A
 * host that only did not tell in time may tell it the next time.
 */
import { describeHostError, type HostError } from "@inquorate/core/Host"
import type { ProcessRef } from "@inquorate/core/Topology"

/** The process, or, in words for a person, why it was not found or not believed. */
export type Located =
  | { readonly process: ProcessRef; readonly problem: "" }
  | { readonly process: null; readonly problem: string; readonly isLate?: boolean }

/** Why nothing was seen, in words for a person. `isLate` is true where the host did not tell in time. */
export interface Unseen {
  readonly problem: string
  readonly isLate: boolean
}

/** What an error of a host makes of a look. `problem` is the error in words, unless there are better ones. */
export const unseen = (error: HostError, problem: string = describeHostError(error)): Unseen => ({
  problem,
  isLate: error.reason === "LostAnswer"
})
