/**
 * One cluster of a file, as a worker would have it: the file is a worker's configuration, or one cluster alone. It is
 * read by the rules of the worker, and every mistake is told with its line and with the word that was meant.
 */
import { advise } from "@inquorate/configuration/Advice"
import { type ClusterConfig, read, type WorkerConfig } from "@inquorate/configuration/Config"
import { below, ConfigError, openYaml } from "@inquorate/configuration/ConfigText"
import * as NamedPlaces from "@inquorate/configuration/NamedPlaces"
import * as TextFile from "@inquorate/transport/TextFile"
import * as Result from "effect/Result"
import { Failure } from "./Failure.ts"

/** A cluster, and the machines that its file names. */
export interface ClusterFile {
  readonly cluster: ClusterConfig
  readonly hosts: WorkerConfig["hosts"]
}

/** Reads a cluster of a file. `wanted` is its name, which a file with several needs, and one alone is then called so. */
export const open = (file: string, wanted: string | undefined): Result.Result<ClusterFile, Failure> =>
  Result.gen(function* () {
    const text = yield* Result.try({ try: () => TextFile.read(file), catch: (cause) => wrong(file, told(cause)) })
    const opened = yield* Result.mapError(openYaml(text, file), (error) => usage(advise(error)))
    const isAlone = isRecord(opened.value) && "system" in opened.value
    const path = isAlone ? ["clusters", wanted ?? "cluster"] : []
    const whole = isAlone ? below(opened, path) : opened
    const tell = (mistakes: ConfigError["mistakes"]) => usage(toldOf(file, mistakes, path))
    const { clusters, hosts } = yield* Result.mapError(read(whole, file, nothing, unused), (error) =>
      tell(advise(error).mistakes)
    )
    const names = clusters.map(({ name }) => name)
    if (names.length === 0) return yield* Result.fail(wrong(file, `it has no cluster: ${expected}`))
    const name = wanted ?? (names.length === 1 ? names[0] : undefined)
    if (name === undefined)
      return yield* Result.fail(wrong(file, `name one of its clusters with --cluster: ${names.join(", ")}`))
    const cluster = clusters.find((one) => one.name === name)
    if (cluster === undefined)
      return yield* Result.fail(wrong(file, `it has no cluster ${name}, but ${names.join(", ")}`))
    // What other clusters name may be on other machines.
    const own = [`clusters.${name}.`, ...cluster.hosts.map((host) => `hosts.${host}.`)]
    const unread = NamedPlaces.mistakesOf(whole).filter(({ key }) => own.some((one) => key.startsWith(one)))
    if (unread.length > 0) return yield* Result.fail(tell(unread))
    return { cluster, hosts }
  })

// --- internal ---

const expected = "give a worker's configuration with clusters, or one cluster alone, which begins with its system"

// A cluster that stands alone has no keys above it.
const toldOf = (file: string, mistakes: ConfigError["mistakes"], path: ReadonlyArray<string>): ConfigError => {
  const above = `${path.join(".")}.`
  const keyed = mistakes.map((one) =>
    path.length > 0 && `${one.key}.`.startsWith(above) ? { ...one, key: one.key.slice(above.length) } : one
  )
  return new ConfigError({ source: file, mistakes: keyed })
}

const nothing = { listen: undefined, store: undefined, workerId: undefined }

// Nothing is stored here, and there is no worker.
const unused = { store: "sqlite:unused", workerId: "unused" }

const usage = ({ message }: ConfigError): Failure => {
  const [detail = "", ...more] = message.split("\n")
  return new Failure({ exit: "usage", detail, more })
}

const wrong = (file: string, problem: string): Failure => new Failure({ exit: "usage", detail: `${file}: ${problem}` })

const told = (cause: unknown): string => `it cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
