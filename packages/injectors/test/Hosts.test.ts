/**
 * A machine at its limits, and programs that say too much. A child that cannot be started does not end us, a program
 * that is cut off stops writing, and memory does not grow with what others send. Also the folder of a connection's
 * socket, which is ours all the way.
 */
import { assert, describe, it } from "@effect/vitest"
import * as HostContract from "@inquorate/testkit/HostContract"
import { within } from "@inquorate/testkit/Pace"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as PrivateFolder from "../src/hosts/PrivateFolder.ts"
import * as SshHost from "../src/hosts/SshHost.ts"
import * as Bench from "./Bench.ts"

const sshd = Sshd.missing === "" ? it.live : it.live.skip

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-hosts-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
)

const isThere = (pid: number): boolean => fs.existsSync(`/proc/${pid}/stat`)

/** Leaves a program running that writes for ever, and tells its number before that: what is loud is cut off at once. */
const loud = (file: string) => `sh -c 'echo $$ >${file}; exec yes abcdefghijklmnop' & wait`

describe("a host", () => {
  it.live("that has no free file for a child says so, and is asked again when it has", () =>
    Effect.gen(function* () {
      const words = ["-c", 'ulimit -n 60; exec "$@"', "sh", process.execPath, "--no-warnings"]
      const said = yield* Effect.callback<string>((resume) => {
        execFile("sh", [...words, path.join(import.meta.dirname, "no-free-files.ts")], (error, stdout, stderr) =>
          resume(Effect.succeed(`${stdout}${error === null ? "" : `${error.message}${stderr}`}`))
        )
      })
      assert.deepStrictEqual(said.trim().split("\n"), ["hello", "Unreachable: spawn sh EMFILE", "hello"])
    })
  )

  HostContract.hostContract("that is this machine keeps the contract", Effect.succeed(LocalHost.make("here")))

  it.live("that says too much is cut off at once, and what it left behind writes no more", () =>
    Effect.gen(function* () {
      const file = path.join(yield* scratch, "pid")
      const error = yield* Effect.flip(LocalHost.make("here").run(loud(file), [], { timeout: 600_000 }))
      assert.strictEqual(error.reason, "LostAnswer")
      assert.include(error.detail, "bytes of output")
      const pid = Number(fs.readFileSync(file, "utf8"))
      yield* Bench.until("the writer is gone", () => !isThere(pid))
    })
  )

  it.live("whose time is over is not listened to any longer", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const [file, go] = [path.join(folder, "pid"), path.join(folder, "go")]
      const program = `{ until [ -e ${go} ]; do sleep 0.1; done; exec yes; } & echo $! >${file}; wait`
      const error = yield* Effect.flip(LocalHost.make("here").run(program, [], { timeout: within(500) }))
      assert.include(error.detail, "no answer within")
      fs.writeFileSync(go, "")
      const pid = Number(fs.readFileSync(file, "utf8"))
      yield* Bench.until("the writer is gone", () => !isThere(pid))
    })
  )

  sshd("over ssh that prints without end is cut off, and memory does not follow", () =>
    Effect.gen(function* () {
      const far = yield* Sshd.start
      const host = yield* SshHost.make(far.target("far"))
      const file = path.join(yield* scratch, "pid")
      yield* host.run("true", [], { timeout: 20_000 })
      const before = process.memoryUsage().rss
      for (let turn = 0; turn < 5; turn++) {
        const error = yield* Effect.flip(host.run(loud(file), [], { timeout: 600_000 }))
        assert.include(error.detail, "bytes of output")
        const pid = Number(fs.readFileSync(file, "utf8"))
        yield* Bench.until("the far writer is gone", () => !isThere(pid))
      }
      assert.isBelow(process.memoryUsage().rss - before, 200 * 1024 * 1024)
      assert.strictEqual((yield* host.run("echo here", [], { timeout: 20_000 })).stdout, "here\n")
    })
  )
})

describe("the folder of a connection's socket", () => {
  it.live("is the wanted one where only we may enter it", () =>
    Effect.gen(function* () {
      const wanted = path.join(fs.realpathSync(yield* scratch), "a", "ssh")
      assert.deepStrictEqual(PrivateFolder.open(wanted, 200), { folder: wanted, made: false })
      assert.strictEqual(fs.statSync(wanted).mode & 0o777, 0o700)
    })
  )

  it.live("is a new one that nobody could know where the wanted one is too long, open to others, or a link", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const open = path.join(folder, "open")
      const [link, below] = [path.join(folder, "link"), path.join(folder, "below")]
      fs.mkdirSync(open, { mode: 0o700 })
      fs.symlinkSync(open, link)
      fs.mkdirSync(path.join(below, "ssh"), { recursive: true, mode: 0o700 })
      fs.chmodSync(below, 0o777)
      const mine = path.join(folder, "mine")
      fs.mkdirSync(mine)
      fs.chmodSync(mine, 0o755)
      for (const wanted of [`${folder}/${"x".repeat(100)}`, link, path.join(below, "ssh"), mine]) {
        const [one, other] = [PrivateFolder.open(wanted, 70), PrivateFolder.open(wanted, 70)]
        if ("problem" in one || "problem" in other) return assert.fail(JSON.stringify([one, other]))
        assert.isTrue(one.made && other.made, wanted)
        assert.notStrictEqual(one.folder, other.folder)
        for (const made of [one.folder, other.folder]) {
          assert.strictEqual(PrivateFolder.problemOf(made), "")
          fs.rmdirSync(made)
        }
      }
    })
  )

  const root = process.getuid?.() === 0 ? it.live : it.live.skip
  root("is not one of another user's, nor below one", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const theirs = path.join(folder, "theirs")
      fs.mkdirSync(path.join(theirs, "ssh"), { recursive: true, mode: 0o700 })
      fs.chownSync(theirs, 65_534, 65_534)
      assert.include(PrivateFolder.problemOf(theirs), "belongs to user 65534")
      assert.include(PrivateFolder.problemOf(path.join(theirs, "ssh")), "belongs to user 65534")
    })
  )

  sshd("made for a connection goes with it", () =>
    Effect.gen(function* () {
      const far = yield* Sshd.start
      const temporary = yield* scratch
      const deep = path.join(far.folder, "x".repeat(90))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const host = yield* SshHost.make({ ...far.target("far"), socketDirectory: deep })
          yield* Effect.acquireRelease(
            Effect.sync(() => {
              const usual = process.env.TMPDIR
              process.env.TMPDIR = temporary
              return usual
            }),
            (usual) =>
              Effect.sync(() =>
                usual === undefined ? Reflect.deleteProperty(process.env, "TMPDIR") : (process.env.TMPDIR = usual)
              )
          )
          yield* host.run("true", [], { timeout: 20_000 })
          assert.lengthOf(fs.readdirSync(temporary), 1)
        })
      )
      assert.deepStrictEqual(fs.readdirSync(temporary), [])
    })
  )
})
