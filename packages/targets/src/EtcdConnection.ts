/**
 * The connection to one etcd member: gRPC over HTTP/2, plain or over TLS. Certificates and keys are read for each
 * connection that is made, so their renewal needs no restart. Once somebody gave a call up, that connection serves only
 * the calls that are already open on it. The next call gets a new connection, and the old one ends with its last call.
 */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import * as net from "node:net"
import * as tls from "node:tls"
import { EtcdError, ofAnswer, shorten } from "./EtcdError.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as NamedFile from "./NamedFile.ts"

/** What TLS needs, as paths of PEM files. */
export interface TlsFiles {
  /** The authorities that members' certificates may come from; those of this machine where it is left out. */
  readonly ca?: string
  /** Our certificate, its chain after it, where the members ask for one. */
  readonly certificate?: string
  /** The private key that belongs to it. */
  readonly key?: string
  /** The name that members' certificates are for, where it is not the one in their address. */
  readonly serverName?: string
}

/** How and as whom we speak to a cluster's members. */
export interface Way {
  /** Null for plain HTTP/2. */
  readonly tls: TlsFiles | null
  /** The configured user, or null for none. */
  readonly user: string | null
}

/** Calls of one member. */
export interface Connection {
  /** Waits for the answer as long as that takes; interruption gives the call up. */
  readonly call: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    token: string | null
  ) => Effect.Effect<MessageShape<O>, EtcdError>
  /** Gives the next call a new connection, made with the certificates as they are then. */
  readonly renew: Effect.Effect<void>
}

/** Opens the way to a member. Connects to nothing yet. The scope ends it, with every call that is open. */
export const make = Effect.fnUntraced(function* (
  address: string,
  way: Way
): Effect.fn.Return<Connection, never, Scope.Scope> {
  const lines = new Set<Line>()
  let current: Line | undefined
  // A member that once spoke as etcd does is etcd, whatever becomes of a later connection to it.
  let isEtcd = false
  const end = (line: Line): void => {
    lines.delete(line)
    line.manager.abort()
  }
  const retire = (line: Line): void => {
    if (current === line) current = undefined
    if (line.calls === 0) end(line)
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => [...lines].forEach(end)))
  return {
    call: <I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      input: MessageInitShape<I>,
      token: string | null
    ) =>
      Effect.callback<MessageShape<O>, EtcdError>((resume) => {
        const controller = new AbortController()
        let line: Line
        try {
          line = current ??= lineTo(address, way)
        } catch (cause) {
          return resume(failed("Unreachable", `${address} is no address: ${(cause as Error).message}`))
        }
        lines.add(line)
        line.calls++
        void line.transport
          .unary(method, controller.signal, undefined, token === null ? {} : { token }, input)
          .then(
            ({ message }) => {
              isEtcd = true
              resume(Effect.succeed(message))
            },
            (cause: unknown) =>
              resume(
                Effect.flatMap(
                  Effect.suspend(() => failureOf(address, way, line, cause, isEtcd)),
                  Effect.fail
                )
              )
          )
          .finally(() => {
            line.calls--
            if (current !== line) retire(line)
          })
        return Effect.sync(() => {
          if (current === line) current = undefined
          controller.abort()
        })
      }),
    renew: Effect.sync(() => {
      if (current !== undefined) retire(current)
    })
  }
})

/** The options for TLS to a host. Their files are read now; throws an `EtcdError` where one cannot be read. */
export const secureOptions = (
  host: string,
  { ca, certificate, key, serverName }: TlsFiles
): Pick<tls.ConnectionOptions, "ca" | "cert" | "key" | "rejectUnauthorized" | "servername" | "checkServerIdentity"> => {
  const name = serverName ?? host.replace(/^\[(.*)\]$/, "$1")
  const pem = (what: string, file: string | undefined) => (file === undefined ? {} : { [what]: read(what, file) })
  return {
    ...pem("ca", ca),
    ...pem("cert", certificate),
    ...pem("key", key),
    // Said, since NODE_TLS_REJECT_UNAUTHORIZED in the worker's environment would turn it off.
    rejectUnauthorized: true,
    // The server name in a handshake may be a name only, never an address.
    servername: net.isIP(name) === 0 ? name : "",
    checkServerIdentity: (_, shown) => tls.checkServerIdentity(name, shown)
  }
}

// --- internal ---

/** More than any answer of etcd's that we ask for. */
const answerLimit = 4 * 1024 * 1024
/** After a member ended a connection without a word, it has this long to show that it speaks TLS, in milliseconds. */
const handshakeTimeout = 300

/** One connection. Its manager makes it anew where it was lost. */
interface Line {
  readonly manager: Http2SessionManager
  readonly transport: Transport
  calls: number
  socket: net.Socket | undefined
  /** Whether the socket was ever ready for what we say. */
  ready: boolean
  problem: NodeJS.ErrnoException | undefined
}

const lineTo = (address: string, way: Way): Line => {
  const baseUrl = `${way.tls === null ? "http" : "https"}://${address}`
  const manager = new Http2SessionManager(
    baseUrl,
    {},
    {
      createConnection: () => {
        const socket = way.tls === null ? net.connect(MemberAddress.split(address)) : secure(address, way.tls)
        Object.assign(line, { socket, ready: false, problem: undefined })
        socket.once(way.tls === null ? "connect" : "secureConnect", () => (line.ready = true))
        socket.once("error", (problem) => (line.problem = problem))
        return socket
      }
    }
  )
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: manager,
    acceptCompression: [],
    readMaxBytes: answerLimit
  })
  const line: Line = { manager, transport, calls: 0, socket: undefined, ready: false, problem: undefined }
  return line
}

const secure = (address: string, files: TlsFiles): tls.TLSSocket => {
  const { host, port } = MemberAddress.split(address)
  try {
    return tls.connect({ host, port, ALPNProtocols: ["h2"], ...secureOptions(host, files) })
  } catch (cause) {
    if (cause instanceof EtcdError) throw cause
    const detail = `the certificate and key of tls cannot be used together: ${(cause as Error).message}`
    throw new EtcdError({ reason: "Distrusted", detail })
  }
}

const read = (what: string, file: string): Buffer => {
  try {
    return NamedFile.read(file)
  } catch (cause) {
    const named = what === "cert" ? "certificate" : what
    const detail = `the file of tls.${named} cannot be read: ${(cause as Error).message}`
    throw new EtcdError({ reason: "Distrusted", detail })
  }
}

/** The user that etcd takes our certificate for, where it asks for certificates. */
const commonNameOf = (files: TlsFiles | null): string | null => {
  if (files?.certificate === undefined) return null
  try {
    const { subject } = new crypto.X509Certificate(NamedFile.read(files.certificate))
    return /^CN=(.*)$/m.exec(subject)?.[1] ?? null
  } catch {
    return null
  }
}

const failed = (reason: EtcdError["reason"], detail: string): EtcdError =>
  new EtcdError({ reason, detail: shorten(detail) })

const causesOf = (cause: unknown): ReadonlyArray<Error> => {
  const chain: Array<Error> = []
  for (let next = cause; next instanceof Error && !chain.includes(next); next = next.cause) chain.push(next)
  return chain
}

const failureOf = (
  address: string,
  way: Way,
  line: Line,
  cause: unknown,
  isEtcd: boolean
): Effect.Effect<EtcdError> => {
  const chain = causesOf(cause)
  const own = chain.find((error) => error instanceof EtcdError)
  if (own !== undefined) return Effect.succeed(own)
  const error = ConnectError.from(cause)
  if (error.metadata.has("grpc-status")) {
    if (error.code === Code.Unimplemented) {
      return Effect.succeed(failed("Nonsense", `${address} answered that it knows no such call: ${error.rawMessage}`))
    }
    return Effect.succeed(ofAnswer(address, error.rawMessage, { user: way.user, commonName: commonNameOf(way.tls) }))
  }
  const problem =
    line.problem ?? (chain.find((one) => "code" in one && typeof one.code === "string") as NodeJS.ErrnoException)
  if (way.tls !== null) {
    const trust = distrust(address, way.tls, line.ready || isEtcd, problem)
    if (trust !== null) return Effect.succeed(failed("Distrusted", trust))
  }
  if (!line.ready) {
    return Effect.succeed(failed("Unreachable", problem?.message || problem?.code || error.rawMessage))
  }
  const heard = (line.socket?.bytesRead ?? 0) > 0
  const words = problem?.message || error.rawMessage
  // An etcd ends a connection before it has said a word only where it waits for something else, such as TLS.
  if (!heard && way.tls === null) {
    return Effect.map(speaksTls(address), (isTls) =>
      isTls
        ? failed(
            "Distrusted",
            `${address} speaks TLS: configure tls, with ca, and certificate and key where it asks for a client's`
          )
        : failed(
            "Lost",
            isEtcd
              ? `${address}: ${words}`
              : `${address} took the connection and ended it without a word: is this etcd's client address? (${words})`
          )
    )
  }
  const isOther =
    !isEtcd && (problem?.code === "ERR_HTTP2_ERROR" || /^(HTTP \d|unsupported content type)/.test(error.rawMessage))
  return Effect.succeed(
    isOther
      ? failed("Nonsense", `${address} does not speak gRPC as etcd does: ${words}`)
      : failed("Lost", `${address}: ${words}`)
  )
}

// Node tells how Node is to be started, which is nobody's here to do.
const withoutAdvice = (message: string): string => message.replace(/; if the root CA is installed locally.*$/s, "")

// What ended a connection over TLS; null where it was lost in an ordinary way.
const distrust = (
  address: string,
  { certificate }: TlsFiles,
  isTls: boolean,
  problem: NodeJS.ErrnoException | undefined
): string | null => {
  const { code = "", message = "" } = problem ?? {}
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const { cert, host } = problem as NodeJS.ErrnoException & Partial<{ cert: tls.PeerCertificate; host: string }>
    const names = cert?.subjectaltname ?? "no name"
    return `${address} shows a certificate for ${shorten(names)}, not for ${host}: set tls.serverName to a name that it is for`
  }
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    const when = code === "CERT_HAS_EXPIRED" ? "has expired" : "is not valid yet"
    return `${address} shows a certificate that ${when}, or one of its chain`
  }
  if (/SELF_SIGNED|UNABLE_TO_|CERT_SIGNATURE_FAILURE|INVALID_CA|CERT_UNTRUSTED|INVALID_PURPOSE/.test(code)) {
    return `${address} shows a certificate that is not from the authorities in tls.ca (${withoutAdvice(message)})`
  }
  if (code.startsWith("ERR_SSL_") && /ALERT/.test(code)) {
    const alert = code
      .replace(/^ERR_SSL_.*?ALERT_/, "")
      .toLowerCase()
      .replaceAll("_", " ")
    return certificate === undefined
      ? `${address} asks for a client's certificate (${alert}): configure tls.certificate and tls.key`
      : `${address} does not accept the client's certificate ${certificate} (${alert})`
  }
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG" || code === "EPROTO") {
    return `${address} does not speak TLS: leave tls out, or check the port (${message})`
  }
  if (!isTls && code === "ECONNRESET") {
    return `${address} ended the connection in place of a TLS handshake: does it speak TLS on this port?`
  }
  return null
}

const speaksTls = (address: string): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const socket = tls.connect({ ...MemberAddress.split(address), rejectUnauthorized: false })
    const done = (isTls: boolean): void => {
      socket.destroy()
      resume(Effect.succeed(isTls))
    }
    socket.once("secureConnect", () => done(true))
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => done(code.includes("ALERT")))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: handshakeTimeout, orElse: () => Effect.succeed(false) }))
