/**
 * The probe of an etcd group: the PUT of one fixed key, which etcd answers when a quorum has it. Without a quorum a PUT
 * hangs for 7 s and ends in an error, yet may be carried out later; so nothing but a refusal of the call itself says that
 * it was not. A write that nobody waits for any more is dropped with its connection, by which a member that runs gives
 * it up.
 */
import { ProbeOutcome, type SurvivorsWord } from "@inquorate/core/Evidence"
import type { Probe } from "@inquorate/core/Target"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as EtcdGateway from "./EtcdGateway.ts"

/** How many writes may be unanswered at once at one endpoint. */
export const unansweredMax = 4

/** Opens a probe. `endpoints` tells where writes go now; its connections are its own and end with the scope. */
export const make = Effect.fn("EtcdProbe.make")(function* (
  endpoints: () => ReadonlyArray<string>,
  survivors: Effect.Effect<SurvivorsWord>
): Effect.fn.Return<Probe, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const ways = new Map<string, Way>()
  const wayTo = Effect.fnUntraced(function* (endpoint: string) {
    const known = ways.get(endpoint)
    if (known !== undefined) return known
    const way: Way = { gateway: yield* Scope.provide(EtcdGateway.make(endpoint), scope), unanswered: 0 }
    ways.set(endpoint, way)
    return way
  })
  return {
    get endpoints() {
      return endpoints()
    },
    write: Effect.fnUntraced(function* (endpoint): Effect.fn.Return<ProbeOutcome> {
      const way = yield* wayTo(endpoint)
      if (way.unanswered >= unansweredMax) return unknown(`${way.unanswered} writes still unanswered`)
      way.unanswered++
      return yield* way.gateway
        .call(EtcdGateway.putProbe)
        .pipe(
          Effect.match({ onFailure: outcomeOf, onSuccess: () => ProbeOutcome.cases.Acknowledged.make({}) }),
          Effect.ensuring(Effect.sync(() => way.unanswered--))
        )
    }),
    survivors
  }
})

// --- internal ---

/** How one endpoint is reached, and how many writes to it are unanswered. */
interface Way {
  readonly gateway: EtcdGateway.Gateway
  unanswered: number
}

const unknown = (detail: string): ProbeOutcome => ProbeOutcome.cases.Unknown.make({ detail })

const outcomeOf = ({ detail, reason }: EtcdGateway.GatewayError): ProbeOutcome =>
  reason === "Refused" ? ProbeOutcome.cases.Refused.make({ detail }) : unknown(detail)
