/**
 * Goal: where the user of a host is not root, programs run as root, whatever the login shell of that user is. Method: a
 * real sshd and a real sudo, with users and a sudoers file of their own that nobody else on this machine sees. Fences
 * are armed, lifted and left to end through them, in a pty too. Each way in which sudo refuses is a sentence of its
 * own.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Accounts from "@inquorate/testkit/Accounts"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as SshHost from "../src/hosts/SshHost.ts"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"

if (Sshd.accountsMissing !== "" && process.env.INQUORATE_FORBID_SKIPS !== undefined) {
  throw new Error(Sshd.accountsMissing)
}
const suite = Sshd.accountsMissing === "" ? describe : describe.skip
const bound = { timeout: 20_000 }

const shellNames = ["sh", "bash", "rbash", "zsh", "fish", "csh", "tcsh"]
const shells = shellNames.flatMap((name) => {
  const { status, stdout } = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" })
  return status === 0 ? [[`in-${name}`, stdout.trim()] as const] : []
})
const accounts: Accounts.Accounts = {
  users: {
    ...Object.fromEntries(shells),
    free: "/bin/sh",
    pty: "/bin/sh",
    asked: "/bin/sh",
    stranger: "/bin/sh",
    terminal: "/bin/sh"
  },
  sudoers: [
    "Defaults env_reset",
    "Defaults:pty use_pty",
    "Defaults:terminal requiretty",
    "root ALL=(ALL:ALL) ALL",
    ...shells.map(([name]) => `${name} ALL=(ALL) NOPASSWD: ALL`),
    "free ALL=(ALL) NOPASSWD: ALL",
    "pty ALL=(ALL) NOPASSWD: ALL",
    "terminal ALL=(ALL) NOPASSWD: ALL",
    "asked ALL=(ALL) ALL"
  ].join("\n")
}

// One far side for all, since each costs a second.
const scope = Scope.makeUnsafe()
let far: Sshd.Sshd | undefined
const enter = (user: string, sudo = true) =>
  Effect.gen(function* () {
    const sshd = (far ??= yield* Scope.provide(Sshd.startWith(accounts), scope))
    const { options, ...target } = sshd.target("here", user)
    return { sshd, host: yield* SshHost.make({ ...target, options: { ...options, sudo } }) }
  })

afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

suite(`a host with sudo${Sshd.accountsMissing === "" ? "" : ` (skipped: ${Sshd.accountsMissing})`}`, () => {
  Bench.useState()

  for (const user of ["free", "pty"]) {
    it.live(`arms and lifts as root over ssh for ${user}, by one order and by a go to what was prepared`, () =>
      Effect.gen(function* () {
        const { host, sshd } = yield* enter(user)
        const pause = Pause.make(new Map([["here", host]]))
        const tree = yield* ProcessTree.start("still")
        const one = yield* Bench.orderFor(tree, {})
        yield* pause.arm(one)
        assert.isFalse(ProcessTree.runs(tree))
        assert.strictEqual((yield* pause.lift("here", one.fence, 1)).by, "Worker")
        assert.isTrue(ProcessTree.runs(tree))
        const two = yield* Bench.orderFor(tree, { attempt: 2 })
        const prepared = yield* pause.prepare!("here", [two], 60_000)
        assert.isTrue(ProcessTree.runs(tree))
        const [armed] = yield* prepared.go(two)
        assert.isTrue(armed !== undefined && Result.isSuccess(armed), JSON.stringify(armed))
        assert.isFalse(ProcessTree.runs(tree))
        assert.strictEqual((yield* pause.lift("here", two.fence, 1)).by, "Worker")
        assert.isTrue(ProcessTree.runs(tree))
        assert.strictEqual(fs.statSync(path.join(sshd.state, "fences", two.fence.operationId)).uid, 0)
      })
    )

    it.live(`has keepers of root's that outlive the connection of ${user}, and end the fence at its deadline`, () =>
      Effect.gen(function* () {
        const { host, sshd } = yield* enter(user)
        const pause = Pause.make(new Map([["here", host]]))
        const tree = yield* ProcessTree.start("still")
        const order = yield* Bench.orderFor(tree, { hold: 2500 })
        const armed = yield* pause.arm(order)
        assert.strictEqual(armed.grade, "Kernel")
        Sshd.cut(sshd)
        assert.isFalse(ProcessTree.runs(tree), "the end of a connection is no lift")
        const state = yield* Bench.ended(order, pause)
        assert.strictEqual(state.by, "Keeper")
        assert.isTrue(ProcessTree.runs(tree))
        const records = path.join(sshd.state, "fences", order.fence.operationId)
        assert.strictEqual(
          fs.statSync(records).uid,
          0,
          "the record is not root's, or not where the user's surroundings say"
        )
      })
    )
  }

  it.live("answers as any other, whichever shell its user logs in with", () =>
    Effect.forEach(
      shells,
      Effect.fnUntraced(function* ([user]) {
        const { host } = yield* enter(user)
        const words = ["it's", "", '"$HOME" `id` \\ !x !!', "two\nlines\n", "*", "ü~#%", "-n", "{a,b}", "[z"]
        const program = `id -u; for word; do printf '<%s>' "$word"; done; echo heard >&2; exit 7`
        assert.deepStrictEqual(
          yield* host.run(program, words, bound),
          { stdout: `0\n${words.map((word) => `<${word}>`).join("")}`, stderr: "heard\n", exitCode: 7 },
          user
        )
        assert.strictEqual((yield* host.run("kill -KILL $$", [], bound)).exitCode, 137, user)
        const channel = yield* host.open!('while read -r word; do echo "$word $(id -u) $1"; echo end; done', ["it's"])
        for (const word of ["one", "two"]) {
          assert.deepStrictEqual(yield* channel.ask(`${word}\n`, "end", bound), [`${word} 0 it's`], user)
        }
      }),
      { concurrency: 3, discard: true }
    )
  )

  it.live("runs as the user who enters where sudo is not asked for", () =>
    Effect.gen(function* () {
      const { host } = yield* enter("free", false)
      assert.strictEqual((yield* host.run("id -un", [], bound)).stdout, "free\n")
    })
  )

  it("is this machine too, for a worker that is not root", () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-sudo-"))
    const users = Object.keys(accounts.users)
    const ask = (user: string): unknown => {
      const place = fs.mkdtempSync(path.join(folder, "x"))
      const number = String(Accounts.firstUser + users.indexOf(user))
      const command = [process.execPath, "--no-warnings", path.join(import.meta.dirname, "as-another.ts"), number]
      const [file, ...words] = Accounts.within(place, accounts, command)
      const ran = spawnSync(file, words, { encoding: "utf8" })
      assert.strictEqual(ran.status, 0, ran.stderr)
      return JSON.parse(ran.stdout)
    }
    const whole = { own: "", run: "0 it's 7", said: ["0 it's"], state: "/tmp/inquorate-of-mine" }
    assert.deepStrictEqual(ask("free"), { ...whole, own: "free" })
    assert.deepStrictEqual(ask("pty"), { ...whole, own: "pty" })
    const asked =
      "sudo asks user asked for a password, and nobody is there to type it: allow this user everything in sudoers with NOPASSWD (sudo: a password is required)"
    assert.deepStrictEqual(ask("asked"), {
      own: "asked",
      run: `Unreachable: ${asked}`,
      said: `LostAnswer: the program on the host ended: ${asked}`,
      state: `Unreachable: ${asked}`
    })
    fs.rmSync(folder, { recursive: true })
  })

  const refusals: ReadonlyArray<readonly [user: string, sentence: RegExp]> = [
    ["asked", /sudo asks user asked for a password.*NOPASSWD.*\(sudo: a password is required\)/],
    ["stranger", /(asks user stranger for a password|sudoers does not allow user stranger)/],
    ["terminal", /sudo wants a terminal: take requiretty out of sudoers/]
  ]
  it.live.each(refusals)("says why sudo ran nothing for %s", ([user, sentence]) =>
    Effect.gen(function* () {
      const { host, sshd } = yield* enter(user)
      const mark = path.join(sshd.folder, `ran-${user}`)
      const error = yield* Effect.flip(host.run(`true >${mark}`, [], bound))
      assert.strictEqual(error.reason, "Unreachable", error.detail)
      assert.match(error.detail, sentence)
      const channel = yield* host.open!(`true >${mark}; echo end`, [])
      const lost = yield* Effect.flip(channel.ask("", "end", bound))
      assert.match(lost.detail, sentence)
      assert.isFalse(fs.existsSync(mark))
      // Nothing ran and nothing was lost: the connection serves on.
      assert.strictEqual((yield* Effect.flip(host.run("true", [], bound))).reason, "Unreachable")
    })
  )
})
