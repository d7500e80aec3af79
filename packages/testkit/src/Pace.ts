/**
 * How patient a test is. A bound that has to be there follows the factor by which this machine starts processes more
 * slowly than a quick one; the run measures it at its start and prints it.
 */
import type { Millis } from "@inquorate/core/Time"

/** The factor of this run, 1 where none was measured. */
export const factor = Math.max(1, Number(process.env["INQUORATE_FACTOR"] ?? "1"))

/** A bound of time on this machine, from what it is on a quick quiet one. */
export const within = (millis: Millis): Millis => Math.ceil(millis * factor)
