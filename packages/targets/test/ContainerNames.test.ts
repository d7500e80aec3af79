/** What a person is told of a container that an engine does not know, or of an engine that does not answer. */
import { assert, describe, it } from "@effect/vitest"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Programs from "../src/Programs.ts"

const root = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-engine-"))

/** The last words of a look for a container whose engine says this and fails. */
const told = (engine: string, says: string): string => {
  fs.writeFileSync(path.join(root, engine), `#!/bin/sh\nprintf '%s\\n' '${says}' >&2\nexit 1\n`, { mode: 0o755 })
  const words = ["-c", Programs.look, "inquorate", "in", engine, "db-1", "", ""]
  const { stdout } = childProcess.spawnSync("sh", words, {
    encoding: "utf8",
    env: { PATH: `${root}:${process.env["PATH"]}` }
  })
  return stdout.trim()
}

describe("a container", () => {
  it("that its engine does not know is told by its name, with where the names are", () => {
    const [docker, podman] = ["[]\nError: No such container: db-1", "Error: inspecting object: no such container db-1"]
    assert.strictEqual(
      told("docker", docker),
      "trouble docker has no container db-1: docker ps --all tells what there is"
    )
    assert.strictEqual(
      told("podman", podman),
      "trouble podman has no container db-1: podman ps --all tells what there is"
    )
  })

  it("whose engine does not answer is told with the engine's own words", () => {
    assert.strictEqual(
      told("docker", "\nCannot connect to the Docker daemon. Is the docker daemon running?"),
      "trouble docker does not tell of the container db-1: Cannot connect to the Docker daemon. Is the docker daemon running?"
    )
    fs.rmSync(root, { recursive: true })
  })
})
