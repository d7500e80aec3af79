/**
 * Bearer tokens: JWTs signed with RS256 or ES256 by a key that we know, for our audience, by the issuer that we name,
 * within their time. A claim says the role. Keys come as a JWKS or as PEM, and nothing is fetched from anywhere.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Jose from "jose"
import { createPublicKey, type JsonWebKey, type KeyObject, X509Certificate } from "node:crypto"
import type { Role } from "./Access.ts"

// --- models ---

/** A public key that tokens may be signed with. `id` is its `kid`, or null if it has none. */
export interface Key {
  readonly id: string | null
  readonly algorithm: "RS256" | "ES256"
  readonly key: KeyObject
}

/** Which tokens the server takes. */
export interface Rules {
  readonly keys: ReadonlyArray<Key>
  readonly issuer: string
  /** The token's audience must be one of these. */
  readonly audiences: ReadonlyArray<string>
}

// --- make ---

/** The claims that may say the role. The first is the one of Azure Active Directory that Service Fabric reads. */
export const roleClaims = ["http://schemas.microsoft.com/ws/2008/06/identity/claims/role", "roles"] as const

/** How far apart, in seconds, the clocks of issuer and worker may be. With minutes, a withdrawn token would live on. */
export const leeway = 30

/** How many keys there may be. Each key that fits a token is tried, and anybody can send tokens. */
export const keysMax = 16

/** The role of a token at `now` (milliseconds UTC), or the sentence that says why it has none. */
export const verify = (rules: Rules, token: string, now: number): Effect.Effect<Role, string> =>
  Effect.gen(function* () {
    const header = yield* Effect.fromResult(
      Result.try({
        try: () => Jose.decodeProtectedHeader(token),
        catch: () => "The bearer token is not a JWT."
      })
    )
    const fits = rules.keys.filter(
      ({ algorithm, id }) => algorithm === header.alg && (id === null || header.kid === undefined || id === header.kid)
    )
    for (const { algorithm, key } of fits) {
      const verified = yield* Effect.result(
        Effect.tryPromise({
          try: () =>
            Jose.jwtVerify(token, key, {
              algorithms: [algorithm],
              issuer: rules.issuer,
              audience: [...rules.audiences],
              clockTolerance: leeway,
              currentDate: new Date(now),
              requiredClaims: ["exp"]
            }),
          // The wrong key is no reason to refuse yet: the next key may be the right one.
          catch: (error) =>
            error instanceof Jose.errors.JWSSignatureVerificationFailed ? unknownKey : sentenceOf(error)
        })
      )
      if (Result.isSuccess(verified)) return yield* Effect.fromResult(roleOf(verified.success.payload))
      if (verified.failure !== unknownKey) return yield* Effect.fail(verified.failure)
    }
    return yield* Effect.fail(unknownKey)
  })

/** The keys in a file's text, JWKS or PEM, or the sentence that says what is wrong with it. */
export const readKeys = (text: string): Result.Result<ReadonlyArray<Key>, string> => {
  const read = text.trimStart().startsWith("{") ? readJwks(text) : readPem(text)
  return Result.flatMap(read, (keys) =>
    keys.length === 0
      ? Result.fail("it holds no key; expected a JWKS or public keys or certificates in PEM")
      : keys.length > keysMax
        ? Result.fail(`it holds ${keys.length} keys, and at most ${keysMax} are taken`)
        : Result.succeed(keys)
  )
}

// --- internal ---

const rsaBitsMin = 2048

const unknownKey = "The bearer token is not signed with a key that this worker knows."

const roleOf = (payload: Jose.JWTPayload): Result.Result<Role, string> => {
  const said = new Set(roleClaims.flatMap((claim) => payload[claim]))
  return said.has("Admin")
    ? Result.succeed("Admin")
    : said.has("User")
      ? Result.succeed("User")
      : Result.fail(
          `The bearer token gives no role: Admin or User is expected in the claim ${roleClaims.join(" or ")}.`
        )
}

const sentenceOf = (error: unknown): string => {
  if (error instanceof Jose.errors.JWTExpired) return "The bearer token has expired; fetch a new one."
  if (!(error instanceof Jose.errors.JWTClaimValidationFailed)) return "The bearer token cannot be read."
  switch (error.claim) {
    case "aud":
      return "The bearer token is for another audience than this worker's."
    case "iss":
      return "The bearer token is from another issuer than the one this worker trusts."
    case "nbf":
      return "The bearer token is not valid yet."
    default:
      return `The bearer token's claim ${error.claim} is missing or wrong.`
  }
}

const attempt = <A>(run: () => A, problem: string): Result.Result<A, string> =>
  Result.try({ try: run, catch: (error) => `${problem}: ${error instanceof Error ? error.message : String(error)}` })

const readJwks = (text: string): Result.Result<ReadonlyArray<Key>, string> =>
  Result.gen(function* () {
    const parsed = yield* attempt(() => JSON.parse(text) as { readonly keys?: unknown }, "it is not JSON")
    if (!Array.isArray(parsed.keys)) return yield* Result.fail('it has no list "keys", as a JWKS has')
    const keys: Array<Key> = []
    for (const [index, jwk] of (parsed.keys as ReadonlyArray<JsonWebKey>).entries()) {
      if (typeof jwk !== "object" || jwk === null) return yield* Result.fail(`keys[${index}] is not a key`)
      if (jwk["d"] !== undefined || jwk["k"] !== undefined) {
        return yield* Result.fail(
          `keys[${index}] holds a secret key; give the public one, and take this one out of use`
        )
      }
      // An issuer's set may hold keys for other purposes. No token is signed with those.
      if (jwk["use"] !== undefined && jwk["use"] !== "sig") continue
      const key = yield* attempt(() => createPublicKey({ key: jwk, format: "jwk" }), `keys[${index}]`)
      keys.push(yield* keyOf(key, typeof jwk["kid"] === "string" ? jwk["kid"] : null, `keys[${index}]`))
    }
    return keys
  })

const readPem = (text: string): Result.Result<ReadonlyArray<Key>, string> =>
  Result.gen(function* () {
    if (text.includes("PRIVATE KEY-----")) return yield* Result.fail("it holds a private key; give the public one")
    const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]*?-----END \1-----/g) ?? []
    const keys: Array<Key> = []
    for (const [index, block] of blocks.entries()) {
      const which = `block ${index + 1}`
      const key = yield* attempt(
        () => (block.includes("BEGIN CERTIFICATE") ? new X509Certificate(block).publicKey : createPublicKey(block)),
        which
      )
      keys.push(yield* keyOf(key, null, which))
    }
    return keys
  })

const keyOf = (key: KeyObject, id: string | null, which: string): Result.Result<Key, string> => {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === "rsa") {
    return modulusLength >= rsaBitsMin
      ? Result.succeed({ id, algorithm: "RS256", key })
      : Result.fail(`${which} has ${modulusLength} bits, and RS256 needs ${rsaBitsMin}`)
  }
  return key.asymmetricKeyType === "ec" && namedCurve === "prime256v1"
    ? Result.succeed({ id, algorithm: "ES256", key })
    : Result.fail(`${which} is neither an RSA key (RS256) nor one on P-256 (ES256)`)
}
