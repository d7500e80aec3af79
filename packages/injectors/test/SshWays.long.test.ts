/**
 * Goal: the ways to a host that `docs/hosts.md` shows are ssh's own affair, and all lead there: a jump host, a program that
 * speaks for a connection (as those of SSM and IAP do), and a key that only an agent has. Method: two real sshd, the second
 * reached through the first.
 */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Effect from "effect/Effect"
import * as SshHost from "../src/hosts/SshHost.ts"
import * as Bench from "./Bench.ts"

if (Sshd.missing !== "" && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(Sshd.missing)
const suite = Sshd.missing === "" ? describe : describe.skip
const bound = { timeout: 20_000 }

/** A name of ssh's configuration, with what leads to this sshd. */
const entry = (name: string, far: Sshd.Sshd, more: ReadonlyArray<string>): string => {
  const { options } = far.target(name)
  return [
    `Host ${name}`,
    "  HostName 127.0.0.1",
    `  Port ${far.port}`,
    `  UserKnownHostsFile ${options.knownHosts}`,
    ...more.map((line) => `  ${line}`),
    ""
  ].join("\n")
}

suite(`the way to a host${Sshd.missing === "" ? "" : ` (skipped: ${Sshd.missing})`}`, () => {
  Bench.useState()

  it.live("may lead over a jump host, by a program of the user's, and with a key in an agent", () =>
    Effect.gen(function* () {
      const [jump, far] = [yield* Sshd.start, yield* Sshd.start]
      const config = path.join(far.folder, "ssh_config")
      const key = (sshd: Sshd.Sshd): string => `IdentityFile ${sshd.target("x").options.identity}`
      const tunnel = path.join(far.folder, "tunnel.mjs")
      fs.writeFileSync(
        tunnel,
        `import net from "node:net"
         const socket = net.connect(Number(process.argv[2]), "127.0.0.1")
         process.stdin.pipe(socket).pipe(process.stdout)`
      )
      fs.writeFileSync(
        config,
        [
          entry("bastion", jump, [key(jump)]),
          entry("by-jump", far, [key(far), "ProxyJump bastion"]),
          entry("i-0123456789", far, [
            key(far),
            `HostKeyAlias [127.0.0.1]:${far.port}`,
            `ProxyCommand ${process.execPath} ${tunnel} %p`
          ]),
          entry("by-agent", far, ["IdentityFile none"])
        ].join("\n")
      )
      const ask = (destination: string) =>
        Effect.scoped(
          Effect.flatMap(
            SshHost.make({
              label: destination,
              destination,
              socketDirectory: path.join(far.folder, "sockets"),
              options: { configFile: config }
            }),
            (host) => Effect.map(host.run("echo $INQUORATE_STATE", [], bound), ({ stdout }) => stdout.trim())
          )
        )
      assert.strictEqual(yield* ask("by-jump"), far.state)
      assert.strictEqual(yield* ask("i-0123456789"), far.state)
      const refused = yield* Effect.flip(ask("by-agent"))
      assert.match(refused.detail, /denied/i)
      yield* agentWith(far)
      assert.strictEqual(yield* ask("by-agent"), far.state)
    })
  )
})

/** An agent that has the far side's key, named in our surroundings until the end of the scope. */
const agentWith = (far: Sshd.Sshd) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = path.join(far.folder, "agent")
      const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" })
      const usual = process.env["SSH_AUTH_SOCK"]
      process.env["SSH_AUTH_SOCK"] = socket
      await Effect.runPromise(Bench.until("the agent listens", () => fs.existsSync(socket)))
      execFileSync("ssh-add", ["-q", far.target("x").options.identity], { stdio: "ignore" })
      return { agent, usual }
    }),
    ({ agent, usual }) =>
      Effect.sync(() => {
        agent.kill("SIGKILL")
        if (usual === undefined) Reflect.deleteProperty(process.env, "SSH_AUTH_SOCK")
        else process.env["SSH_AUTH_SOCK"] = usual
      })
  )
