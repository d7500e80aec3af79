/**
 * Becomes the user of this number and asks this machine with sudo and without: what came of each, as JSON. Run by root, for
 * nobody else may read what a test imports.
 */
import * as Effect from "effect/Effect"
import type { HostError } from "@inquorate/core/Host"
import * as LocalHost from "../src/hosts/LocalHost.ts"

const number = Number(process.argv[2])
process.env["INQUORATE_STATE"] = "/tmp/inquorate-of-mine"
process.setgroups!([])
process.setgid!(number)
process.setuid!(number)

const bound = { timeout: 20_000 }
const plain = LocalHost.make("local")
const host = LocalHost.make("local", { sudo: true })
const orWhy = <A>(asked: Effect.Effect<A, HostError>) =>
  Effect.catchTag(asked, "HostError", ({ detail, reason }) => Effect.succeed(`${reason}: ${detail}`))

const answers = Effect.all({
  own: orWhy(Effect.map(plain.run("id -un", [], bound), ({ stdout }) => stdout.trim())),
  run: orWhy(
    Effect.map(
      host.run('echo "$(id -u) $1"; exit 7', ["it's"], bound),
      ({ exitCode, stdout }) => `${stdout.trim()} ${exitCode}`
    )
  ),
  said: orWhy(
    Effect.scoped(
      Effect.flatMap(host.open!('echo "$(id -u) $1"; echo end', ["it's"]), (channel) => channel.ask("", "end", bound))
    )
  ),
  state: orWhy(Effect.map(host.run('echo "$INQUORATE_STATE"', [], bound), ({ stdout }) => stdout.trim()))
})

process.stdout.write(JSON.stringify(await Effect.runPromise(answers)))
