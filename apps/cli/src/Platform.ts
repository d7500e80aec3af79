/**
 * What the command line's parser asks of Node. It wants a terminal for prompts, which is made when something asks for it:
 * making it opens standard input, which takes some milliseconds of each start.
 */
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Terminal from "effect/Terminal"

const terminal = Layer.effect(
  Terminal.Terminal,
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const made = yield* Effect.cached(
      Effect.map(Layer.buildWithScope(NodeTerminal.layer, scope), Context.get(Terminal.Terminal))
    )
    return Terminal.make({
      columns: Effect.flatMap(made, ({ columns }) => columns),
      rows: Effect.flatMap(made, ({ rows }) => rows),
      size: Effect.flatMap(made, ({ size }) => size),
      readInput: Effect.flatMap(made, ({ readInput }) => readInput),
      readLine: Effect.flatMap(made, ({ readLine }) => readLine),
      display: (text) => Effect.flatMap(made, ({ display }) => display(text))
    })
  })
)

/** The same services as `NodeServices`. */
export const layer = Layer.provideMerge(
  NodeChildProcessSpawner.layer,
  Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeStdio.layer, terminal)
)
