/**
 * Users, their login shells and a sudoers file that one program of a test sees in place of the machine's own. Files of
 * the test are mounted over the machine's files, in a mount namespace of the program's own. So the machine's own users
 * stay as they are.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

/** The users beside the machine's own, and what they may do. */
export interface Accounts {
  /** The login shell of each user, by name. */
  readonly users: Readonly<Record<string, string>>
  /** The text of the sudoers. */
  readonly sudoers: string
}

/** Why no program here can have users of its own; empty where one can. */
export const missing: string =
  process.getuid?.() !== 0
    ? "only root can give a program users of its own"
    : ["unshare", "sudo"]
        .filter((name) => spawnSync(name, ["--version"]).error !== undefined)
        .map((name) => `${name} is not installed`)
        .join(", ")

/** The number of the first user, which no machine gives to a user. The others follow in their order. */
export const firstUser = 61_200

/** The command that runs another one where these users are the machine's. The folder holds their files and homes. */
export const within = (
  folder: string,
  { sudoers, users }: Accounts,
  command: ReadonlyArray<string>
): readonly [string, ...ReadonlyArray<string>] => {
  // Users other than root reach their homes through this folder.
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
      // Our users come first, so that a user of this machine with the same name is never meant.
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
