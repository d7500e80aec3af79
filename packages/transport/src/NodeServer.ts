/**
 * One node:http server for both surfaces: defences first, then `/v1`, `/healthz`, `/readyz` and `/metrics` to theirs, everything else
 * straight to the Service Fabric surface with no router in between. Everything is bounded: headers, bodies, time,
 * connections. A request never takes the server down: what should not happen is logged and answered 500 `E_FAIL`.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { table } from "@inquorate/core/FabricError"
import type { Operations } from "@inquorate/core/Operations"
import * as ByteSize from "effect/ByteSize"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import * as ApiServer from "./ApiServer.ts"
import * as Defences from "./Defences.ts"
import * as FabricChaos from "./FabricChaos.ts"
import * as FabricPath from "./FabricPath.ts"
import * as FabricServer from "./FabricServer.ts"

// --- models ---

/** Where to listen and by which names we go. `port` 0 takes a free one. */
export interface Options {
  readonly host: string
  readonly port: number
  /** Further host names (with or without a port) that requests may be sent to. */
  readonly names?: ReadonlyArray<string>
  /** The cluster's id; a request whose `ClusterId` header differs from it is refused. */
  readonly clusterId?: string
  /** How often a silent event stream says that it still lives. */
  readonly heartbeat?: Duration.Input
  readonly limits?: Partial<Limits>
}

/** The bounds of a server; times in milliseconds. */
export interface Limits {
  readonly connections: number
  readonly bodyBytes: number
  readonly headerBytes: number
  /** How long the headers of a request may take. */
  readonly headersTime: number
  /** How long a whole request may take to arrive. */
  readonly requestTime: number
  /** How long requests may still take when the server closes. */
  readonly closingTime: number
}

/** A server that listens. */
export interface Serving {
  readonly host: string
  readonly port: number
  /** The base URL, such as `http://127.0.0.1:19080`. */
  readonly url: string
}

// --- errors ---

/** The server could not listen: the port is in use, not permitted to us, or the address is not one of this machine's. */
export class ServeError extends Schema.TaggedError<ServeError>()("ServeError", {
  reason: Schema.Literals(["AddressInUse", "NotPermitted", "BadAddress"]),
  host: Schema.String,
  port: Schema.Finite,
  detail: Schema.String
}) {
  override get message(): string {
    return `Cannot listen on ${this.host}:${this.port}: ${this.detail}`
  }
}

// --- make ---

/** The bounds that hold unless others are given. */
export const limits: Limits = {
  connections: 1024,
  bodyBytes: 4 * 1024 * 1024,
  headerBytes: 16 * 1024,
  headersTime: 10_000,
  requestTime: 30_000,
  closingTime: 2000
}

/** Service Fabric's own HTTP gateway port. */
export const portUsual = 19080

/** Listens until the scope ends; then no new request is taken, event streams end, and what runs may finish. */
export const serve = Effect.fn("NodeServer.serve")(function* (options: Options) {
  const bounds: Limits = { ...limits, ...options.limits }
  const services = yield* Effect.context<Operations>()
  const fabric = yield* FabricServer.make
  const scope = yield* Effect.scope
  const apiScope = yield* Scope.fork(scope, "parallel")
  const api = yield* ApiServer.make({ heartbeat: options.heartbeat ?? "10 seconds" }).pipe(Scope.provide(apiScope))
  const serveApi = yield* NodeHttpServer.makeHandler(
    Effect.provideService(api, HttpServerRequest.MaxBodySize, ByteSize.bytes(bounds.bodyBytes)),
    { scope: apiScope }
  )
  const server = Http.createServer({
    maxHeaderSize: bounds.headerBytes,
    headersTimeout: bounds.headersTime,
    requestTimeout: bounds.requestTime,
    connectionsCheckingInterval: Math.min(1000, bounds.headersTime),
    // Node's own answer to a request without a Host has no body; the defences refuse it in JSON.
    requireHostHeader: false
  })
  server.maxConnections = bounds.connections
  server.on("clientError", answerClientError)
  // So with an Expect that is not 100-continue.
  server.on("checkExpectation", (_request, response) => refuse(response, unexpected, true))
  const serving = yield* listen(server, options)
  // The address we were told to listen on is ours too; no page can make a name of its own into an address.
  const address = new URL(serving.url).host
  const defences = Defences.make({ port: serving.port, names: [address, ...(options.names ?? [])] })
  const surface = { fabric, services, clusterId: options.clusterId?.toLowerCase(), bodyBytes: bounds.bodyBytes }
  server.on("request", (request, response) => {
    const target = request.url!
    response.once("finish", () => countAnswer(services, isApi(target), response.statusCode))
    const problem = defences(request.headers) ?? foreignTarget(target, defences)
    if (problem !== undefined) return refuse(response, { code: "E_ACCESSDENIED", message: problem }, true)
    if (Number(request.headers["content-length"]) > bounds.bodyBytes) return refuse(response, tooLarge, true)
    if (isApi(target)) return serveApi(request, response)
    serveFabric(surface, request, response)
  })
  yield* Scope.addFinalizer(scope, close(server, apiScope, bounds.closingTime))
  return serving
})

// --- internal ---

interface Surface {
  readonly fabric: FabricServer.FabricServer
  readonly services: Context.Context<Operations>
  readonly clusterId: string | undefined
  readonly bodyBytes: number
}

const tooLarge: FabricPath.WireError = { code: "FABRIC_E_MESSAGE_TOO_LARGE", message: "" }
const timedOut: FabricPath.WireError = { code: "FABRIC_E_TIMEOUT", message: "" }
const unexpected: FabricPath.WireError = {
  code: "E_INVALIDARG",
  message: "The only Expect that is understood is 100-continue."
}
const broken: FabricPath.WireError = {
  code: "E_FAIL",
  message: "The worker failed on this request; its log says why."
}

/** The longest time a Node timer can take, in milliseconds. */
const timerMax = 2_147_483_647

const isApi = (target: string): boolean => {
  const path = target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/]*/i, "")
  return /^\/(?:v1|healthz|readyz|metrics)(?:[/?#]|$)/.test(path)
}

const answers = Metric.counter("inquorate_http_answers_total", {
  description: "HTTP answers by surface and status",
  incremental: true
})

const countAnswer = (services: Context.Context<Operations>, api: boolean, status: number): void => {
  const attributes = { surface: api ? "inquorate" : "service-fabric", status: String(status) }
  Metric.withAttributes(answers, attributes).updateUnsafe(1, services)
}

// A target with an authority of its own outranks the Host header, so it is held to the same names.
const foreignTarget = (target: string, defences: Defences.Defences): string | undefined => {
  const authority = target.startsWith("/") ? null : /^https?:\/\/([^/?#]*)/i.exec(target)
  return authority === null ? undefined : defences({ host: authority[1] })
}

const serveFabric = (surface: Surface, request: Http.IncomingMessage, response: Http.ServerResponse): void => {
  const parsed = FabricPath.parse(request.method!, request.url!)
  if (Result.isFailure(parsed)) return refuse(response, parsed.failure, false)
  const cluster = request.headers["clusterid"]
  if (surface.clusterId !== undefined && cluster !== undefined && String(cluster).toLowerCase() !== surface.clusterId) {
    return refuse(response, { code: "E_ACCESSDENIED", message: "This is another cluster (ClusterId)." }, false)
  }
  const { headers } = request
  // Few calls of this surface read a body; one that comes all the same is counted and dropped.
  const readsBody = FabricChaos.readsBody(parsed.success.call)
  const chunks: Array<Buffer> = []
  if (headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0") {
    return run(surface, parsed.success, request, response)
  }
  let bytes = 0
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (readsBody && bytes <= surface.bodyBytes) chunks.push(chunk)
    if (bytes > surface.bodyBytes && !response.headersSent) refuse(response, tooLarge, true)
  })
  request.on("end", () => {
    if (!response.headersSent) run(surface, parsed.success, request, response, Buffer.concat(chunks).toString())
  })
  request.on("error", () => response.destroy())
}

const run = (
  surface: Surface,
  call: FabricPath.FabricRequest,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  body = ""
): void => {
  const fiber = Effect.runForkWith(surface.services)(surface.fabric.handle(call, body))
  const finish = (exit: Exit.Exit<FabricServer.FabricReply>): void => {
    if (response.headersSent || response.destroyed) return
    if (Exit.isSuccess(exit)) return write(response, exit.value)
    refuse(response, broken, false)
    const correlation = request.headers["x-servicefabricrequestid"] ?? "none"
    Effect.runForkWith(surface.services)(
      Effect.logError(`${call.call._tag} died (X-ServiceFabricRequestId ${String(correlation)})`, exit.cause)
    )
  }
  const exit = fiber.pollUnsafe()
  if (exit !== undefined) return finish(exit)
  // The timeout bounds the request, not the work: a start that was asked for is not undone because its caller left.
  const timer = setTimeout(() => refuse(response, timedOut, false), Math.min(call.timeout * 1000, timerMax))
  fiber.addObserver((exit) => {
    clearTimeout(timer)
    finish(exit)
  })
}

const refuse = (response: Http.ServerResponse, error: FabricPath.WireError, close: boolean): void => {
  if (response.headersSent || response.destroyed) return
  if (close) response.shouldKeepAlive = false
  write(response, FabricServer.errorReply(error))
}

const write = (response: Http.ServerResponse, reply: FabricServer.FabricReply): void => {
  const headers =
    reply.status === 204
      ? [...reply.headers]
      : [...reply.headers, "Content-Length", String(Buffer.byteLength(reply.body))]
  response.writeHead(reply.status, reply.reason, headers)
  response.end(reply.body)
}

// Node could not read a request: there is no response object, so the reply is written on the socket.
const answerClientError = (error: NodeJS.ErrnoException, socket: Duplex): void => {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const status =
    error.code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? "408 Request Timeout"
        : "400 Bad Request"
  const body = JSON.stringify({ Error: { Code: "E_INVALIDARG", Message: table.E_INVALIDARG.message } })
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy()
  )
}

const listen = (server: Http.Server, options: Options): Effect.Effect<Serving, ServeError> =>
  Effect.callback<Serving, ServeError>((resume) => {
    const fail = (reason: ServeError["reason"], detail: string): void =>
      resume(Effect.fail(new ServeError({ reason, host: options.host, port: options.port, detail })))
    if (!Number.isInteger(options.port) || options.port < 0 || options.port > 65535) {
      return resume(
        Effect.fail(
          new ServeError({
            reason: "BadAddress",
            host: options.host,
            port: Number.isFinite(options.port) ? options.port : -1,
            detail: "a port is a whole number from 0 to 65535"
          })
        )
      )
    }
    const onError = (error: NodeJS.ErrnoException): void => {
      if (error.code === "EADDRINUSE") fail("AddressInUse", "the port is in use")
      else if (error.code === "EACCES" || error.code === "EPERM")
        fail("NotPermitted", "the port is not permitted to us")
      else fail("BadAddress", error.message)
    }
    server.once("error", onError)
    server.listen({ host: options.host, port: options.port }, () => {
      server.off("error", onError)
      const { address, port } = server.address() as AddressInfo
      resume(
        Effect.succeed({
          host: address,
          port,
          url: `http://${address.includes(":") ? `[${address}]` : address}:${port}`
        })
      )
    })
  })

const close = (server: Http.Server, apiScope: Scope.Closeable, closingTime: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    const timer = setTimeout(() => server.closeAllConnections(), closingTime)
    server.once("close", () => clearTimeout(timer))
  }).pipe(
    // Event streams would last as long as their operations: they end now, everything else gets its time.
    (closing) => Effect.all([closing, Scope.close(apiScope, Exit.void)], { concurrency: 2, discard: true })
  )
