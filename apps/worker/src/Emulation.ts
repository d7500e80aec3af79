/**
 * A worker that serves a simulated Service Fabric cluster: without a configuration of its own it limits nothing, and its
 * store is a file that goes when it ends. The cluster lives in this process and starts afresh with it.
 */
import type { Cluster } from "@inquorate/core/Cluster"
import * as Emulator from "@inquorate/emulator/Emulator"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FileSystem from "node:fs"
import * as OS from "node:os"
import * as Path from "node:path"
import type { WorkerConfig } from "./Config.ts"
import type { Emulated } from "./Options.ts"

// --- make ---

/** The store of a simulated cluster that names none: a file of its own, removed when the scope ends. */
export const temporaryStore: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => FileSystem.mkdtempSync(Path.join(OS.tmpdir(), "inquorate-emulator-"))),
    (folder) => Effect.sync(() => FileSystem.rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => `sqlite:${Path.join(folder, "worker.db")}`
)

/** The configuration without the limits that protect real systems, which nobody has asked for here. */
export const unlimited = (config: WorkerConfig): WorkerConfig => ({
  ...config,
  maxHold: longest,
  perCluster: null,
  perHost: null,
  overall: null
})

/** The applications of the simulated cluster, each a cluster of ours. */
export const clusters = (asked: Emulated): Effect.Effect<ReadonlyArray<Cluster>> =>
  Emulator.make(asked).pipe(
    // The layout is the one that the package brings: it is tested to be one.
    Effect.orDie,
    Effect.tap(({ clusters, nodes }) =>
      Effect.flatMap(nodes, ({ length }) =>
        Effect.logInfo(
          `serving a simulated Service Fabric cluster of ${length} nodes and ${clusters.length} applications, ` +
            `seed ${asked.seed}, speed ${asked.speed}; it lives in this process and starts afresh with it`
        )
      )
    ),
    Effect.map(({ clusters }) => clusters)
  )

// --- internal ---

/** What the wire can ask for at most, in milliseconds. */
const longest = 2_147_483_000
