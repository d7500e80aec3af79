/** Raw HTTP for tests: what is written to the socket and what comes back, with nothing in between. */
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Tls from "node:tls"

export interface Raw {
  readonly status: number
  readonly reason: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Sends the text and reads until the server closes; the request should carry `Connection: close`. */
export const exchange = (port: number, text: string, tls?: Tls.ConnectionOptions): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const socket = tls === undefined ? Net.connect(port, "127.0.0.1") : Tls.connect({ host: "127.0.0.1", port, ...tls })
    let answer = ""
    socket.setEncoding("utf8")
    socket.on("data", (chunk: string) => (answer += chunk))
    socket.on("error", () => resume(Effect.succeed(answer)))
    socket.on("close", () => resume(Effect.succeed(answer)))
    socket.write(text)
    return Effect.sync(() => socket.destroy())
  })

export const parse = (text: string): Raw => {
  const [head = "", ...rest] = text.split("\r\n\r\n")
  const [line = "", ...lines] = head.split("\r\n")
  const [, status = "0", reason = ""] = /^HTTP\/1\.1 ([0-9]+) ?(.*)$/.exec(line) ?? []
  const headers = Object.fromEntries(
    lines.map((header) => {
      const colon = header.indexOf(":")
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()]
    })
  )
  return { status: Number(status), reason, headers, body: rest.join("\r\n\r\n") }
}

/** One request with the given header lines; `Host` and `Connection: close` unless given. */
export const request = (
  port: number,
  method: string,
  target: string,
  options: {
    readonly headers?: ReadonlyArray<string>
    readonly body?: string
    readonly tls?: Tls.ConnectionOptions
  } = {}
): Effect.Effect<Raw> => {
  const given = options.headers ?? []
  const has = (name: string) => given.some((line) => line.toLowerCase().startsWith(`${name}:`))
  const lines = [
    ...(has("host") ? [] : [`Host: 127.0.0.1:${port}`]),
    ...given,
    ...(options.body === undefined || has("transfer-encoding") || has("content-length")
      ? []
      : [`Content-Length: ${Buffer.byteLength(options.body)}`]),
    "Connection: close"
  ]
  return Effect.map(
    exchange(port, `${method} ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n${options.body ?? ""}`, options.tls),
    parse
  )
}
