/**
 * A worker, or whoever answers in its place, that never stops sending: body, head, information, a line of an event. Each
 * call ends within its bounds, over a browser's client and that of promises, and memory does not grow with what is sent.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { connect, InquorateError } from "../src/promise/Connection.ts"
import { chunk, endless, endsOver, events, head, isQuick, letters, MiB, O } from "./EndlessAnswers.ts"

endsOver("fetch", FetchHttpClient.layer, (title) => !isQuick(title))

describe("an answer without an end, to the client of promises", () => {
  const refusedWith = (asking: () => Promise<unknown>) =>
    Effect.promise(() =>
      asking().then(
        () => assert.fail("it was answered"),
        (error: unknown) => {
          assert.instanceOf(error, InquorateError)
          return error as InquorateError
        }
      )
    )

  it.live("is cut off in its body and in its events, and memory does not follow", () =>
    Effect.gen(function* () {
      const before = process.memoryUsage().rss
      const body = connect(yield* endless(head, chunk(letters)))
      const { code, message } = yield* refusedWith(() => body.clusters())
      assert.deepStrictEqual([code, message], ["BadAnswer", `its answer has more than ${64 * MiB} bytes`])
      // The events are given up, and the operation is asked for instead, which this one answers as badly.
      for (const piece of [`data: ${letters}`, `data: ${"\ndata: x".repeat(8192)}`]) {
        const watched = connect(yield* endless(events, chunk(piece))).operation(O)
        assert.strictEqual((yield* refusedWith(() => watched.done)).code, "BadAnswer")
      }
      assert.isBelow(process.memoryUsage().rss - before, 800 * MiB)
    }).pipe(Effect.scoped)
  )
})
