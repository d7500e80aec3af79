/**
 * TLS to PostgreSQL as libpq means it. The mode says whether a connection is encrypted, whether the other kind is tried
 * after it, and what is checked of the server's certificate. Files are read for each connection, so that a renewed
 * certificate is used without a restart. Over a Unix socket there is no TLS, whatever the mode.
 */
import * as Schema from "effect/Schema"
import * as net from "node:net"
import * as tls from "node:tls"
import * as NamedFile from "./NamedFile.ts"
import type { Endpoint } from "./PostgresAddress.ts"

/**
 * What a connection must be. `disable`: never TLS. `allow`: TLS where the server lets nobody in without. `prefer`: TLS
 * where the server has it. `require`: TLS. `verify-ca`: TLS, and a certificate that `ca` vouches for. `verify-full`:
 * that, and the certificate must name the very host of the address.
 */
export const TlsMode = Schema.Literals(["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
export type TlsMode = typeof TlsMode.Type

const File = Schema.NonEmptyString

/** What a cluster's configuration says of TLS; the files are in PEM. */
export const TlsSettings = Schema.Struct({
  /** `verify-full` where `ca` is given, else `prefer`. */
  mode: Schema.optionalKey(TlsMode),
  /**
   * The file with the authorities that the server's certificate may come from; `system` means those of this machine.
   */
  ca: Schema.optionalKey(File),
  /** The file with our own certificate, its chain after it. */
  certificate: Schema.optionalKey(File),
  /** The file with its private key, without a passphrase. */
  key: Schema.optionalKey(File)
})
  .check(
    Schema.makeFilter(
      ({ ca, mode }: { readonly ca?: string; readonly mode?: TlsMode }) =>
        ca !== undefined || (mode !== "verify-ca" && mode !== "verify-full"),
      { expected: 'ca beside mode "verify-ca" or "verify-full": a file, or system' }
    ),
    Schema.makeFilter(
      ({ ca, mode }: { readonly ca?: string; readonly mode?: TlsMode }) =>
        ca !== "system" || mode === undefined || mode === "verify-full",
      { expected: 'mode "verify-full" beside ca "system", where anybody may have a certificate' }
    ),
    Schema.makeFilter(
      ({ certificate, key }: { readonly certificate?: string; readonly key?: string }) =>
        (certificate === undefined) === (key === undefined),
      { expected: "certificate and key, both or none" }
    )
  )
  .annotate({ identifier: "PostgresTls" })
export type TlsSettings = typeof TlsSettings.Type

/** How one attempt at a connection is made. */
export type Attempt = "Plain" | "Encrypted"

/** The mode that counts: the one that is set, or its default. */
export const modeOf = ({ ca, mode }: TlsSettings): TlsMode => mode ?? (ca === undefined ? "prefer" : "verify-full")

/** The attempts to make, in their order. The second one is made only where the server refused the first. */
export const attempts = (mode: TlsMode): readonly [Attempt, ...ReadonlyArray<Attempt>] =>
  mode === "disable"
    ? ["Plain"]
    : mode === "allow"
      ? ["Plain", "Encrypted"]
      : mode === "prefer"
        ? ["Encrypted", "Plain"]
        : ["Encrypted"]

/** What an encrypted connection needs, read from its files now. Throws where one cannot be read. */
export const options = (settings: TlsSettings, { host, name }: Endpoint): tls.ConnectionOptions => {
  const mode = modeOf(settings)
  if (mode === "verify-full" && name === "")
    throw new Error(
      `mode verify-full needs the server's name, and the service names only its hostaddr ${host}: name its host as well`
    )
  const { ca, certificate, key } = settings
  // As with libpq, authorities that are given are used for the check in every mode.
  const verifies = ca !== undefined
  return {
    minVersion: "TLSv1.2",
    rejectUnauthorized: verifies,
    ...(mode === "verify-full" ? {} : { checkServerIdentity: () => undefined }),
    ...(name === undefined || name === "" ? {} : named(mode, name)),
    ...(ca === undefined || ca === "system" ? {} : { ca: read("ca", ca) }),
    ...(certificate === undefined || key === undefined
      ? {}
      : { cert: read("certificate", certificate), key: read("key", key) })
  }
}

/**
 * Why an encrypted connection was not made, and what to do, from the code that the library gives; `undefined` for any
 * other code.
 */
export const explain = (code: string, detail: string): string | undefined => {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `the server's TLS certificate is not made out to this address, as mode verify-full demands: ${detail}`
  }
  if (code === "CERT_HAS_EXPIRED") return "the server's TLS certificate has expired"
  if (code === "CERT_NOT_YET_VALID") return "the server's TLS certificate is not valid yet: compare the clocks"
  if (/SELF_SIGNED|UNABLE_TO_|CERT_UNTRUSTED|CERT_SIGNATURE_FAILURE|INVALID_CA/.test(code)) {
    return `the server's TLS certificate comes from nobody that tls.ca names (${code})`
  }
  if (/ALERT_UNKNOWN_CA|ALERT_BAD_CERTIFICATE|ALERT_CERTIFICATE/.test(code)) {
    return `the server does not take our TLS certificate, tls.certificate (${code})`
  }
  if (/^ERR_(SSL|OSSL)_/.test(code)) return `TLS failed (${code}: ${detail})`
  return undefined
}

// --- internal ---

// A name that is an address goes into no greeting, and is compared with the addresses of the certificate.
const named = (mode: TlsMode, name: string): tls.ConnectionOptions => ({
  ...(net.isIP(name) === 0 ? { servername: name } : {}),
  ...(mode === "verify-full" ? { checkServerIdentity: (_, presented) => tls.checkServerIdentity(name, presented) } : {})
})

const read = (what: string, file: string): Buffer => {
  try {
    return NamedFile.read(file)
  } catch (cause) {
    throw new Error(`the file of tls.${what} cannot be read: ${(cause as Error).message}`, { cause })
  }
}
