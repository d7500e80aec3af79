/**
 * What is asked of one etcd member (release 3.4 and later), and as whom. Where a user is configured, a token is fetched
 * when the member first wants one, and again when the member refuses the token that it gave. Without a user, the common
 * name of the client's certificate is the user where etcd is set up so. To fetch a token takes the quorum, as a write
 * does.
 */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as http from "node:http"
import * as https from "node:https"
import * as EtcdConnection from "./EtcdConnection.ts"
import { EtcdError, isBarred, isDenied, probeKey, shorten } from "./EtcdError.ts"
import { Auth, Cluster, KV, Maintenance, type ResponseHeader } from "./EtcdMessages.ts"
import * as Secret from "./Secret.ts"

/** How and as whom we speak to a cluster's members. */
export interface Credentials extends EtcdConnection.Way {
  /** Null where no user is configured. */
  readonly password: Secret.Secret | null
}

/** What a member says of itself. Ids are etcd's own 64-bit numbers in hexadecimal digits, as etcdctl prints them. */
export interface Status {
  readonly clusterId: string
  readonly memberId: string
  /** Null where the member knows of none. */
  readonly leader: string | null
  readonly term: bigint
  readonly applied: bigint
  readonly errors: ReadonlyArray<string>
}

/**
 * A member in the cluster's own list. A member that was added and has not started yet has no name and no clients' URL.
 */
export interface Entry {
  readonly id: string
  readonly name: string
  readonly peerUrls: ReadonlyArray<string>
  readonly clientUrls: ReadonlyArray<string>
  readonly isLearner: boolean
}

/** Calls to one member. Each waits for its answer as long as that takes; interruption gives the call up. */
export interface Client {
  /** `host:port` */
  readonly address: string
  /** Asks the member for its own state. It answers by itself, with or without a leader. */
  readonly status: Effect.Effect<Status, EtcdError>
  /** Asks the member who is in the cluster. It answers by itself; a learner refuses. */
  readonly memberList: Effect.Effect<ReadonlyArray<Entry>, EtcdError>
  /** Writes the one key of the probe. The answer, the new revision, comes once a quorum has it. */
  readonly put: Effect.Effect<bigint, EtcdError>
  /** Reads the key of the probe after the leader has heard from a quorum that it still leads. Changes nothing. */
  readonly confirmQuorum: Effect.Effect<void, EtcdError>
  /** Reads the key of the probe as the member has it, which shows whether the member lets us in. */
  readonly enter: Effect.Effect<void, EtcdError>
}

/** Opens the way to a member. Connects to nothing yet. The scope drops its connections. */
export const make = Effect.fnUntraced(function* (
  address: string,
  credentials: Credentials
): Effect.fn.Return<Client, never, Scope.Scope> {
  const connection = yield* EtcdConnection.make(address, credentials)
  const one = yield* Semaphore.make(1)
  let token: string | null = null
  let hasWritten = false
  let refused: { readonly password: string; readonly at: number; readonly error: EtcdError } | null = null

  const authenticate = Effect.fnUntraced(function* (
    name: string,
    secret: Secret.Secret
  ): Effect.fn.Return<void, EtcdError> {
    const read = yield* Effect.result(Secret.read("password", secret))
    if (Result.isFailure(read)) return yield* new EtcdError({ reason: "Unauthorized", detail: read.failure })
    const password = Redacted.value(read.success)
    const now = yield* Clock.currentTimeMillis
    // A member that compares a password needs its processor for a tenth of a second.
    if (refused?.password === password && now - refused.at < refusedFor) return yield* refused.error
    const answer = yield* Effect.result(connection.call(Auth.method.authenticate, { name, password }, null))
    if (Result.isSuccess(answer)) {
      token = answer.success.token
      return
    }
    if (answer.failure.reason === "Unauthorized") refused = { password, at: now, error: answer.failure }
    return yield* answer.failure
  })
  // Where several calls come back without a valid token, one of them fetches another.
  const renew = (used: string | null): Effect.Effect<void, EtcdError> =>
    one.withPermits(1)(
      Effect.suspend(() => {
        const { password, user } = credentials
        return token !== used || user === null || password === null ? Effect.void : authenticate(user, password)
      })
    )
  const call = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>
  ): Effect.Effect<MessageShape<O>, EtcdError> =>
    Effect.suspend(() => {
      const used = token
      return connection.call(method, input, used).pipe(
        Effect.catchIf(
          // Without a token, a member may take us for the user that our certificate names.
          ({ reason }) => reason === "Stale" || (used === null && credentials.user !== null && isDenied(reason)),
          () =>
            Effect.andThen(
              renew(used),
              Effect.suspend(() => connection.call(method, input, token))
            )
        ),
        // The connection may have been made with a certificate that was replaced since.
        Effect.tapError(({ reason }) => (isBarred(reason) ? connection.renew : Effect.void))
      )
    })
  const put = Effect.flatMap(call(KV.method.put, { key, value }), ({ header }) =>
    Effect.map(headerOf(address, header), ({ revision }) => revision)
  )
  return {
    address,
    status: Effect.flatMap(
      call(Maintenance.method.status, {}),
      ({ errors, header, leader, raftAppliedIndex, raftTerm }) =>
        Effect.map(headerOf(address, header), ({ clusterId, memberId }) => ({
          clusterId: clusterId.toString(16),
          memberId: memberId.toString(16),
          leader: leader === 0n ? null : leader.toString(16),
          term: raftTerm,
          applied: raftAppliedIndex,
          errors: errors.slice(0, errorsMost).map(shorten)
        }))
    ),
    memberList: Effect.map(call(Cluster.method.memberList, {}), ({ members }) =>
      members.map(({ ID, clientURLs, isLearner, name, peerURLs }) => ({
        id: ID.toString(16),
        name,
        peerUrls: peerURLs,
        clientUrls: clientURLs,
        isLearner
      }))
    ),
    put,
    confirmQuorum: Effect.asVoid(call(KV.method.range, { key, keysOnly: true })),
    // A user who may not read may still write. Only a write can show that, so one is made, once.
    enter: Effect.catchIf(
      Effect.asVoid(call(KV.method.range, { key, keysOnly: true, serializable: true })),
      ({ reason }) => reason === "Forbidden",
      () =>
        Effect.suspend(() => (hasWritten ? Effect.void : put)).pipe(
          Effect.map(() => {
            hasWritten = true
          })
        )
    )
  }
})

/**
 * Reads from a member's metrics when its process began, in seconds since 1970 by its host's clock. `url` is where the
 * metrics are, such as `http://127.0.0.1:2381`.
 */
export const processBegan = (url: string, files: EtcdConnection.TlsFiles | null): Effect.Effect<number, EtcdError> =>
  Effect.flatMap(metrics(url, files), (text) => {
    const seconds = Number(/^process_start_time_seconds (\S+)$/m.exec(text)?.[1])
    return Number.isFinite(seconds)
      ? Effect.succeed(seconds)
      : Effect.fail(new EtcdError({ reason: "Nonsense", detail: `${url} tells no process_start_time_seconds` }))
  })

// --- internal ---

const key = new TextEncoder().encode(probeKey)
const value = new TextEncoder().encode("probe")

/** How many errors of one answer are kept. */
const errorsMost = 20

/** For how long we do not try again a password that was refused, in milliseconds. */
const refusedFor = 5000

/** More than etcd's metrics, which are 150 kB. */
const metricsLimit = 4 * 1024 * 1024

// Whatever answers without a header is no etcd.
const headerOf = (address: string, header: ResponseHeader | undefined): Effect.Effect<ResponseHeader, EtcdError> =>
  header === undefined
    ? Effect.fail(
        new EtcdError({ reason: "Nonsense", detail: `${address} answered nonsense: an answer without a header` })
      )
    : Effect.succeed(header)

const metrics = (url: string, files: EtcdConnection.TlsFiles | null): Effect.Effect<string, EtcdError> =>
  Effect.callback((resume) => {
    const lose = (cause: Error): void =>
      resume(new EtcdError({ reason: "Unreachable", detail: `${url}: ${cause.message}` }))
    try {
      const place = new URL("/metrics", url)
      const options = { agent: false as const, headers: { connection: "close" } }
      const request =
        place.protocol === "https:"
          ? https.request(place, { ...options, ...EtcdConnection.secureOptions(place.hostname, files ?? {}) })
          : http.request(place, options)
      request.on("error", lose)
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        let length = 0
        response.on("data", (chunk: Buffer) => {
          length += chunk.length
          if (length <= metricsLimit) chunks.push(chunk)
          else request.destroy(new Error(`more than ${metricsLimit} bytes`))
        })
        response.on("error", lose)
        response.on("end", () => resume(Effect.succeed(Buffer.concat(chunks).toString("utf8"))))
      })
      request.end()
      return Effect.sync(() => request.destroy())
    } catch (cause) {
      lose(cause as Error)
      return Effect.void
    }
  })
