/**
 * The event store: it tells the operations of a window as events. It is bounded: it tells the newest operations of a
 * window. It remembers what it learnt of those that have ended, because they do not change any more.
 */
import type { Chaos } from "@inquorate/core/Chaos"
import type { Guid } from "@inquorate/core/Guid"
import { holdsPartition, type Operation } from "@inquorate/core/Operation"
import type { Operations, RequestRefused } from "@inquorate/core/Operations"
import { isPartitionRequest } from "@inquorate/core/Request"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Events from "./FabricEvents.ts"
import type { EventSubject, EventWindow, FabricCall } from "./FabricCall.ts"
import type * as World from "./FabricWorld.ts"

// --- models ---

/** A call of the event store. */
export type EventCall = Extract<FabricCall, { readonly _tag: "GetEvents" | "GetCorrelatedEvents" }>

/** The event store of one server. */
export interface EventStore {
  /** The events that a call asks for, in the order in which they happened. */
  readonly answer: (world: World.World, call: EventCall) => Effect.Effect<ReadonlyArray<unknown>, RequestRefused>
}

// --- make ---

/** How many operations of a window the store tells at most. It tells the newest. */
const operationsMax = 500

/** An event store over operations, and over chaos where there is one. */
export const make = (operations: Operations["Service"], chaos: Option.Option<Chaos["Service"]>): EventStore => {
  let known = new Map<Guid, Events.Told>()

  // An operation that somebody removed after the list was read is left out.
  const tell = (operation: Operation): Effect.Effect<Events.Told | null, RequestRefused> => {
    const before = known.get(operation.id)
    if (before !== undefined) return Effect.succeed(before)
    return Effect.catchTag(operations.detail(operation.id), "RequestRefused", (refused) =>
      refused.code === "FABRIC_E_KEY_NOT_FOUND" ? Effect.succeed(null) : Effect.fail(refused)
    )
  }
  // An operation that has ended and left nothing behind does not change any more.
  const tellAll = (wanted: ReadonlyArray<Operation>): Effect.Effect<ReadonlyArray<Events.Told>, RequestRefused> =>
    Effect.map(Effect.forEach(wanted, tell, { concurrency: tellAtOnce }), (all) => {
      const told = all.filter((one) => one !== null)
      for (const one of told) {
        if (!holdsPartition(one.operation) && !isStanding(one.operation)) {
          known.set(one.operation.id, { operation: one.operation, evidence: { ...one.evidence, samples: [] } })
        }
      }
      if (known.size > 2 * operationsMax) known = new Map([...known].slice(-operationsMax))
      return told
    })
  const eventsOf = (
    world: World.World,
    window: Pick<EventWindow, "from" | "to">,
    of: EventSubject | null
  ): Effect.Effect<ReadonlyArray<Events.Event>, RequestRefused> =>
    Effect.gen(function* () {
      const all = yield* operations.list(listed)
      const wanted = all.filter((operation) => Events.overlaps(operation, window) && mayConcern(operation, of))
      const told = yield* tellAll(wanted.slice(-operationsMax))
      const events = told.flatMap((one) => Events.ofOperation(world, one, told))
      if (chaos._tag === "None" || (of !== null && of._tag !== "Cluster")) return events
      const runs = yield* chaos.value.events({ after: 0, from: window.from, to: window.to, limit: chaosMax })
      return [...events, ...runs.flatMap(({ event }) => Events.ofChaos(event))]
    })

  return {
    answer: (world, call) => {
      if (call._tag === "GetEvents") {
        return Effect.map(eventsOf(world, call, call.of), (events) =>
          events
            .filter((event) => Events.takes(event, call.of, call))
            .toSorted((a, b) => a.at - b.at)
            .map(({ body }) => body)
        )
      }
      return Effect.map(eventsOf(world, { from: 0, to: world.now }, null), (events) => {
        const asked = events.find(({ body }) => body["EventInstanceId"] === call.eventId)
        return events
          .filter((event) => event.cause === asked?.cause && event !== asked)
          .toSorted((a, b) => a.at - b.at)
          .map(({ body }) => body)
      })
    }
  }
}

// --- internal ---

const listed = 10_000
const tellAtOnce = 8
const chaosMax = 1000

const isStanding = ({ stage }: Operation): boolean => stage._tag === "Completed" && stage.standing !== undefined

// The evidence of an operation on another partition is not needed.
const mayConcern = ({ request }: Operation, of: EventSubject | null): boolean => {
  if (of === null || !isPartitionRequest(request)) return true
  switch (of._tag) {
    case "Partitions":
      return of.partitionId === null || of.partitionId === request.partitionId
    case "Replicas":
      return of.partitionId === request.partitionId
    case "Services":
      return of.serviceName === null || of.serviceName === request.serviceName
    case "Applications":
      return of.applicationName === null || request.serviceName.startsWith(`${of.applicationName}/`)
    case "Containers":
      return false
    default:
      return true
  }
}
