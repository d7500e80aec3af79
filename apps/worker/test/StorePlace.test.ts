import { assert, describe, it } from "@effect/vitest"
import type { Member, Topology } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as StorePlace from "../src/StorePlace.ts"

const member = (name: string, host: string, dataDirectory: string): Member => ({
  name,
  node: name,
  address: "127.0.0.1:1",
  role: "ActiveSecondary",
  counts: true,
  up: true,
  cuttable: "Always",
  process: { host, pid: 4711, startTime: "1", executable: "/bin/postgres", dataDirectory },
  processProblem: ""
})

const group = (...members: ReadonlyArray<Member>): Topology => ({
  cluster: "c",
  system: "postgres",
  group: "quorum",
  partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
  observedAt: 0,
  needed: 1,
  rule: "ANY 1",
  members
})

describe("a store in a file", () => {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-place-")))
  const inside = (file: string, ...members: ReadonlyArray<Member>) =>
    Effect.runSync(StorePlace.inside(StorePlace.ofFile(file))(group(...members)))

  it("lies with the member below whose data it is, also behind a link, and with no other", () => {
    fs.mkdirSync(path.join(folder, "data1"))
    fs.mkdirSync(path.join(folder, "data10"))
    fs.symlinkSync(path.join(folder, "data1"), path.join(folder, "link"))
    const s1 = member("s1", "local", path.join(folder, "data1"))
    assert.strictEqual(inside(path.join(folder, "data1/sub/worker.db"), s1), "s1")
    assert.strictEqual(inside(path.join(folder, "link/worker.db"), s1), "s1")
    assert.isNull(inside(path.join(folder, "data10/worker.db"), s1))
    assert.isNull(inside(path.join(folder, "worker.db"), s1))
    fs.rmSync(folder, { recursive: true })
  })

  it("that keeps nothing is told as that", () => {
    assert.include(StorePlace.forgetful(":memory:") ?? "", "what is under way is forgotten")
    assert.isUndefined(StorePlace.forgetful("memory"))
  })

  it("is not begun in a folder that is not there, but for the state directory's own", () => {
    const before = process.env.INQUORATE_STATE
    const state = path.join(os.tmpdir(), "inquorate-no-such-state")
    process.env.INQUORATE_STATE = state
    try {
      assert.match(
        StorePlace.missingFolder("/no/such/folder/worker.db") ?? "",
        /\/no\/such\/folder is not there: .*\(mkdir -p \/no\/such\/folder\)$/
      )
      assert.include(StorePlace.missingFolder("/no/it's a/worker.db"), String.raw`(mkdir -p '/no/it'\''s a')`)
      for (const file of [path.join(os.tmpdir(), "worker.db"), path.join(state, "worker.db"), "worker.db"]) {
        assert.isUndefined(StorePlace.missingFolder(file), file)
      }
    } finally {
      if (before === undefined) delete process.env.INQUORATE_STATE
      else process.env.INQUORATE_STATE = before
    }
  })

  it("is not begun where others could write it, or put another in its place", () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-store-"))
    const file = path.join(folder, "worker.db")
    const why = (): string => StorePlace.openToOthers(file) ?? ""
    assert.strictEqual(why(), "")
    // Everybody's folder: each may remove only what is his own there, but may make the store's log before we do.
    for (const mode of [0o777, 0o1777]) {
      fs.chmodSync(folder, mode)
      assert.include(why(), `others may write to ${folder}; name a place`)
    }
    assert.include(StorePlace.openToOthers(path.join(os.tmpdir(), "worker.db")) ?? "", "others may write to")
    fs.chmodSync(folder, 0o755)
    for (const name of ["worker.db", "worker.db-wal", "worker.db-journal", "worker.db.lock"]) {
      const own = path.join(folder, name)
      fs.writeFileSync(own, "")
      assert.strictEqual(why(), "")
      fs.chmodSync(own, 0o666)
      assert.include(why(), `others may write to ${own}`)
      fs.chmodSync(own, 0o600)
      if (process.getuid?.() === 0) {
        fs.chownSync(own, 5, 5)
        assert.include(why(), `${own} belongs to user 5`)
      }
      fs.rmSync(own)
    }
    // By a link, what it leads to counts, and the link as well.
    const shared = path.join(folder, "shared")
    fs.mkdirSync(shared)
    fs.chmodSync(shared, 0o777)
    const link = path.join(folder, "link")
    fs.symlinkSync(shared, link)
    assert.include(StorePlace.openToOthers(path.join(link, "worker.db")) ?? "", `others may write to ${shared}`)
    fs.chmodSync(shared, 0o700)
    assert.isUndefined(StorePlace.openToOthers(path.join(link, "worker.db")))
    if (process.getuid?.() === 0) {
      fs.lchownSync(link, 5, 5)
      assert.include(StorePlace.openToOthers(path.join(link, "worker.db")) ?? "", `${link} belongs to user 5`)
    }
    fs.rmSync(folder, { recursive: true })
  })

  it("does not lie on another machine whose directory has the same name", () => {
    assert.isNull(inside("/data/s1/worker.db", member("s1", "far", "/data/s1")))
  })
})

describe("a store on a server", () => {
  const at = (address: string, change: Partial<Member> = {}): Member => ({
    ...member("p", "far", "/data/p"),
    address,
    ...change
  })
  const inside = (server: string, member: Member) =>
    Effect.runPromise(StorePlace.inside(StorePlace.ofUrl(Redacted.make(server)))(group(member)))

  it("is the member's at any of its addresses, and by the socket of this machine", async () => {
    const store = "postgres://inquorate@127.0.0.1:5432/ops"
    assert.strictEqual(await inside(store, at("127.0.0.1:5432")), "p")
    assert.strictEqual(await inside(store, at("10.9.8.7:5432", { otherAddresses: ["127.0.0.1:5432"] })), "p")
    assert.strictEqual(await inside(store, at("/run/postgresql:5432")), "p")
    assert.isNull(await inside(store, at("/run/postgresql:5433")))
    assert.isNull(await inside(store, at("10.9.8.7:5432")))
  })
})
