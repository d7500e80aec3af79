/**
 * An operation of a worker, shown as it happens until it has ended.
 */
import { describe } from "@inquorate/core/Describe"
import { isTerminal } from "@inquorate/core/Operation"
import type { OperationChange } from "@inquorate/core/Operations"
import { stateOf } from "@inquorate/core/Wire"
import type { ApiError } from "@inquorate/transport/Api"
import type * as Client from "@inquorate/transport/Client"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { root } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { localTime } from "./Moment.ts"
import { screen, width } from "./Screen.ts"
import { fold } from "./Table.ts"
import { endsBy, live, see, type Watched } from "./Watch.ts"

/** How long after its fences have ended by themselves an operation is still waited for while the worker is away. */
const awayAfter = 30_000

/** Shows changes until the operation has ended, and gives back its state and the sentence of its end. */
export const follow = Effect.fnUntraced(function* (
  client: Client.Client,
  id: string,
  options: { readonly verbose: boolean }
) {
  const { output } = yield* root
  const last = yield* Ref.make<Watched | undefined>(undefined)
  const away = yield* Ref.make(false)
  const show = (change: OperationChange) =>
    Effect.gen(function* () {
      const { lines, watched } = see(yield* Ref.get(last), change, options)
      yield* Ref.set(last, watched)
      const shown = screen.terminal ? lines.flatMap((line) => fold(line, width() - 1, 15)) : lines
      yield* output === "json" ? screen.json(change) : screen.lines(shown)
    })
  const paint = Effect.gen(function* () {
    const seen = yield* Ref.get(last)
    if (seen === undefined) return
    const shown = live(seen, yield* Clock.currentTimeMillis, yield* Ref.get(away))
    yield* Ref.update(last, (now) => (now === undefined ? now : { ...now, left: shown.watched.left }))
    yield* screen.live(shown.text)
  }).pipe(Effect.repeat(Schedule.spaced(Duration.millis(100))))
  const painting = yield* Effect.forkChild(screen.terminal && output === "table" ? paint : Effect.never)
  const onAway = (isAway: boolean) =>
    Effect.gen(function* () {
      const before = yield* Ref.getAndSet(away, isAway)
      const seen = yield* Ref.get(last)
      if (before === isAway || output === "json" || screen.terminal) return
      if (!isAway) return yield* screen.lines(["The worker answers again."])
      if (seen !== undefined) yield* screen.lines([live(seen, yield* Clock.currentTimeMillis, true).text])
    })
  // While a fence may stand, wait for the worker: a watched operation is never left alone.
  const isWorthWaiting = (error: ApiError | Client.ClientError) =>
    Effect.gen(function* () {
      const seen = yield* Ref.get(last)
      const by = seen === undefined ? null : endsBy(seen)
      return error._tag === "ClientError" && by !== null && (yield* Clock.currentTimeMillis) < by + awayAfter
    })
  const watching = Stream.runForEach(client.watch(id, { onAway }), show)
  yield* watching.pipe(
    Effect.retry({ while: isWorthWaiting }),
    // A worker has told of the operation already. Whatever answers in its place now is a proxy, and no gateway.
    Effect.catch((error: ApiError | Client.ClientError) =>
      Effect.flatMap(Ref.get(last), (seen): Effect.Effect<never, ApiError | Client.ClientError | Failure> =>
        seen !== undefined && error._tag === "ClientError" && error.reason === "NotAWorker"
          ? stopped(id)
          : Effect.fail(error)
      )
    ),
    Effect.ensuring(Fiber.interrupt(painting)),
    Effect.ensuring(screen.live(""))
  )
  const seen = yield* Ref.get(last)
  if (seen === undefined || !isTerminal(seen.operation)) {
    return yield* stopped(id)
  }
  const { operation } = seen
  // In local time, and by all of the evidence: the stream may have been broken meanwhile.
  const evidence = yield* Effect.option(client.detail(id))
  const now = yield* Clock.currentTimeMillis
  const words = { moment: (at: number) => localTime(at, now) }
  const sentence = describe(operation, evidence._tag === "Some" ? evidence.value.evidence : null, words)
  return { state: stateOf(operation.stage), sentence }
})

// --- internal ---

const stopped = (id: string): Effect.Effect<never, Failure> =>
  Effect.fail(new Failure({ exit: "unreachable", detail: `The worker stopped telling before ${id} had ended.` }))
