/**
 * How patient a test is. A bound that a test needs is multiplied by a factor: how many times more slowly this machine
 * starts processes than a quick one. The run measures the factor at its start and prints it.
 */
import type { Millis } from "@inquorate/core/Time"

/** The factor of this run, 1 where none was measured. */
export const factor = Math.max(1, Number(process.env["INQUORATE_FACTOR"] ?? "1"))

/** The bound of time on this machine that matches a bound on a quick, quiet one. */
export const within = (millis: Millis): Millis => Math.ceil(millis * factor)
