/**
 * A worker for the command line to talk to: our own server over a port `Operations` that takes every fault of one group
 * of three and ends it well at once.
 */
import { Chaos, type ChaosEvent } from "@inquorate/core/Chaos"
import { advanceChaos, type ChaosHappening, initialState, viewOf } from "@inquorate/core/ChaosRun"
import { collect } from "@inquorate/core/Evidence"
import * as Guid from "@inquorate/core/Guid"
import { advance, type Event, isTerminal, make, type Operation } from "@inquorate/core/Operation"
import {
  type OperationChange,
  Operations,
  type RecoverScope,
  RequestRefused,
  type UnreadableOperation
} from "@inquorate/core/Operations"
import type { Member, Topology } from "@inquorate/core/Topology"
import { stateOf } from "@inquorate/core/Wire"
import * as NodeServer from "@inquorate/transport/NodeServer"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
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

// Whatever its kind: what an operation cannot take is passed over.
const events: ReadonlyArray<Event> = [
  { _tag: "Taken", at },
  { _tag: "FencesOrdered", at, fences: [] },
  { _tag: "FencesArmed", at },
  { _tag: "LossProven", at, lossBegan: at },
  { _tag: "DataDestroyed", at },
  { _tag: "HoldEnded", at },
  { _tag: "FencesLifted", at },
  { _tag: "RecoveryProven", at }
]

const ended = (operation: Operation): Operation =>
  events.reduce((before, event) => Result.getOrElse(advance(before, event), () => before), operation)

const refused = (code: RequestRefused["code"], detail: string) => new RequestRefused({ code, detail, refusal: null })

const play = (operation: Operation, ...events: ReadonlyArray<Event>): Operation =>
  events.reduce((before, event) => Result.getOrElse(advance(before, event), () => before), operation)

/** Serves until the scope ends; tells what was asked for. */
export const serve = Effect.suspend(() => serveWith({ holds: false }))

/** The same; with `holds` an operation holds until its time is over or it is cancelled, as a real one does. */
export const serveWith = Effect.fnUntraced(function* ({
  holds,
  talks = false,
  unreadable = []
}: {
  readonly holds: boolean
  /** What its store cannot read. */
  readonly unreadable?: ReadonlyArray<UnreadableOperation>
  /** Tells something every moment while it holds. */
  readonly talks?: boolean
}) {
  const changed = yield* PubSub.unbounded<string>()
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
        const now = Date.now()
        const operation = holds
          ? play(
              make(id, request, now),
              { _tag: "Taken", at: now },
              { _tag: "FencesOrdered", at: now, fences: [] },
              { _tag: "FencesArmed", at: now },
              { _tag: "LossProven", at: now, lossBegan: now }
            )
          : ended(make(id, request, at))
        all.set(id, operation)
        return operation
      }),
    get,
    detail: (id) =>
      Effect.map(get(id), (operation) => ({ operation, state: stateOf(operation.stage), evidence: collect([]) })),
    unreadable: Effect.succeed(unreadable),
    list: (limit) => Effect.sync(() => [...all.values()].slice(-limit)),
    cancel: (id) =>
      Effect.flatMap(get(id), (operation) => {
        if (!holds) return Effect.fail(refused("FABRIC_E_KEY_NOT_FOUND", "it has ended"))
        const now = Date.now()
        const next = play(
          operation,
          { _tag: "CancelRequested", at: now, force: false },
          { _tag: "FencesLifted", at: now },
          { _tag: "UndoEnded", at: now, clean: true }
        )
        all.set(id, next)
        return Effect.as(PubSub.publish(changed, id), next)
      }),
    plan: () =>
      Effect.succeed({
        topology,
        plan: holds
          ? {
              mode: "QuorumReplicas" as const,
              hold: 60_000,
              configured: 3,
              up: 3,
              needed: 2,
              rule: "majority of 3",
              fences: [],
              arithmetic: "3 − 2 + 1 = 2 must go"
            }
          : null,
        fences: [],
        notes: [],
        refusal: null
      }),
    watch: (id) => {
      const now = Effect.map(get(id), (operation): OperationChange => ({
        operation,
        state: stateOf(operation.stage),
        entries: []
      }))
      const word = (at: number): OperationChange["entries"][number] => ({
        at,
        monotonic: at,
        worker: "fake",
        fact: { _tag: "Noted", text: "still here" }
      })
      const talk = Stream.mapEffect(Stream.tick("100 millis"), () =>
        Effect.map(now, (change) => ({ ...change, entries: [word(Date.now())] }))
      )
      return Stream.fromEffect(now).pipe(
        Stream.concat(
          holds
            ? Stream.merge(
                Stream.mapEffect(Stream.fromPubSub(changed), () => now),
                talks ? talk : Stream.empty
              )
            : Stream.empty
        ),
        Stream.takeUntil(({ operation }) => isTerminal(operation))
      )
    },
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
        return [
          {
            serviceName: "fabric:/lab/kv",
            partitionId: topology.partitionId,
            system: "etcd",
            recovery: "ByItself" as const
          }
        ]
      }),
    unready: Effect.succeed([])
  })
  const { url } = yield* NodeServer.serve({ host: "127.0.0.1", port: 0 }).pipe(
    Effect.provideService(Operations, operations),
    Effect.provideService(Chaos, chaosInMemory())
  )
  return { url, all, recovered }
})

// Nobody drives it: it says what it was told.
const chaosInMemory = (): Chaos["Service"] => {
  let state = initialState
  const events: Array<ChaosEvent> = []
  const change = (happening: ChaosHappening) =>
    Effect.map(Effect.fromResult(advanceChaos(state, happening)), (next) => {
      state = next.state
      events.push(...next.events)
    })
  return {
    start: (parameters) =>
      change({ _tag: "StartAsked", at: Date.now(), runId: "00000000-0000-4000-8000-000000000001", parameters }),
    stop: Effect.suspend(() => change({ _tag: "StopAsked", at: Date.now() })),
    get: Effect.sync(() => viewOf(state, Date.now())),
    events: ({ after, limit }) =>
      Effect.sync(() => events.map((event, index) => ({ sequence: index + 1, event })).slice(after, after + limit)),
    schedule: Effect.sync(() => state.description),
    setSchedule: (description) => change({ _tag: "ScheduleSet", at: Date.now(), description })
  }
}
