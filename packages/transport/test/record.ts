/**
 * Records the exchanges of `Exchanges.ts` that are not recorded yet, by Microsoft's own Python client (Debian's
 * python3-azure, started with /usr/bin/python3) through a proxy in front of our server. What is recorded already stays
 * as it is: a story may only get further steps at its end. `node test/record.ts`
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { spawn } from "node:child_process"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Exchanges from "./Exchanges.ts"
import { Control, layer } from "./FakeOperations.ts"
import * as NodeServer from "../src/server/NodeServer.ts"

const python = "/usr/bin/python3"
const script = fileURLToPath(new URL("sdk_calls.py", import.meta.url))

const chosen = (headers: Http.IncomingHttpHeaders, names: ReadonlyArray<string>): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) =>
      // The machine that it was recorded on is nobody's business.
      headers[name] === undefined ? [] : [[name, String(headers[name]).replace(/\(Linux-[^)]*\)/, "(Linux)")]]
    )
  )

/** Passes requests on to the server and keeps what went over the wire. */
const proxy = (target: number) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Http.Server; readonly seen: Array<Exchanges.Exchange> }>((resume) => {
      const seen: Array<Exchanges.Exchange> = []
      const server = Http.createServer((request, response) => {
        const onward = Http.request(
          {
            port: target,
            host: "127.0.0.1",
            method: request.method,
            path: request.url,
            headers: { ...request.headers, host: `127.0.0.1:${target}` }
          },
          (reply) => {
            let body = ""
            reply.setEncoding("utf8")
            reply.on("data", (chunk: string) => (body += chunk))
            reply.on("end", () => {
              seen.push({
                request: `${request.method} ${request.url}`,
                requestHeaders: chosen(request.headers, Exchanges.requestHeaders),
                status: `${reply.statusCode} ${reply.statusMessage}`,
                headers: chosen(reply.headers, Exchanges.replyHeaders),
                body: Exchanges.normalise(body)
              })
              response.writeHead(reply.statusCode!, reply.statusMessage, reply.headers).end(body)
            })
          }
        )
        request.pipe(onward)
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, seen })))
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

/** The Python client as a function from a call to what it said of it. */
const sdk = (endpoint: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn(python, [script, endpoint], { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill())
    ),
    (child) => {
      const answers = createInterface({ input: child.stdout })
      return (call: Exchanges.Call): Effect.Effect<string> =>
        Effect.callback((resume) => {
          const gone = () => resume(Effect.die(new Error(`the client ended in ${call.call}`)))
          child.once("exit", gone)
          answers.once("line", (text) => {
            child.off("exit", gone)
            resume(Effect.succeed(text))
          })
          child.stdin.write(`${JSON.stringify(call)}\n`)
        })
    }
  )

const plainly = (port: number, headers: Readonly<Record<string, string>>) => (text: string) =>
  Effect.callback<void>((resume) => {
    const [method, path] = text.split(" ") as [string, string]
    const request = Http.request(
      {
        port,
        host: "127.0.0.1",
        method,
        path,
        headers: { ...headers, ...(method === "POST" ? { "Content-Length": "0" } : {}) }
      },
      (reply) => {
        reply.resume()
        reply.on("end", () => resume(Effect.void))
      }
    )
    request.end()
  })

const tell = Effect.fnUntraced(function* (story: string, client: string, steps: ReadonlyArray<Exchanges.Step>) {
  const known = Exchanges.find(story)?.steps ?? []
  if (known.length === steps.length) return
  const { port } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 })
  const { seen, server } = yield* proxy(port)
  const front = (server.address() as AddressInfo).port
  const { play } = yield* Control
  const call = yield* sdk(`http://127.0.0.1:${front}`)
  const send = plainly(front, Exchanges.commandLineHeaders)
  const recorded: Array<Exchanges.Recorded> = []
  for (const step of steps) {
    if ("play" in step) {
      for (const event of step.events) yield* play(step.play, event)
      recorded.push(step)
      continue
    }
    const before = seen.length
    if ("call" in step) yield* call(step)
    else yield* send(step.line)
    if (seen.length !== before + 1) return yield* Effect.die(new Error(`${story}: one step is one exchange`))
    const { body, ...rest } = seen.at(-1)!
    const { "content-length": _length, ...headers } = rest.headers
    recorded.push(
      "line" in step && step.bodyMayChange === true
        ? { ...step, ...rest, headers }
        : { ...step, ...rest, body: body ?? "" }
    )
  }
  const same = known.every((step, index) => JSON.stringify(step) === JSON.stringify(recorded[index]))
  if (!same) return yield* Effect.die(new Error(`${story}: what is recorded already may not change`))
  Exchanges.write({ story, client, steps: recorded })
  yield* Effect.log(`${story}: ${recorded.length - known.length} steps added`)
})

const all = Effect.gen(function* () {
  for (const [story, steps] of Object.entries(Exchanges.stories)) {
    yield* tell(story, "azure-servicefabric 8.2.0.0 for Python", steps).pipe(Effect.scoped, Effect.provide(layer))
  }
  yield* tell("command-line", "sfctl 11.2.1, its request lines", Exchanges.commandLine).pipe(
    Effect.scoped,
    Effect.provide(layer)
  )
})

const result = await Effect.runPromise(Effect.result(all))
if (Result.isFailure(result)) throw result.failure
