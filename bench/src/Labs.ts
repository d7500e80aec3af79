/**
 * Labs that stand for as long as a benchmark uses them, and no longer, however it ends.
 */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as Effect from "effect/Effect"
import { stands } from "./Child.ts"

/** Uses a lab of its own. */
export const withLab = <A>(options: Lab.UpOptions, use: (lab: LabRecord) => Promise<A>): Promise<A> =>
  stands(
    Effect.acquireUseRelease(
      Lab.up(options),
      (lab) => Effect.promise(() => use(lab)),
      () => Lab.down(options.name)
    )
  )
