/**
 * What a process of etcd shows of itself on its host. It holds a write-ahead log open, whose head says whose data it
 * serves: the id of the member and of its cluster. Its arguments or its environment tell its election timeout. These
 * are the server's own word, and they only decide how long we wait for the survivors to speak.
 */
import { fromBinary } from "@bufbuild/protobuf"
import type { Host } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import { LogMetadataSchema, LogRecordSchema } from "./EtcdMessages.ts"
import * as Programs from "./Programs.ts"

/** What is known of a process of etcd. */
export interface Facts {
  /** The member whose log the process writes, ids in hexadecimal digits; null where that cannot be read. */
  readonly serves: { readonly memberId: string; readonly clusterId: string } | null
  /** The election timeout in milliseconds; null where it cannot be told. */
  readonly electionTimeout: Millis | null
}

/** Looks at a process; bounded by `timeout` ms. Null where its host did not answer. */
export const find = (host: Host, pid: number, timeout: Millis): Effect.Effect<Facts | null> =>
  host.run(Programs.etcdFacts, [String(pid)], { timeout }).pipe(
    Effect.map(({ stdout }) => read(stdout)),
    Effect.orElseSucceed(() => null)
  )

/** Reads what the program printed. */
export const read = (output: string): Facts => {
  const told = new Map(
    output.split("\n").map((line) => {
      const [word = "", text = ""] = line.split(" ")
      return [word, Buffer.from(text, "base64")]
    })
  )
  const words = told.get("words")
  return {
    serves: servesOf(told.get("log") ?? Buffer.alloc(0)),
    electionTimeout:
      words === undefined
        ? null
        : timeoutOf(words.toString("utf8").split("\0"), (told.get("environment") ?? "").toString().split("\n"))
  }
}

/**
 * How long after the loss the survivors have spoken at the latest. Within one to two election timeouts a leader without
 * its quorum steps down, and a follower without its leader stands for election. Null where one member's timeout is not
 * known.
 */
export const speakAfter = (timeouts: ReadonlyArray<Millis | null>): Millis | null => {
  const known = timeouts.filter((timeout) => timeout !== null)
  return known.length === 0 || known.length < timeouts.length ? null : 2 * Math.max(...known) + margin
}

/** How long a recovery may take: a minute, or several elections where they take longer. */
export const recoverWithin = (timeouts: ReadonlyArray<Millis | null>): Millis =>
  Math.max(60_000, ...timeouts.map((timeout) => 4 * (timeout ?? 0)))

// --- internal ---

/** etcd's default election timeout, and the longest that it accepts, in milliseconds. */
const ownTimeout: Millis = 1000
const longest: Millis = 50_000
/** What a busy machine may add, in milliseconds. */
const margin: Millis = 1000
/** The type of the record that holds the metadata. */
const metadata = 1n

// Each record has its length before it, in eight bytes. The highest byte tells the padding behind the record.
const servesOf = (log: Buffer): Facts["serves"] => {
  try {
    for (let at = 0; at + 8 <= log.length;) {
      const length = Number(log.readBigUInt64LE(at) & 0xff_ffff_ffff_ffffn)
      const padding = log[at + 7]! >= 0x80 ? log[at + 7]! & 7 : 0
      const end = at + 8 + length
      if (length === 0 || end > log.length) return null
      const record = fromBinary(LogRecordSchema, log.subarray(at + 8, end))
      if (record.type === metadata) {
        const { ClusterID, NodeID } = fromBinary(LogMetadataSchema, record.data)
        return NodeID === 0n ? null : { memberId: NodeID.toString(16), clusterId: ClusterID.toString(16) }
      }
      at = end + padding
    }
  } catch {
    // This is no log of etcd's.
  }
  return null
}

const timeoutOf = (words: ReadonlyArray<string>, environment: ReadonlyArray<string>): Millis | null => {
  const variable = (name: string): string | undefined =>
    environment.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1)
  // Where there is a configuration file, etcd takes everything from it and nothing from elsewhere.
  if ((flag(words, "config-file") ?? variable("ETCD_CONFIG_FILE") ?? "") !== "") return null
  const given = flag(words, "election-timeout") ?? variable("ETCD_ELECTION_TIMEOUT") ?? String(ownTimeout)
  const millis = Number(given)
  return /^\d{1,6}$/.test(given) && millis > 0 && millis <= longest ? millis : null
}

// Flags are read as Go reads them: with one dash or two, the value behind `=` or in the next word. The last one counts.
const flag = (words: ReadonlyArray<string>, name: string): string | undefined => {
  let found: string | undefined
  for (const [index, word] of words.entries()) {
    for (const dashes of ["-", "--"]) {
      if (word === `${dashes}${name}`) found = words[index + 1]
      else if (word.startsWith(`${dashes}${name}=`)) found = word.slice(dashes.length + name.length + 1)
    }
  }
  return found
}
