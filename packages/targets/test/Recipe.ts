/**
 * A recipe of the documentation on real servers: its commands are taken from its page, and three servers are started for
 * them.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { within } from "@inquorate/testkit/Pace"
import type { TargetLab } from "@inquorate/testkit/TargetContract"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { command, CommandSettings } from "../src/Command.ts"

const hosts = new Map([["local", LocalHost.make("local")]])
const decode = Schema.decodeUnknownSync(CommandSettings)

const recipes = path.resolve(import.meta.dirname, "../../../docs/recipes")

/** The blocks of a page that carry a file's name, written into a folder as executables. */
const unpack = (page: string, folder: string): void => {
  const text = fs.readFileSync(path.join(recipes, page), "utf8")
  for (const [, name, body] of text.matchAll(/```sh file=(\w+)\n([\s\S]*?)```/g)) {
    fs.writeFileSync(path.join(folder, name!), body!, { mode: 0o755 })
  }
}

export const isRunning = (pid: number): boolean => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    return !/\) [ZX]/.test(stat)
  } catch {
    return false
  }
}

const isStopped = (pid: number): boolean => /\) T/.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"))

const untilTrue = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.repeat(Effect.sync(holds), { until: (held) => held, schedule: Schedule.spaced(20) }).pipe(
    Effect.timeoutOrElse({
      duration: within(30_000),
      orElse: () => Effect.die(new Error(`waited in vain for ${what}`))
    }),
    Effect.asVoid
  )

export const runHere = (program: string, ...words: ReadonlyArray<string>): void => {
  const { status, stderr } = spawnSync(program, words, { encoding: "utf8" })
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${stderr}`)
}

/** A lab of three servers in folders of their own; `start` starts one and gives its pid. */
export const labOf = (
  page: string,
  group: string,
  names: ReadonlyArray<string>,
  prepare: (folder: string) => Promise<{
    readonly environment: Readonly<Record<string, string>>
    readonly start: (name: string) => ReadonlyArray<string>
    readonly settings: object
  }>
): Effect.Effect<TargetLab, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-recipe-"))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
    )
    unpack(page, folder)
    const { environment, settings, start } = yield* Effect.promise(() => prepare(folder))
    const pids = new Map<string, number>()
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        for (const pid of pids.values()) {
          if (isRunning(pid)) process.kill(pid, "SIGKILL")
          yield* untilTrue(`process ${pid} to end`, () => !isRunning(pid))
        }
      })
    )
    for (const name of names) {
      const [program, ...words] = start(name)
      const child = spawn(program!, words, { cwd: path.join(folder, name), stdio: "ignore" })
      pids.set(name, child.pid!)
      fs.writeFileSync(path.join(folder, name, "pid"), String(child.pid))
    }
    const set = Object.entries({ ...environment, PATH: `${process.env["PATH"]}:/usr/sbin` })
      .map(([key, value]) => `${key}='${value}'`)
      .join(" ")
    const target = yield* Effect.orDie(
      command.make(
        "any",
        decode({
          look: `${set} ${folder}/look`,
          write: `${set} ${folder}/write`,
          group,
          members: names.map((name) => ({ name, host: "local", dataDirectory: path.join(folder, name) })),
          ...settings
        }),
        hosts
      )
    )
    yield* Effect.repeat(Effect.option(target.discover), {
      until: (found) => Option.exists(found, ([topology]) => topology!.members.every(({ up }) => up)),
      schedule: Schedule.spaced(100)
    })
    const probe = yield* Effect.orDie(target.probe(group))
    yield* Effect.repeat(
      Effect.suspend(() => probe.write(probe.endpoints[0]!)),
      {
        until: ({ _tag }) => _tag === "Acknowledged",
        schedule: Schedule.spaced(100)
      }
    )
    return {
      target,
      group,
      pause: (members) =>
        Effect.gen(function* () {
          for (const { name } of members) {
            process.kill(pids.get(name)!, "SIGSTOP")
            yield* untilTrue(`${name} to stand still`, () => isStopped(pids.get(name)!))
          }
        }),
      resume: Effect.sync(() => {
        for (const pid of pids.values()) process.kill(pid, "SIGCONT")
      })
    }
  })

export const there = (...programs: ReadonlyArray<string>): boolean =>
  programs.every((program) =>
    `${process.env["PATH"]}:/usr/sbin`.split(":").some((folder) => fs.existsSync(path.join(folder, program)))
  )
