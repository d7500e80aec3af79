/**
 * GUIDs as Service Fabric's gateway reads them: 36 characters, hyphens at 8, 13, 18 and 23, either case, nil accepted.
 * They are always printed in lower case. Also the name-based UUIDs that give a partition its identity for ever.
 */
import * as Schema from "effect/Schema"

/** A GUID in lower case. Operation ids and partition ids are GUIDs. */
export const Guid = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
).annotate({
  identifier: "Guid",
  title: "A GUID",
  description: "36 characters in lower case",
  examples: ["9c3aa30c-6b8e-4f5e-9c2f-0d8ad5f4c001"]
})
/** A GUID in lower case. */
export type Guid = string

/** The all-zero GUID, which a result carries when no partition was looked up. */
export const nil: Guid = "00000000-0000-0000-0000-000000000000"

/** The GUID in lower case, or `undefined` where the text is none. Braces, blanks or missing hyphens make it none. */
export const parse = (text: string): Guid | undefined => {
  const lower = text.toLowerCase()
  return pattern.test(lower) ? lower : undefined
}

/** The UUIDv5 of a name within a namespace (RFC 9562, section 5.5). The same two arguments always give the same id. */
export const v5 = (namespace: Guid, name: string): Guid => {
  const prefix = Uint8Array.from(namespace.replaceAll("-", "").match(/../g) ?? [], (pair) => parseInt(pair, 16))
  const text = utf8(name)
  const input = new Uint8Array(prefix.length + text.length)
  input.set(prefix)
  input.set(text, prefix.length)
  const hash = sha1(input).slice(0, 16)
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The id of the partition that stands for a replicated group: the UUIDv5 of the cluster's identity and the group's name. */
export const forPartition = (clusterIdentity: string, group: string): Guid =>
  v5(partitionNamespace, JSON.stringify([clusterIdentity, group]))

/** A positive number of 63 bits, in decimal, made from a name within a namespace. */
export const number63 = (namespace: Guid, name: string): string => {
  const hash = BigInt(`0x${v5(namespace, name).replaceAll("-", "")}`)
  // The two halves are folded. Otherwise the version and variant bits of the UUID would fix bits of the number.
  const folded = (hash ^ (hash >> 64n)) & 0x7fffffffffffffffn
  return (folded === 0n ? 1n : folded).toString()
}

// --- internal ---

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A random namespace, drawn once for Inquorate. Another one would give every partition a new id. */
const partitionNamespace: Guid = "6f1d8c0e-5a34-4f0b-9d27-71a5c2e4b893"

const utf8 = (text: string): Uint8Array => {
  const escaped = encodeURIComponent(text)
  const bytes: Array<number> = []
  for (let index = 0; index < escaped.length; index++) {
    if (escaped[index] === "%") {
      bytes.push(parseInt(escaped.slice(index + 1, index + 3), 16))
      index += 2
    } else bytes.push(escaped.charCodeAt(index))
  }
  return Uint8Array.from(bytes)
}

const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by))

// SHA-1 is written out, because every platform's own is asynchronous or a Node module. It serves as an identity here,
// not for security.
const sha1 = (input: Uint8Array): Uint8Array => {
  const blocks = ((input.length + 8) >> 6) + 1
  const words = new Int32Array(blocks * 16)
  for (let index = 0; index < input.length; index++) words[index >> 2]! |= input[index]! << (24 - (index % 4) * 8)
  words[input.length >> 2]! |= 0x80 << (24 - (input.length % 4) * 8)
  words[blocks * 16 - 1] = input.length * 8
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0)
  const schedule = new Int32Array(80)
  for (let block = 0; block < blocks; block++) {
    for (let t = 0; t < 80; t++) {
      schedule[t] =
        t < 16
          ? words[block * 16 + t]!
          : rotate(schedule[t - 3]! ^ schedule[t - 8]! ^ schedule[t - 14]! ^ schedule[t - 16]!, 1)
    }
    let [a, b, c, d, e] = state as unknown as [number, number, number, number, number]
    for (let t = 0; t < 80; t++) {
      const [mix, constant] =
        t < 20
          ? [(b & c) | (~b & d), 0x5a827999]
          : t < 40
            ? [b ^ c ^ d, 0x6ed9eba1]
            : t < 60
              ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc]
              : [b ^ c ^ d, 0xca62c1d6]
      const next = (rotate(a, 5) + mix + e + constant + schedule[t]!) | 0
      e = d
      d = c
      c = rotate(b, 30)
      b = a
      a = next
    }
    state[0]! += a
    state[1]! += b
    state[2]! += c
    state[3]! += d
    state[4]! += e
  }
  const output = new Uint8Array(20)
  for (let index = 0; index < 20; index++) output[index] = state[index >> 2]! >>> (24 - (index % 4) * 8)
  return output
}
