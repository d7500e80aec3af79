/**
 * A host on which a program that stays is kept for a while once nobody needs it. To start a shell and have it read our
 * program takes longer than most questions. A program that is kept has touched nothing, knows nothing of who used it,
 * and ends by itself as soon as its input does, so at the latest with us.
 */
import type { Channel, Host, HostError } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

/** How long a program is kept that nobody uses, and how many of one kind. */
const keptFor: Millis = 600_000
const keptMost = 4

/** The same host, with kept programs. They end with the scope. */
export const around = (host: Host): Effect.Effect<Host, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const { open } = host
    if (open === undefined) return host
    const idle = new Map<string, Array<Kept>>()

    const start = Effect.fnUntraced(function* (program: string, words: ReadonlyArray<string>) {
      const own = yield* Scope.fork(scope)
      const channel = yield* Effect.onError(Scope.provide(open(program, words), own), (cause) =>
        Scope.close(own, Exit.failCause(cause))
      )
      return { channel, scope: own, ending: null } satisfies Kept
    })
    const take = (key: string, program: string, words: ReadonlyArray<string>): Effect.Effect<Kept, HostError> =>
      Effect.suspend(() => {
        const kept = idle.get(key)?.pop()
        if (kept === undefined) return start(program, words)
        const stopped = kept.ending === null ? Effect.void : Fiber.interrupt(kept.ending)
        if (kept.channel.isOpen()) return Effect.as(stopped, kept)
        return Effect.andThen(stopped, Effect.andThen(end(kept), take(key, program, words)))
      })
    const giveBack = (key: string, { channel, scope: own }: Kept): Effect.Effect<void> =>
      Effect.gen(function* () {
        const others = idle.get(key) ?? []
        const kept: Kept = { channel: { ...channel, isKept: true }, scope: own, ending: null }
        if (!channel.isOpen() || channel.isBusy() || others.length >= keptMost) return yield* end(kept)
        idle.set(key, [...others, kept])
        kept.ending = yield* Effect.sleep(keptFor).pipe(
          Effect.andThen(
            Effect.suspend(() => {
              const left = idle.get(key)?.filter((one) => one !== kept) ?? []
              idle.set(key, left)
              kept.ending = null
              return end(kept)
            })
          ),
          Effect.forkIn(scope)
        )
      })
    return {
      ...host,
      keeps: true,
      open: (program, words) => {
        const key = JSON.stringify([program, words])
        return Effect.map(
          Effect.acquireRelease(take(key, program, words), (kept) => giveBack(key, kept)),
          ({ channel }) => channel
        )
      }
    }
  })

// --- internal ---

/** A program that runs. `ending` waits for the end of its time while nobody uses it. */
interface Kept {
  readonly channel: Channel
  readonly scope: Scope.Closeable
  ending: Fiber.Fiber<void> | null
}

const end = ({ scope }: Kept): Effect.Effect<void> => Scope.close(scope, Exit.void)
