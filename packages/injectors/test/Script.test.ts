/**
 * Goal: a program reaches a host whatever the login shell is, and never stands in arguments. Method: each login shell
 * of this machine is given what sshd would give it (`shell -c command`), with words over which any of them could trip.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Script from "../src/hosts/Script.ts"

const shells = ["sh", "dash", "bash", "rbash", "zsh", "fish", "csh", "tcsh", "busybox sh"].filter(
  (shell) => spawnSync(shell.split(" ")[0]!, shell === "busybox sh" ? ["true"] : ["-c", "true"]).error === undefined
)
const words = ["it's", "", '"$HOME" `id` \\ !x !!', "two\nlines\n", "*", "ü~#%", "-n", "{a,b}", "[z"]
const program = `for word; do printf '<%s>' "$word"; done; echo "$0" >&2; if true; then exit 7; fi`
const wanted = words.map((word) => `<${word}>`).join("")

describe("a program for a host", () => {
  it("is tried with more than one login shell", () => assert.isAtLeast(shells.length, 3))

  it.each(shells)("is run by sh behind the login shell %s, which sees one plain line of it", (shell) => {
    const { input, outer } = Script.remoteText(program, words, "nonce")
    const [file, ...first] = shell.split(" ")
    const ran = spawnSync(file!, [...first, "-c", Script.commandOf(outer)], { input, encoding: "utf8" })
    assert.deepStrictEqual(Script.answerOf(ran.stdout, "nonce"), { stdout: wanted, exitCode: 7 }, ran.stderr)
    assert.strictEqual(ran.stderr, "inquorate\n")
  })

  // Where sh is bash, it takes its options from the environment, and hands them on.
  const bash = spawnSync("sh", ["-c", "command -v bash"], { encoding: "utf8" }).stdout.trim()
  it.skipIf(bash === "")("has a shell's own options, whatever the environment sets", () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-script-"))
    fs.symlinkSync(bash, path.join(folder, "sh"))
    const env = {
      PATH: `${folder}:${process.env["PATH"]}`,
      SHELLOPTS: "errexit:monitor:noclobber:noglob:nounset"
    }
    const text = `false; : "$unset"; echo one >${folder}/file; echo two >${folder}/file; cat ${folder}/f*; echo "$-"; exit 7`
    const { input, outer } = Script.remoteText(text, [], "nonce")
    const ran = spawnSync("sh", ["-c", Script.commandOf(outer)], { input, encoding: "utf8", env })
    const answer = Script.answerOf(ran.stdout, "nonce")
    assert.strictEqual(answer?.exitCode, 7, ran.stderr)
    assert.match(answer!.stdout, /^two\n[^aCefmuvx]*\n$/)
    fs.rmSync(folder, { recursive: true })
  })

  it("is told apart from what a login shell says by itself", () => {
    const { input, outer } = Script.remoteText("echo answer", [], "nonce")
    const ran = spawnSync("sh", ["-c", `echo Welcome; ${Script.commandOf(outer)}`], { input, encoding: "utf8" })
    assert.deepStrictEqual(Script.answerOf(ran.stdout, "nonce"), { stdout: "answer\n", exitCode: 0 })
  })

  it("stands in no argument of any process, nor do its words", () => {
    const seen = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-script-")), "seen")
    const look = `for p in /proc/[0-9]*; do tr '\\000' ' ' <$p/cmdline 2>/dev/null; echo; done >${seen}`
    const { input, outer } = Script.remoteText(`${look}\n: unmistakable program`, ["unmistakable word"], "nonce")
    assert.strictEqual(spawnSync("sh", ["-c", Script.commandOf(outer)], { input }).status, 0)
    const lines = fs.readFileSync(seen, "utf8")
    assert.include(lines, "inquorate")
    assert.notInclude(lines, "unmistakable")
    fs.rmSync(path.dirname(seen), { recursive: true })
  })
})
