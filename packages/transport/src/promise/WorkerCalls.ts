/**
 * The calls of `/v1` that the promise client makes, over `fetch` alone, so that a page which needs only these calls
 * loads no more. An answer is bounded in bytes and time. The client reads it by the schema that the worker writes it
 * with. It follows an operation over its events, and asks again and again if they break.
 */
import type { Guid } from "@inquorate/core/Guid"
import { isTerminal } from "@inquorate/core/Operation"
import { ClusterView, OperationChange, OperationDetail, PlanPreview } from "@inquorate/core/Operations"
import { FaultRequest } from "@inquorate/core/Request"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TransportCause from "../client/TransportCause.ts"
import { ApiErrorBody, apiHeader, OperationView, StartReceipt } from "../v1/Answers.ts"
import { type HealthSubject, HealthView } from "../v1/HealthView.ts"
import { NodeView } from "../v1/NodeView.ts"
import { InquorateError } from "./InquorateError.ts"

// --- models ---

/** How the calls reach a worker. */
interface Options {
  /** The worker's address, without a slash at its end. */
  readonly endpoint: string
  readonly token?: string
  readonly fetch?: typeof fetch
  /** Ends every call. */
  readonly signal?: AbortSignal
}

/** The calls. Each rejects with an `InquorateError`, or with the reason of the signal that ended it. */
export interface WorkerCalls {
  readonly clusters: (signal?: AbortSignal) => Promise<ReadonlyArray<ClusterView>>
  readonly plan: (request: FaultRequest, signal?: AbortSignal) => Promise<PlanPreview>
  readonly start: (id: Guid, request: FaultRequest, signal?: AbortSignal) => Promise<StartReceipt>
  readonly list: (limit: number | undefined, signal?: AbortSignal) => Promise<ReadonlyArray<OperationView>>
  readonly nodes: (signal?: AbortSignal) => Promise<ReadonlyArray<NodeView>>
  readonly node: (name: string, signal?: AbortSignal) => Promise<NodeView>
  readonly health: (subject: HealthSubject, signal?: AbortSignal) => Promise<HealthView>
  readonly detail: (id: Guid, signal?: AbortSignal) => Promise<OperationDetail>
  readonly cancel: (id: Guid, force: boolean, signal?: AbortSignal) => Promise<OperationView>
  /** The operation as it is now, and every change until it has ended. */
  readonly watch: (id: Guid) => AsyncGenerator<OperationChange, void, void>
}

// --- make ---

/** Makes the calls of a worker. Nothing is asked yet. */
export const make = (options: Options): WorkerCalls => {
  const ask = async <S extends Answer>(asked: Asked, schema: S, own?: AbortSignal): Promise<S["Type"]> => {
    const signal = joined(options.signal, own)
    const told = await (asked.once === true
      ? tell(options, asked, signal)
      : again(() => tell(options, asked, signal), signal))
    return read(told, schema)
  }
  const detail = (id: Guid, signal?: AbortSignal) => ask({ path: `/v1/operations/${id}` }, OperationDetail, signal)
  return {
    clusters: (signal) => ask({ path: "/v1/clusters" }, Clusters, signal),
    plan: async (request, signal) =>
      ask({ method: "POST", path: "/v1/plan", body: bodyOf(request) }, PlanPreview, signal),
    start: async (id, request, signal) =>
      ask({ method: "PUT", path: `/v1/operations/${id}`, body: bodyOf(request) }, StartReceipt, signal),
    list: (limit, signal) => {
      const query = limit === undefined ? "" : `?limit=${encodeURIComponent(limit)}`
      return ask({ path: `/v1/operations${query}` }, Operations, signal)
    },
    nodes: (signal) => ask({ path: "/v1/nodes" }, Nodes, signal),
    node: (name, signal) => ask({ path: `/v1/nodes/${encodeURIComponent(name)}` }, NodeView, signal),
    health: (subject, signal) => {
      const query = new URLSearchParams(Object.entries(subject)).toString()
      return ask({ path: `/v1/health${query === "" ? "" : `?${query}`}` }, HealthView, signal)
    },
    detail,
    cancel: (id, force, signal) => {
      const query = force ? "?force=true" : ""
      // A worker cannot tell a repeated cancel from a second one.
      return ask({ method: "POST", path: `/v1/operations/${id}/cancel${query}`, once: true }, OperationView, signal)
    },
    watch: (id) => watch(options, id, () => detail(id))
  }
}

// --- internal ---

/** How many times the client repeats a call that got no answer, if the call may be repeated. */
const repeats = 3
/**
 * How long, in milliseconds, the client waits before the first repetition. It waits twice as long before each further
 * one.
 */
const firstPause = 100
/** How long, in milliseconds, the client waits before it asks again for an operation whose events broke. */
const pollInterval = 1000
/** How many times the client asks again in vain before it takes the worker for gone. */
const pollsInVain = 30
/** How long, in milliseconds, an answer may take until it is complete, and how long events may be silent. */
const answerTime = 60_000
/** How many bytes an answer or one event may have: far more than the evidence of any operation. */
const answerBytes = 64 * 1024 * 1024
const eventBytes = 16 * 1024 * 1024

const Clusters = Schema.Array(ClusterView)
const Operations = Schema.Array(OperationView)
const Nodes = Schema.Array(NodeView)

type Answer = Schema.Codec<unknown, unknown>

interface Asked {
  readonly method?: string
  readonly path: string
  readonly body?: string
  /** True for a call that must not be repeated. */
  readonly once?: boolean
}

/** An answer as it arrived. */
interface Told {
  readonly status: number
  readonly ofWorker: boolean
  readonly text: string
}

const joined = (...signals: ReadonlyArray<AbortSignal | undefined>): AbortSignal | undefined => {
  const given = signals.flatMap((signal) => signal ?? [])
  return given.length > 1 ? AbortSignal.any(given) : given[0]
}

const bodyOf = (request: FaultRequest): string => {
  const encoded = Schema.encodeUnknownResult(FaultRequest)(request)
  if (Result.isFailure(encoded)) throw new InquorateError("BadRequest", encoded.failure.message)
  return JSON.stringify(encoded.success)
}

const send = (
  { endpoint, fetch = globalThis.fetch, token }: Options,
  { body, method = "GET", path }: Asked,
  accept: string,
  signal: AbortSignal
): Promise<Response> =>
  fetch(`${endpoint}${path}`, {
    method,
    signal,
    headers: {
      accept,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" })
    },
    ...(body === undefined ? {} : { body })
  })

const tell = async (options: Options, asked: Asked, signal: AbortSignal | undefined): Promise<Told> => {
  signal?.throwIfAborted()
  const bound = AbortSignal.timeout(answerTime)
  try {
    const response = await send(options, asked, "application/json", joined(signal, bound)!)
    return await whole(response)
  } catch (error) {
    signal?.throwIfAborted()
    if (bound.aborted) throw new InquorateError("TimedOut", `no whole answer within ${answerTime / 1000} s`)
    throw lost(error)
  }
}

const whole = async (response: Response): Promise<Told> => {
  let text = ""
  for await (const piece of pieces(response, () => text.length)) text += piece
  return { status: response.status, ofWorker: isOfWorker(response), text }
}

/** The text of an answer, piece by piece. Fails if the reader keeps more than `most` bytes of it. */
async function* pieces(
  response: Response,
  kept: () => number,
  most: number = answerBytes
): AsyncGenerator<string, void, void> {
  if (response.body === null) return
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      yield decoder.decode(next.value, { stream: true })
      if (kept() > most) {
        throw new TransportCause.BeyondBounds("TOO_LONG", `its answer has more than ${most} bytes`)
      }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

const isOfWorker = ({ headers }: Response): boolean => headers.has(apiHeader.name)

const lost = (error: unknown): InquorateError => {
  const { detail, reason } = TransportCause.of(error instanceof Error ? error : new Error(String(error)))
  return new InquorateError(reason, detail, { cause: error })
}

const read = <S extends Answer>({ ofWorker, status, text }: Told, schema: S): S["Type"] => {
  if (status < 200 || status > 299) throw refused({ ofWorker, status, text })
  const decoded = decode(schema, text)
  if (Result.isSuccess(decoded)) return decoded.success
  throw new InquorateError(ofWorker ? "BadAnswer" : "NotAWorker", decoded.failure.message, { status })
}

const decode = <S extends Answer>(schema: S, text: string): Result.Result<S["Type"], Error> => {
  let value: unknown
  try {
    value = text === "" ? null : JSON.parse(text)
  } catch (error) {
    return Result.fail(error as Error)
  }
  return Schema.decodeUnknownResult(schema)(value)
}

/** The error of a worker that said no, or of a server that is no worker. */
const refused = ({ ofWorker, status, text }: Told): InquorateError => {
  const body = decode(ApiErrorBody, text)
  const said = Result.isSuccess(body) ? body.success.Error.Message : `HTTP status ${status}`
  if (!ofWorker) return new InquorateError("NotAWorker", said, { status })
  if (Result.isFailure(body)) return new InquorateError("BadAnswer", body.failure.message, { status })
  const { Error, Refusal = null } = body.success
  return new InquorateError(Error.Code, said, { refusal: Refusal, status })
}

const isAway = (error: unknown): boolean =>
  error instanceof InquorateError && (error.code === "Unreachable" || error.status === 503 || error.status === 504)

/**
 * Asks again if nobody answered. Every call but a cancel may be repeated: a start carries its id, and the worker
 * recognises it.
 */
const again = async (asking: () => Promise<Told>, signal: AbortSignal | undefined): Promise<Told> => {
  for (let tried = 0; ; tried++) {
    const told = await asking().catch((error: unknown) => {
      if (tried === repeats || !isAway(error)) throw error
    })
    const busy = told !== undefined && (told.status === 503 || told.status === 504)
    if (told !== undefined && (!busy || tried === repeats)) return told
    await pause(firstPause * 2 ** tried, signal)
  }
}

const pause = (millis: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const end = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end)
      resolve()
    }, millis)
    signal?.addEventListener("abort", end, { once: true })
  })

/** The changes that the worker tells by its events. */
async function* listen(options: Options, id: Guid): AsyncGenerator<OperationChange, void, void> {
  const { signal } = options
  const ending = new AbortController()
  let silent = false
  const hush = () => {
    silent = true
    ending.abort()
  }
  let timer = setTimeout(hush, answerTime)
  try {
    signal?.throwIfAborted()
    const asked: Asked = { path: `/v1/operations/${id}/events` }
    const response = await send(options, asked, "text/event-stream", joined(signal, ending.signal)!)
    if (response.status !== 200) throw refused(await whole(response))
    let line = ""
    let event: Array<string> = []
    let held = 0
    for await (const piece of pieces(response, () => held, eventBytes)) {
      clearTimeout(timer)
      timer = setTimeout(hush, answerTime)
      held += piece.length
      const [first = "", ...more] = piece.split("\n")
      line += first
      for (const next of more) {
        const whole = line.replace(/\r$/, "")
        line = next
        if (whole !== "") event.push(whole)
        else {
          const change = changeOf(event)
          event = []
          held = 0
          if (change !== undefined) yield change
        }
      }
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (silent) throw new InquorateError("TimedOut", `nothing was said for ${answerTime / 1000} s`)
    throw error instanceof InquorateError ? error : lost(error)
  } finally {
    clearTimeout(timer)
    ending.abort()
  }
}

/** The change in an event, if there is one. A comment, by which a silent worker says that it is alive, has none. */
const changeOf = (lines: ReadonlyArray<string>): OperationChange | undefined => {
  const values = (name: string) =>
    lines.flatMap((line) => (line.startsWith(`${name}:`) ? [line.slice(name.length + 1).replace(/^ /, "")] : []))
  const data = values("data")
  if (data.length === 0) return undefined
  const text = data.join("\n")
  if (values("event").at(-1) === "error") throw refused({ status: 500, ofWorker: true, text })
  return read({ status: 200, ofWorker: true, text }, OperationChange)
}

// Events that fail, or that end while the operation goes on, were cut off. Then ask again until the operation has
// ended.
async function* watch(
  options: Options,
  id: Guid,
  detail: () => Promise<OperationDetail>
): AsyncGenerator<OperationChange, void, void> {
  let seen = ""
  try {
    for await (const change of listen(options, id)) {
      seen = JSON.stringify(change.operation)
      yield change
      if (isTerminal(change.operation)) return
    }
  } catch (error) {
    if (!(error instanceof InquorateError) || isRefusal(error)) throw error
  }
  for (let inVain = 0; ;) {
    await pause(pollInterval, options.signal)
    const asked = await detail().catch((error: unknown) => {
      if (++inVain > pollsInVain || !mayComeBack(error, seen !== "")) throw error
    })
    if (asked === undefined) continue
    inVain = 0
    const { operation, state, summary } = asked
    const now = JSON.stringify(operation)
    const over = isTerminal(operation)
    if (now !== seen) yield { operation, state, entries: [], ...(summary === undefined || !over ? {} : { summary }) }
    if (over) return
    seen = now
  }
}

/** True if a worker said no. It would say no again. */
const isRefusal = ({ code, status }: InquorateError): boolean =>
  status !== null && status >= 400 && status < 500 && code !== "NotAWorker"

/** True if the worker may answer again. While it is away, a proxy may answer for it if it was there before. */
const mayComeBack = (error: unknown, wasThere: boolean): boolean =>
  error instanceof InquorateError &&
  (error.code === "Unreachable" || (error.code === "NotAWorker" && wasThere) || (error.status ?? 0) >= 500)
