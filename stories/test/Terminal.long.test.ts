/**
 * Goal: before a person, `inq start --watch` shows one live line and asks before a Ctrl-C ends the hold; colour is theirs to
 * refuse. Method: the bundled command on a real terminal, typed into by `terminal.py`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Harness from "./Harness.ts"

const python = "python3"
const missing = spawnSync(python, ["-c", "import pty"]).status !== 0

const controlC = "\u0003"
const bold = "\u001B[1m"
const question = "Cancel the operation and lift now?"

describe.skipIf(missing)("inq on a terminal, skipped where there is no Python to make one", () => {
  let world: Harness.World
  let worker: Harness.Worker
  const typed = new Set<ChildProcess>()

  beforeAll(async () => {
    world = await Harness.open("etcd", "person")
    worker = await Harness.startWorker(world, "terminal.db")
  }, Harness.within(120_000))

  afterAll(async () => {
    for (const child of typed) child.kill("SIGKILL")
    await Harness.close(world)
  }, Harness.within(60_000))

  /** A hold that a person watches: what is shown so far, what to type, and how it ended. */
  const watch = async (seconds: number, environment: Readonly<Record<string, string>> = {}) => {
    const id = randomUUID()
    const { NO_COLOR: _, ...own } = process.env
    const child = spawn(
      python,
      [
        path.join(import.meta.dirname, "terminal.py"),
        process.execPath,
        Harness.inqBundle,
        "--endpoint",
        worker.endpoint,
        "start",
        "person",
        "--duration",
        `${seconds}s`,
        "--watch",
        "--yes",
        "--id",
        id
      ],
      { stdio: ["pipe", "pipe", "inherit"], env: { ...own, TERM: "xterm", ...environment } }
    )
    typed.add(child)
    let shown = ""
    child.stdout.on("data", (data: Buffer) => (shown += data.toString()))
    const ended = new Promise<number | null>((resolve) =>
      child.on("close", (code) => {
        typed.delete(child)
        resolve(code)
      })
    )
    const asked = () => shown.split(question).length - 1
    await Harness.until("the live line of the hold", 15_000, () => /Holding, [\d.]+ m?s left/.test(shown))
    return { id, ended, shown: () => shown, asked, type: (text: string) => void child.stdin.write(text) }
  }

  it(
    "asks at the first Ctrl-C and goes on after `n`; the second one in a row cancels",
    async () => {
      const person = await watch(60)
      assert.include(person.shown(), "\r\u001B[K", "the live line is painted over")
      assert.include(person.shown(), `${bold}Running`)
      person.type(controlC)
      await Harness.until("the question", 5000, () => person.asked() === 1)
      assert.isFalse(Harness.nothingStopped(world), "asking must not end the hold")
      person.type("n\r")
      const before = person.shown().length
      await Harness.until("the live line again", 5000, () => person.shown().slice(before).includes("Holding, "))
      assert.strictEqual((await Harness.progress(worker, person.id)).State, "Running")
      assert.isFalse(Harness.nothingStopped(world))
      person.type(controlC)
      await Harness.until("the question again", 5000, () => person.asked() === 2)
      person.type(controlC)
      assert.strictEqual(await person.ended, 130)
      assert.match(person.shown(), /Cancelling .* waiting for the lift/)
      assert.isTrue(Harness.nothingStopped(world), "the lift was awaited")
      assert.deepStrictEqual(await Harness.progress(worker, person.id), { State: "Cancelled" })
      await Harness.until("PUTs are acknowledged", 20_000, () => Harness.writeCommits(world, 1000))
      await Harness.whole(worker, world)
    },
    Harness.within(60_000)
  )

  it(
    "cancels when the answer is yes",
    async () => {
      const person = await watch(60)
      person.type(controlC)
      await Harness.until("the question", 5000, () => person.asked() === 1)
      person.type("y\r")
      assert.strictEqual(await person.ended, 130)
      assert.deepStrictEqual(await Harness.progress(worker, person.id), { State: "Cancelled" })
      assert.isTrue(Harness.nothingStopped(world))
      await Harness.until("PUTs are acknowledged", 20_000, () => Harness.writeCommits(world, 1000))
      await Harness.whole(worker, world)
    },
    Harness.within(60_000)
  )

  it(
    "shows no colour where NO_COLOR is set, and ends as the operation does",
    async () => {
      const person = await watch(2, { NO_COLOR: "1" })
      assert.strictEqual(await person.ended, 0)
      assert.include(person.shown(), "\r\u001B[K")
      const escapes = person.shown().split("\u001B").slice(1)
      assert.isTrue(
        escapes.every((escape) => escape.startsWith("[K")),
        "nothing but the painting over"
      )
      assert.match(person.shown(), new RegExp(`${person.id} ended Completed\\.`))
    },
    Harness.within(60_000)
  )
})
