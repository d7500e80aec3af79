/**
 * The probe of an etcd group: the PUT of one fixed key. Each PUT makes a new revision, and etcd answers it once a
 * quorum has it. Without a quorum a PUT hangs for 7 s and ends in an error, yet etcd may still carry it out later. So
 * only a refusal of the call itself says that nothing was written.
 */
import { ProbeOutcome, type SurvivorsWord } from "@inquorate/core/Evidence"
import { type Probe, TargetError } from "@inquorate/core/Target"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as EtcdClient from "./EtcdClient.ts"
import { type EtcdError, isDenied } from "./EtcdError.ts"

/** How many writes may be unanswered at once at one endpoint. */
export const unansweredMax = 4

/**
 * Opens a probe. `endpoints` tells where writes go now. The connections are the probe's own and end with the scope. A
 * first write shows whether our user may write at all; where not, the probe is `Unfit`. A group without a quorum does
 * not keep the probe from opening.
 */
export const make = Effect.fn("EtcdProbe.make")(function* (
  cluster: string,
  endpoints: () => ReadonlyArray<string>,
  credentials: EtcdClient.Credentials,
  survivors: Effect.Effect<SurvivorsWord>
): Effect.fn.Return<Probe, TargetError, Scope.Scope> {
  const scope = yield* Effect.scope
  const ways = new Map<string, Way>()
  const wayTo = Effect.fnUntraced(function* (endpoint: string) {
    const known = ways.get(endpoint)
    if (known !== undefined) return known
    const client = yield* Scope.provide(EtcdClient.make(endpoint, credentials), scope)
    const way: Way = { client, unanswered: 0 }
    ways.set(endpoint, way)
    return way
  })
  const [first] = endpoints()
  if (first !== undefined) {
    const { client } = yield* wayTo(first)
    const written = yield* Effect.timeoutOption(Effect.result(client.put), firstWriteTimeout)
    if (Option.isSome(written) && Result.isFailure(written.value)) {
      const { detail, reason } = written.value.failure
      if (isDenied(reason)) return yield* new TargetError({ cluster, endpoint: first, reason: "Unfit", detail })
    }
  }
  return {
    get endpoints() {
      return endpoints()
    },
    write: Effect.fnUntraced(function* (endpoint): Effect.fn.Return<ProbeOutcome> {
      const way = yield* wayTo(endpoint)
      if (way.unanswered >= unansweredMax) return unknown(`${way.unanswered} writes still unanswered`)
      way.unanswered++
      return yield* way.client.put.pipe(
        Effect.match({ onFailure: outcomeOf, onSuccess: () => ProbeOutcome.cases.Acknowledged.make({}) }),
        Effect.ensuring(Effect.sync(() => way.unanswered--))
      )
    }),
    survivors
  }
})

// --- internal ---

/** How long the write that shows our rights may take, in milliseconds. */
const firstWriteTimeout = 500

/** How one endpoint is reached, and how many writes to it are unanswered. */
interface Way {
  readonly client: EtcdClient.Client
  unanswered: number
}

const unknown = (detail: string): ProbeOutcome => ProbeOutcome.cases.Unknown.make({ detail })

const outcomeOf = ({ detail, reason }: EtcdError): ProbeOutcome =>
  reason === "Refused" || reason === "Unauthorized" || reason === "Forbidden"
    ? ProbeOutcome.cases.Refused.make({ detail })
    : unknown(detail)
