/**
 * Reads the configuration that a worker was given, or says what it is when nothing was given.
 */
import { stateDirectory } from "@inquorate/injectors/StateDirectory"
import * as TextFile from "@inquorate/transport/TextFile"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as OS from "node:os"
import * as Path from "node:path"
import { advise } from "@inquorate/configuration/Advice"
import { CannotRun, exitCodes } from "./CannotRun.ts"
import { type Overrides, parse, type WorkerConfig } from "@inquorate/configuration/Config"
import type { ConfigError } from "@inquorate/configuration/ConfigText"

/** A configuration's text, where it comes from, and what it says or what is wrong with it. */
export interface ReadConfig {
  readonly text: string
  readonly source: string
  readonly parsed: Result.Result<WorkerConfig, ConfigError>
}

/** Reads the configuration; fails where there is no such file. */
export const read = (config: string | undefined, overrides: Overrides): Effect.Effect<ReadConfig, CannotRun> =>
  Effect.gen(function* () {
    const text =
      config === undefined
        ? ""
        : yield* Effect.try({
            try: () => TextFile.read(config),
            catch: (error) =>
              new CannotRun({
                exit: exitCodes.usage,
                detail: `The configuration ${config} cannot be read: ${error instanceof Error ? error.message : String(error)}`
              })
          })
    const source = config ?? "configuration"
    const defaults = { store: `sqlite:${Path.join(stateDirectory(), "worker.db")}`, workerId: OS.hostname() }
    return { text, source, parsed: Result.mapError(parse(text, source, overrides, defaults), (error) => advise(error)) }
  })
