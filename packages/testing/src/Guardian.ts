/**
 * A process of its own that gives the quorum back when the test's process is gone, however it went. It reads a pipe
 * that the test holds open, and lifts when the pipe ends. Only `QuorumLoss` starts it.
 */
import type { FenceId } from "@inquorate/core/Injector"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Pause from "@inquorate/injectors/Pause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

const [host, text] = process.argv.slice(2) as [string, string]
const fences = JSON.parse(text) as ReadonlyArray<FenceId>

process.stdin.resume()
process.stdin.on("end", () => {
  const injector = Pause.make(new Map([[host, LocalHost.make(host)]]))
  const lift = (fence: FenceId) =>
    Effect.retry(injector.lift(host, fence, 1), { times: 50, schedule: Schedule.spaced("100 millis") })
  void Effect.runPromise(Effect.ignore(Effect.forEach(fences, lift, { concurrency: "unbounded" })))
})
