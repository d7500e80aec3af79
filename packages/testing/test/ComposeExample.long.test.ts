/**
 * Goal: the README's example of PostgreSQL by compose does what it says. Method: its compose file is started by compose on
 * a real Docker engine, from an image of this machine's own PostgreSQL, and its test is run where a stranger would have
 * installed the package. On the same servers every loss keeps what losses keep.
 */
import * as ContainedServers from "@inquorate/testkit/ContainedServers"
import * as Containers from "@inquorate/testkit/Containers"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { LossOptions } from "../src/QuorumLoss.ts"
import { lossesWithin } from "./Losses.ts"

const own = path.resolve(import.meta.dirname, "..")
const noCompose = spawnSync("docker-compose", ["version"]).status !== 0
const skip =
  Containers.skip("docker") ??
  ContainedServers.postgres.skip ??
  (noCompose ? "no docker-compose; apt-get install docker-compose" : undefined)

describe.skipIf(skip !== undefined)(
  `the README's PostgreSQL by compose${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  () => {
    const scope = Scope.makeUnsafe()
    let engine: Containers.Containers
    let environment: NodeJS.ProcessEnv
    let options: LossOptions
    let pids: ReadonlyArray<number>
    const services = ["pg0", "pg1", "pg2"]

    const run = (program: string, ...words: ReadonlyArray<string>): string => {
      const { status, stderr, stdout } = ask(program, ...words)
      assert.strictEqual(status, 0, `${program} ${words.join(" ")}: ${stdout}${stderr}`)
      return stdout
    }
    const ask = (program: string, ...words: ReadonlyArray<string>) =>
      spawnSync(program, words, { cwd: engine.folder, env: environment, encoding: "utf8", timeout: within(150_000) })

    beforeAll(async () => {
      engine = await Effect.runPromise(Scope.provide(Containers.start("docker"), scope))
      await Effect.runPromise(ContainedServers.postgres.image(engine))
      const [address] = engine.reached(0, ContainedServers.postgres.port).split(":")
      environment = { ...process.env, POSTGRES_IMAGE: Containers.labImage, POSTGRES_HOST: address }
      process.env["INQUORATE_STATE"] = environment["INQUORATE_STATE"] = path.join(engine.folder, "fences")
      unpack(engine.folder)
      run("docker-compose", "--project-name", "shop", "up", "--detach")
      pids = services.map((service) => {
        const id = run("docker-compose", "--project-name", "shop", "ps", "--quiet", service).trim()
        return Number(run("docker", "inspect", "--format", "{{.State.Pid}}", id))
      })
      const members = services.map((name, index) => ({ name, address: `${address}:${5432 + index}` }))
      options = {
        system: "postgres",
        settings: { user: "postgres", password: "secret", database: "postgres", members },
        compose: { project: "shop" },
        readyWithin: `${within(60)}s`
      }
    })

    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

    // The example waits two minutes until its servers are ready.
    it("passes", { timeout: within(180_000) }, () => {
      const { stderr, stdout } = ask(process.execPath, "--test", "--test-reporter", "spec", "orders.test.ts")
      const told = `${stdout}${stderr}`
      const logs = () => ask("docker-compose", "--project-name", "shop", "logs", "--timestamps").stdout
      if (!/lost for \d+ ms, back after \d+ ms/.test(told)) assert.fail(`${told}${logs()}`)
      assert.match(told, /✔ an order that is placed without a quorum waits for it, and is not lost/)
    })

    lossesWithin(() => ({ options, pids: async () => pids }))
  }
)

// --- internal ---

/** Writes the README's files into a folder in which this package and `pg` are installed. */
const unpack = (folder: string): void => {
  const text = fs.readFileSync(path.join(own, "README.md"), "utf8")
  for (const [, name, body] of text.matchAll(/```\w+ file=([\w.]+)\n([\s\S]*?)```/g)) {
    fs.writeFileSync(path.join(folder, name!), body!)
  }
  const modules = path.join(folder, "node_modules")
  fs.mkdirSync(path.join(modules, "@inquorate"), { recursive: true })
  fs.symlinkSync(own, path.join(modules, "@inquorate/testing"))
  fs.symlinkSync(path.resolve(path.dirname(fileURLToPath(import.meta.resolve("pg"))), ".."), path.join(modules, "pg"))
}
