/**
 * Goal: only its address says whom the shared store trusts. Method: a server that speaks TLS as PostgreSQL does, with a
 * certificate that nobody vouches for, and a worker in whose environment Node is told to trust everybody.
 */
import * as Certificates from "@inquorate/testkit/Certificates"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as tls from "node:tls"
import * as StoreConnection from "../src/postgres/StoreConnection.ts"

const authority = Certificates.make({ name: "ours", authority: true })
const stranger = Certificates.make({ name: "stranger", alternatives: ["127.0.0.1"] })
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-store-trust-"))
let heard = ""

// A server answers the request for TLS with one letter, and then shakes hands.
const server = net.createServer((socket) => {
  socket.on("error", () => {})
  socket.once("data", () => {
    socket.write("S")
    const secured = new tls.TLSSocket(socket, { isServer: true, cert: stranger.certificate, key: stranger.key })
    secured.on("error", () => {})
    secured.on("data", (words: Buffer) => (heard += words.toString("latin1")))
  })
})

beforeAll(async () => {
  fs.writeFileSync(path.join(folder, "ca.pem"), authority.certificate)
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
})

afterAll(() => {
  delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
  server.close()
  fs.rmSync(folder, { recursive: true })
})

describe("a server that nobody vouches for", () => {
  it.live("is no store and is told nothing, whatever the environment says", () =>
    Effect.gen(function* () {
      const { port } = server.address() as net.AddressInfo
      const url = `postgres://inquorate:secret@127.0.0.1:${port}/store?sslmode=verify-full&sslrootcert=${folder}/ca.pem`
      const site = yield* StoreConnection.siteOf(url, "inquorate", 2000)
      const error = yield* Effect.flip(StoreConnection.open(site))
      assert.strictEqual(error.reason, "Unreachable")
      assert.match(error.code, /^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/)
      assert.strictEqual(heard, "")
    })
  )
})
