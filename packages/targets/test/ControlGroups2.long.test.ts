/**
 * Goal: members in containers lose their quorum and get it back where the machine has control groups of version 2 alone,
 * and a server that somebody froze there is refused with that reason. Method: those tests of their suites again, in a mount
 * namespace that has nothing but version 2 at `/sys/fs/cgroup`. What a hybrid machine keeps for version 1 is missing
 * there, but the freezer needs none of it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { within } from "@inquorate/testkit/Pace"
import { assert, describe, it } from "vitest"

const root = path.resolve(import.meta.dirname, "../../..")
const place = "/sys/fs/cgroup"

const inVersion2 = [
  "mount --make-rprivate /",
  `umount --recursive ${place}`,
  `mount -t cgroup2 none ${place}`,
  'exec "$@"'
].join(" && ")

/** What depends on control groups: whose a process is, who froze it, what the engine freezes, kills and starts again. */
const ofControlGroups = "loses its quorum|everything of ours|somebody has paused|of another container|control group"

const skip = process.getuid?.() === 0 ? undefined : "only root can mount control groups"

describe.skipIf(skip !== undefined)(
  `control groups of version 2 alone${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  () => {
    it.each([
      ["@inquorate/injectors", "Identity", "that is frozen .v2 alone."],
      ["@inquorate/targets", "Containers", ofControlGroups],
      ["@inquorate/targets", "PodmanContainers", ofControlGroups],
      ["@inquorate/targets", "ContainerdContainers", ofControlGroups]
    ])(
      "%s: %s",
      async (project, file, name) => {
        const vitest = path.join(root, "node_modules/vitest/vitest.mjs")
        const words = ["run", "--root", root, "--project", project, `/${file}.`, "--testNamePattern", name]
        const child = spawn("unshare", ["--mount", "sh", "-c", inVersion2, "sh", process.execPath, vitest, ...words], {
          env: { ...process.env, INQUORATE_SUITE: "all", NO_COLOR: "1" },
          stdio: ["ignore", "pipe", "pipe"]
        })
        let told = ""
        for (const output of [child.stdout, child.stderr]) output.on("data", (piece) => (told += piece))
        const [code] = await once(child, "close")
        assert.strictEqual(code, 0, told)
        assert.match(told, /Tests +[1-9]\d* passed/)
      },
      within(240_000)
    )
  }
)
