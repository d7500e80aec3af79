/**
 * The store's time, by which all workers agree, whatever their own clocks say. Every heartbeat tells it, and the
 * monotonic clock carries it on until the next one. If no heartbeat has told it for long, the store is asked. Every
 * moment that a front stores comes from here.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import type { Instant, Millis } from "@inquorate/core/Time"
import { monotonicMillis } from "../Monotonic.ts"
import { oneAsks } from "../Together.ts"
import * as Timeline from "./Timeline.ts"

/** The store's time. */
export interface StoreClock {
  /** The moment by the store's clock. */
  readonly now: Effect.Effect<Instant, StoreError>
  /** Takes what the store's clock told at some moment between these two of our monotonic clock. */
  readonly heard: (told: Instant, sentAt: Millis, answeredAt: Millis) => void
}

/** The time of one store. */
export const make = (store: Pick<OperationStore["Service"], "now">): Effect.Effect<StoreClock> =>
  Clock.clockWith((clock) => {
    let anchored: { readonly timeline: Timeline.Timeline; readonly at: Millis } | null = null
    const keep = (timeline: Timeline.Timeline, at: Millis): Timeline.Timeline => {
      anchored = { timeline, at }
      return timeline
    }
    const known = (): Timeline.Timeline | null =>
      anchored !== null && monotonicMillis(clock) - anchored.at < trustedFor ? anchored.timeline : null
    const asked = Effect.suspend(() => {
      const at = monotonicMillis(clock)
      return Effect.map(Timeline.make(store.now), (timeline) => keep(timeline, at))
    })
    return Effect.succeed({
      // Hundreds may need it at one moment.
      now: Effect.map(oneAsks(known, asked), (timeline) => timeline.now()),
      heard: (told, sentAt, answeredAt) => {
        // A slow answer says too little. What was known before, or a question of its own, says more.
        if (answeredAt - sentAt > slowAnswer) return
        keep(Timeline.between(clock, told - answeredAt, told - sentAt), answeredAt)
      }
    })
  })

// --- internal ---

/**
 * For how long our clock carries on the store's. Two clocks drift apart by far less than a millisecond in that time.
 */
const trustedFor: Millis = 5000
const slowAnswer: Millis = 50
