/**
 * One server of node:http or node:https for both surfaces. It checks the defences first, then who the caller is. Then
 * it hands `/v1`, `/healthz`, `/readyz` and `/metrics` to our own surface, and everything else straight to the Service
 * Fabric surface, with no router in between. Everything is bounded: handshakes, headers, bodies, time, connections, the
 * requests of one connection, and readers that read nothing. A request never takes the server down: the server logs a
 * defect, and the caller gets 500 `E_FAIL`.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { table } from "@inquorate/core/FabricError"
import type { Operations } from "@inquorate/core/Operations"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { constants } from "node:crypto"
import * as Http from "node:http"
import * as Https from "node:https"
import type { AddressInfo, Socket } from "node:net"
import type { Duplex } from "node:stream"
import { TLSSocket } from "node:tls"
import * as Access from "./Access.ts"
import { apiHeader } from "../v1/Answers.ts"
import * as ApiServer from "../v1/ApiServer.ts"
import * as Authentication from "./Authentication.ts"
import * as Defences from "./Defences.ts"
import type { FabricRequest, WireError } from "../fabric/FabricCall.ts"
import * as FabricPath from "../fabric/FabricPath.ts"
import * as FabricServer from "../fabric/FabricServer.ts"
import * as History from "../fabric/FabricHistory.ts"
import * as Pages from "./Pages.ts"
import * as OpenFiles from "./OpenFiles.ts"
import * as Turns from "./Turns.ts"

// --- models ---

/** What TLS needs, in PEM. */
export interface Tls {
  /** Our certificate, followed by its chain. */
  readonly certificate: string
  readonly key: Redacted.Redacted
  /** The authorities that client certificates may come from. Null for none. */
  readonly clientAuthorities: string | null
}

/** Where to listen and under which names. `port` 0 takes a free port. */
export interface Options {
  readonly host: string
  readonly port: number
  /** Further host names, with or without a port, that requests may be sent to. */
  readonly names?: ReadonlyArray<string>
  /** Whole origins. Their pages may ask although they come from another server. */
  readonly origins?: ReadonlyArray<string>
  /** True to answer under any name and to any page. Use it only where nothing real can break. */
  readonly anyHost?: boolean
  /** Pages to serve below `/Explorer/`. */
  readonly pages?: Pages.Pages
  /** The cluster's id. The server refuses a request whose `ClusterId` header differs from it. */
  readonly clusterId?: string
  /** Without this, the server speaks plain HTTP. */
  readonly tls?: Tls
  /** Whom the server lets in. Without this it lets in everyone, as Admin. */
  readonly authentication?: Authentication.Rules
  /** The answer of `/$/GetAadMetadata`. */
  readonly aad?: FabricServer.AadMetadata
  /** How often a silent event stream says that it is still alive. */
  readonly heartbeat?: Duration.Input
  readonly limits?: Partial<Limits>
}

/** The bounds of a server. Times are in milliseconds. */
export interface Limits {
  readonly connections: number
  readonly bodyBytes: number
  readonly headerBytes: number
  /** How long the headers of a request may take to arrive. */
  readonly headersTime: number
  /** How long a whole request may take to arrive. */
  readonly requestTime: number
  /** How long a connection may take to agree on TLS. */
  readonly handshakeTime: number
  /** How long a connection may stand still while nobody reads its answer, or while nobody asks anything. */
  readonly stillTime: number
  /** How many requests of one connection may wait for their answers. */
  readonly pipelined: number
  /** How long running requests may still take after the server begins to close. */
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

/**
 * The server could not listen: the port is in use, or not permitted to us, or the address is not one of this machine's.
 */
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

/** The bounds of a server that is given no others. */
export const limits: Limits = {
  // Far more than the clients and the monitoring of one worker need. If the process may not open twice as many files,
  // there are fewer.
  connections: 1024,
  // The gateway's own limit.
  bodyBytes: 4 * 1024 * 1024,
  // Enough for four ids of the longest kind, or for a token of Azure Active Directory with many groups.
  headerBytes: 16 * 1024,
  // Headers are one packet or two. A network that needs longer is too slow to watch a hold.
  headersTime: 10_000,
  // A body of 4 MiB at 1.2 Mbit/s.
  requestTime: 30_000,
  // A handshake is two round trips and some arithmetic.
  handshakeTime: 10_000,
  // Longer than three heartbeats of an event stream. A heartbeat moves a connection that somebody reads.
  stillTime: 35_000,
  // Today's clients send one request at a time. A start that waits costs a fiber.
  pipelined: 32,
  closingTime: 2000
}

/** Service Fabric's own HTTP gateway port. */
export const portUsual = 19080

/** Listens until the scope ends. Then it takes no new request, ends event streams, and lets running requests finish. */
export const serve = Effect.fn("NodeServer.serve")(function* (options: Options) {
  const bounds: Limits = { ...limits, connections: OpenFiles.connections(limits.connections), ...options.limits }
  // Nobody collects the traces of requests yet, and one span for each request would cost more than parsing it.
  const services = Context.add(yield* Effect.context<Operations>(), References.TracerEnabled, false)
  const history = History.make()
  const fabric = yield* FabricServer.make.pipe(
    Effect.provideService(FabricServer.AadSettings, options.aad ?? null),
    Effect.provideService(History.Shared, history)
  )
  const scope = yield* Effect.scope
  const apiScope = yield* Scope.fork(scope, "parallel")
  const api = yield* ApiServer.make({ heartbeat: options.heartbeat ?? "10 seconds" }).pipe(
    Scope.provide(apiScope),
    Effect.provideService(History.Shared, history)
  )
  const serveApi = yield* NodeHttpServer.makeHandler(
    Effect.provideService(api, HttpServerRequest.MaxBodySize, ByteSize.bytes(bounds.bodyBytes)),
    { scope: apiScope }
  )
  const server = makeServer(options, bounds)
  const serving = yield* listen(server, options)
  // The address that we listen on is ours too. No page can turn a name of its own into an address.
  const address = new URL(serving.url).host
  const { anyHost = false, names = [], origins = [], pages } = options
  const defences = anyHost ? Defences.none : Defences.make({ port: serving.port, names: [address, ...names], origins })
  const surface: Surface = {
    fabric,
    services,
    clusterId: options.clusterId?.toLowerCase(),
    bodyBytes: bounds.bodyBytes,
    authenticate: options.authentication === undefined ? null : Authentication.make(options.authentication),
    // A caller without a token looks at the first page to learn where to get one.
    openRoot: options.aad !== undefined,
    denied: options.authentication?.certificates ? "Client certificate required" : undefined
  }
  const turns = Turns.make(bounds.pipelined)
  endStill(server, turns, bounds.stillTime)
  const endAllSilent = endSilent(
    server,
    options.tls === undefined ? "connection" : "secureConnection",
    bounds.headersTime
  )
  const sockets = allSockets(server)
  // This error is about one connection that could not be taken. The next one may be.
  let toldAt = -tellEvery
  server.on("error", (error) => {
    // A process that has no free file descriptor gets this error again and again.
    const now = process.uptime() * 1000
    if (now - toldAt < tellEvery) return
    toldAt = now
    Effect.runForkWith(services)(Effect.logWarning(`a connection could not be taken: ${error.message}`))
  })
  const inTurn = (go: Http.RequestListener) => (request: Http.IncomingMessage, response: Http.ServerResponse) => {
    const target = request.url!
    if (isApi(target)) response.setHeader(apiHeader.name, apiHeader.version)
    response.once("finish", () => countAnswer(services, isApi(target), response.statusCode))
    const crowded = () => refuse(response, tooMany, true)
    turns.take(request, response, () => go(request as never, response as never), crowded)
  }
  // Node would answer an Expect other than 100-continue with an empty body.
  server.on(
    "checkExpectation",
    inTurn((_request, response) => refuse(response, unexpected, true))
  )
  server.on(
    "request",
    inTurn((request, response) => {
      const target = request.url!
      // A balancer, an engine or a kubelet that only asks whether the worker is alive may name it in any way.
      const problem = isProbe(request) ? undefined : (defences(request.headers) ?? foreignTarget(target, defences))
      if (problem !== undefined) return refuse(response, { code: "E_ACCESSDENIED", message: problem }, true)
      if (Number(request.headers["content-length"]) > bounds.bodyBytes) return refuse(response, tooLarge, true)
      if (pages !== undefined && Pages.isPage(target)) return servePage(surface, pages, request, response)
      if (!isApi(target)) return serveFabric(surface, request, response)
      admit(surface, Access.ofApi(request.method!, target), request, response, () => serveApi(request, response))
    })
  )
  yield* Scope.addFinalizer(scope, close(server, sockets, endAllSilent, apiScope, bounds.closingTime))
  return serving
})

// --- internal ---

interface Surface {
  readonly fabric: FabricServer.FabricServer
  readonly services: Context.Context<Operations>
  readonly clusterId: string | undefined
  readonly bodyBytes: number
  readonly authenticate: ReturnType<typeof Authentication.make> | null
  readonly openRoot: boolean
  /** The reason phrase for a caller that we do not know, if it is not the usual one. */
  readonly denied: string | undefined
}

const tooLarge: WireError = { code: "FABRIC_E_MESSAGE_TOO_LARGE", message: "" }
const tooMany: WireError = {
  code: "FABRIC_E_SERVICE_TOO_BUSY",
  message: "Too many requests of this connection wait for their answers."
}
const timedOut: WireError = { code: "FABRIC_E_TIMEOUT", message: "" }
const unexpected: WireError = {
  code: "E_INVALIDARG",
  message: "The only Expect that is understood is 100-continue."
}
const broken: WireError = {
  code: "E_FAIL",
  message: "The worker failed on this request; its log says why."
}

/** How often, in milliseconds, the log says at most that connections could not be taken. */
const tellEvery = 10_000

/** The longest time that a Node timer can take, in milliseconds. */
const timerMax = 2_147_483_647

const makeServer = (options: Options, bounds: Limits): Http.Server | Https.Server => {
  const common: Http.ServerOptions = {
    maxHeaderSize: bounds.headerBytes,
    headersTimeout: bounds.headersTime,
    requestTimeout: bounds.requestTime,
    connectionsCheckingInterval: Math.min(1000, bounds.headersTime),
    // Node's own answer to a request without a Host has no body. Our defences refuse it in JSON.
    requireHostHeader: false
  }
  const { tls } = options
  const server =
    tls === undefined
      ? Http.createServer(common)
      : Https.createServer({
          ...common,
          cert: tls.certificate,
          key: Redacted.value(tls.key),
          minVersion: "TLSv1.2",
          handshakeTimeout: bounds.handshakeTime,
          // We tell an unknown caller so over HTTP, in words. A broken handshake would tell it nothing.
          requestCert: options.authentication?.certificates != null,
          rejectUnauthorized: false,
          // The list is empty and not absent: anybody can have a certificate of the public authorities.
          ca: tls.clientAuthorities === null ? [] : [tls.clientAuthorities],
          // A resumed session brings no chain, so we could not look at the issuer. A second handshake inside a
          // connection would be work that any caller can demand.
          secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION
        })
  server.maxConnections = bounds.connections
  server.on("secureConnection", (socket: TLSSocket) => agreed.add(socket))
  server.on("clientError", answerClientError)
  return server
}

/**
 * Ends connections that stand still: those on which nobody asks anything, and those whose answer nobody reads. A
 * connection that waits for us may wait.
 */
const endStill = (server: Http.Server | Https.Server, turns: Turns.Turns, stillTime: number): void => {
  server.setTimeout(stillTime, (socket: Socket) => {
    if (turns.open(socket) === 0 || socket.writableLength > 0) socket.destroy()
    else socket.setTimeout(stillTime)
  })
}

/**
 * Ends connections that are still silent when the headers of a request should have arrived. Gives back a function that
 * ends all silent connections at once: Node does not count them as idle, and clients open one more than they need.
 */
const endSilent = (
  server: Http.Server | Https.Server,
  opened: "connection" | "secureConnection",
  headersTime: number
): (() => void) => {
  const silent = new Set<() => void>()
  server.on(opened, (socket: Socket) => {
    const before = socket.bytesRead
    const end = () => {
      silent.delete(end)
      // A caller who has begun to speak gets 408 in time.
      if (socket.bytesRead === before) socket.destroy()
    }
    const timer = setTimeout(end, headersTime)
    silent.add(end)
    socket.once("close", () => {
      clearTimeout(timer)
      silent.delete(end)
    })
  })
  return () => silent.forEach((end) => end())
}

/** Every connection. It includes those that Node's HTTP does not count yet: silent ones, and handshakes under way. */
const allSockets = (server: Http.Server | Https.Server): ReadonlySet<Socket> => {
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  return sockets
}

/** Goes on if the caller may make a call that asks for `access`, and answers 403 if not. */
const admit = (
  { authenticate, denied, services }: Surface,
  access: Access.Access,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  go: () => void
): void => {
  if (authenticate === null || access === "Anonymous") return go()
  const finish = (exit: Exit.Exit<Access.Role, Authentication.Denied>): void => {
    if (response.destroyed) return
    if (Exit.isSuccess(exit)) return Access.permits(exit.value, access) ? go() : refuse(response, roleTooLow, true)
    const failure = Exit.findErrorOption(exit)
    if (failure._tag === "Some") {
      return refuse(response, { code: "E_ACCESSDENIED", message: failure.value.detail }, true, denied)
    }
    refuse(response, broken, true)
    Effect.runForkWith(services)(Effect.logError("Authentication died", exit.cause))
  }
  const { authorization } = request.headers
  const fiber = Effect.runForkWith(services)(
    authenticate({ authorization, certificate: certificateOf(request.socket) })
  )
  const exit = fiber.pollUnsafe()
  if (exit === undefined) fiber.addObserver(finish)
  else finish(exit)
}

const roleTooLow: WireError = {
  code: "E_ACCESSDENIED",
  message: `${table.E_ACCESSDENIED.message} This call needs the role Admin, and the caller has the role User.`
}

const presented = new WeakMap<Socket, Authentication.PresentedCertificate | null>()

const certificateOf = (socket: Socket): Authentication.PresentedCertificate | null => {
  const known = presented.get(socket)
  if (known !== undefined) return known
  const read = socket instanceof TLSSocket ? readCertificate(socket) : null
  presented.set(socket, read)
  return read
}

const readCertificate = (socket: TLSSocket): Authentication.PresentedCertificate | null => {
  const peer = socket.getPeerCertificate(true)
  // For a caller without a certificate, Node gives an empty object, or nothing once the connection is gone.
  if (peer?.fingerprint === undefined) return null
  // Several common names make a list, and a list is no name.
  const subject: unknown = peer.subject?.CN
  return {
    subject: typeof subject === "string" ? subject : null,
    thumbprint: peer.fingerprint.replaceAll(":", ""),
    issuerThumbprint: peer.issuerCertificate?.fingerprint?.replaceAll(":", "") ?? null,
    validFrom: Date.parse(peer.valid_from),
    validTo: Date.parse(peer.valid_to),
    problem: socket.authorized ? "" : String(socket.authorizationError ?? "UNTRUSTED")
  }
}

const isProbe = ({ method, url }: Http.IncomingMessage): boolean =>
  (method === "GET" || method === "HEAD") && /^\/(?:healthz|readyz)(?:\?|$)/.test(url!)

// The reference does the same: anybody may have the page while a token is still to be fetched, else everybody who may
// look.
const servePage = (
  surface: Surface,
  pages: Pages.Pages,
  request: Http.IncomingMessage,
  response: Http.ServerResponse
): void =>
  admit(surface, surface.openRoot ? "Anonymous" : "User", request, response, () => {
    const { body, headers, status } = pages.answer(request.method!, request.url!)
    request.resume()
    response.writeHead(status, [...headers, "Content-Length", String(Buffer.byteLength(body))])
    response.end(request.method === "HEAD" ? undefined : body)
  })

const isApi = (target: string): boolean => {
  const path = target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/]*/i, "")
  return /^\/(?:v1|healthz|readyz|metrics)(?:[/?#]|$)/.test(path)
}

const answers = Metric.counter("inquorate_http_answers_total", {
  description: "HTTP answers by surface and status",
  incremental: true
})

// One counter for each surface and status, because making one costs more than counting.
const counters = new Map<string, ReturnType<typeof counterOf>>()

const counterOf = (api: boolean, status: number) =>
  Metric.withAttributes(answers, { surface: api ? "inquorate" : "service-fabric", status: String(status) })

const countAnswer = (services: Context.Context<Operations>, api: boolean, status: number): void => {
  const name = `${api} ${status}`
  let counter = counters.get(name)
  if (counter === undefined) counters.set(name, (counter = counterOf(api, status)))
  counter.updateUnsafe(1, services)
}

// A target with an authority of its own outranks the Host header, so it must pass the same check.
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
  const { call } = parsed.success
  const access = call._tag === "GetRootPage" && surface.openRoot ? "Anonymous" : Access.ofFabric(call)
  admit(surface, access, request, response, () => afterBody(surface, parsed.success, request, response))
}

const afterBody = (
  surface: Surface,
  call: FabricRequest,
  request: Http.IncomingMessage,
  response: Http.ServerResponse
): void => {
  const { headers } = request
  // Few calls of this surface read a body. The server counts any other body and drops it.
  const readsBody = FabricServer.readsBody(call.call)
  const chunks: Array<Buffer> = []
  if (headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0") {
    return run(surface, call, request, response)
  }
  let bytes = 0
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (readsBody && bytes <= surface.bodyBytes) chunks.push(chunk)
    if (bytes > surface.bodyBytes && !response.headersSent) refuse(response, tooLarge, true)
  })
  request.on("end", () => {
    if (!response.headersSent) run(surface, call, request, response, Buffer.concat(chunks).toString())
  })
  request.on("error", () => response.destroy())
}

const run = (
  surface: Surface,
  call: FabricRequest,
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
  // The timeout bounds the request, not the work: a start goes on although its caller has left.
  const timer = setTimeout(() => refuse(response, timedOut, false), Math.min(call.timeout * 1000, timerMax))
  fiber.addObserver((exit) => {
    clearTimeout(timer)
    finish(exit)
  })
}

const refuse = (response: Http.ServerResponse, error: WireError, close: boolean, reason?: string | undefined): void => {
  if (response.headersSent || response.destroyed) return
  if (close) response.shouldKeepAlive = false
  const reply = FabricServer.errorReply(error)
  write(response, reason === undefined ? reply : { ...reply, reason })
}

const write = (response: Http.ServerResponse, reply: FabricServer.FabricReply): void => {
  const headers =
    reply.status === 204
      ? [...reply.headers]
      : [...reply.headers, "Content-Length", String(Buffer.byteLength(reply.body))]
  response.writeHead(reply.status, reply.reason, headers)
  response.end(reply.body)
}

/** The connections that have agreed on TLS. */
const agreed = new WeakSet<Duplex>()

// Node could not read a request. There is no response object, so the reply is written on the socket.
const answerClientError = (error: NodeJS.ErrnoException, socket: Duplex): void => {
  // Before TLS is agreed on, an answer would wait for ever on a connection that never becomes one.
  if (!socket.writable || (socket instanceof TLSSocket && !agreed.has(socket))) {
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

const listen = (server: Http.Server | Https.Server, options: Options): Effect.Effect<Serving, ServeError> =>
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
          url: `${options.tls === undefined ? "http" : "https"}://${address.includes(":") ? `[${address}]` : address}:${port}`
        })
      )
    })
  })

const close = (
  server: Http.Server | Https.Server,
  sockets: ReadonlySet<Socket>,
  endAllSilent: () => void,
  apiScope: Scope.Closeable,
  closingTime: number
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    endAllSilent()
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, closingTime)
    server.once("close", () => clearTimeout(timer))
  }).pipe(
    // An event stream would last as long as its operation, so it ends now. Everything else gets its time.
    (closing) => Effect.all([closing, Scope.close(apiScope, Exit.void)], { concurrency: 2, discard: true })
  )
