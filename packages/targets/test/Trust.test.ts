/**
 * Goal: only the configuration says whom a worker trusts. Method: servers with certificates that nobody vouches for,
 * asked by a worker in whose environment Node is told to trust everybody.
 */
import * as Certificates from "@inquorate/testkit/Certificates"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as https from "node:https"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as EtcdConnection from "../src/EtcdConnection.ts"
import { Maintenance } from "../src/EtcdMessages.ts"
import * as WebRead from "../src/WebRead.ts"

const authority = Certificates.make({ name: "ours", authority: true })
const stranger = Certificates.make({ name: "stranger", alternatives: ["127.0.0.1"] })
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-trust-"))
const ca = path.join(folder, "ca.pem")
let server: https.Server
let heard = 0
const address = (): string => `127.0.0.1:${(server.address() as AddressInfo).port}`

beforeAll(async () => {
  fs.writeFileSync(ca, authority.certificate)
  server = https.createServer({ cert: stranger.certificate, key: stranger.key, ALPNProtocols: ["h2"] }, (_, answer) => {
    heard++
    answer.end("{}")
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
})

afterAll(() => {
  delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
  server.closeAllConnections()
  server.close()
  fs.rmSync(folder, { recursive: true })
})

describe("a server that nobody vouches for", () => {
  it.live("is no member of etcd, whatever the environment says", () =>
    Effect.gen(function* () {
      const connection = yield* EtcdConnection.make(address(), { tls: { ca }, user: null })
      const error = yield* Effect.flip(connection.call(Maintenance.method.status, {}, null))
      assert.strictEqual(error.reason, "Distrusted")
      assert.include(error.detail, "not from the authorities in tls.ca")
    })
  )

  it.live("is no Patroni and no witness, and is asked nothing", () =>
    Effect.gen(function* () {
      const tls = { ca: Buffer.from(authority.certificate) }
      const ask = WebRead.get(`https://${address()}/patroni`, { timeout: 5000, most: 100, tls })
      assert.strictEqual((yield* Effect.flip(ask)).reason, "Unreachable")
      assert.strictEqual(heard, 0)
    })
  )
})
