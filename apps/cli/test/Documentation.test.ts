/**
 * Goal: the pages a person reads in need are true. Method: the tables of docs/cli.md against the code, and the shell of
 * docs/safety.md run word for word against a real pause whose keepers are dead, and against one whose keepers live.
 */
import { assert, describe, it } from "@effect/vitest"
import type { FenceOrder } from "@inquorate/core/Injector"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Pause from "@inquorate/injectors/Pause"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import { execFile, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { exitCodes } from "../src/ExitCode.ts"

const execute = promisify(execFile)
const docs = path.resolve(import.meta.dirname, "../../../docs")
const cli = fs.readFileSync(path.join(docs, "cli.md"), "utf8")
const lastResort = /```sh\n(state=[\s\S]*?)```/.exec(fs.readFileSync(path.join(docs, "safety.md"), "utf8"))?.[1]

describe("the page of the command line", () => {
  it("lists exactly the exit codes there are", () => {
    const rows = [...cli.matchAll(/^\| (\d+) \| (\w+) \|/gm)].map((match) => [match[2], Number(match[1])])
    assert.deepStrictEqual(rows, Object.entries(exitCodes))
  })

  it("names every command and every flag", async () => {
    const main = path.resolve(import.meta.dirname, "../src/main.ts")
    const { stdout } = await execute(process.execPath, [main, "--completions", "fish"])
    const lines = stdout.split("\n").filter((line) => line.startsWith("complete "))
    const flags = new Set(lines.flatMap((line) => / -l '?(?!no-)([a-z-]+)/.exec(line)?.[1] ?? []))
    const commands = new Set(lines.flatMap((line) => / -f -a '([a-z][a-z-]*)'/.exec(line)?.[1] ?? []))
    assert.isAbove(flags.size, 10)
    assert.isAbove(commands.size, 10)
    for (const flag of flags) assert.include(cli, `\`--${flag}`)
    for (const command of commands) assert.match(cli, new RegExp(`\`inq ([a-z]+ )*${command}[ \`]`))
  })
})

/** What stands after a process's name in `/proc/<pid>/stat`: its state first, its start time as the twentieth. */
const stat = (pid: number): ReadonlyArray<string> => {
  const text = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
  return text.slice(text.lastIndexOf(")") + 2).split(" ")
}

const until = async (what: string, holds: () => boolean): Promise<void> => {
  const limit = Date.now() + within(10_000)
  for (;;) {
    const isLast = Date.now() > limit
    if (holds()) return
    if (isLast) throw new Error(`waited in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const isGone = (pid: number): boolean => {
  try {
    return stat(pid)[0] === "Z"
  } catch {
    return true
  }
}

/** A process, paused for a minute; ends with everything of it gone. */
const withPaused = async (
  prefer: "Kernel" | "Keeper",
  use: (pid: number, keepers: ReadonlyArray<number>) => Promise<void>
): Promise<void> => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-safety-"))
  const before = process.env.INQUORATE_STATE
  process.env.INQUORATE_STATE = path.join(folder, "state")
  const child = spawn("sleep", ["1000"], { cwd: folder, stdio: "ignore" })
  const pid = child.pid!
  const keepers: Array<number> = []
  let holder: number | undefined
  try {
    await until("the program to run", () => path.basename(fs.readlinkSync(`/proc/${pid}/exe`)) !== "node")
    const pause = Pause.make(new Map([["local", LocalHost.make("local")]]), { prefer })
    const order: FenceOrder = {
      fence: { operationId: randomUUID(), attempt: 1, member: "s1" },
      process: {
        host: "local",
        pid,
        startTime: stat(pid)[19]!,
        executable: fs.readlinkSync(`/proc/${pid}/exe`),
        dataDirectory: folder
      },
      epoch: 1,
      deadline: Date.now() + 60_000,
      startByMonotonic: Number(process.hrtime.bigint() / 1_000_000n) + within(10_000)
    }
    await Effect.runPromise(pause.arm(order))
    const record = path.join(folder, "state/fences", order.fence.operationId, "1.7331")
    const [one, , other] = fs.readFileSync(path.join(record, "keepers"), "utf8").split(" ").map(Number)
    keepers.push(one!, other!)
    if (prefer === "Kernel") {
      holder = Number(fs.readFileSync(path.join(record, "holder"), "utf8").split(" ")[0])
      // A live one would end it by itself, later.
      process.kill(holder, "SIGSTOP")
    }
    assert.strictEqual(stat(pid)[0], prefer === "Kernel" ? "t" : "T")
    await use(pid, keepers)
  } finally {
    for (const keeper of keepers) if (!isGone(keeper)) process.kill(keeper, "SIGKILL")
    if (holder !== undefined && !isGone(holder)) process.kill(holder, "SIGKILL")
    child.kill("SIGKILL")
    if (before === undefined) delete process.env.INQUORATE_STATE
    else process.env.INQUORATE_STATE = before
    await until("no keeper", () => keepers.every(isGone))
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

describe.skipIf(process.platform !== "linux")("the last resort of the page of safety", () => {
  for (const grade of ["Keeper", "Kernel"] as const) {
    it(`continues a process of ${grade} grade whose keepers are both dead`, { timeout: within(60_000) }, () =>
      withPaused(grade, async (pid, keepers) => {
        for (const keeper of keepers) process.kill(keeper, "SIGKILL")
        await until("no keeper", () => keepers.every(isGone))
        assert.match(stat(pid)[0]!, /[tT]/)
        await execute("sh", ["-c", lastResort!])
        await until("the process to run on", () => !/[tT]/.test(stat(pid)[0]!))
      })
    )

    it(`has the keepers that live let go, in ${grade} grade`, { timeout: within(60_000) }, () =>
      withPaused(grade, async (pid, keepers) => {
        await execute("sh", ["-c", lastResort!])
        await until("no keeper", () => keepers.every(isGone))
        await until("the process to run on", () => !/[tT]/.test(stat(pid)[0]!))
      })
    )
  }
})
