/**
 * Who a caller is. The server looks at a bearer token first and then at the client certificate, and the first good one
 * decides. A certificate must be on one of two lists, by thumbprint or by subject name with its issuers. Only the first
 * list makes its caller Admin. A token says its role in a claim. Whoever is refused gets a sentence that says what to
 * do.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Role } from "./Access.ts"
import * as Token from "./Token.ts"

// --- models ---

/**
 * A subject common name, compared exactly, and the SHA-1 thumbprints that its direct issuer may have. Without any,
 * every trusted issuer counts.
 */
export interface SubjectName {
  readonly subject: string
  readonly issuers: ReadonlyArray<string>
}

/** The certificates of one list. Thumbprints are 40 hex digits in upper case. */
export interface CertificateList {
  readonly thumbprints: ReadonlyArray<string>
  readonly names: ReadonlyArray<SubjectName>
}

/** Which certificates the server takes: those of both lists. Only the first list makes Admin. */
export interface CertificateRules {
  readonly admins: CertificateList
  readonly users: CertificateList
}

/** A client certificate. The caller has proven to hold its private key. Times are in milliseconds UTC. */
export interface PresentedCertificate {
  /** The common name. It is null if the certificate has none or several. */
  readonly subject: string | null
  readonly thumbprint: string
  /** The thumbprint of the direct issuer, if it is known. It means something only for a trusted certificate. */
  readonly issuerThumbprint: string | null
  readonly validFrom: number
  readonly validTo: number
  /** Empty if the chain leads to an authority that this server trusts, else OpenSSL's word for why it does not. */
  readonly problem: string
}

/** What a caller sent to prove who it is. */
export interface Credentials {
  /** The `Authorization` header. */
  readonly authorization: string | undefined
  readonly certificate: PresentedCertificate | null
}

/** What the server takes: certificates, tokens, or both. With neither, it lets nobody in. */
export interface Rules {
  readonly certificates: CertificateRules | null
  readonly tokens: Token.Rules | null
}

// --- errors ---

/** A caller that this server does not know. `detail` says why and what to do. */
export class Denied extends Schema.TaggedError<Denied>()("Denied", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

// --- make ---

/** Makes the check of callers from these rules. */
export const make =
  (rules: Rules) =>
  (credentials: Credentials): Effect.Effect<Role, Denied> =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const problems: Array<string> = []
      if (rules.tokens !== null) {
        const found = yield* Effect.result(tokenRole(rules.tokens, credentials.authorization, now))
        if (Result.isSuccess(found)) return found.success
        problems.push(found.failure)
      }
      if (rules.certificates !== null) {
        const found = certificateRole(rules.certificates, credentials.certificate, now)
        if (Result.isSuccess(found)) return found.success
        problems.push(found.failure)
      }
      return yield* new Denied({ detail: problems.join(" ") })
    })

/** The role of a certificate, or the sentence that says why it has none. */
export const certificateRole = (
  { admins, users }: CertificateRules,
  certificate: PresentedCertificate | null,
  now: number
): Result.Result<Role, string> => {
  if (certificate === null) return Result.fail("No client certificate was sent.")
  const name = `The client certificate ${certificate.subject ?? "(no common name)"} (${certificate.thumbprint})`
  if (now < certificate.validFrom) {
    return Result.fail(`${name} is not valid before ${new Date(certificate.validFrom).toISOString()}.`)
  }
  if (now > certificate.validTo) {
    return Result.fail(`${name} expired at ${new Date(certificate.validTo).toISOString()}; renew it.`)
  }
  const byThumbprint = ({ thumbprints }: CertificateList) => thumbprints.includes(certificate.thumbprint)
  const byName = ({ names }: CertificateList) =>
    names.some(
      ({ issuers, subject }) =>
        subject === certificate.subject &&
        (issuers.length === 0 ||
          (certificate.issuerThumbprint !== null && issuers.includes(certificate.issuerThumbprint)))
    )
  // A thumbprint names the certificate itself, so a certificate that signed itself needs no authority. A name always
  // needs one.
  const pinned = certificate.problem === "" || certificate.problem === selfSigned
  const passes = (list: CertificateList) =>
    (pinned && byThumbprint(list)) || (certificate.problem === "" && byName(list))
  if (passes(admins)) return Result.succeed("Admin")
  if (passes(users)) return Result.succeed("User")
  return Result.fail(
    certificate.problem === ""
      ? `${name} is not on this worker's lists; its operator can add it.`
      : `${name} does not lead to an authority that this worker trusts (${certificate.problem}).`
  )
}

// --- internal ---

const selfSigned = "DEPTH_ZERO_SELF_SIGNED_CERT"

const tokenRole = (rules: Token.Rules, authorization: string | undefined, now: number): Effect.Effect<Role, string> => {
  if (authorization === undefined) return Effect.fail("No bearer token was sent.")
  const token = /^bearer +([^\s]+)$/i.exec(authorization)?.[1]
  return token === undefined
    ? Effect.fail("The Authorization header is not a bearer token.")
    : Token.verify(rules, token, now)
}
