/**
 * The suite that every `Host` passes. A program answers as it would in this machine's own shell, whatever stands in its
 * words. What takes too long or says too much is a lost answer, and nothing worse. Several programs run at once. A
 * program that stays hears one thing after another until its scope ends.
 */
import type { Host, HostError, HostOutput } from "@inquorate/core/Host"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { within } from "./Pace.ts"

/** Registers the suite. `make` is run once for each test. */
export const hostContract = <E>(name: string, make: Effect.Effect<Host, E, Scope.Scope>): void => {
  describe(name, () => {
    for (const [sentence, body] of laws) it.live(sentence, () => Effect.scoped(Effect.flatMap(make, body)))
  })
}

// --- internal ---

const bound = { timeout: within(20_000) }

const laws: ReadonlyArray<readonly [string, (host: Host) => Effect.Effect<void, HostError | HostOutput, Scope.Scope>]> =
  [
    [
      "answers as the machine itself would, whatever stands in the words",
      Effect.fnUntraced(function* (host) {
        const words = ["it's", "", '"$HOME" `id` \\ !x', "two\nlines\n", "*", "ü~#%"]
        const output = yield* host.run(`for word; do printf '<%s>' "$word"; done; echo "$0" >&2; exit 7`, words, bound)
        assert.deepStrictEqual(output, {
          stdout: words.map((word) => `<${word}>`).join(""),
          stderr: "inquorate\n",
          exitCode: 7
        })
        assert.strictEqual((yield* host.run("exit 255", [], bound)).exitCode, 255)
        assert.strictEqual((yield* host.run("printf 'no end'", [], bound)).stdout, "no end")
      })
    ],
    [
      "gives a program nothing on its standard input, and a folder that is always there",
      Effect.fnUntraced(function* (host) {
        const { stdout } = yield* host.run("cat; pwd; read -r line || echo end", [], bound)
        assert.strictEqual(stdout, "/\nend\n")
        assert.strictEqual((yield* host.run("echo after", [], bound)).stdout, "after\n")
      })
    ],
    [
      "takes words of any length, and refuses one that no shell can hold",
      Effect.fnUntraced(function* (host) {
        const long = yield* host.run('echo "${#1}"', ["x".repeat(3_000_000)], bound)
        assert.strictEqual(long.stdout, "3000000\n")
        const error = yield* Effect.flip(host.run("true", ["a\0b"], bound))
        assert.strictEqual(error.reason, "Unreachable")
        assert.include(error.detail, "NUL")
      })
    ],
    [
      "loses the answer of what takes too long or says too much, and goes on",
      Effect.fnUntraced(function* (host) {
        yield* host.run("true", [], bound)
        const late = yield* Effect.flip(host.run("sleep 3", [], { timeout: 300 }))
        assert.strictEqual(late.reason, "LostAnswer")
        const loud = yield* Effect.flip(host.run("yes", [], bound))
        assert.strictEqual(loud.reason, "LostAnswer")
        assert.include(loud.detail, "bytes of output")
        assert.strictEqual((yield* host.run("echo here", [], bound)).stdout, "here\n")
      })
    ],
    [
      "runs several at once, none of which waits for another",
      Effect.fnUntraced(function* (host) {
        const program = 'echo "$1"; if [ "$1" = 0 ]; then until [ -e "$2" ]; do sleep 0.02; done; else : >"$2"; fi'
        const file = (yield* host.run("mktemp -u", [], bound)).stdout.trim()
        const answers = yield* Effect.forEach([0, 1], (number) => host.run(program, [String(number), file], bound), {
          concurrency: 2
        })
        assert.deepStrictEqual(
          answers.map(({ stdout }) => stdout),
          ["0\n", "1\n"]
        )
        yield* host.run('rm "$1"', [file], bound)
      })
    ],
    [
      "keeps a program that stays until its scope ends, and tells it one thing after another",
      Effect.fnUntraced(function* (host) {
        const program = 'echo "$1"; while read -r line; do echo "heard $line"; echo end; done'
        const talk = Effect.gen(function* () {
          const channel = yield* host.open!(program, ["it's"])
          assert.deepStrictEqual(yield* channel.ask("one\n", "end", bound), ["it's", "heard one"])
          assert.deepStrictEqual(yield* channel.ask("two\n", "end", bound), ["heard two"])
          return channel
        })
        const channel = yield* Effect.scoped(talk)
        assert.isFalse(channel.isOpen())
      })
    ]
  ]
