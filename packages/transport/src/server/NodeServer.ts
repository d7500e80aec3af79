/**
 * One server of node:http or node:https for both surfaces: defences first, then who the caller is, then `/v1`, `/healthz`,
 * `/readyz` and `/metrics` to theirs, everything else straight to the Service Fabric surface with no router in between.
 * Everything is bounded: handshakes, headers, bodies, time, connections, requests on one connection, readers that
 * read nothing. A request never takes the server down: a defect is logged, and the caller gets 500 `E_FAIL`.
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
  /** Our certificate, with its chain after it. */
  readonly certificate: string
  readonly key: Redacted.Redacted
  /** The authorities that client certificates may come from; null for none. */
  readonly clientAuthorities: string | null
}

/** Where to listen and by which names we go. `port` 0 takes a free one. */
export interface Options {
  readonly host: string
  readonly port: number
  /** Further host names (with or without a port) that requests may be sent to. */
  readonly names?: ReadonlyArray<string>
  /** Whole origins of pages that may ask although they are not of this server. */
  readonly origins?: ReadonlyArray<string>
  /** True to be reached by any name and from any page: only where nothing real can be broken. */
  readonly anyHost?: boolean
  /** Pages that are served below `/Explorer/`. */
  readonly pages?: Pages.Pages
  /** The cluster's id; a request whose `ClusterId` header differs from it is refused. */
  readonly clusterId?: string
  /** Plain HTTP without it. */
  readonly tls?: Tls
  /** Who is let in; without it everyone is, as Admin. */
  readonly authentication?: Authentication.Rules
  /** What `/$/GetAadMetadata` tells. */
  readonly aad?: FabricServer.AadMetadata
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
  /** How long a connection may take to agree on TLS. */
  readonly handshakeTime: number
  /** How long a connection may stand still with an answer that nobody reads, or with nothing asked. */
  readonly stillTime: number
  /** How many requests of one connection may be unanswered. */
  readonly pipelined: number
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
  // Far more than clients and monitoring of one worker. Fewer where the process may not open twice as many files.
  connections: 1024,
  // The gateway's own limit.
  bodyBytes: 4 * 1024 * 1024,
  // Four ids of the longest kind, or a token of Azure Active Directory with many groups, and room to spare.
  headerBytes: 16 * 1024,
  // Headers are one packet or two; who needs longer is on no network that could watch a hold.
  headersTime: 10_000,
  // A body of 4 MiB at 1.2 Mbit/s.
  requestTime: 30_000,
  // A handshake is two round trips and some arithmetic.
  handshakeTime: 10_000,
  // Longer than three heartbeats of an event stream, which keep a connection moving that is read.
  stillTime: 35_000,
  // The clients that there are send one at a time; a start that waits costs a fiber.
  pipelined: 32,
  closingTime: 2000
}

/** Service Fabric's own HTTP gateway port. */
export const portUsual = 19080

/** Listens until the scope ends; then no new request is taken, event streams end, and what runs may finish. */
export const serve = Effect.fn("NodeServer.serve")(function* (options: Options) {
  const bounds: Limits = { ...limits, connections: OpenFiles.connections(limits.connections), ...options.limits }
  // Nobody takes the traces of requests yet, and a span for each would cost more than parsing one.
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
  // The address we were told to listen on is ours too; no page can make a name of its own into an address.
  const address = new URL(serving.url).host
  const { anyHost = false, names = [], origins = [], pages } = options
  const defences = anyHost ? Defences.none : Defences.make({ port: serving.port, names: [address, ...names], origins })
  const surface: Surface = {
    fabric,
    services,
    clusterId: options.clusterId?.toLowerCase(),
    bodyBytes: bounds.bodyBytes,
    authenticate: options.authentication === undefined ? null : Authentication.make(options.authentication),
    // Who has no token yet looks at the first page to learn where to get one.
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
  // Of one connection that could not be taken; the next one may be.
  let toldAt = -tellEvery
  server.on("error", (error) => {
    // Who has no file left is asked for one again and again.
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
  // An Expect that is not 100-continue, which Node would answer with an empty body.
  server.on(
    "checkExpectation",
    inTurn((_request, response) => refuse(response, unexpected, true))
  )
  server.on(
    "request",
    inTurn((request, response) => {
      const target = request.url!
      // Who only asks whether the worker lives names it as he can: a balancer, an engine, a kubelet.
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
  /** The reason phrase of a caller that is not known, where it is not the usual one. */
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

/** How often the log is told that connections cannot be taken, in milliseconds. */
const tellEvery = 10_000

/** The longest time a Node timer can take, in milliseconds. */
const timerMax = 2_147_483_647

const makeServer = (options: Options, bounds: Limits): Http.Server | Https.Server => {
  const common: Http.ServerOptions = {
    maxHeaderSize: bounds.headerBytes,
    headersTimeout: bounds.headersTime,
    requestTimeout: bounds.requestTime,
    connectionsCheckingInterval: Math.min(1000, bounds.headersTime),
    // Node's own answer to a request without a Host has no body; the defences refuse it in JSON.
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
          // Whoever is not known is told so over HTTP, in words; a handshake that breaks tells nothing.
          requestCert: options.authentication?.certificates != null,
          rejectUnauthorized: false,
          // An empty list, not none: certificates of the public authorities are anybody's.
          ca: tls.clientAuthorities === null ? [] : [tls.clientAuthorities],
          // A resumed session brings no chain, so the issuer could not be looked at; and a second handshake inside a
          // connection would be work that a caller can ask for at will.
          secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION
        })
  server.maxConnections = bounds.connections
  server.on("secureConnection", (socket: TLSSocket) => agreed.add(socket))
  server.on("clientError", answerClientError)
  return server
}

/**
 * Ends connections that stand still: those with nothing asked, and those whose answer nobody reads. One that waits for us
 * may wait.
 */
const endStill = (server: Http.Server | Https.Server, turns: Turns.Turns, stillTime: number): void => {
  server.setTimeout(stillTime, (socket: Socket) => {
    if (turns.open(socket) === 0 || socket.writableLength > 0) socket.destroy()
    else socket.setTimeout(stillTime)
  })
}

/**
 * Ends connections that have not said a word when the headers of a request should have been there. Gives back what ends
 * those of them that there are at once: Node does not count them as idle, and clients open one more than they need.
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
      // Who has begun to speak is answered 408 in time.
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

/** Every connection, those included that Node's HTTP does not count yet: silent ones, and handshakes under way. */
const allSockets = (server: Http.Server | Https.Server): ReadonlySet<Socket> => {
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  return sockets
}

/** Goes on where the caller may make a call that asks for `access`, and answers 403 where not. */
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
  // Without a certificate Node gives an empty object, or none once the connection is gone.
  if (peer?.fingerprint === undefined) return null
  // Several common names make a list, which is no name.
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

// As the reference does: anonymous where a token is still to be fetched, else for everybody who may look.
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

// One for each surface and status, since making one costs more than counting.
const counters = new Map<string, ReturnType<typeof counterOf>>()

const counterOf = (api: boolean, status: number) =>
  Metric.withAttributes(answers, { surface: api ? "inquorate" : "service-fabric", status: String(status) })

const countAnswer = (services: Context.Context<Operations>, api: boolean, status: number): void => {
  const name = `${api} ${status}`
  let counter = counters.get(name)
  if (counter === undefined) counters.set(name, (counter = counterOf(api, status)))
  counter.updateUnsafe(1, services)
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
  // Few calls of this surface read a body; one that comes all the same is counted and dropped.
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
  // The timeout bounds the request, not the work: a start that was asked for is not undone because its caller left.
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

// Node could not read a request: there is no response object, so the reply is written on the socket.
const answerClientError = (error: NodeJS.ErrnoException, socket: Duplex): void => {
  // Before TLS is agreed on an answer would wait for ever in a connection that never becomes one.
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
    // Event streams would last as long as their operations: they end now, everything else gets its time.
    (closing) => Effect.all([closing, Scope.close(apiScope, Exit.void)], { concurrency: 2, discard: true })
  )
