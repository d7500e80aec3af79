import { assert, describe, it } from "@effect/vitest"
import { read, recoverWithin, speakAfter } from "../src/EtcdFacts.ts"

const line = (word: string, text: string | Buffer): string => `${word} ${Buffer.from(text).toString("base64")}\n`
const started = (words: ReadonlyArray<string>, environment: ReadonlyArray<string> = []): string =>
  line("environment", environment.join("\n")) + line("words", ["etcd", ...words, ""].join("\0"))

describe("the election timeout of a server", () => {
  const timeout = (words: ReadonlyArray<string>, environment?: ReadonlyArray<string>) =>
    read(started(words, environment)).electionTimeout

  it("is etcd's own where nothing says otherwise", () => {
    assert.strictEqual(timeout([]), 1000)
    assert.strictEqual(timeout(["--heartbeat-interval=1000", "--pre-vote"]), 1000)
  })

  it("is what a flag says, however it is written, and the last one counts", () => {
    assert.strictEqual(timeout(["--election-timeout=5000"]), 5000)
    assert.strictEqual(timeout(["-election-timeout", "10000"]), 10_000)
    assert.strictEqual(timeout(["--election-timeout", "2000", "--election-timeout=3000"]), 3000)
  })

  it("is what the environment says where no flag does", () => {
    assert.strictEqual(timeout([], ["ETCD_ELECTION_TIMEOUT=4000"]), 4000)
    assert.strictEqual(timeout(["--election-timeout=5000"], ["ETCD_ELECTION_TIMEOUT=4000"]), 5000)
  })

  it("is not known where a file says it, or where it is no number that etcd takes", () => {
    assert.isNull(timeout(["--config-file=/etc/etcd.yaml", "--election-timeout=5000"]))
    assert.isNull(timeout([], ["ETCD_CONFIG_FILE=/etc/etcd.yaml"]))
    for (const given of ["", "5s", "-1", "0", "9999999", "1e3"]) assert.isNull(timeout([`--election-timeout=${given}`]))
    assert.isNull(read("").electionTimeout)
  })
})

describe("how long survivors may take to speak", () => {
  it("follows the most patient of all, and is not known where one is not", () => {
    assert.strictEqual(speakAfter([1000, 1000, 5000]), 11_000)
    assert.isNull(speakAfter([1000, null, 5000]))
    assert.isNull(speakAfter([]))
  })
})

describe("how long a recovery may take", () => {
  it("is a minute, and more where one election takes so long that several would not fit", () => {
    assert.strictEqual(recoverWithin([1000, null]), 60_000)
    assert.strictEqual(recoverWithin([1000, 50_000]), 200_000)
    assert.strictEqual(recoverWithin([]), 60_000)
  })
})

describe("the head of a member's log", () => {
  // A record of the checksum, four bytes and their padding, then the metadata, as etcd 3.4 wrote them.
  const crc = Buffer.from("040000000000008408041000000000ff", "hex")
  const metadata = Buffer.concat([
    Buffer.from([0x08]),
    varint(0x1b7b_3c2f_66d5_9a13n),
    Buffer.from([0x10]),
    varint(0xcdf8_181e_3227_7408n)
  ])
  const record = Buffer.concat([Buffer.from("0801108cf9d3c6011a", "hex"), Buffer.from([metadata.length]), metadata])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(record.length))
  const log = Buffer.concat([crc.subarray(0, 12), Buffer.alloc(4), length, record, Buffer.alloc(200)])

  it("tells whose it is", () => {
    assert.deepStrictEqual(read(line("log", log)).serves, {
      memberId: "1b7b3c2f66d59a13",
      clusterId: "cdf8181e32277408"
    })
  })

  it("that is cut short, or is none, tells nothing", () => {
    for (const text of [Buffer.alloc(0), Buffer.alloc(256), log.subarray(0, 40), Buffer.alloc(256, 0xff)]) {
      assert.isNull(read(line("log", text)).serves)
    }
  })
})

function varint(value: bigint): Buffer {
  const bytes: Array<number> = []
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 0x80n) return Buffer.from([...bytes, Number(rest)])
    bytes.push(Number(rest & 0x7fn) | 0x80)
  }
}
