/**
 * Asks one question over HTTP, bounded in time and bytes. It reads what is at an address over a connection of its own,
 * which it closes afterwards. Redirections are not followed.
 */
import * as http from "node:http"
import * as https from "node:https"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** What was answered. `body` is cut off at the bound where the asker asked for that. */
export interface Answer {
  readonly status: number
  readonly body: string
}

/** No answer. `Unreachable`: no connection, or it was cut off. `TimedOut`: not in time. `TooLong`: too many bytes. */
export class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", {
  reason: Schema.Literals(["Unreachable", "TimedOut", "TooLong"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** How to ask. */
export interface Asking {
  readonly timeout: number
  /** The most bytes of a body. Of a longer body the beginning counts where `isCut`; otherwise it is no answer. */
  readonly most: number
  readonly isCut?: boolean
  readonly headers?: Readonly<Record<string, string>>
  /** Authorities and client certificate for `https`, in PEM. */
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer }
}

/** Reads what stands at an address. */
export const get = (
  url: string,
  { headers = {}, isCut = false, most, timeout, tls = {} }: Asking
): Effect.Effect<Answer, NoAnswer> =>
  Effect.callback<Answer, NoAnswer>((resume) => {
    const lose = (cause: Error): void =>
      resume(Effect.fail(new NoAnswer({ reason: "Unreachable", detail: reasonOf(cause) })))
    try {
      const options = { agent: false as const, headers: { connection: "close", ...headers } }
      // Said, since NODE_TLS_REJECT_UNAUTHORIZED in the worker's environment would turn it off.
      const secure = { ...options, rejectUnauthorized: true, ...tls }
      const request = url.startsWith("https:") ? https.request(url, secure) : http.request(url, options)
      request.on("error", lose)
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        let length = 0
        const answer = (): void => {
          const body = Buffer.concat(chunks).subarray(0, most).toString("utf8")
          resume(Effect.succeed({ status: response.statusCode ?? 0, body }))
        }
        response.on("data", (chunk: Buffer) => {
          length += chunk.length
          chunks.push(chunk)
          if (length <= most) return
          if (isCut) answer()
          else resume(Effect.fail(new NoAnswer({ reason: "TooLong", detail: `it answered more than ${most} bytes` })))
          request.destroy()
        })
        response.on("error", lose)
        response.on("end", answer)
      })
      request.end()
      return Effect.sync(() => request.destroy())
    } catch (cause) {
      lose(cause as Error)
      return Effect.void
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(new NoAnswer({ reason: "TimedOut", detail: `no answer within ${timeout} ms` }))
    })
  )

// --- internal ---

// Several addresses that all refuse come as one error without words of its own.
const reasonOf = (cause: Error & { readonly code?: string }): string => cause.message || (cause.code ?? "no connection")
