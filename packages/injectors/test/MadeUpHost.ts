/**
 * A host that is not there: a folder in the place of `/proc`, `/sys/fs/cgroup` and `/run/systemd`, and the shipped parts of
 * the programs sourced against it. The parts are the files of `host/` as they are, but for the place of these folders.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert } from "@effect/vitest"

const host = path.resolve(import.meta.dirname, "../host")

/** The shells that hosts have, of those that are here. */
export const shells: ReadonlyArray<ReadonlyArray<string>> = [["dash"], ["busybox", "sh"]].filter(
  ([file, ...first]) => spawnSync(file!, [...first, "-c", ":"]).error === undefined
)

/** What stands in the folder: the text of a file, where a link leads, or the mode of an empty file. */
export type Entry = string | { readonly link: string } | { readonly mode: number }

/** A folder in the place of the root of a host. */
export interface MadeUpHost {
  readonly root: string
  /** Puts more into it. */
  readonly add: (entries: Readonly<Record<string, Entry>>) => void
  /** What a script says once these parts are sourced; fails the test where it says anything on its standard error. */
  readonly told: (
    shell: ReadonlyArray<string>,
    parts: ReadonlyArray<string>,
    script: string,
    options?: { readonly input?: string; readonly environment?: Readonly<Record<string, string>> }
  ) => string
}

/** Makes one; it is gone at the end of the test file. */
export const make = (entries: Readonly<Record<string, Entry>> = {}): MadeUpHost => {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-host-")))
  afterAll(() => fs.rmSync(root, { recursive: true, force: true }))
  for (const file of fs.readdirSync(host)) {
    const text = fs.readFileSync(path.join(host, file), "utf8")
    const placed = text
      .replaceAll("/proc/", `${root}/proc/`)
      .replaceAll("/sys/fs/cgroup", `${root}/cgroup`)
      .replaceAll("/run/systemd/", `${root}/systemd/`)
    fs.writeFileSync(path.join(root, file), placed)
  }
  const add: MadeUpHost["add"] = (more) => {
    for (const [name, entry] of Object.entries(more)) {
      const at = path.join(root, name)
      fs.mkdirSync(path.dirname(at), { recursive: true })
      fs.rmSync(at, { force: true })
      if (typeof entry === "string") fs.writeFileSync(at, entry)
      else if ("link" in entry) fs.symlinkSync(entry.link, at)
      else fs.writeFileSync(at, "", { mode: entry.mode })
    }
  }
  add(entries)
  return {
    root,
    add,
    told: ([file, ...first], parts, script, { environment = {}, input = "" } = {}) => {
      const sourced = parts.map((part) => `. '${root}/${part}'`).join("\n")
      const { error, stderr, stdout } = spawnSync(file!, [...first, "-c", `${sourced}\n${script}`, "inquorate"], {
        encoding: "utf8",
        input,
        cwd: root,
        env: { PATH: process.env["PATH"], ...environment }
      })
      assert.isUndefined(error)
      assert.strictEqual(stderr, "")
      return stdout
    }
  }
}

/** A line of `/proc/PID/stat`, as the kernel writes it. */
export const statLine = (
  pid: number,
  name: string,
  {
    born = 100,
    parent = 1,
    state = "S"
  }: { readonly born?: number; readonly parent?: number; readonly state?: string } = {}
): string => `${pid} (${name}) ${state} ${parent} ${"0 ".repeat(17)}${born} 1 2 3\n`
