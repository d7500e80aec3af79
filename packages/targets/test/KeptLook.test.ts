/**
 * Goal: a host that keeps programs is looked at by one that stays, and by a new one where that is gone or frozen. Method:
 * this machine, a server of the test's own, and the processes that the test started.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as ListeningProcess from "../src/ListeningProcess.ts"

it.live(
  "stays for the next question, tells names that hold anything, and is replaced where it is frozen or killed",
  () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-look-"))),
        (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true, maxRetries: 10 }))
      )
      const named = path.join(folder, "back\\slash \\n and\nline end")
      fs.symlinkSync(folder, named)
      const port = yield* listening
      const host = yield* LocalHost.keeping("here")
      const look = Effect.map(
        ListeningProcess.find(host, { addresses: [`127.0.0.1:${port}`], openFile: "none", folders: [named] }, 10_000),
        ({ on, resolved }) => [on(`127.0.0.1:${port}`).listeners.map(({ pid }) => pid), resolved(named)]
      )
      const expected = [[process.pid], fs.realpathSync(folder)]
      assert.deepStrictEqual(yield* look, expected)
      const first = looks()[0]!
      assert.deepStrictEqual(yield* look, expected)
      assert.deepStrictEqual(looks(), [first])
      process.kill(first, "SIGSTOP")
      assert.deepStrictEqual(yield* look, expected)
      while (looks().includes(first)) yield* Effect.sleep(10)
      assert.deepStrictEqual(yield* look, expected)
      for (const pid of looks()) process.kill(pid, "SIGKILL")
      assert.deepStrictEqual(yield* look, expected)
      assert.deepStrictEqual(yield* look, expected)
      assert.lengthOf(looks(), 1)
    }).pipe(
      Effect.scoped,
      Effect.andThen(
        Effect.gen(function* () {
          while (looks().length > 0) yield* Effect.sleep(10)
        })
      )
    )
)

// --- internal ---

const listening = Effect.map(
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<net.Server>((resolve) => {
          const server = net.createServer()
          server.listen(0, "127.0.0.1", () => resolve(server))
        })
    ),
    (server) => Effect.sync(() => void server.close())
  ),
  (server) => (server.address() as net.AddressInfo).port
)

/** The children of this process that look at processes. */
const looks = (): ReadonlyArray<number> =>
  fs
    .readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
    .split(" ")
    .filter((pid) => pid !== "")
    .map(Number)
    .filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("perl\0")
      } catch {
        return false
      }
    })
