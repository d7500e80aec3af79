/**
 * What the command line and the environment say. Flags win over the environment, and the environment wins over the
 * file.
 */
import { portUsual } from "@inquorate/transport/NodeServer"
import { nearest } from "@inquorate/core/Nearest"
import * as Result from "effect/Result"
import { parseArgs } from "node:util"
import { script, shells } from "./Completions.ts"
import type { Overrides } from "@inquorate/configuration/Config"

/** What the worker was asked to do. */
export type Asked =
  | { readonly _tag: "Help" }
  | { readonly _tag: "Version" }
  /** The worker prints a completion script, whose text this is. */
  | { readonly _tag: "Completions"; readonly script: string }
  /** The worker says what is wrong with a configuration, and runs nothing. */
  | {
      readonly _tag: "Check"
      readonly file: string
      readonly overrides: Overrides
      /** True where it also connects to the clusters. */
      readonly connect: boolean
      readonly json: boolean
    }
  | {
      readonly _tag: "Run"
      readonly config: string | undefined
      readonly overrides: Overrides
      /** The folder with a build of Service Fabric Explorer, where one is to be served. */
      readonly explorer: string | undefined
      /** The simulated cluster to serve, where one was asked for. */
      readonly emulator: Emulated | undefined
    }

/**
 * What was asked of a simulated cluster. All its chance follows from `seed`, and what it does by itself it does `speed`
 * times faster.
 */
export interface Emulated {
  readonly seed: number
  readonly speed: number
  /** True where it may be reached by any name and from any page, and beyond loopback without authentication. */
  readonly anyHost: boolean
  /** The file that says what the cluster is made of, where it is not the standard one. */
  readonly layout: string | undefined
}

/** The text of `--help`. */
export const help = `The Inquorate worker: carries out operations and answers over HTTP.

Usage: inquorate-worker [--config FILE] [--listen HOST:PORT] [--store ADDRESS] [--worker-id ID] [--log-format text|json]
              [--explorer FOLDER]
       inquorate-worker --check FILE [--connect] [--output text|json]
       inquorate-worker --emulator [--seed N] [--speed X] [--layout FILE] [--any-host] [any of the above]

  --config FILE         the configuration, YAML (INQUORATE_CONFIG)
  --listen HOST:PORT    where to answer; port 0 takes a free one (INQUORATE_LISTEN; 127.0.0.1:19080)
  --store ADDRESS       where operations are stored (INQUORATE_STORE): sqlite:PATH for one worker at a time,
                        postgres://USER@HOST:PORT/DATABASE for any number; a password in it is seen by everyone
                        who may list processes, so rather give it in the environment or by the configuration
  --worker-id ID        this worker's name, the same at every start (INQUORATE_WORKER_ID)
  --log-format FORMAT   text or json, one line each, to standard error (INQUORATE_LOG_FORMAT; text)
  --explorer FOLDER     serve a build of Service Fabric Explorer below /Explorer/ (INQUORATE_EXPLORER)
  --check FILE          say everything that is wrong with a configuration, and run nothing
  --connect             with --check: connect to its clusters and hosts, too, and say what is seen; nothing is changed
  -o, --output FORMAT   with --check: text or json (text)
  --emulator            serve a simulated Service Fabric cluster; needs no configuration, has no longest hold, and
                        stores operations in a file that goes with it unless --store names another
  --seed N              what the simulated cluster's ids and places follow from (1)
  --speed X             how many times faster it reconfigures, builds and starts nodes (1)
  --layout FILE         what the simulated cluster is made of: nodes, applications, services, partitions (YAML)
  --any-host            be reached by any name, from any page and from anywhere: in a container, in CI, behind a proxy;
                        --listen may then be a host alone, and only a simulated cluster may be served
  --completions SHELL   print a completion script for bash, zsh or fish
  --help, --version

Exit codes: 0 ended when asked, 1 internal, 2 wrong usage or configuration, 3 the store cannot be used,
4 cannot listen, 5 (--check --connect) a cluster or a host is not as it has to be.
`

/** What the arguments ask for, or the sentence that says what is wrong with them. */
export const read = (
  arguments_: ReadonlyArray<string>,
  environment: Readonly<Record<string, string | undefined>>
): Result.Result<Asked, string> =>
  Result.flatMap(
    Result.try({
      try: () =>
        parseArgs({
          args: [...arguments_],
          strict: true,
          options
        }).values,
      catch: (error) => `${problemOf(error)} See inquorate-worker --help.`
    }),
    (values): Result.Result<Asked, string> =>
      values.help === true
        ? Result.succeed({ _tag: "Help" })
        : values.version === true
          ? Result.succeed({ _tag: "Version" })
          : values.completions !== undefined
            ? completionsOf(values.completions)
            : values.check !== undefined || values.connect !== undefined || values.output !== undefined
              ? checkOf(values, overridesOf(values, environment, undefined))
              : Result.map(readEmulator(values), (emulator) => ({
                  _tag: "Run",
                  emulator,
                  explorer: values.explorer ?? environment.INQUORATE_EXPLORER,
                  config: values.config ?? environment.INQUORATE_CONFIG,
                  overrides: overridesOf(values, environment, emulator)
                }))
  )

// --- internal ---

type Environment = Readonly<Record<string, string | undefined>>

const overridesOf = (
  values: {
    readonly listen?: string | undefined
    readonly store?: string | undefined
    readonly "worker-id"?: string | undefined
    readonly "log-format"?: string | undefined
  },
  environment: Environment,
  emulator: Emulated | undefined
): Overrides => ({
  listen: listenOf(values.listen ?? environment.INQUORATE_LISTEN, emulator),
  store: values.store ?? environment.INQUORATE_STORE,
  workerId: values["worker-id"] ?? environment.INQUORATE_WORKER_ID,
  logFormat: values["log-format"] ?? environment.INQUORATE_LOG_FORMAT
})

const checkOf = (
  values: {
    readonly check?: string | undefined
    readonly config?: string | undefined
    readonly connect?: boolean | undefined
    readonly output?: string | undefined
    readonly emulator?: boolean | undefined
  },
  overrides: Overrides
): Result.Result<Asked, string> => {
  const { check, config, connect = false, emulator, output = "text" } = values
  if (check === undefined)
    return Result.fail("--connect and --output are for --check FILE alone. See inquorate-worker --help.")
  if (config !== undefined || emulator !== undefined) {
    return Result.fail("--check names the file itself, and runs nothing: leave --config and --emulator out.")
  }
  return output === "text" || output === "json"
    ? Result.succeed({ _tag: "Check", file: check, overrides, connect, json: output === "json" })
    : Result.fail(`--output: expected text or json, got ${JSON.stringify(output)}.`)
}

const options = {
  check: { type: "string" },
  connect: { type: "boolean" },
  output: { type: "string", short: "o" },
  config: { type: "string" },
  listen: { type: "string" },
  store: { type: "string" },
  "worker-id": { type: "string" },
  "log-format": { type: "string" },
  explorer: { type: "string" },
  emulator: { type: "boolean" },
  "any-host": { type: "boolean" },
  layout: { type: "string" },
  seed: { type: "string" },
  speed: { type: "string" },
  help: { type: "boolean", short: "h" },
  completions: { type: "string" },
  version: { type: "boolean" }
} as const

const completionsOf = (shell: string): Result.Result<Asked, string> => {
  const known = shells.find((one) => one === shell)
  if (known === undefined) {
    return Result.fail(`--completions: expected ${shells.join(", ")}, got ${JSON.stringify(shell)}.`)
  }
  const flags = Object.keys(options).map((name) => `--${name}`)
  return Result.succeed({
    _tag: "Completions",
    script: script(known, flags, {
      "--log-format": ["text", "json"],
      "--output": ["text", "json"],
      "--completions": shells
    })
  })
}

// Node's own message for an unknown flag names that flag, but not the flag that it might have meant.
const problemOf = (error: unknown): string => {
  const { message } = error as Error
  const flag = /^Unknown option '(--[^']*)'/.exec(message)?.[1]
  if (flag === undefined) return message.split("\n")[0] ?? message
  const meant = nearest(
    flag,
    Object.keys(options).map((name) => `--${name}`)
  )
  return meant === undefined ? `There is no flag ${flag}.` : `There is no flag ${flag}; did you mean ${meant}?`
}

// People start an emulator by hand and in containers, and nobody thinks of the port there.
const listenOf = (listen: string | undefined, emulator: Emulated | undefined): string | undefined =>
  emulator !== undefined && listen !== undefined && /^(?:\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)$/.test(listen)
    ? `${listen}:${portUsual}`
    : listen

const readEmulator = (values: {
  readonly emulator?: boolean | undefined
  readonly seed?: string | undefined
  readonly speed?: string | undefined
  readonly "any-host"?: boolean | undefined
  readonly layout?: string | undefined
}): Result.Result<Emulated | undefined, string> => {
  const { "any-host": anyHost, emulator = false, layout, seed, speed } = values
  if (!emulator) {
    return seed === undefined && speed === undefined && anyHost === undefined && layout === undefined
      ? Result.succeed(undefined)
      : Result.fail("--seed, --speed, --layout and --any-host are for --emulator alone. See inquorate-worker --help.")
  }
  if (seed !== undefined && !/^\d{1,9}$/.test(seed)) {
    return Result.fail(`--seed: expected a whole number of at most nine digits, got ${JSON.stringify(seed)}.`)
  }
  const factor = speed === undefined ? 1 : /^\d+(\.\d+)?$/.test(speed) ? Number(speed) : NaN
  return factor >= 0.01 && factor <= 1000
    ? Result.succeed({ seed: Number(seed ?? 1), speed: factor, anyHost: anyHost ?? false, layout })
    : Result.fail(`--speed: expected a number from 0.01 to 1000, got ${JSON.stringify(speed)}.`)
}
