/**
 * What comes of looking for a member's process on its host: the process, or why it was not found or not believed. A
 * host that only did not tell in time may tell it the next time.
 */
import { describeHostError, type HostError } from "@inquorate/core/Host"
import type { Member, ProcessRef } from "@inquorate/core/Topology"

/** The process, or, in words for a person, why it was not found or not believed. */
export type Located = { readonly process: ProcessRef; readonly problem: "" } | ({ readonly process: null } & Unseen)

/** Why nothing was seen or believed. */
export interface Unseen {
  /** In words for a person. */
  readonly problem: string
  /** What nobody told, in time or at all: nothing speaks against the process. Left out where something does. */
  readonly untold?: "Late" | "Never"
}

/** How a member tells that its process was not told. */
export const untoldOf = (located: Located): Pick<Member, "processLate" | "processUnknown"> =>
  located.process !== null || located.untold === undefined
    ? {}
    : { processUnknown: true, ...(located.untold === "Late" ? { processLate: true } : {}) }

/** What an error of a host makes of a look. `problem` is the error in words, unless there are better ones. */
export const unseen = (error: HostError, problem: string = describeHostError(error)): Unseen => ({
  problem,
  untold: error.reason === "LostAnswer" ? "Late" : "Never"
})
