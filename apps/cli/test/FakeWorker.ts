/**
 * A worker for the command line to talk to: our own server over a port `Operations` that takes every fault of one group
 * of three and ends it well at once.
 */
import { collect } from "@inquorate/core/Evidence"
import * as Guid from "@inquorate/core/Guid"
import { advance, type Event, make, type Operation } from "@inquorate/core/Operation"
import { Operations, type RecoverScope, RequestRefused } from "@inquorate/core/Operations"
import { type FaultRequest, isQuorumLoss } from "@inquorate/core/Request"
import type { Member, Topology } from "@inquorate/core/Topology"
import { stateOf } from "@inquorate/core/Wire"
import * as NodeServer from "@inquorate/transport/NodeServer"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"

const at = 1_700_000_000_000

const member = (name: string, role: Member["role"]): Member => ({
  name,
  node: `lab-${name}`,
  address: "127.0.0.1:2379",
  role,
  counts: true,
  up: true,
  cuttable: "Always",
  process: null,
  processProblem: "not looked for"
})

export const topology: Topology = {
  cluster: "lab",
  system: "etcd",
  group: "kv",
  partitionId: Guid.forPartition("lab", "kv"),
  observedAt: at,
  needed: 2,
  rule: "majority of 3",
  members: [member("m0", "Primary"), member("m1", "ActiveSecondary"), member("m2", "ActiveSecondary")]
}

const eventsOf = (request: FaultRequest): ReadonlyArray<Event> => [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [] },
  ...(isQuorumLoss(request)
    ? [
        { _tag: "FencesArmed" as const, at },
        { _tag: "LossProven" as const, at, lossBegan: at },
        { _tag: "HoldEnded" as const, at },
        { _tag: "FencesLifted" as const, at }
      ]
    : request.kind === "PartitionDataLoss"
      ? [{ _tag: "DataDestroyed" as const, at }]
      : request.kind === "PartitionRestart"
        ? [
            { _tag: "FencesArmed" as const, at },
            { _tag: "FencesLifted" as const, at }
          ]
        : request.transition === "Stop"
          ? [{ _tag: "FencesArmed" as const, at }]
          : [{ _tag: "FencesLifted" as const, at }]),
  { _tag: "RecoveryProven", at }
]

const ended = (operation: Operation): Operation =>
  eventsOf(operation.request).reduce(
    (before, event) => Result.getOrElse(advance(before, event), () => before),
    operation
  )

const refused = (code: RequestRefused["code"], detail: string) => new RequestRefused({ code, detail, refusal: null })

/** Serves until the scope ends; tells what was asked for. */
export const serve = Effect.gen(function* () {
  const all = new Map<string, Operation>()
  const recovered: Array<RecoverScope> = []
  const get = (id: string) =>
    Effect.suspend(() => {
      const found = all.get(id)
      return found === undefined
        ? Effect.fail(refused("FABRIC_E_KEY_NOT_FOUND", `OperationId '${id}' was not found`))
        : Effect.succeed(found)
    })
  const operations = Operations.of({
    start: (id, request) =>
      Effect.sync(() => {
        const operation = ended(make(id, request, at))
        all.set(id, operation)
        return operation
      }),
    get,
    detail: (id) =>
      Effect.map(get(id), (operation) => ({ operation, state: stateOf(operation.stage), evidence: collect([]) })),
    list: (limit) => Effect.sync(() => [...all.values()].slice(-limit)),
    cancel: (id) => Effect.flatMap(get(id), () => Effect.fail(refused("FABRIC_E_KEY_NOT_FOUND", "it has ended"))),
    plan: () => Effect.succeed({ topology, plan: null, fences: [], notes: [], refusal: null }),
    watch: (id) =>
      Stream.fromEffect(
        Effect.map(get(id), (operation) => ({ operation, state: stateOf(operation.stage), entries: [] }))
      ),
    clusters: Effect.succeed([
      {
        name: "lab",
        system: "etcd",
        injector: "kill",
        protected: false,
        maxHold: null,
        groups: [topology],
        problem: ""
      }
    ]),
    holders: Effect.succeed([]),
    aftermath: Effect.succeed({ stoppedNodes: [], lastLosses: [] }),
    recover: (scope) =>
      Effect.sync(() => {
        recovered.push(scope)
      }),
    unready: Effect.succeed([])
  })
  const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 }).pipe(
    Effect.provideService(Operations, operations)
  )
  return { url, all, recovered }
})
