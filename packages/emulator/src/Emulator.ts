/**
 * A simulated Service Fabric cluster in this process, the same for the same seed. Each of its applications is a
 * `Cluster` of core. The engine breaks it and a front shows it like any other. The cluster starts healthy, lives on
 * Effect's clock, and ends with the process. A new start makes a new cluster with the same ids.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Cluster, Clusters } from "@inquorate/core/Cluster"
import type { Millis } from "@inquorate/core/Time"
import type { NodeFacts } from "@inquorate/core/Topology"
import { type Layout, type LayoutError, place, standard } from "./Layout.ts"
import type { Timing } from "./PartitionState.ts"
import * as SimulatedInjector from "./SimulatedInjector.ts"
import * as SimulatedTarget from "./SimulatedTarget.ts"
import * as Simulation from "./Simulation.ts"

// --- models ---

/** How to make the cluster. Every field has a default. */
export interface EmulatorOptions {
  /** All ids and places follow from this number. The usual one is 1. */
  readonly seed?: number
  /**
   * The cluster does what it does by itself (reconfiguration, build, start of a node) so many times faster than its
   * timing says. The usual speed is 1. Speed never shortens what a caller asks for (a hold, the stop of a node).
   */
  readonly speed?: number
  /** The nodes, applications and services. `Layout.standard` if absent. */
  readonly layout?: Layout
  /** How long the cluster takes, before `speed` divides it. `standardTiming` if absent. */
  readonly timing?: Partial<Timing>
}

/** A simulated cluster. */
export interface Emulator {
  /** One cluster for each application, in the layout's order. */
  readonly clusters: ReadonlyArray<Cluster>
  /** The nodes as they are now. */
  readonly nodes: Effect.Effect<ReadonlyArray<NodeFacts>>
}

// --- make ---

/** How long the cluster takes at speed 1, in milliseconds. */
export const standardTiming: Timing = { reconfiguration: 1000, build: 2000, nodeStart: 5000 }

/** Makes a cluster that starts now. Fails if there can be no such layout. */
export const make = (options: EmulatorOptions = {}): Effect.Effect<Emulator, LayoutError> =>
  Effect.gen(function* () {
    const { layout = standard, seed = 1, speed = 1 } = options
    const placed = yield* Effect.fromResult(place(layout, seed))
    const timing = divided({ ...standardTiming, ...options.timing }, speed)
    const simulation = yield* Simulation.make(layout, placed, { seed, timing })
    const injector = SimulatedInjector.make(simulation)
    return {
      clusters: layout.applications.map((application) => ({
        name: application.name,
        target: SimulatedTarget.make(simulation, application),
        injector,
        restarter: injector,
        hosts: layout.nodes.map(({ name }) => name),
        protected: false,
        maxHold: null
      })),
      nodes: Effect.sync(simulation.nodes)
    }
  })

/** The clusters of a simulated Service Fabric cluster, for an engine. */
export const layer = (options: EmulatorOptions = {}): Layer.Layer<Clusters, LayoutError> =>
  Layer.effect(
    Clusters,
    Effect.map(make(options), ({ clusters }) => Clusters.of({ all: clusters }))
  )

// --- internal ---

const divided = (timing: Timing, speed: number): Timing => {
  const part = (length: Millis): Millis => Math.max(1, Math.round(length / speed))
  return { reconfiguration: part(timing.reconfiguration), build: part(timing.build), nodeStart: part(timing.nodeStart) }
}
