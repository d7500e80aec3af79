/**
 * What the part `security` of a configuration names, read and checked, as the server needs it, and what an operator should
 * know about it.
 */
import { isAuthenticated, type SecuritySettings } from "@inquorate/configuration/SecuritySettings"
import type { CertificateList } from "@inquorate/transport/Authentication"
import * as Credentials from "@inquorate/transport/Credentials"
import type * as NodeServer from "@inquorate/transport/NodeServer"
import * as Token from "@inquorate/transport/Token"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { X509Certificate } from "node:crypto"
import { statSync } from "node:fs"

/** What the server needs, with every file read and checked, and what an operator should know about them. */
export const load = (
  settings: SecuritySettings
): Effect.Effect<
  { readonly options: Partial<NodeServer.Options>; readonly warnings: ReadonlyArray<string> },
  Credentials.CredentialError
> =>
  Effect.gen(function* () {
    const { certificates, clusterId, tls, tokens } = settings
    const pair = tls === undefined ? undefined : yield* Credentials.readPair(tls)
    const authorities =
      certificates?.ca === undefined ? null : (yield* Credentials.readCertificates(certificates.ca)).pem
    const keys = tokens === undefined ? [] : yield* readKeys(tokens.keys)
    const now = yield* Clock.currentTimeMillis
    const options: Partial<NodeServer.Options> = {
      names: [...(settings.names ?? []), ...(pair === undefined ? [] : namesOf(pair.leaf))],
      origins: settings.origins ?? [],
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(pair === undefined
        ? {}
        : { tls: { certificate: pair.certificate, key: pair.key, clientAuthorities: authorities } }),
      ...(isAuthenticated(settings)
        ? {
            authentication: {
              certificates:
                certificates === undefined
                  ? null
                  : { admins: listOf(certificates.admins), users: listOf(certificates.users) },
              tokens: tokens === undefined ? null : { keys, issuer: tokens.issuer, audiences: [tokens.audience].flat() }
            }
          }
        : {}),
      ...(tokens?.aad === undefined ? {} : { aad: aadOf(tokens.aad) })
    }
    const warnings =
      tls === undefined || pair === undefined
        ? []
        : [...validityWarnings(tls.certificate, pair.leaf, now), ...modeWarnings(tls.key)]
    return { options, warnings }
  })

// --- internal ---

type CertificateSettings = NonNullable<SecuritySettings["certificates"]>["admins"]

const loginUsual = "https://login.microsoftonline.com"

const day = 86_400_000

/** How many days before its end a certificate is spoken of. */
const renewWithin = 14

const listOf = (settings: CertificateSettings): CertificateList => ({
  thumbprints: settings?.thumbprints ?? [],
  names: (settings?.subjects ?? []).map(({ issuers, name }) => ({ subject: name, issuers: issuers ?? [] }))
})

const readKeys = Effect.fnUntraced(function* (file: string) {
  const read = Token.readKeys(yield* Credentials.readText(file))
  return yield* Effect.fromResult(
    Result.mapError(
      read,
      (why) =>
        new Credentials.CredentialError({
          reason: "NotAKey",
          detail: `${file} cannot be used as the keys of tokens: ${why}.`
        })
    )
  )
})

// A name with a wildcard belongs to no single host. OpenSSL writes IPv6 addresses at full length, and callers do not.
const namesOf = (leaf: X509Certificate): ReadonlyArray<string> =>
  (leaf.subjectAltName ?? "").split(", ").flatMap((entry) => {
    const [, kind, name = ""] = /^(DNS|IP Address):(.+)$/.exec(entry) ?? []
    return kind === undefined || name.includes("*")
      ? []
      : [name.includes(":") ? new URL(`http://[${name}]`).hostname : name]
  })

type Aad = NonNullable<NonNullable<SecuritySettings["tokens"]>["aad"]>

const aadOf = ({ client, cluster, login = loginUsual, redirect = "", tenant }: Aad) => ({
  authority: `${login}/${tenant}`,
  client,
  cluster,
  login,
  redirect,
  tenant
})

const validityWarnings = (file: string, leaf: X509Certificate, now: number): ReadonlyArray<string> => {
  const from = Date.parse(leaf.validFrom)
  const to = Date.parse(leaf.validTo)
  const until = new Date(to).toISOString()
  return now < from
    ? [`the certificate in ${file} is not valid before ${new Date(from).toISOString()}: no client will trust it yet`]
    : now > to
      ? [`the certificate in ${file} expired at ${until}: no client will trust it; renew it and start again`]
      : to - now < renewWithin * day
        ? [`the certificate in ${file} expires at ${until}; renew it and start again`]
        : []
}

const modeWarnings = (file: string): ReadonlyArray<string> =>
  (statSync(file).mode & 0o077) === 0 ? [] : [`the key in ${file} can be read by other users; chmod 600 it`]
