/**
 * Users, their login shells and a sudoers that one program of a test sees in the place of the machine's: files of its own
 * are mounted over them in a mount namespace of its own, so the machine's own users stay as they are.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

/** Who there is beside the machine's own users, and what they may do. */
export interface Accounts {
  /** The login shell of each user, by name. */
  readonly users: Readonly<Record<string, string>>
  /** The text of the sudoers. */
  readonly sudoers: string
}

/** Why no program can have users of its own here; empty where one can. */
export const missing: string =
  process.getuid?.() !== 0
    ? "only root can give a program users of its own"
    : ["unshare", "sudo"]
        .filter((name) => spawnSync(name, ["--version"]).error !== undefined)
        .map((name) => `${name} is not installed`)
        .join(", ")

/** The number of the first user, where no machine has one; the others follow in their order. */
export const firstUser = 61_200

/** The command that runs another one where these users are the machine's. Their files and homes are in this folder. */
export const within = (
  folder: string,
  { sudoers, users }: Accounts,
  command: ReadonlyArray<string>
): readonly [string, ...ReadonlyArray<string>] => {
  // Others than root go through it to their homes.
  fs.chmodSync(folder, 0o755)
  const rows = Object.entries(users).map(([name, shell], index) => {
    const [home, number] = [path.join(folder, `home-${name}`), firstUser + index]
    fs.mkdirSync(home)
    fs.chownSync(home, number, number)
    return {
      passwd: `${name}:x:${number}:${number}::${home}:${shell}`,
      group: `${name}:x:${number}:`,
      shadow: `${name}:*:19000:0:99999:7:::`
    }
  })
  const put = (name: "passwd" | "group" | "shadow", mode: number): void =>
    fs.writeFileSync(
      path.join(folder, name),
      // First, so that nobody of this machine who has such a name is meant.
      `${rows.map((row) => row[name]).join("\n")}\n${fs.readFileSync(`/etc/${name}`, "utf8")}`,
      { mode }
    )
  put("passwd", 0o644)
  put("group", 0o644)
  put("shadow", 0o600)
  fs.writeFileSync(path.join(folder, "sudoers"), `${sudoers}\n`, { mode: 0o440 })
  const mounts = ["passwd", "group", "shadow", "sudoers"].map((name) => `mount --bind "$folder/${name}" /etc/${name}`)
  const program = `folder=$1; shift; ${mounts.join(" && ")} && exec "$@"`
  return ["unshare", "--mount", "--propagation", "private", "sh", "-c", program, "sh", folder, ...command]
}
