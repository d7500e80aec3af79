/**
 * Certificates and keys in files, read and checked before anything rests on them. So an error names the file and says
 * what to do, instead of a handshake that fails later. Only TLS takes a key out of its wrapping.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { createSecureContext } from "node:tls"
import * as TextFile from "./TextFile.ts"

// --- models ---

/** A certificate with its chain and the private key that belongs to it, in PEM. */
export interface Pair {
  readonly certificate: string
  readonly key: Redacted.Redacted
  readonly leaf: X509Certificate
}

/**
 * Where a secret is: in an environment variable, or in a file. The last line break of the file is no part of the
 * secret.
 */
export type SecretSource = { readonly env: string } | { readonly file: string }

// --- errors ---

/** A file or an environment variable with a credential cannot be used. `detail` says which one, why, and what to do. */
export class CredentialError extends Schema.TaggedError<CredentialError>()("CredentialError", {
  reason: Schema.Literals([
    "Unreadable",
    "NotCertificates",
    "NotAKey",
    "Encrypted",
    "Mismatch",
    "Unusable",
    "Missing",
    "NotAToken"
  ]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

// --- make ---

/** The text of a file. */
export const readText = (file: string): Effect.Effect<string, CredentialError> =>
  Effect.try({
    try: () => TextFile.read(file),
    catch: (error) => unreadable(file, error)
  })

/** The certificates of a PEM file in their order. There is at least one. */
export const readCertificates = (
  file: string
): Effect.Effect<{ readonly pem: string; readonly all: ReadonlyArray<X509Certificate> }, CredentialError> =>
  Effect.gen(function* () {
    const pem = yield* readText(file)
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
    const all = yield* Effect.try({
      try: () => blocks.map((block) => new X509Certificate(block)),
      catch: () =>
        new CredentialError({
          reason: "NotCertificates",
          detail: `The certificate in ${file} is damaged; copy it anew.`
        })
    })
    if (all.length === 0) {
      return yield* new CredentialError({
        reason: "NotCertificates",
        detail: `${file} holds no certificate in PEM ("-----BEGIN CERTIFICATE-----"); convert or name the right file.`
      })
    }
    return { pem, all }
  })

/** Reads a certificate file, its own certificate first, and the key file that belongs to it. */
export const readPair = (files: {
  readonly certificate: string
  readonly key: string
}): Effect.Effect<Pair, CredentialError> =>
  Effect.gen(function* () {
    const { all, pem } = yield* readCertificates(files.certificate)
    const text = yield* readText(files.key)
    const key = yield* readKey(files.key, text)
    const leaf = all[0]!
    if (!leaf.checkPrivateKey(key)) {
      return yield* new CredentialError({
        reason: "Mismatch",
        detail: `The key in ${files.key} does not belong to the certificate in ${files.certificate}; name the two that were made together (the certificate itself comes first in its file).`
      })
    }
    // A key and a certificate may fit each other although the key is too short, or of a kind that TLS cannot use.
    yield* Effect.try({
      try: () => createSecureContext({ cert: pem, key: text }),
      catch: (error) =>
        new CredentialError({
          reason: "Unusable",
          detail: `TLS cannot use the certificate in ${files.certificate} with its key: ${error instanceof Error ? error.message : String(error)}; make new ones.`
        })
    })
    return { certificate: pem, key: Redacted.make(text), leaf }
  })

/** A secret, without the last line break of its file. */
export const readSecret = (source: SecretSource): Effect.Effect<Redacted.Redacted, CredentialError> =>
  Effect.gen(function* () {
    const text = "env" in source ? (process.env[source.env] ?? "") : yield* readText(source.file)
    const secret = text.replace(/\r?\n$/, "")
    if (secret === "") {
      const detail =
        "env" in source ? `The environment variable ${source.env} is not set.` : `The file ${source.file} is empty.`
      return yield* new CredentialError({ reason: "Missing", detail })
    }
    return Redacted.make(secret)
  })

// --- internal ---

const unreadable = (file: string, error: unknown): CredentialError => {
  const { code, message } = error as NodeJS.ErrnoException
  const why =
    code === "ENOENT"
      ? "there is no such file; name the right one"
      : code === "EACCES"
        ? "this user may not read it; change its owner or mode"
        : code === "EISDIR"
          ? "it is a folder; name a file in it"
          : message
  return new CredentialError({ reason: "Unreadable", detail: `${file} cannot be read: ${why}.` })
}

const readKey = (file: string, pem: string): Effect.Effect<KeyObject, CredentialError> =>
  Effect.try({
    try: () => createPrivateKey(pem),
    // OpenSSL's words mean nothing to a person, and one day they may say too much.
    catch: () =>
      /ENCRYPTED/.test(pem)
        ? new CredentialError({
            reason: "Encrypted",
            detail: `The key in ${file} is encrypted; give one without a passphrase that only its user may read (openssl pkey -in … -out …).`
          })
        : new CredentialError({
            reason: "NotAKey",
            detail: `${file} holds no private key in PEM ("-----BEGIN PRIVATE KEY-----"); convert or name the right file.`
          })
  })
