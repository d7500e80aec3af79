/** Labs of etcd with five members, with TLS and users, and beside another. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import { argumentsOf, binary, membersSeenBy, skip, withLab } from "./EtcdLabs.ts"

describe.skipIf(binary === null)(`an etcd lab${skip}`, () => {
  it.live("may have five members and an election time of its own, and is another cluster than its neighbour", () =>
    Effect.gen(function* () {
      const ids = yield* withLab({ name: "five", members: 5, options: { election: "200ms" } }, (five) =>
        Effect.gen(function* () {
          assert.lengthOf((yield* membersSeenBy(five, 4)).members, 5)
          const words = argumentsOf(five.members[4]!.pid)
          assert.strictEqual(words[words.indexOf("--election-timeout") + 1], "200")
          assert.strictEqual(words[words.indexOf("--heartbeat-interval") + 1], "20")
          return yield* withLab({ name: "three", options: { election: "200ms" } }, (three) =>
            Effect.all([membersSeenBy(five, 0), membersSeenBy(three, 0)])
          )
        })
      )
      assert.notStrictEqual(ids[0].header.cluster_id, ids[1].header.cluster_id)
    })
  )

  it.live("speaks TLS and asks for users where told to, with all that a worker needs, and goes with its secrets", () =>
    Effect.gen(function* () {
      const options = { election: "200ms", tls: "true", auth: "true" }
      const files = yield* withLab({ name: "secured", options }, ({ configuration, members }) =>
        Effect.sync(() => {
          const { password, tls, user } = configuration as unknown as {
            readonly user: string
            readonly password: { readonly file: string }
            readonly tls: { readonly ca: string; readonly certificate: string; readonly key: string }
          }
          for (const file of [password.file, tls.key]) assert.strictEqual(fs.statSync(file).mode & 0o077, 0, file)
          for (const { pid } of members) {
            for (const flag of ["--client-cert-auth", "--peer-client-cert-auth"]) assert.include(argumentsOf(pid), flag)
          }
          const flags = [
            `--endpoints=${members[1]!.address}`,
            "--cacert",
            tls.ca,
            "--cert",
            tls.certificate,
            "--key",
            tls.key
          ]
          const put = (key: string, as: ReadonlyArray<string>) =>
            childProcess.spawnSync("etcdctl", [...flags, ...as, "put", key, "lab"], {
              env: { ...process.env, ETCDCTL_API: "3" },
              encoding: "utf8"
            }).status
          const own = [`--user=${user}:${fs.readFileSync(password.file, "utf8").trim()}`]
          assert.notStrictEqual(put("inquorate/probe", []), 0)
          // A busy machine may hold up a leader for longer than a short election takes.
          assert.isTrue(Array.from({ length: 5 }).some(() => put("inquorate/probe", own) === 0))
          assert.notStrictEqual(put("other", own), 0)
          return [password.file, tls.key, tls.ca]
        })
      )
      for (const file of files) assert.isFalse(fs.existsSync(file), file)
    })
  )
})
