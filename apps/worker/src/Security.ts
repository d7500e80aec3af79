/**
 * Who may reach a worker, and as what: the part `security` of its configuration. The mistakes that only show when its
 * keys are seen together are told here. The files that it names are read when the worker starts.
 */
import type { CertificateList } from "@inquorate/transport/Authentication"
import * as Credentials from "@inquorate/transport/Credentials"
import type * as NodeServer from "@inquorate/transport/NodeServer"
import * as Token from "@inquorate/transport/Token"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { X509Certificate } from "node:crypto"
import { statSync } from "node:fs"

// --- models ---

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).annotateKey({ description })

const thumbprintPattern = /^[0-9a-fA-F]{2}(?:[: ]?[0-9a-fA-F]{2}){19}$/

// `openssl x509 -fingerprint -sha1` and Windows print a thumbprint with colons, blanks or nothing between.
const Thumbprint = Schema.String.check(
  Schema.isPattern(thumbprintPattern, { expected: "a SHA-1 thumbprint of 40 hex digits" })
).pipe(
  Schema.decodeTo(
    Schema.String,
    SchemaTransformation.transform({
      decode: (text) => text.replaceAll(/[: ]/g, "").toUpperCase(),
      encode: (thumbprint) => thumbprint
    })
  )
)

const hostName = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}))(?::\d{1,5})?$/

const CertificateSettings = Schema.Struct({
  thumbprints: described(
    Schema.Array(Thumbprint),
    "SHA-1 thumbprints of certificates; one that signed itself is taken too."
  ),
  subjects: described(
    Schema.Array(
      Schema.Struct({
        name: Schema.NonEmptyString.annotateKey({ description: "The subject's common name, exactly." }),
        issuers: described(
          Schema.Array(Thumbprint),
          "SHA-1 thumbprints that the direct issuer's certificate may have; any trusted one unless given."
        )
      })
    ),
    "Certificates by the common name of their subject, from an authority in ca."
  )
})

/** The keys below `security`. */
export const SecuritySettings = Schema.Struct({
  tls: described(
    Schema.Struct({
      certificate: Schema.NonEmptyString.annotateKey({
        description: "The file with the worker's certificate, its chain after it, PEM."
      }),
      key: Schema.NonEmptyString.annotateKey({
        description: "The file with the private key that belongs to it, PEM without a passphrase."
      })
    }),
    "TLS on the worker's address; plain HTTP without it."
  ),
  certificates: described(
    Schema.Struct({
      ca: described(
        Schema.NonEmptyString,
        "The file with the authorities that client certificates may come from, PEM; needed for subjects."
      ),
      admins: described(CertificateSettings, "Those who may do everything."),
      users: described(CertificateSettings, "Those who may look.")
    }),
    "Client certificates that are let in."
  ),
  tokens: described(
    Schema.Struct({
      keys: Schema.NonEmptyString.annotateKey({
        description: "The file with the issuer's public keys: a JWKS, or keys and certificates in PEM."
      }),
      issuer: Schema.NonEmptyString.annotateKey({ description: "The issuer (iss) of every token." }),
      audience: Schema.Union([Schema.NonEmptyString, Schema.NonEmptyArray(Schema.NonEmptyString)]).annotateKey({
        description: "Who tokens must be for (aud), one or several."
      }),
      aad: described(
        Schema.Struct({
          tenant: Schema.NonEmptyString.annotateKey({ description: "The tenant." }),
          cluster: Schema.NonEmptyString.annotateKey({ description: "The application of the cluster." }),
          client: Schema.NonEmptyString.annotateKey({ description: "The application of the clients." }),
          login: described(Schema.NonEmptyString, "Where to log in; https://login.microsoftonline.com unless given."),
          redirect: described(Schema.String, "The clients' redirect address; empty unless given.")
        }),
        "What clients are told that fetch tokens from Azure Active Directory."
      )
    }),
    "Bearer tokens (JWT, RS256 or ES256) that are let in."
  ),
  names: described(
    Schema.Array(Schema.String.check(Schema.isPattern(hostName, { expected: "a host name, with or without a port" }))),
    "Further host names that requests may be sent to, with or without a port; those in the worker's certificate are taken anyway."
  ),
  origins: described(
    Schema.Array(
      Schema.String.check(
        Schema.isPattern(/^https?:\/\/[^/\s]+$/i, { expected: "an origin, such as http://localhost:4200" })
      )
    ),
    "Origins of pages of other sites that may ask, such as one behind a development proxy."
  ),
  clusterId: described(Schema.NonEmptyString, "The cluster's id; a request whose ClusterId header differs is refused."),
  allowAnonymous: described(
    Schema.Boolean,
    "True to listen beyond loopback with neither certificates nor tokens, where everyone who reaches the worker may do everything."
  )
})
export type SecuritySettings = typeof SecuritySettings.Type

/** A mistake in how the keys go together, and the key at which it is told. */
export interface SecurityMistake {
  readonly path: ReadonlyArray<string>
  readonly problem: string
}

// --- make ---

/** True for an address that only this machine can reach. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|localhost|::1)$/i.test(host)

/** True where callers are told apart. */
export const isAuthenticated = (settings: SecuritySettings): boolean =>
  settings.certificates !== undefined || settings.tokens !== undefined

/** What is wrong with the keys when they are seen together. */
export const mistakesOf = (settings: SecuritySettings, host: string): ReadonlyArray<SecurityMistake> => {
  const { allowAnonymous = false, certificates, names = [], origins = [], tls, tokens } = settings
  const lists = [certificates?.admins, certificates?.users]
  const subjects = lists.some((list) => (list?.subjects ?? []).length > 0)
  const anybody = subjects || lists.some((list) => (list?.thumbprints ?? []).length > 0)
  const checks: ReadonlyArray<readonly [wrong: boolean, path: ReadonlyArray<string>, problem: string]> = [
    [
      certificates !== undefined && tls === undefined,
      ["certificates"],
      "Client certificates come with TLS alone; give security.tls"
    ],
    [
      certificates !== undefined && !anybody,
      ["certificates"],
      "Nobody is on the lists; give thumbprints or subjects to admins or users"
    ],
    [
      subjects && certificates?.ca === undefined,
      ["certificates"],
      "A subject says nothing without the authority that vouches for it; give security.certificates.ca"
    ],
    [
      tokens !== undefined && tls === undefined && !isLoopback(host),
      ["tokens"],
      `Without TLS everyone on the way could read the tokens; give security.tls, or listen on loopback and not on ${host}`
    ],
    [
      allowAnonymous && isAuthenticated(settings),
      ["allowAnonymous"],
      "Callers are told apart by certificates or tokens here, so none is anonymous; leave one of them out"
    ],
    [
      names.length > 0 && !isAuthenticated(settings) && !allowAnonymous,
      ["names"],
      "Further names are taken only with certificates or tokens; give one of them"
    ],
    [
      origins.length > 0 && !isAuthenticated(settings) && !allowAnonymous,
      ["origins"],
      "Further origins are taken only with certificates or tokens; give one of them"
    ]
  ]
  return checks.filter(([wrong]) => wrong).map(([, path, problem]) => ({ path, problem }))
}

/** Why a worker may not listen on a host: beyond loopback it would have to take everybody's word. */
export const openTo = (host: string, settings: SecuritySettings, simulated = false): string | undefined =>
  isLoopback(host) || isAuthenticated(settings) || settings.allowAnonymous === true
    ? undefined
    : `${host} is not a loopback address, and without authentication the worker listens on loopback only. Use 127.0.0.1, ${simulated ? "add --any-host, by which everyone who reaches it may use the simulated cluster, " : ""}or give security.tls with security.certificates or security.tokens (docs/security.md).`

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

const loginUsual = "https://login.microsoftonline.com"

const day = 86_400_000

/** How many days before its end a certificate is spoken of. */
const renewWithin = 14

const listOf = (settings: typeof CertificateSettings.Type | undefined): CertificateList => ({
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
