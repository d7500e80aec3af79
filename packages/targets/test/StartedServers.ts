/**
 * Processes of the users nobody and games, started in folders of theirs; they are killed and the folders removed at the end
 * of a test file.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { factor } from "@inquorate/testkit/Pace"
import { afterAll, beforeAll } from "@effect/vitest"
import { killAll } from "./KillAll.ts"

export const host = LocalHost.make("here")
export const root = process.getuid?.() === 0
export const [nobody, games] = [65534, 5]
export const without = (what: string | undefined, name: string) =>
  !root
    ? " (skipped: needs root, for the users nobody and games)"
    : what === undefined
      ? ` (skipped: needs ${name})`
      : ""

export let folder = ""
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-servers-"))
  fs.chmodSync(folder, 0o755)
})
/** Every process that was started. */
export const started: Array<number> = []
afterAll(() => {
  killAll(started)
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

export const folderOf = (uid: number, mode = 0o700): string => {
  const made = fs.mkdtempSync(path.join(folder, "d"))
  fs.chownSync(made, uid, uid)
  fs.chmodSync(made, mode)
  return made
}

export const start = (
  [file, ...words]: readonly [string, ...ReadonlyArray<string>],
  {
    cwd = "/",
    env = {},
    uid = nobody
  }: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly uid?: number }
): number => {
  const log = fs.openSync(path.join(folder, "log"), "a", 0o666)
  const child = spawn(file, words, {
    cwd,
    uid,
    gid: uid,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
    stdio: ["ignore", log, log]
  })
  fs.closeSync(log)
  started.push(child.pid!)
  return child.pid!
}

export const eventually = async <A>(look: () => Promise<A>, until: (value: A) => boolean): Promise<A> => {
  for (let turn = 0; ; turn++) {
    const seen = await look()
    if (until(seen) || turn > 300 * factor) return seen
    await new Promise((resume) => setTimeout(resume, 50))
  }
}
