/**
 * A worker that serves a simulated Service Fabric cluster. Without a configuration of its own it limits nothing, and
 * its store is a file that is removed when it ends. The cluster lives in this process and starts afresh with it.
 */
import type { Cluster } from "@inquorate/core/Cluster"
import * as Emulator from "@inquorate/emulator/Emulator"
import { type Layout, standard } from "@inquorate/emulator/Layout"
import { LayoutFile, toLayout } from "@inquorate/emulator/LayoutFile"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as FileSystem from "node:fs"
import * as OS from "node:os"
import * as Path from "node:path"
import { advise } from "@inquorate/configuration/Advice"
import type { WorkerConfig } from "@inquorate/configuration/Config"
import { layoutSchema } from "@inquorate/configuration/ConfigSchema"
import { readYaml } from "@inquorate/configuration/ConfigText"
import type { Emulated } from "./Options.ts"

// --- errors ---

/** The file of a layout cannot be used. */
export class LayoutRefused extends Schema.TaggedError<LayoutRefused>()("LayoutRefused", {
  detail: Schema.String,
  /** Every mistake in it, in lines of their own. */
  more: Schema.Array(Schema.String)
}) {}

// --- make ---

/** The store of a simulated cluster whose worker names none: a file of its own, removed when the scope ends. */
export const temporaryStore: Effect.Effect<string, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => FileSystem.mkdtempSync(Path.join(OS.tmpdir(), "inquorate-emulator-"))),
    (folder) => Effect.sync(() => FileSystem.rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => `sqlite:${Path.join(folder, "worker.db")}`
)

/** The configuration without the limits that protect real systems. Nobody has asked for those limits here. */
export const unlimited = (config: WorkerConfig): WorkerConfig => ({
  ...config,
  maxHold: longest,
  perCluster: null,
  perHost: null,
  overall: null
})

/**
 * The applications of the simulated cluster, each as a cluster of ours. It fails with what is wrong with the layout's
 * file.
 */
export const clusters = (asked: Emulated): Effect.Effect<ReadonlyArray<Cluster>, LayoutRefused> =>
  Effect.flatMap(layoutOf(asked.layout), (layout) => Emulator.make({ ...asked, layout })).pipe(
    Effect.catchTag(
      "LayoutError",
      (error) =>
        new LayoutRefused({
          detail: "the layout is wrong",
          more: [`${asked.layout ?? "the package"}: ${error.message}`]
        })
    ),
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

const layoutOf = (file: string | undefined): Effect.Effect<Layout, LayoutRefused> =>
  file === undefined
    ? Effect.succeed(standard)
    : Effect.gen(function* () {
        const text = yield* Effect.try({
          try: () => FileSystem.readFileSync(file, "utf8"),
          catch: (error) =>
            new LayoutRefused({
              detail: `the layout ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
              more: []
            })
        })
        const read = readYaml(LayoutFile, text, file)
        if (Result.isFailure(read)) {
          const { message } = advise(read.failure, layoutSchema())
          return yield* new LayoutRefused({ detail: "the layout is wrong", more: message.split("\n") })
        }
        return toLayout(read.success)
      })

/** The longest time that the wire can ask for, in milliseconds. */
const longest = 2_147_483_000
