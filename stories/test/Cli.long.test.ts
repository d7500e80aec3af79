/**
 * Goal: `inq` starts from its bundle as quickly as it can and says what it would say without; it says that no worker
 * answers, and lets an operation be that it only watches; and a worker that cannot run says why. Method: the bundled
 * programs as processes without a terminal.
 */
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { inq, onOneLab, worker, world } from "./ShopCommands.ts"

onOneLab()

const nowhere = "--endpoint=http://127.0.0.1:1"

describe("inq", () => {
  it(
    "tells from the bundle what the same command says that has to be evaluated",
    async () => {
      const source = path.resolve(import.meta.dirname, "../../apps/cli/src/main.ts")
      const evaluated = (...arguments_: ReadonlyArray<string>) =>
        spawnSync(process.execPath, [source, ...arguments_], { encoding: "utf8" })
      for (const arguments_ of [[], ["--help"], ["-h"], ["--version"], ["-v"]]) {
        const told = await Harness.inq(...arguments_)
        const asked = evaluated(...arguments_)
        const version = told.stdout.trim().split("v").at(-1)!
        assert.strictEqual(told.stdout, asked.stdout.replace("0.0.0", version), arguments_.join(" "))
        assert.strictEqual(told.stderr, asked.stderr, arguments_.join(" "))
        assert.strictEqual(told.code, asked.status, arguments_.join(" "))
      }
      assert.match((await Harness.inq("list", "--help")).stdout, /inq list/)
    },
    Harness.within(60_000)
  )

  it(
    "keeps what was compiled for the next start, where and from where nobody else can write",
    () => {
      const caches = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-caches-"))
      const folder = path.join(caches, "inquorate")
      const help = () => {
        const env = { PATH: process.env.PATH, XDG_CACHE_HOME: caches }
        const { status, stderr, stdout } = spawnSync(Harness.inqBundle, ["list", "--help"], { encoding: "utf8", env })
        assert.strictEqual(status, 0, stderr)
        assert.match(stdout, /inq list/)
      }
      const kept = () => fs.readdirSync(folder).map((name) => path.join(folder, name))
      try {
        help()
        const [file] = kept()
        assert.strictEqual(kept().length, 1)
        assert.strictEqual(fs.statSync(file!).mode & 0o777, 0o600)
        const { mtimeMs } = fs.statSync(file!)
        help()
        assert.strictEqual(fs.statSync(file!).mtimeMs, mtimeMs, "taken, not written again")
        fs.writeFileSync(file!, "not what V8 made")
        help()
        assert.notStrictEqual(fs.statSync(file!).size, "not what V8 made".length, "refused, and written anew")
        fs.chmodSync(file!, 0o666)
        help()
        assert.strictEqual(fs.statSync(file!).mode & 0o777, 0o600, "not believed, and written anew")
        fs.rmSync(file!)
        fs.chmodSync(folder, 0o777)
        help()
        assert.deepStrictEqual(kept(), [], "nor is a folder where others could put it")
      } finally {
        fs.rmSync(caches, { recursive: true, force: true })
      }
    },
    Harness.within(60_000)
  )

  it(
    "evaluates what a command asks for and no more, and keeps it beside what other commands asked for",
    () => {
      const caches = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-caches-"))
      const folder = path.join(caches, "inquorate")
      const loaded = path.join(caches, "loaded")
      const hook = path.join(caches, "hook.cjs")
      const write = `require("node:fs").writeFileSync(${JSON.stringify(loaded)}, process.moduleLoadList.join("\\n"))`
      // For the first trace of a stack V8 counts the lines of the whole program.
      const trace = `Error.prepareStackTrace = (error) => (process.moduleLoadList.push("a stack trace"), String(error))`
      fs.writeFileSync(hook, `${trace}\nprocess.on("exit", () => ${write})\n`)
      const partsAfter = (...arguments_: ReadonlyArray<string>) => {
        const env = { PATH: process.env.PATH, XDG_CACHE_HOME: caches, NODE_OPTIONS: `--require=${hook}` }
        const { stderr } = spawnSync(Harness.inqBundle, [...arguments_], { encoding: "utf8", env })
        assert.notMatch(stderr, /should not have happened/)
        const parts = fs.readFileSync(kept(), "latin1").split("\n").at(-1)!.split(" ")
        // The bundler numbers the second module of a name.
        return parts.map((part) => part.replace(/\$\d+$/, "")).sort()
      }
      const kept = () => path.join(folder, fs.readdirSync(folder)[0]!)
      const ask = (command: string) => partsAfter("--endpoint", worker.endpoint, ...command.split(" "))
      try {
        assert.deepStrictEqual(partsAfter("list", "--help"), ["List"])
        for (const [command, parts] of [
          ["list", "List Worker"],
          ["show last", "List Operations Worker"],
          ["cancel 00000000-0000-4000-8000-000000000000", "List Operations Worker"]
        ] as const) {
          assert.deepStrictEqual(ask(command), parts.split(" "), command)
          const modules = fs.readFileSync(loaded, "utf8").split("\n")
          assert.include(modules, "NativeModule http")
          for (const name of ["tls", "https", "readline", "child_process", "fs/promises", "crypto", "module"]) {
            assert.notInclude(modules, `NativeModule ${name}`, command)
          }
          assert.notInclude(modules, "a stack trace", command)
        }
        assert.deepStrictEqual(ask("clusters"), ["Browse", "List", "Operations", "Worker"])
        const all = ["Browse", "List", "Operations", "QuorumLoss", "Worker"]
        assert.deepStrictEqual(ask("plan shop"), all)
        const { ino, mtimeMs } = fs.statSync(kept())
        for (const command of ["list", "show last", "clusters", "plan shop"]) {
          assert.deepStrictEqual(ask(command), all, command)
          const now = fs.statSync(kept())
          assert.deepStrictEqual([now.ino, now.mtimeMs], [ino, mtimeMs], `${command}: taken, not compiled again`)
        }
      } finally {
        fs.rmSync(caches, { recursive: true, force: true })
      }
    },
    Harness.within(60_000)
  )

  it(
    "says that no worker answers, and exits with 6",
    async () => {
      for (const command of [["list"], ["partitions"], ["start", "shop", "--duration", "1s"], ["show", randomUUID()]]) {
        const { code, stderr } = await Harness.inq(nowhere, ...command)
        assert.strictEqual(code, 6, command.join(" "))
        assert.match(stderr, /no worker answers at http:\/\/127\.0\.0\.1:1 .*ECONNREFUSED.*--endpoint/)
      }
    },
    Harness.within(30_000)
  )

  it(
    "leaves an operation alone when only the watching is stopped",
    async () => {
      const id = randomUUID()
      assert.strictEqual((await inq("start", "shop", "--duration", "60s", "--id", id)).code, 0)
      const watching = Harness.startInq(["--endpoint", worker.endpoint, "watch", id])
      await Harness.until("the hold", 10_000, () => watching.stdout().includes("Holding"))
      watching.child.kill("SIGTERM")
      assert.strictEqual((await watching.done).code, 130)
      assert.strictEqual((await Harness.progress(worker, id)).State, "Running")
      assert.match((await inq("cancel", id)).stdout, /RollingBack|Cancelled/)
      const end = await inq("watch", id)
      assert.strictEqual(end.code, 5)
      await Harness.until("writes commit again", 10_000, () => Harness.writeCommits(world, 1000))
    },
    Harness.within(30_000)
  )
})

describe("the worker", () => {
  const run = async (config: string, store: string, ...arguments_: ReadonlyArray<string>): Promise<string> => {
    try {
      const started = await Harness.startWorker(world, store, { config, arguments: arguments_ })
      started.kill("SIGTERM")
      return `ended with ${await started.ended}`
    } catch (error) {
      return (error as Error).message
    }
  }

  const file = (name: string, text: string): string => {
    const at = path.join(world.folder, name)
    fs.writeFileSync(at, text)
    return at
  }

  it("tells every mistake of its configuration with file, line and key, and exits with 2", async () => {
    const broken = file(
      "broken.yaml",
      "listen: nowhere\nlimits:\n  maxHold: soon\nclusters:\n  a:\n    system: oracle\n"
    )
    const told = await run(broken, "x.db")
    assert.match(told, /ended with 2/)
    assert.include(told, `${broken}:1: listen:`)
    assert.include(told, `${broken}:3: limits.maxHold:`)
    assert.match(
      await run(path.join(world.folder, "absent.yaml"), "x.db"),
      /ended with 2 .*absent\.yaml cannot be read/s
    )
  })

  it("says that its port is in use, and exits with 4", async () => {
    const port = new URL(worker.endpoint).port
    assert.match(await run(file("empty.yaml", ""), "y.db", "--listen", `127.0.0.1:${port}`), /ended with 4 .*in use/s)
    assert.match(await run(file("empty.yaml", ""), "y.db", "--listen", "0.0.0.0:0"), /ended with 4 .*loopback/s)
  })

  it("says that its store cannot be used, and exits with 3", async () => {
    const empty = file("empty.yaml", "")
    const store = (at: string) => run(empty, "unused", "--store", `sqlite:${at}`)
    fs.mkdirSync(path.join(world.folder, "a-folder"))
    assert.match(await store(path.join(world.folder, "a-folder")), /ended with 3 .*is not a file/s)
    const corrupt = file("corrupt.db", "this is no database".repeat(300))
    assert.match(await store(corrupt), /ended with 3 .*corrupt\.db.*not a database/s)
    assert.match(await store("/proc/nowhere/worker.db"), /ended with 3 .*\/proc\/nowhere/s)
  })
})
