/**
 * Contexts: named sets of flags in `$XDG_CONFIG_HOME/inquorate/config.yaml`, else `~/.config/inquorate/config.yaml`, so that
 * nobody types the same endpoint and certificates again and again. The file is read only where it is there or asked for.
 */
import { homedir } from "node:os"
import { join } from "node:path"
import { existsSync } from "node:fs"
import * as Effect from "effect/Effect"
import { Failure } from "./Failure.ts"

// --- models ---

/** The flags that a context may give; a flag or an environment variable wins over it. */
export interface Context {
  readonly endpoint?: string
  readonly surface?: string
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly token?: string
}

/** All contexts, and the one that is used where none is named. */
export interface Contexts {
  readonly current: string | undefined
  readonly all: ReadonlyMap<string, Context>
}

// --- make ---

/** Where the contexts are. */
const file = (): string => join(process.env.XDG_CONFIG_HOME || join(homedir(), ".config"), "inquorate", "config.yaml")

/** The contexts of the file; none where there is no file. */
const read: Effect.Effect<Contexts, Failure> = Effect.suspend(() => {
  const path = file()
  if (!existsSync(path)) return Effect.succeed({ current: undefined, all: new Map<string, Context>() })
  return Effect.gen(function* () {
    const TextFile = yield* Effect.promise(() => import("@inquorate/transport/TextFile"))
    const Yaml = yield* Effect.promise(() => import("yaml"))
    const value = yield* Effect.try({
      try: (): unknown => Yaml.parse(TextFile.read(path)),
      catch: (cause) => wrong(path, (cause as Error).message.split("\n")[0] ?? "")
    })
    return yield* contextsOf(path, value)
  })
})

/** The flags of the context with this name, or of the current one. */
export const find = (name: string | undefined): Effect.Effect<Context, Failure> =>
  Effect.gen(function* () {
    const { all, current } = yield* read
    const wanted = name ?? current
    if (wanted === undefined) return {}
    const found = all.get(wanted)
    if (found !== undefined) return found
    const names = all.size === 0 ? "there are none" : `there are: ${[...all.keys()].join(", ")}`
    return yield* new Failure({ exit: "usage", detail: `${file()} has no context ${wanted}; ${names}.` })
  })

// --- internal ---

const keys = ["endpoint", "surface", "ca", "cert", "key", "token"] as const

const wrong = (path: string, problem: string): Failure =>
  new Failure({ exit: "usage", detail: `${path} cannot be used: ${problem}.` })

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const contextsOf = (path: string, value: unknown): Effect.Effect<Contexts, Failure> =>
  Effect.gen(function* () {
    if (value === null || value === undefined) return { current: undefined, all: new Map<string, Context>() }
    if (!isMap(value)) return yield* wrong(path, 'expected "context: NAME" and "contexts:" with a map by name')
    const { context, contexts = {}, ...more } = value
    const unknown = Object.keys(more)[0]
    if (unknown !== undefined)
      return yield* wrong(path, `${unknown} is none of its keys, which are context and contexts`)
    if (context !== undefined && typeof context !== "string") return yield* wrong(path, "context: expected a name")
    if (!isMap(contexts)) return yield* wrong(path, "contexts: expected a map by name")
    const all = new Map<string, Context>()
    for (const [name, flags] of Object.entries(contexts)) {
      if (!isMap(flags)) return yield* wrong(path, `contexts.${name}: expected a map of flags`)
      for (const [key, flag] of Object.entries(flags)) {
        if (!keys.some((known) => known === key)) {
          return yield* wrong(path, `contexts.${name}.${key} is none of ${keys.join(", ")}`)
        }
        if (typeof flag !== "string") return yield* wrong(path, `contexts.${name}.${key}: expected a text`)
      }
      all.set(name, flags as Context)
    }
    return { current: context, all }
  })
