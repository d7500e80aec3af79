/** A cluster's configuration on trial, as a person writes it into a file and has it checked. */
import type * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type * as Inq from "./Inq.ts"

/** What a look at its members tells. */
export const looked = (up: boolean) =>
  JSON.stringify({
    id: "x",
    members: ["a", "b", "c"].map((name) => ({ name, role: name === "a" ? "leader" : "follower", up }))
  })

/** A cluster of three, whose members are up or not, and what its command to write does. */
export const configured = (up: boolean, write: string) =>
  JSON.stringify({ system: "command", look: `echo '${looked(up)}'`, write, members: [{ name: "a" }] })

/** The command asked at an endpoint, and a file's text checked under a name beside the command. */
export const trying = ({ main, run }: ReturnType<typeof Inq.bundled>) => {
  const folder = path.dirname(main)
  const inq = (endpoint: string, ...args: ReadonlyArray<string>): Effect.Effect<Inq.Ran> =>
    run([...args, "--endpoint", endpoint])
  const check = (name: string, text: string): Effect.Effect<Inq.Ran> => {
    fs.writeFileSync(path.join(folder, name), text)
    return inq("http://127.0.0.1:1", "target", "check", path.join(folder, name))
  }
  return { folder, inq, check }
}
