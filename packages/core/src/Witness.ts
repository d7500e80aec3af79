/**
 * The port of a witness. It is something that depends on the cluster, such as a service that stores in it. It is asked
 * gently through a whole operation, so that the evidence says what it suffered.
 */
import type * as Effect from "effect/Effect"
import type { WitnessAnswer } from "./Evidence.ts"
import type { Millis } from "./Time.ts"

/** Something that depends on the cluster. It is asked one question at a time. */
export interface Witness {
  readonly name: string
  /** How long after an answer it is asked again; never less than `gentlest`. */
  readonly every: Millis
  /** Asks it once. It bounds itself in time and bytes. A witness that depends on nothing that is gone serves. */
  readonly ask: Effect.Effect<WitnessAnswer>
}

/** How long a witness is left alone between two questions at the least. */
export const gentlest: Millis = 1000
