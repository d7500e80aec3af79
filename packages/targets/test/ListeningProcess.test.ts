import { candidate, fits } from "../src/EtcdProcess.ts"
import { read, textOf } from "../src/ListeningProcess.ts"
import { assert, describe, it } from "@effect/vitest"

// 2379 is 094B. Addresses stand in the byte order of the processor.
const hex = (text: string): string => Buffer.from(text).toString("hex")
const host = (...lines: ReadonlyArray<string>) => read(["boot 1000", ...lines].map((line) => line.split(" ")))
const socket = (local: string, inode: number, pid: number, user = 0) => [
  `listen ${local}:094B ${inode} ${user}`,
  `holds ${pid} ${inode}`
]
const process = (pid: number, { user = 0, parent = 0, ours = 1, executable = "/usr/bin/etcd" } = {}) =>
  `process ${pid} 500 ${parent} ${user} ${ours} ${executable === "" ? "-" : hex(executable)}`
const file = (pid: number, directory: string, { inode = pid, owner = 0, lockedBy = 0 } = {}) =>
  `file ${pid} ${hex(directory)} 8 ${inode} ${owner} ${lockedBy}`
const server = (pid: number, directory: string) => [process(pid), file(pid, directory)]
const pidsOn = (address: string, listening: ReturnType<typeof host>) =>
  listening.on(address).listeners.map(({ pid }) => pid)

describe("what a host shows of its listening processes", () => {
  it("tells apart servers that share a port on different addresses", () => {
    const listening = host(
      ...socket("0100007F", 11, 1),
      ...socket("0A01000A", 12, 2),
      ...server(1, "/data/one"),
      ...server(2, "/data/two")
    )
    assert.deepStrictEqual(pidsOn("127.0.0.1:2379", listening), [1])
    assert.deepStrictEqual(pidsOn("10.0.1.10:2379", listening), [2])
    assert.deepStrictEqual(pidsOn("10.0.1.11:2379", listening), [])
    assert.deepStrictEqual(pidsOn("127.0.0.1:2380", listening), [])
  })

  it("takes a server of every address, and one of IPv6 that serves IPv4 too, for the one that is asked about", () => {
    for (const local of ["00000000", "0".repeat(32), "0000000000000000FFFF00000100007F"]) {
      assert.deepStrictEqual(pidsOn("127.0.0.1:2379", host(...socket(local, 11, 1), ...server(1, "/data"))), [1])
    }
  })

  it("finds in another network namespace only who listens on just the address that is asked about", () => {
    const listening = host(
      "apart 0A01000A:094B 11",
      "holds 1 11",
      "apart 00000000:094B 12",
      "holds 2 12",
      "apart 0100007F:094B 13",
      "holds 3 13",
      ...server(1, "/data/one"),
      ...server(2, "/data/two"),
      ...server(3, "/data/three")
    )
    assert.deepStrictEqual(pidsOn("10.0.1.10:2379", listening), [1])
    assert.deepStrictEqual(pidsOn("10.0.1.11:2379", listening), [])
    assert.deepStrictEqual(pidsOn("127.0.0.1:2379", listening), [])
  })

  it("takes who is bound to just the address before who is bound to all of them", () => {
    const listening = host(
      ...socket("0".repeat(32), 12, 2),
      ...socket("0100007F", 11, 1),
      ...server(1, "/data/one"),
      ...server(2, "/data/two")
    )
    assert.deepStrictEqual(pidsOn("127.0.0.1:2379", listening), [1])
    assert.deepStrictEqual(pidsOn("10.0.1.10:2379", listening), [2])
  })

  it("reads names with whatever is in them, and says what it may not see", () => {
    const listening = read(
      [
        "boot 1000",
        ...socket("00000000", 11, 1),
        process(1, { executable: "/opt/my etcd/etcd" }),
        file(77, "/of another"),
        file(1, "/my data"),
        `folder 0 ${hex("/my data")}`,
        "folder 1 -"
      ].map((line) => line.split(" ")),
      ["/a link", "/closed"]
    )
    const [listener] = listening.on("a:2379").listeners
    assert.deepStrictEqual(listener, {
      pid: 1,
      startTime: "500",
      began: 1005,
      parent: 0,
      user: 0,
      isOurs: true,
      isHeir: false,
      executable: "/opt/my etcd/etcd",
      files: [{ folder: "/my data", device: "8", inode: "1", owner: 0, lockedBy: 0 }],
      isBeyond: false
    })
    assert.strictEqual(listening.resolved("/a link"), "/my data")
    assert.strictEqual(listening.resolved("/closed"), "/closed")
    assert.isFalse(listening.on("a:2379").hidden)
    assert.deepStrictEqual(host("listen 00000000:094B 11 0").on("a:2379"), { listeners: [], hidden: true })
  })

  it("keeps no name that an order could not carry", () => {
    assert.strictEqual(textOf(hex("/a b'$(c)/ü")), "/a b'$(c)/ü")
    for (const word of [hex("/a\nb"), hex("/a\u001b[2J"), "ff", "2f6", "-", "", "zz"]) assert.isUndefined(textOf(word))
  })
})

describe("the process of an etcd member", () => {
  const address = "10.0.1.10:2379"
  const found = (listening: ReturnType<typeof host>, configured = "") =>
    candidate("h1", { address, configured }, listening)
  const one = socket("00000000", 11, 1)

  it("is the etcd that listens there, with the data directory it has open", () => {
    assert.deepStrictEqual(found(host(...one, ...server(1, "/data"))), {
      process: { host: "h1", pid: 1, startTime: "500", executable: "/usr/bin/etcd", dataDirectory: "/data" },
      began: 1005
    })
  })

  it("is none, and says why, where anything does not agree", () => {
    const problems = {
      "nothing listens on": found(host()),
      "may not see": found(host("listen 00000000:094B 11 0")),
      "runs /usr/bin/docker-proxy, not etcd": found(host(...one, process(1, { executable: "/usr/bin/docker-proxy" }))),
      "cannot be looked at": found(host(...one, process(1, { executable: "" }))),
      "no member/snap/db open": found(host(...one, process(1))),
      "under a name of its own": found(host(...one, process(1), "beyond 1")),
      "in a pod (then name the pods as the members)": found(host(...one, process(1), "beyond 1")),
      "a user namespace of its own": found(host(...one, process(1, { ours: 0 }), file(1, "/data"))),
      "that another user made": found(
        host(...socket("00000000", 11, 1, 33), process(1, { user: 5 }), file(1, "/data"))
      ),
      "runs as user 5, but": found(
        host(...socket("00000000", 11, 1, 5), process(1, { user: 5 }), file(1, "/data", { owner: 33 }))
      ),
      "is /data, but /other is configured": found(host(...one, ...server(1, "/data")), "/other"),
      "/data and /other open": found(host(...one, ...server(1, "/data"), file(1, "/other", { inode: 2 }))),
      "1 and 2 both serve": found(host(...one, ...socket("00000000", 12, 2), ...server(1, "/a"), ...server(2, "/b")))
    }
    for (const [words, problem] of Object.entries(problems)) assert.include(problem as string, words)
  })

  it("is, of several that share its descriptors, the one that took the database's lock or that the others come from", () => {
    const two = (lockedBy: number) =>
      host(
        ...socket("00000000", 11, 1),
        "holds 2 11",
        process(1),
        file(1, "/data", { inode: 7, lockedBy }),
        process(2, { parent: 1 }),
        file(2, "/data", { inode: 7, lockedBy })
      )
    for (const lockedBy of [0, 1]) {
      const one = found(two(lockedBy))
      assert.strictEqual(typeof one === "string" ? one : one.process.pid, 1)
    }
    const heir = found(two(2))
    assert.strictEqual(typeof heir === "string" ? heir : heir.process.pid, 2)
  })

  it("is told from another's by when it began, to the second or two that the boot's moment is good for", () => {
    const process = found(host(...one, ...server(1, "/data")))
    if (typeof process === "string") return assert.fail(process)
    assert.isTrue(fits(process, 1005.4))
    assert.isTrue(fits(process, 1003.5))
    assert.isFalse(fits(process, 1009))
    assert.isFalse(fits(process, 1001))
  })
})
