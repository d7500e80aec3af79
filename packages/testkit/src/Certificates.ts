/**
 * X.509 certificates made at test time. So none is ever committed, and each can be wrong in the way that a test needs.
 * The few fields that TLS looks at are written as DER by hand (RFC 5280). Keys are on P-256 or RSA, and signatures use
 * SHA-256.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto"

// --- models ---

/** A certificate with its key, in PEM, and its SHA-1 thumbprint as 40 hex digits in upper case. */
export interface Made {
  readonly certificate: string
  readonly key: string
  readonly thumbprint: string
  readonly privateKey: KeyObject
  readonly name: string
}

/** What a certificate says. Times are in milliseconds UTC; X.509 keeps the whole seconds of them. */
export interface Wanted {
  readonly name: string
  /** Who signs the certificate; it signs itself unless given. */
  readonly issuer?: Made
  /** DNS names and IPv4 addresses of a server. */
  readonly alternatives?: ReadonlyArray<string>
  readonly authority?: boolean
  readonly validFrom?: number
  readonly validTo?: number
  /** The number of bits of an RSA key; the key is on P-256 unless given. */
  readonly rsaBits?: number
}

// --- make ---

const day = 86_400_000

/** Makes a certificate and its key. It is valid from yesterday until in ten days unless told otherwise. */
export const make = (wanted: Wanted): Made => {
  const { privateKey, publicKey } =
    wanted.rsaBits === undefined
      ? generateKeyPairSync("ec", { namedCurve: "prime256v1" })
      : generateKeyPairSync("rsa", { modulusLength: wanted.rsaBits })
  const { validFrom = Date.now() - day, validTo = Date.now() + 10 * day } = wanted
  const signer = wanted.issuer?.privateKey ?? privateKey
  const algorithm =
    signer.asymmetricKeyType === "rsa"
      ? sequence(oid(1, 2, 840, 113549, 1, 1, 11), tlv(0x05, Buffer.alloc(0)))
      : sequence(oid(1, 2, 840, 10045, 4, 3, 2))
  const extensions = [
    ...(wanted.authority === true ? [extension(oid(2, 5, 29, 19), sequence(tlv(0x01, Buffer.from([0xff]))))] : []),
    ...(wanted.alternatives === undefined
      ? []
      : [extension(oid(2, 5, 29, 17), sequence(...wanted.alternatives.map(alternative)))])
  ]
  const toBeSigned = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    commonName(wanted.issuer?.name ?? wanted.name),
    sequence(time(validFrom), time(validTo)),
    commonName(wanted.name),
    publicKey.export({ type: "spki", format: "der" }),
    ...(extensions.length === 0 ? [] : [tlv(0xa3, sequence(...extensions))])
  )
  const signature = tlv(0x03, Buffer.concat([Buffer.from([0]), sign("sha256", toBeSigned, signer)]))
  const der = sequence(toBeSigned, algorithm, signature)
  return {
    name: wanted.name,
    certificate: new X509Certificate(der).toString(),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    thumbprint: createHash("sha1").update(der).digest("hex").toUpperCase(),
    privateKey
  }
}

// --- internal ---

const tlv = (tag: number, value: Buffer): Buffer => {
  const { length } = value
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), value])
}

const sequence = (...parts: ReadonlyArray<Buffer>): Buffer => tlv(0x30, Buffer.concat(parts))

const integer = (value: Buffer): Buffer => tlv(0x02, value)

const oid = (first: number, second: number, ...rest: ReadonlyArray<number>): Buffer => {
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    return groups
  })
  return tlv(0x06, Buffer.from([first * 40 + second, ...bytes]))
}

const commonName = (name: string): Buffer =>
  sequence(tlv(0x31, sequence(oid(2, 5, 4, 3), tlv(0x0c, Buffer.from(name)))))

// UTCTime, which is right until the year 2049.
const time = (at: number): Buffer => {
  const digits = new Date(at).toISOString().replaceAll(/[-:T]/g, "").slice(2, 14)
  return tlv(0x17, Buffer.from(`${digits}Z`))
}

const extension = (id: Buffer, value: Buffer): Buffer => sequence(id, tlv(0x04, value))

const alternative = (name: string): Buffer =>
  /^\d+(\.\d+){3}$/.test(name) ? tlv(0x87, Buffer.from(name.split(".").map(Number))) : tlv(0x82, Buffer.from(name))
