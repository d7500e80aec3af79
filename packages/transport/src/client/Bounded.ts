/**
 * An `HttpClient` that no answer can wear down: an answer may have so many bytes and take so much time, and no more.
 * The time covers the head of an answer and its body. A body that is read as a stream may have any length, but it may
 * not be silent for longer than its limit. Runs in a browser too.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import * as Json from "./Json.ts"
import { BeyondBounds } from "./TransportCause.ts"

// --- models ---

/** The bounds of one answer. */
export interface Bounds {
  /** How many bytes the body may have. */
  readonly answerBytes: number
  /** How long the answer may take until it is complete, in milliseconds. */
  readonly answerTime: number
  /** How long a stream may be silent, in milliseconds. */
  readonly silence: number
}

/** The bounds of a client that is given no others. */
const bounds: Bounds = {
  // The most operations that a store keeps, ten thousand, take a quarter of this.
  answerBytes: 64 * 1024 * 1024,
  answerTime: 60_000,
  // An event stream of ours says every 10 s that it is alive.
  silence: 60_000
}

// --- make ---

/** The same client with bounds on its answers. */
export const make = (http: HttpClient.HttpClient, given: Partial<Bounds> = {}): HttpClient.HttpClient => {
  const all: Bounds = { ...bounds, ...given }
  return HttpClient.transform(http, (executed, request) =>
    Effect.gen(function* () {
      const deadline = (yield* Clock.currentTimeMillis) + all.answerTime
      const late = () => beyond(request, "TOO_LATE", `no whole answer within ${all.answerTime / 1000} s`)
      const inTime = <A, E>(reading: Effect.Effect<A, E>) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.timeoutOrElse(reading, {
            duration: Math.max(0, deadline - now),
            orElse: () => Effect.fail(late())
          })
        )
      const response = yield* inTime(executed)
      return boundedResponse(response, all, inTime)
    })
  )
}

// --- internal ---

type InTime = <A, E>(reading: Effect.Effect<A, E>) => Effect.Effect<A, E | HttpClientError.HttpClientError>

const beyond = (
  request: HttpClientRequest.HttpClientRequest,
  code: BeyondBounds["code"],
  message: string
): HttpClientError.HttpClientError =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause: new BeyondBounds(code, message) })
  })

// The answer itself with other readers of its body. Everything else of it stays as it was.
const boundedResponse = (
  response: HttpClientResponse.HttpClientResponse,
  { answerBytes, silence }: Bounds,
  inTime: InTime
): HttpClientResponse.HttpClientResponse => {
  const { request } = response
  const bytes = Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let length = 0
    const collected = Stream.runForEach(response.stream, (chunk) => {
      length += chunk.length
      chunks.push(chunk)
      return length > answerBytes
        ? Effect.fail(beyond(request, "TOO_LONG", `its answer has more than ${answerBytes} bytes`))
        : Effect.void
    })
    return Effect.map(inTime(collected), () => concatenated(chunks, length))
  })
  const text = Effect.map(bytes, (all) => new TextDecoder().decode(all))
  const json = Effect.flatMap(text, (all) =>
    Effect.try({
      try: (): unknown => (all === "" ? null : Json.parse(all)),
      catch: (cause) =>
        new HttpClientError.HttpClientError({
          reason: new HttpClientError.DecodeError({ request, response, cause })
        })
    })
  )
  const stream = Stream.timeoutOrElse(response.stream, {
    duration: silence,
    orElse: () => Stream.fail(beyond(request, "TOO_LATE", `nothing was said for ${silence / 1000} s`))
  })
  return Object.create(response, {
    text: { value: text },
    json: { value: json },
    arrayBuffer: { value: Effect.map(bytes, ({ buffer }) => buffer) },
    stream: { value: stream }
  }) as HttpClientResponse.HttpClientResponse
}

const concatenated = (chunks: ReadonlyArray<Uint8Array>, length: number): Uint8Array<ArrayBuffer> => {
  const all = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}
