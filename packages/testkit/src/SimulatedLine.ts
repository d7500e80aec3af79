/**
 * A line between a process and something that serves it: a store, a host, a system under test. A question and its
 * answer each take their time, and either may be lost, come late, or come again. The asker knows only what it hears.
 */
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { Millis } from "@inquorate/core/Time"
import type { Process, Time } from "./SimulatedTime.ts"

/** What becomes of one question: how long each way takes, or null where it is lost. */
export interface Fate {
  readonly there: Millis | null
  readonly back: Millis | null
  /** After how long the question comes once more, or null where it comes once. */
  readonly again: Millis | null
  /** How long the asker waits before it takes the answer for lost. */
  readonly patience: Millis
}

/**
 * A point in the life of a question: it is about to be sent, it was just served, or its answer is about to be heard.
 */
export type Point = "Sending" | "Served" | "Answered"

/** One question. */
export interface Question<A, E> {
  readonly asker: Process
  readonly server: Process
  readonly fate: Fate
  /** What the server does with the question when it arrives. */
  readonly serve: () => Result.Result<A, E>
  /** What the asker makes of hearing nothing. */
  readonly unheard: () => E
  /** Called at each point, before anything more happens. It may freeze or kill the asker. */
  readonly at: (point: Point) => void
}

/** Asks a question over a line. A caller that is interrupted stops waiting, but the question goes on. */
export const ask = <A, E>(time: Time, question: Question<A, E>): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    const { asker, at, fate, serve, server, unheard } = question
    if (asker.state() === "Dead") return
    at("Sending")
    let heard = false
    const hear = (answer: Effect.Effect<A, E>): void => {
      if (heard) return
      heard = true
      resume(answer)
    }
    const send = (): void => {
      const heardInTime = fate.there !== null && fate.back !== null && fate.there + fate.back < fate.patience
      if (!heardInTime) time.after(fate.patience, asker, () => hear(Effect.suspend(() => Effect.fail(unheard()))))
      if (fate.again !== null) time.after(fate.again, server, () => void serve())
      if (fate.there === null) return
      time.after(fate.there, server, () => {
        const result = serve()
        at("Served")
        if (fate.back === null) return
        time.after(fate.back, server, () => {
          at("Answered")
          asker.enqueue(() => hear(Effect.fromResult(result)))
        })
      })
    }
    // A process that was frozen at this very point sends when it runs again.
    if (asker.state() === "Frozen") asker.enqueue(send)
    else if (asker.state() === "Running") send()
  })
