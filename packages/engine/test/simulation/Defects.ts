/**
 * Faults that are planted on purpose, so that it is seen that the simulation would find them: in the store, in the hosts,
 * and in what the engine is told. A simulation that no defect can make fail proves nothing.
 */
import * as Effect from "effect/Effect"
import { OperationStore } from "@inquorate/core/OperationStore"
import type { EngineOptions } from "@inquorate/engine/Engine"
import type { HostDefects } from "@inquorate/testkit/SimulatedHost"
import type { StoreDefects } from "@inquorate/core/MemoryStore"

type Service = OperationStore["Service"]

/** What is wrong in a life. */
export interface Defects {
  readonly store: Partial<StoreDefects>
  readonly host: Partial<HostDefects>
  readonly engine: Partial<EngineOptions>
  /** Stands between the engine and its connection to the store. */
  readonly connection: (service: Service) => Service
}

const lease = 1800

/** The planted faults by name. */
export const planted: Readonly<Record<string, Partial<Defects>>> = {
  "a store that ignores the epoch": { store: { ignoresEpoch: true } },
  "a store that ignores leases": { store: { ignoresLeases: true } },
  "a store that ignores the version": { store: { ignoresVersion: true } },
  "a store that lets two operations stand on one partition": { store: { ignoresPartitions: true } },
  "a store that says stored before it has stored": {
    connection: (service) => OperationStore.of({ ...service, create: hastyCreate(service) })
  },
  "a worker that does not check its lease": {
    engine: { leaseMs: 3_600_000 },
    // The store keeps counting the lease that everybody agreed on; only the worker believes in a longer one.
    connection: (service) => OperationStore.of({ ...service, heartbeat: (worker) => service.heartbeat(worker, lease) })
  },
  "an engine that acts before it stores": {
    connection: (service) => OperationStore.of({ ...service, save: hastySave(service) })
  },
  "a keeper that ignores its deadline": { host: { ignoresDeadline: true } },
  "a host that obeys late orders": { host: { obeysLateOrders: true } },
  "a host that obeys earlier owners": { host: { obeysOldEpochs: true } },
  "a host that obeys an order twice": { host: { obeysTwice: true } },
  "a host that says off and leaves the fence on": { host: { liftsInWordOnly: true } }
}

// --- internal ---

/** Answers at once what the save would make of it, and stores behind the caller's back. */
const hastySave =
  (service: Service): Service["save"] =>
  (stored, operation, entries, as) =>
    as === null
      ? service.save(stored, operation, entries, as)
      : Effect.gen(function* () {
          yield* Effect.forkDetach(Effect.ignore(service.save(stored, operation, entries, as)))
          return { operation, version: stored.version + 1, owner: stored.owner, epoch: stored.epoch }
        })

const hastyCreate =
  (service: Service): Service["create"] =>
  (operation) =>
    Effect.as(Effect.forkDetach(Effect.ignore(service.create(operation))), "Created" as const)
