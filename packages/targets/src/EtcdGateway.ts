/**
 * The JSON gateway of one etcd member (release 3.4 and later) over plain HTTP. Connections are kept and used again; an
 * interrupted call drops its own, by which a member that runs gives the call up. 64-bit numbers are strings of decimal
 * digits in etcd's JSON and stay so, since a JavaScript number would lose some of them.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import * as MemberAddress from "./MemberAddress.ts"

/**
 * `Unreachable`: no connection, so nothing was sent. `Lost`: the connection ended while the call was open. `Refused`: the
 * member will not have such a call, whenever it is made. `Failed`: it answered with another error. `TimedOut`: no answer
 * in time. `Nonsense`: an answer that is none of etcd's. All but `Unreachable` and `Refused` may have been carried out.
 */
export class GatewayError extends Schema.TaggedError<GatewayError>()("GatewayError", {
  reason: Schema.Literals(["Unreachable", "Lost", "Refused", "Failed", "TimedOut", "Nonsense"]),
  detail: Schema.String
}) {}

/** Calls to one member. */
export interface Gateway {
  /** `host:port` */
  readonly address: string
  /** Waits for the answer for as long as it takes; interruption drops the connection. */
  readonly call: <A>(call: Call<A>) => Effect.Effect<A, GatewayError>
}

/** One kind of call: a POST with a JSON body, or a GET where it has none, and how its answer reads. */
export interface Call<A> {
  readonly path: string
  readonly body: string | null
  /** The answer in its text, or what is wrong with it. */
  readonly read: (text: string) => Result.Result<A, string>
}

/** Opens the way to a member; connects to nothing yet. Its connections are dropped when the scope ends. */
export const make = Effect.fnUntraced(function* (address: string): Effect.fn.Return<Gateway, never, Scope.Scope> {
  const agent = new http.Agent({ keepAlive: true })
  yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
  return {
    address,
    call: ({ body, path, read }) =>
      exchange(agent, address, path, body).pipe(
        Effect.flatMap(({ status, text }) => (status === 200 ? Effect.succeed(text) : refusal(address, status, text))),
        Effect.flatMap((text) =>
          Effect.mapError(Effect.fromResult(read(text)), (problem) =>
            failure("Nonsense", `${address} answered nonsense: ${problem.slice(0, 300)}`)
          )
        )
      )
  }
})

const readAs =
  <A>(schema: Schema.ConstraintDecoder<A>): Call<A>["read"] =>
  (text) =>
    Result.mapError(Schema.decodeResult(Schema.fromJsonString(schema))(text), ({ message }) => message)

const Unsigned = Schema.String.check(Schema.isPattern(/^\d+$/, { expected: "a number as a string" }))

const Header = Schema.Struct({ cluster_id: Unsigned, member_id: Unsigned })

/** What a member says of itself. An absent `leader` or 0 is none; an absent list is empty. */
export const Status = Schema.Struct({
  header: Header,
  leader: Schema.optionalKey(Unsigned),
  raftTerm: Schema.optionalKey(Unsigned),
  raftAppliedIndex: Schema.optionalKey(Unsigned),
  errors: Schema.optionalKey(Schema.Array(Schema.String))
})
/** What a member says of itself. */
export type Status = typeof Status.Type

/** The members of the cluster as one of them has them. A member that has not started yet has no name and no clients' URL. */
export const MemberList = Schema.Struct({
  header: Header,
  members: Schema.Array(
    Schema.Struct({
      ID: Unsigned,
      name: Schema.optionalKey(Schema.String),
      clientURLs: Schema.optionalKey(Schema.Array(Schema.String)),
      peerURLs: Schema.optionalKey(Schema.Array(Schema.String)),
      isLearner: Schema.optionalKey(Schema.Boolean)
    })
  )
})
/** The members of the cluster as one of them has them. */
export type MemberList = typeof MemberList.Type

/** Asks a member for its own state; it answers by itself, with or without a leader. */
export const status: Call<Status> = {
  path: "/v3/maintenance/status",
  body: "{}",
  read: readAs(Status)
}

/** Asks a member for the list of members; it answers by itself, and a learner refuses. */
export const memberList: Call<MemberList> = {
  path: "/v3/cluster/member/list",
  body: "{}",
  read: readAs(MemberList)
}

/** Writes the one key of the probe, `inquorate/probe`; the answer comes when a quorum has it. */
export const putProbe: Call<unknown> = {
  path: "/v3/kv/put",
  body: JSON.stringify({ key: btoa("inquorate/probe"), value: btoa("probe") }),
  read: readAs(Schema.Struct({ header: Header }))
}

/** Asks a member when its process began, in seconds since 1970 by its host's clock; found among its metrics. */
export const processBegan: Call<number> = {
  path: "/metrics",
  body: null,
  read: (text) => {
    const seconds = Number(/^process_start_time_seconds (\S+)$/m.exec(text)?.[1])
    return Number.isFinite(seconds) ? Result.succeed(seconds) : Result.fail("no process_start_time_seconds")
  }
}

// --- internal ---

/** More than any answer of etcd's, whose metrics are 150 kB. */
const answerLimit = 4 * 1024 * 1024

const failure = (reason: GatewayError["reason"], detail: string): GatewayError => new GatewayError({ reason, detail })

const exchange = (
  agent: http.Agent,
  address: string,
  path: string,
  body: string | null
): Effect.Effect<{ readonly status: number; readonly text: string }, GatewayError> =>
  Effect.callback((resume) => {
    let sent = false
    const request = http.request({
      agent,
      ...MemberAddress.split(address),
      method: body === null ? "GET" : "POST",
      path
    })
    const lose = (cause: NodeJS.ErrnoException): void =>
      resume(failure(sent ? "Lost" : "Unreachable", cause.message === "" ? String(cause.code) : cause.message))
    request.on("socket", (socket) => {
      if (!socket.connecting) sent = true
      else socket.once("connect", () => void (sent = true))
    })
    request.on("error", lose)
    request.on("response", (response) => {
      const chunks: Array<Buffer> = []
      let length = 0
      response.on("data", (chunk: Buffer) => {
        length += chunk.length
        if (length <= answerLimit) chunks.push(chunk)
        else request.destroy(new Error(`more than ${answerLimit} bytes`))
      })
      response.on("error", lose)
      response.on("end", () =>
        resume(Effect.succeed({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }))
      )
    })
    if (body !== null) request.setHeader("content-type", "application/json")
    request.end(body ?? undefined)
    return Effect.sync(() => request.destroy())
  })

const ErrorBody = Schema.Struct({ message: Schema.String })

// The gateway's own codes: 4xx for what was wrong with the call or the caller, 5xx for all that may pass.
const refusal = (address: string, status: number, text: string): GatewayError => {
  const message = Result.match(readAs(ErrorBody)(text), { onFailure: () => text, onSuccess: ({ message }) => message })
  const detail = `${address} answered ${status}: ${message.trim().slice(0, 200)}`
  return failure([400, 401, 403, 404].includes(status) ? "Refused" : "Failed", detail)
}
