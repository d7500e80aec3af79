/** This machine, where what a host program starts waits at a gate, before it does its work or after it. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Host } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as LocalHost from "../src/hosts/LocalHost.ts"

/** Which calls wait: of these programs, with words that match a pattern of the shell, and all of them or the nth. */
export interface Wanted {
  readonly programs: ReadonlyArray<string>
  readonly matching?: string
  readonly nth?: number
  readonly when: "before" | "after"
}

export interface GatedHost {
  readonly host: Host
  /** The words of the calls that came to the gate, which is closed at first. */
  readonly reached: () => ReadonlyArray<string>
  readonly open: () => void
}

/** This machine, where a program is looked for in a folder first. */
export const finding = (folder: string): Host => {
  const here = LocalHost.make("here")
  const sees = (program: string): string => `PATH=${folder}:$PATH\n${program}`
  return {
    label: "here",
    run: (program, words, options) => here.run(sees(program), words, options),
    open: (program, words) => here.open!(sees(program), words)
  }
}

export const make = ({ matching = "*", nth, programs, when }: Wanted): Effect.Effect<GatedHost, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-gate-"))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, maxRetries: 10 }))
    )
    const open = path.join(folder, "open")
    const calls = path.join(folder, "calls")
    const bin = path.join(folder, "bin")
    fs.mkdirSync(bin)
    fs.mkdirSync(calls)
    for (const name of programs) {
      const script = [
        "#!/bin/sh",
        "PATH=${PATH#*:}",
        "export PATH",
        `case "$*" in ${matching}) ;; *) exec ${name} "$@" ;; esac`,
        "n=1",
        `until mkdir '${calls}'/$n 2>/dev/null || ! [ -d '${calls}' ]; do n=$((n + 1)); done`,
        nth === undefined ? "" : `[ $n = ${nth} ] || exec ${name} "$@"`,
        when === "after" ? `${name} "$@"; code=$?` : "",
        `printf '%s\\n' "${name} $*" >'${calls}'/$n/words`,
        // Nobody waits at a gate that is gone.
        `while [ -d '${calls}' ] && ! [ -e '${open}' ]; do sleep 0.01; done`,
        when === "after" ? "exit $code" : `exec ${name} "$@"`
      ]
      fs.writeFileSync(path.join(bin, name), `${script.join("\n")}\n`, { mode: 0o755 })
    }
    return {
      host: finding(bin),
      reached: () =>
        fs.readdirSync(calls).flatMap((call) => {
          const words = path.join(calls, call, "words")
          return fs.existsSync(words) ? [fs.readFileSync(words, "utf8").trim()] : []
        }),
      open: () => fs.writeFileSync(open, "")
    }
  })
