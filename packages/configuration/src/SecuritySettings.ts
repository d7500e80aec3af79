/**
 * Who may reach a worker, and as what: the part `security` of its configuration. The mistakes that only show when its
 * keys are seen together are told here. The files that it names are read when the worker starts.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

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
