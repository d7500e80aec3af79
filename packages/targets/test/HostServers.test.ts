/**
 * Goal: we read what a host tells of its servers as it was meant, and a person reads addresses. Method: a process of
 * ours that goes by the name of a server and listens, seen by the program that hosts run.
 */
import { assert, describe, it } from "@effect/vitest"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { addressOf, find, read } from "../src/HostServers.ts"

const hex = (text: string): string => Buffer.from(text).toString("hex")

describe("an address as the kernel has it", () => {
  it("is read for a person, and one for all is loopback", () => {
    assert.strictEqual(addressOf("0100007F:0947"), "127.0.0.1:2375")
    assert.strictEqual(addressOf("0B00000A:0050"), "10.0.0.11:80")
    assert.strictEqual(addressOf("00000000:1538"), "127.0.0.1:5432")
    assert.strictEqual(addressOf("00000000000000000000000000000000:1538"), "127.0.0.1:5432")
    assert.strictEqual(addressOf("00000000000000000000000001000000:1538"), "[::1]:5432")
    assert.strictEqual(addressOf("B80D0120000000000000000005000000:1538"), "[2001:db8::5]:5432")
    assert.isNull(addressOf("nonsense"))
    assert.isNull(addressOf("0100007F"))
  })
})

describe("what a host tells of its servers", () => {
  it("is read word by word, and of a name with a line end nothing is kept", () => {
    const [server, ...others] = read([
      ["server", "7", "postgres"],
      ["process", "7", "99", "1", "26", "1", hex("/usr/bin/postgres")],
      ["account", "7", hex("postgres")],
      ["words", "7", hex("postgres\0-D\0/data\0")],
      ["at", "7", "0100007F:1538"],
      ["at", "7", "00000000:1538"],
      ["directory", "7", hex("/data")],
      ["identifier", "7", "0100000000000080"],
      ["standby", "7"],
      ["streams", "7", hex("s\n1")],
      ["socket", "7", "5432", hex("/run/postgresql")],
      ["server", "8", "redis"],
      ["at", "9", "0100007F:1538"]
    ])
    assert.deepStrictEqual(others, [])
    assert.deepInclude(server, {
      system: "postgres",
      pid: 7,
      user: 26,
      account: "postgres",
      isOpen: true,
      addresses: ["127.0.0.1:5432"],
      dataDirectory: "/data",
      identifier: "9223372036854775809",
      isStandby: true,
      streamsAs: null,
      socket: "/run/postgresql:5432"
    })
    assert.deepStrictEqual(server!.words.slice(0, 3), ["postgres", "-D", "/data"])
  })
})

it.live.skipIf(process.platform !== "linux")("a server is found by the name of its program, where it listens", () =>
  Effect.gen(function* () {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-servers-"))
    const program = path.join(folder, "etcd")
    fs.copyFileSync(process.execPath, program)
    fs.chmodSync(program, 0o755)
    const listens = `require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port) })`
    const child = spawn(program, ["-e", listens, "--", "--name=m0"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "inherit"]
    })
    yield* Effect.gen(function* () {
      const port = yield* Effect.callback<string>((resume) => {
        child.stdout.once("data", (text: Buffer) => resume(Effect.succeed(text.toString().trim())))
        child.once("exit", (code) => resume(Effect.die(new Error(`the server ended with ${code}`))))
      })
      const { servers } = yield* find(LocalHost.make("local"), 30_000)
      const ours = servers.find(({ pid }) => pid === child.pid)
      assert.deepInclude(ours, {
        system: "etcd",
        isOpen: true,
        isApart: false,
        user: process.getuid!(),
        addresses: [`127.0.0.1:${port}`]
      })
      assert.include(ours!.words, "--name=m0")
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          child.kill("SIGKILL")
          fs.rmSync(folder, { recursive: true })
        })
      )
    )
  })
)
