/**
 * The news of a store: which operations changed. Writes that share a commit share their news as well, so that whoever
 * listens is woken once for all of them.
 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type { Guid } from "@inquorate/core/Guid"
import type { Change } from "@inquorate/core/OperationStore"

/** Tells that an operation changed, and by whom: together with all that is told in the same turn. */
export type Tell = (id: Guid, by?: string) => Effect.Effect<void>

/** A way to tell those who listen. */
export const teller = (changes: PubSub.PubSub<Change>): Tell => {
  let news: Array<Change> = []
  const publish = (): void => {
    const told = news
    news = []
    Effect.runSync(PubSub.publishAll(changes, told))
  }
  return (id, by) =>
    Effect.withFiber((fiber) => {
      // This goes through the fiber's own scheduler, so that a simulated clock waits for it like for any other step.
      if (news.length === 0) fiber.currentDispatcher.scheduleTask(publish, 0)
      news.push({ id, by: by ?? null })
      return Effect.void
    })
}
