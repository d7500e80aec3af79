/**
 * Goal: whoever answers where a server is looked for ends no look by what he does, and is told no password that anybody could
 * be told. Method: a server that never ends its greeting, on a clock of the test; one that nobody vouches for; and places of every kind of
 * account.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Certificates from "@inquorate/testkit/Certificates"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as http2 from "node:http2"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { find } from "../src/FindClusters.ts"
import { type FoundCluster, mayBeTold, type Wishes } from "../src/Finding.ts"
import { read } from "../src/HostServers.ts"

const wishes: Wishes = {
  addresses: [],
  user: undefined,
  password: undefined,
  database: undefined,
  tls: undefined,
  ownUser: 1000,
  ownAddresses: []
}

describe("a look for clusters", () => {
  it.effect("ends in time though a server never ends its greeting", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const greeted = yield* Deferred.make<void>()
        const server = net.createServer((socket) => {
          socket.on("error", () => {})
          socket.on("data", (asked) => {
            // The question for TLS has eight bytes, and the greeting's has more.
            if (asked.length === 8) return void socket.write("N")
            socket.write("S\0\0\0\ba\0b\0")
            Deferred.doneUnsafe(greeted, Effect.void)
          })
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
        const port = yield* Effect.callback<number>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as net.AddressInfo).port)))
        })
        const looking = yield* Effect.forkScoped(
          find(LocalHost.make("local"), { ...wishes, addresses: [`127.0.0.1:${port}`] })
        )
        yield* Deferred.await(greeted)
        yield* TestClock.adjust("5 seconds")
        const { clusters } = yield* Fiber.join(looking)
        assert.match(clusters[0]!.missing.join(), /no answer within 4 s/)
      })
    )
  )
})

describe("an etcd that is not trusted", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-found-"))
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  it.live("is written down without a login that it did not ask for, and with what its certificate lacks", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [own, other] = ["127.0.0.1", "another"].map((name) =>
          Certificates.make({ name, alternatives: [name], authority: true })
        )
        const ca = path.join(folder, "ca.pem")
        fs.writeFileSync(ca, other!.certificate)
        const server = http2.createSecureServer({ cert: own!.certificate, key: own!.key })
        server.on("sessionError", () => {})
        yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
        const port = yield* Effect.callback<number>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as net.AddressInfo).port)))
        })
        const addresses = [`127.0.0.1:${port}`]
        const { clusters } = yield* find(LocalHost.make("local"), { ...wishes, addresses, tls: { ca } })
        const [{ missing, settings, system }] = clusters as [FoundCluster]
        assert.deepStrictEqual([system, settings], ["etcd", [{ key: "tls", value: { ca } }]])
        assert.match(missing.join(), /a certificate that is not from the authorities in tls\.ca \([^;]*\)$/)
      })
    )
  )
})

describe("a password", () => {
  const told = (user: string, account: string, system = "postgres"): boolean => {
    const [server] = read([
      ["server", "7", system],
      ["process", "7", "99", "1", user, "1", "-"],
      ["account", "7", Buffer.from(account).toString("hex")]
    ])
    return mayBeTold({ address: "127.0.0.1:5432", isNamed: false, server }, wishes)
  }

  it("is told to root's servers, to our own, and to those of the system's own account, and to no other", () => {
    assert.isTrue(told("0", "root"))
    assert.isTrue(told("1000", "ada"))
    assert.isTrue(told("117", "postgres"))
    assert.isTrue(told("118", "etcd", "etcd"))
    for (const [user, account] of [
      ["33", "www-data"],
      ["118", "etcd"],
      ["1001", "bob"],
      ["5", "-"]
    ] as const)
      assert.isFalse(told(user, account), account)
    assert.isFalse(mayBeTold({ address: "127.0.0.1:5432", isNamed: false, server: undefined }, wishes))
    assert.isTrue(mayBeTold({ address: "127.0.0.1:5432", isNamed: true, server: undefined }, wishes))
  })
})
