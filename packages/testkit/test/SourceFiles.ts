/** The files of this repository, for tests that read them as text. */
import * as fs from "node:fs"
import * as path from "node:path"

/** The repository's folder. */
export const root = path.resolve(import.meta.dirname, "../../..")

/** The files below a folder, without what was installed or built; none where there is no such folder. */
export const under = (directory: string): ReadonlyArray<string> =>
  fs.existsSync(directory)
    ? fs
        .readdirSync(directory, { withFileTypes: true })
        .flatMap((entry) =>
          entry.name === "node_modules" || entry.name === "dist" || entry.name.startsWith(".turbo")
            ? []
            : entry.isDirectory()
              ? under(path.join(directory, entry.name))
              : [path.join(directory, entry.name)]
        )
    : []
