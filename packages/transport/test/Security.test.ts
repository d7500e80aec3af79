/**
 * Who is let in and as what, and with which words others are sent away. Over real TLS, with certificates and tokens
 * that are made for each run, each of them wrong in one way.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Guid from "@inquorate/core/Guid"
import * as Certificates from "@inquorate/testkit/Certificates"
import * as Effect from "effect/Effect"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Jose from "jose"
import { createPublicKey, generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Tls from "node:tls"
import * as Access from "../src/server/Access.ts"
import { Api } from "../src/v1/Api.ts"
import * as Authentication from "../src/server/Authentication.ts"
import * as Client from "../src/v1/Client.ts"
import { readPair, readSecret } from "../src/client/Credentials.ts"
import * as FabricClient from "../src/fabric/FabricClient.ts"
import * as NodeClient from "../src/client/NodeClient.ts"
import * as NodeServer from "../src/server/NodeServer.ts"
import * as Token from "../src/server/Token.ts"
import { etcd, layer } from "./FakeOperations.ts"
import { request } from "./http.ts"

// --- who there is ---

const past = Date.now() - 5 * 86_400_000
const authority = Certificates.make({ name: "clients", authority: true })
const otherAuthority = Certificates.make({ name: "clients", authority: true })
const serverAuthority = Certificates.make({ name: "servers", authority: true })
const ours = { issuer: serverAuthority, alternatives: ["127.0.0.1", "localhost"] }
const server = Certificates.make({ name: "worker", ...ours })
const admin = Certificates.make({ name: "admin", issuer: authority })
const pinnedAdmin = Certificates.make({ name: "pinned" })
const user = Certificates.make({ name: "user", issuer: authority })
const stranger = Certificates.make({ name: "stranger", issuer: authority })
const impostor = Certificates.make({ name: "admin", issuer: otherAuthority })
const selfMade = Certificates.make({ name: "admin" })
const expired = Certificates.make({ name: "admin", issuer: authority, validFrom: past, validTo: past + 60_000 })
const early = Certificates.make({ name: "admin", issuer: authority, validFrom: Date.now() + 3_600_000 })

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" })
const issuer = "https://login.example/tenant"
const audience = "inquorate"
const [azureClaim, plainClaim] = Token.roleClaims
const jwks = JSON.stringify({
  keys: [{ ...ec.publicKey.export({ format: "jwk" }), kid: "one" }, { ...rsa.publicKey.export({ format: "jwk" }) }]
})
const keys = Result.getOrThrow(Token.readKeys(jwks))

const token = (
  claims: Readonly<Record<string, unknown>>,
  options: { readonly key?: Jose.CryptoKey | typeof rsa.privateKey; readonly header?: Jose.JWTHeaderParameters } = {}
): Promise<string> =>
  new Jose.SignJWT({ iss: issuer, aud: audience, exp: Math.floor(Date.now() / 1000) + 600, ...claims })
    .setProtectedHeader(options.header ?? { alg: "ES256", kid: "one" })
    .sign(options.key ?? ec.privateKey)

const certificates: Authentication.CertificateRules = {
  admins: { thumbprints: [pinnedAdmin.thumbprint], names: [{ subject: "admin", issuers: [authority.thumbprint] }] },
  users: { thumbprints: [], names: [{ subject: "user", issuers: [] }] }
}

const tokens: Token.Rules = { keys, issuer, audiences: [audience] }

const secured = <A, E>(
  test: (port: number) => Effect.Effect<A, E, Scope.Scope>,
  options: Partial<NodeServer.Options> = {}
): Effect.Effect<A, E | NodeServer.ServeError> =>
  Effect.gen(function* () {
    const { port, url } = yield* NodeServer.serve({
      host: "127.0.0.1",
      port: 0,
      tls: {
        certificate: server.certificate,
        key: Redacted.make(server.key),
        clientAuthorities: authority.certificate
      },
      authentication: { certificates, tokens },
      ...options
    })
    assert.match(url, /^https:/)
    return yield* test(port)
  }).pipe(Effect.scoped, Effect.provide(layer))

const tlsAs = (made?: Certificates.Made) => ({
  ca: serverAuthority.certificate,
  ...(made === undefined ? {} : { cert: made.certificate, key: made.key })
})

const read = "/Faults/?api-version=6.0"
const start = (id: string) =>
  `/Faults/Services/lab~kv/$/GetPartitions/${etcd.partitionId}/$/StartQuorumLoss?api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=5`

const errorOf = (raw: { readonly body: string }) =>
  (JSON.parse(raw.body) as { readonly Error: { readonly Code: string; readonly Message: string } }).Error

// --- stories ---

describe("client certificates", () => {
  it.live("an Admin may start, a User may only read, by name or by thumbprint", () =>
    secured((port) =>
      Effect.gen(function* () {
        const ask = (made: Certificates.Made, method: string, target: string, body?: string) =>
          request(port, method, target, {
            tls: tlsAs(made),
            ...(body === undefined ? {} : { body, headers: ["Content-Type: application/json"] })
          })
        for (const made of [admin, pinnedAdmin, user]) {
          assert.strictEqual((yield* ask(made, "GET", read)).status, 200, made.name)
          assert.strictEqual((yield* ask(made, "GET", "/v1/operations")).status, 200, made.name)
          assert.strictEqual((yield* ask(made, "GET", "/metrics")).status, 200, made.name)
          assert.strictEqual((yield* ask(made, "GET", "/")).status, 200, made.name)
        }
        const body = JSON.stringify({
          serviceName: "fabric:/lab/kv",
          partitionId: etcd.partitionId,
          mode: "QuorumReplicas",
          hold: 1000
        })
        const id = "11111111-1111-4111-8111-111111111111"
        for (const [method, target, sent] of [
          ["POST", start(id), undefined],
          ["POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${id}`, undefined],
          ["PUT", `/v1/operations/${id}`, body],
          ["POST", `/v1/operations/${id}/cancel`, undefined]
        ] as const) {
          const raw = yield* ask(user, method, target, sent)
          assert.deepStrictEqual([raw.status, raw.reason, errorOf(raw).Code], [403, "Access Denied", "E_ACCESSDENIED"])
          assert.include(errorOf(raw).Message, "role User")
        }
        assert.strictEqual((yield* ask(user, "POST", "/v1/plan", body)).status, 200)
        assert.strictEqual((yield* ask(user, "GET", read)).body, "[]", "nothing was started")
        assert.strictEqual((yield* ask(admin, "POST", start(id))).status, 202)
        assert.strictEqual((yield* ask(pinnedAdmin, "POST", `/v1/operations/${id}/cancel`)).status, 200)
      })
    )
  )

  it.live("everybody else is sent away with 403, the gateway's reason and words that help", () =>
    secured((port) =>
      Effect.gen(function* () {
        for (const [made, words] of [
          [undefined, "No client certificate was sent."],
          [stranger, "not on this worker's lists"],
          [impostor, "does not lead to an authority that this worker trusts"],
          [selfMade, "does not lead to an authority that this worker trusts (DEPTH_ZERO_SELF_SIGNED_CERT)"],
          [expired, "expired at"],
          [early, "is not valid before"]
        ] as const) {
          for (const target of [read, "/v1/operations", "/metrics", "/"]) {
            const raw = yield* request(port, "GET", target, { tls: tlsAs(made) })
            assert.deepStrictEqual(
              [raw.status, raw.reason, errorOf(raw).Code],
              [403, "Client certificate required", "E_ACCESSDENIED"]
            )
            assert.include(errorOf(raw).Message, words)
          }
        }
      })
    )
  )

  it.live("a session is never resumed, since it would bring no chain to look at", () =>
    secured((port) =>
      Effect.gen(function* () {
        const session = yield* Effect.callback<Buffer | undefined>((resume) => {
          const socket = Tls.connect({ host: "127.0.0.1", port, ...tlsAs(admin) })
          socket.on("session", (session: Buffer) => resume(Effect.succeed(session)))
          socket.on("close", () => resume(Effect.undefined))
          socket.on("error", () => undefined)
          socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
          socket.resume()
        })
        const again = yield* request(port, "GET", read, {
          tls: { ...tlsAs(), ...(session === undefined ? {} : { session }) }
        })
        assert.strictEqual(again.status, 403)
      })
    )
  )

  it.live("what is wrong in itself is 400 before anybody asks who sent it, and some things are everybody's", () =>
    secured(
      (port) =>
        Effect.gen(function* () {
          const ask = (target: string, headers: ReadonlyArray<string> = []) =>
            request(port, "GET", target, { tls: tlsAs(), headers })
          for (const target of ["/nothing?api-version=6.0", "/Faults/", "/Faults/?api-version=none"]) {
            const raw = yield* ask(target)
            assert.deepStrictEqual([raw.status, errorOf(raw).Code], [400, "E_INVALIDARG"], target)
          }
          assert.strictEqual((yield* ask("/healthz")).status, 200)
          assert.strictEqual((yield* ask("/readyz?x")).status, 200)
          const aad = yield* ask("/$/GetAadMetadata?api-version=6.0")
          assert.deepStrictEqual([aad.status, JSON.parse(aad.body)], [200, { type: "none" }])
          const elsewhere = yield* ask(read, ["ClusterId: another"])
          assert.deepStrictEqual([elsewhere.status, elsewhere.reason], [403, "Access Denied"])
          for (const target of ["/healthz/", "/v1", "/v1/../healthz", "https://127.0.0.1:1/metrics"]) {
            assert.strictEqual((yield* ask(target)).status, 403, target)
          }
        }),
      { clusterId: "this" }
    )
  )

  it.live("with Azure Active Directory the first page is everybody's and tells where tokens come from", () => {
    const aad = {
      authority: "https://login.example",
      client: "c",
      cluster: "k",
      login: "l",
      redirect: "r",
      tenant: "t"
    }
    return secured(
      (port) =>
        Effect.gen(function* () {
          const ask = (target: string) => request(port, "GET", target, { tls: tlsAs() })
          assert.strictEqual((yield* ask("/")).status, 200)
          assert.deepStrictEqual(JSON.parse((yield* ask("/$/GetAadMetadata?api-version=6.0")).body), {
            type: "aad",
            metadata: aad
          })
          assert.strictEqual((yield* ask(read)).status, 403)
        }),
      { aad }
    )
  })
})

describe("bearer tokens", () => {
  it.live("stand before the certificate; the first that is good decides", () =>
    secured((port) =>
      Effect.gen(function* () {
        const adminToken = yield* Effect.promise(() => token({ [azureClaim]: "Admin" }))
        const userToken = yield* Effect.promise(() => token({ [plainClaim]: ["User", "Other"] }))
        const bad = yield* Effect.promise(() => token({ roles: ["Admin"], aud: "another" }))
        const ask = (method: string, target: string, bearer: string, made?: Certificates.Made) =>
          request(port, method, target, { tls: tlsAs(made), headers: [`Authorization: Bearer ${bearer}`] })
        const id = "22222222-2222-4222-8222-222222222222"
        assert.strictEqual((yield* ask("GET", read, userToken)).status, 200)
        assert.strictEqual((yield* ask("POST", start(id), userToken)).status, 403)
        // The token is good, so the better certificate is not looked at.
        assert.strictEqual((yield* ask("POST", start(id), userToken, admin)).status, 403)
        assert.strictEqual((yield* ask("POST", start(id), bad, admin)).status, 202)
        const again = "33333333-3333-4333-8333-333333333333"
        assert.notStrictEqual((yield* ask("POST", start(again), adminToken, user)).status, 403)
        const refused = yield* ask("GET", read, bad)
        assert.strictEqual(refused.status, 403)
        assert.strictEqual(
          errorOf(refused).Message,
          "The bearer token is for another audience than this worker's. No client certificate was sent."
        )
        assert.strictEqual(
          (yield* request(port, "GET", read, { tls: tlsAs(), headers: ["Authorization: Basic eDp5"] })).status,
          403
        )
      })
    )
  )

  it.effect("say their role in either claim, and nothing but a role makes one", () =>
    Effect.gen(function* () {
      for (const [claims, expected] of [
        [{ roles: "Admin" }, "Admin"],
        [{ roles: ["User"] }, "User"],
        [{ [azureClaim]: "User", roles: ["Admin"] }, "Admin"],
        [{ [azureClaim]: ["User"] }, "User"],
        [{ roles: ["admin"] }, "gives no role"],
        [{ roles: { 0: "Admin" } }, "gives no role"],
        [{ role: "Admin" }, "gives no role"],
        [{}, "gives no role"]
      ] as const) {
        const made = yield* Effect.promise(() => token(claims))
        const found = yield* Effect.match(Token.verify(tokens, made, Date.now()), {
          onSuccess: (role): string => role,
          onFailure: (why) => why
        })
        assert.include(found, expected, JSON.stringify(claims))
      }
    })
  )

  it.effect("are refused in words when anything of them is wrong", () =>
    Effect.gen(function* () {
      const now = Math.floor(Date.now() / 1000)
      const roles = ["Admin"]
      const stolen = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey
      const publicPem = rsa.publicKey.export({ type: "spki", format: "pem" }).toString()
      const secret = new TextEncoder().encode(publicPem)
      const unsigned = new Jose.UnsecuredJWT({ roles, iss: issuer, aud: audience, exp: now + 60 }).encode()
      const made = (
        claims: Readonly<Record<string, unknown>>,
        options?: { key?: never; header?: Jose.JWTHeaderParameters }
      ) => Effect.promise(() => token({ roles, ...claims }, options))
      const cases: ReadonlyArray<readonly [what: string, token: string, words: string]> = [
        ["over", yield* made({ exp: now - Token.leeway - 5 }), "has expired"],
        ["early", yield* made({ nbf: now + Token.leeway + 60 }), "not valid yet"],
        ["for ever", yield* made({ exp: undefined }), "claim exp"],
        ["another audience", yield* made({ aud: ["a", "b"] }), "another audience"],
        ["no audience", yield* made({ aud: undefined }), "another audience"],
        ["another issuer", yield* made({ iss: "https://evil.example" }), "another issuer"],
        ["another key", yield* made({}, { key: stolen as never }), "not signed with a key"],
        ["another kid", yield* made({}, { header: { alg: "ES256", kid: "two" } }), "not signed with a key"],
        ["the public key as secret", yield* made({}, { key: secret as never, header: { alg: "HS256" } }), "not signed"],
        ["no signature", unsigned, "not signed with a key"],
        [
          "another algorithm",
          yield* made({}, { key: rsa.privateKey as never, header: { alg: "PS256" } }),
          "not signed"
        ],
        ["no token", "abc", "not a JWT"],
        ["half a token", (yield* made({})).slice(0, -20), "not signed with a key"]
      ]
      for (const [what, text, words] of cases) {
        assert.include(yield* Effect.flip(Token.verify(tokens, text, Date.now())), words, what)
      }
      const inTime = [
        yield* made({ exp: now - 5 }),
        yield* made({ nbf: now + 5 }),
        yield* made({ aud: ["a", audience] })
      ]
      const byRsa = yield* made({}, { key: rsa.privateKey as never, header: { alg: "RS256" } })
      for (const text of [...inTime, byRsa]) {
        assert.strictEqual(yield* Token.verify(tokens, text, Date.now()), "Admin")
      }
    })
  )

  it("keys come as JWKS or PEM, and none that is secret, weak or of another kind is taken", () => {
    const pem = (key: typeof rsa.publicKey) => key.export({ type: "spki", format: "pem" }).toString()
    const kinds = (text: string) =>
      Result.match(Token.readKeys(text), {
        onSuccess: (keys) => keys.map((key) => key.algorithm),
        onFailure: (why) => why
      })
    assert.deepStrictEqual(kinds(jwks), ["ES256", "RS256"])
    assert.deepStrictEqual(kinds(`${pem(rsa.publicKey)}\n${pem(ec.publicKey)}`), ["RS256", "ES256"])
    assert.deepStrictEqual(kinds(server.certificate), ["ES256"])
    assert.include(kinds(server.key), "private key")
    assert.include(kinds(JSON.stringify({ keys: [ec.privateKey.export({ format: "jwk" })] })), "secret key")
    assert.include(kinds(JSON.stringify({ keys: [{ kty: "oct", k: "AAAA" }] })), "secret key")
    assert.include(kinds(pem(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey)), "1024 bits")
    assert.include(kinds(pem(generateKeyPairSync("ed25519").publicKey)), "neither")
    assert.include(kinds(pem(generateKeyPairSync("ec", { namedCurve: "secp384r1" }).publicKey)), "neither")
    for (const text of ["", "{", "{}", '{"keys":[]}', '{"keys":[null]}', '{"keys":[{"kty":"EC"}]}', "nothing"]) {
      assert.isString(kinds(text), text)
    }
    const many = JSON.stringify({ keys: Array.from({ length: 17 }, () => ec.publicKey.export({ format: "jwk" })) })
    assert.include(kinds(many), "at most 16")
    assert.strictEqual(createPublicKey(server.certificate).asymmetricKeyType, "ec")
  })
})

describe("the roles", () => {
  it("everything that does something asks for Admin, on our own surface as well", () => {
    const { paths } = OpenApi.fromApi(Api)
    const asked = Object.entries(paths)
      .flatMap(([target, methods]) =>
        Object.keys(methods).map((method) => `${method} ${target} ${Access.ofApi(method.toUpperCase(), target)}`)
      )
      .sort()
    assert.deepStrictEqual(asked, [
      "get /healthz Anonymous",
      "get /v1/chaos Admin",
      "get /v1/chaos/events Admin",
      "get /v1/chaos/schedule Admin",
      "get /v1/clusters User",
      "get /v1/health User",
      "get /v1/nodes User",
      "get /v1/nodes/{name} User",
      "get /v1/operations User",
      "get /v1/operations/{id} User",
      "get /v1/operations/{id}/events User",
      "get /v1/unreadable User",
      "post /v1/chaos/start Admin",
      "post /v1/chaos/stop Admin",
      "post /v1/operations/{id}/cancel Admin",
      "post /v1/plan User",
      "post /v1/recover Admin",
      "put /v1/chaos/schedule Admin",
      "put /v1/operations/{id} Admin"
    ])
    for (const target of ["/v1/plan/", "/v1/%70lan", "/v1/operations", "/metrics", "/healthz", "/v1/new"]) {
      assert.strictEqual(Access.ofApi("POST", target), "Admin", target)
    }
    assert.strictEqual(Access.ofApi("GET", "http://127.0.0.1/readyz?a#b"), "Anonymous")
    assert.strictEqual(Access.ofApi("GET", "/healthz%2f"), "User")
    for (const path of [
      "/v1/%63haos",
      "/v1/x/../chaos",
      "/v1/x/%2e%2e/chaos/events",
      "/v1//chaos?a",
      "/v1/CHAOS",
      "/v1/%"
    ]) {
      assert.strictEqual(Access.ofApi("GET", path), "Admin", path)
    }
    for (const path of ["/v1/nodes/chaos", "/v1/chaotic"]) assert.strictEqual(Access.ofApi("GET", path), "User", path)
  })
})

describe("the clients", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "inquorate-security-"))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (name: string, text: string): string => {
    const at = path.join(folder, name)
    writeFileSync(at, text)
    return at
  }
  const ca = file("ca.pem", serverAuthority.certificate)
  const pair = { certificate: file("admin.pem", admin.certificate), key: file("admin.key", admin.key) }

  it.live("go in with a certificate or a token, on both surfaces", () =>
    secured((port) =>
      Effect.gen(function* () {
        const endpoint = `https://localhost:${port}`
        const jwt = yield* Effect.promise(() => token({ roles: ["User"] }))
        const id = Guid.parse("44444444-4444-4444-8444-444444444444")!
        yield* Effect.gen(function* () {
          const v1 = yield* Client.make({ endpoint })
          const fabric = yield* FabricClient.make({ endpoint })
          assert.strictEqual((yield* v1.clusters).length, 2)
          yield* fabric.startQuorumLoss({
            serviceId: "lab~kv",
            partitionId: etcd.partitionId,
            operationId: id,
            mode: "QuorumReplicas",
            durationSeconds: 1
          })
          assert.strictEqual((yield* v1.list()).length, 1)
        }).pipe(Effect.provide(NodeClient.layer({ ca, pair })))
        yield* Effect.gen(function* () {
          const v1 = yield* Client.make({ endpoint })
          assert.strictEqual((yield* v1.list()).length, 1)
          const denied = yield* Effect.flip(v1.cancel(id, false))
          assert.deepInclude(denied, { _tag: "ApiError", status: 403, code: "E_ACCESSDENIED" })
        }).pipe(Effect.provide(NodeClient.layer({ ca, token: { file: file("token", `${jwt}\n`) } })))
        yield* Effect.gen(function* () {
          const nobody = yield* Client.make({ endpoint })
          const denied = yield* Effect.flip(nobody.clusters)
          assert.deepInclude(denied, { _tag: "ApiError", status: 403, code: "E_ACCESSDENIED" })
          const somebody = yield* FabricClient.make({ endpoint, token: Redacted.make(jwt) })
          assert.strictEqual((yield* somebody.getFaultOperationList()).length, 1)
        }).pipe(Effect.provide(NodeClient.layer({ ca })))
      })
    )
  )

  it.live("say why they do not trust whom they found", () =>
    Effect.gen(function* () {
      const away = Certificates.make({ name: "worker", issuer: serverAuthority, alternatives: ["worker.example"] })
      const old = Certificates.make({ name: "worker", ...ours, validFrom: past, validTo: past + 60_000 })
      const tls = (made: Certificates.Made) => ({
        tls: { certificate: made.certificate, key: Redacted.make(made.key), clientAuthorities: null }
      })
      const why = (options: Partial<NodeServer.Options>, caFile: string, scheme = "https") =>
        secured(
          (port) =>
            Effect.gen(function* () {
              const endpoint = `${scheme}://127.0.0.1:${port}`
              const v1 = yield* Effect.flip((yield* Client.make({ endpoint })).clusters)
              const fabric = yield* Effect.flip((yield* FabricClient.make({ endpoint })).getClusterVersion)
              assert.strictEqual((fabric as { reason?: string }).reason, (v1 as { reason?: string }).reason)
              return v1.message
            }).pipe(Effect.provide(NodeClient.layer({ ca: caFile }))),
          options
        ).pipe(Effect.orDie)
      const wrong = file("wrong-ca.pem", authority.certificate)
      assert.match(yield* why({}, wrong), /^Untrusted: its certificate is from an authority that is not trusted here/)
      assert.match(yield* why(tls(old), ca), /^Untrusted: its certificate has expired/)
      assert.match(yield* why(tls(away), ca), /^Untrusted: its certificate is for another name/)
      assert.match(yield* why({}, ca, "http"), /^Unreachable: socket hang up/)
    })
  )

  it.effect("say which file is wrong, and how, and never what is in it", () =>
    Effect.gen(function* () {
      const other = file("other.key", user.key)
      const locked = file(
        "locked.key",
        admin.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }).toString()
      )
      const cases = [
        [{ ...pair, certificate: path.join(folder, "none.pem") }, "Unreadable", "none.pem cannot be read: there is no"],
        [{ ...pair, certificate: folder }, "Unreadable", "it is a folder"],
        [{ ...pair, certificate: other }, "NotCertificates", "other.key holds no certificate"],
        [
          { ...pair, certificate: file("broken.pem", admin.certificate.replace(/\n[^\n]{20}/, "\n")) },
          "NotCertificates",
          "broken.pem is damaged"
        ],
        [{ ...pair, key: other }, "Mismatch", "other.key does not belong to the certificate in"],
        [{ ...pair, key: locked }, "Encrypted", "locked.key is encrypted"],
        [{ ...pair, key: ca }, "NotAKey", "ca.pem holds no private key"]
      ] as const
      for (const [files, reason, words] of cases) {
        const error = yield* Effect.flip(readPair(files))
        assert.strictEqual(error.reason, reason)
        assert.include(error.message, words)
        assert.notInclude(error.message, "MI")
      }
      const weak = Certificates.make({ name: "weak", rsaBits: 512 })
      const weakPair = { certificate: file("weak.pem", weak.certificate), key: file("weak.key", weak.key) }
      const unusable = yield* Effect.flip(readPair(weakPair))
      assert.strictEqual(unusable.reason, "Unusable")
      assert.match(unusable.message, /weak\.pem with its key: .*too small; make new ones/)
      const missing = yield* Effect.flip(readSecret({ env: "INQUORATE_TEST_NO_SUCH" }))
      assert.include(missing.message, "INQUORATE_TEST_NO_SUCH is not set")
      const spaced = yield* Effect.flip(
        Effect.provide(Effect.void, NodeClient.layer({ token: { file: file("spaced", "a secret\nb") } }))
      )
      assert.include(spaced.message, "holds more than a token")
      assert.notInclude(spaced.message, "secret")
    })
  )
})
