import { findBinary } from "@inquorate/lab/Etcd"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as Namespaces from "@inquorate/lab/Namespaces"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const lacking = Namespaces.problem() || (findBinary(null) === null ? "no etcd is on the PATH" : "")
const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-namespaces-"))
process.env["INQUORATE_LAB_STATE"] = state

afterAll(() => {
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true })
})

const left = ({ hub, link, members }: Namespaces.LabNetwork): ReadonlyArray<string> =>
  [hub, ...members.map(({ namespace }) => namespace)]
    .filter((name) => fs.existsSync(`/run/netns/${name}`))
    .concat(fs.existsSync(`/sys/class/net/${link}`) ? [link] : [])

const recordOf = (name: string): LabRecord | undefined => {
  const file = path.join(state, name, "lab.json")
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, "utf8")) as LabRecord) : undefined
}

describe.skipIf(lacking !== "")(`a lab in namespaces${lacking === "" ? "" : ` (skipped: ${lacking})`}`, () => {
  it.live("gives each member a network and an address of its own, reached from here, and leaves nothing", () =>
    Effect.gen(function* () {
      const lab = yield* Lab.up({ system: "etcd", name: "apart", namespaces: true, options: { election: "200ms" } })
      const network = lab.network!
      assert.strictEqual(lab.version, 2)
      assert.deepInclude(lab.configuration, { system: "etcd", injector: "netfilter" })
      const own = fs.readlinkSync("/proc/self/ns/net")
      const inside = lab.members.map(({ pid }) => fs.readlinkSync(`/proc/${pid}/ns/net`))
      assert.strictEqual(new Set([own, ...inside]).size, 4)
      for (const [index, { address, pid }] of lab.members.entries()) {
        assert.isTrue(address.startsWith(`${network.members[index]!.address}:`))
        assert.notStrictEqual(fs.statSync(`/proc/${pid}`).uid, 0, "it kept the rights that entering takes")
        const reply = yield* Effect.promise(() => fetch(`http://${address}/version`))
        assert.strictEqual(reply.status, 200)
      }
      assert.lengthOf(left(network), 5)
      assert.deepInclude(yield* Lab.down("apart"), { found: true, stopped: 3 })
      assert.deepStrictEqual(left(network), [])
    })
  )

  it.live("is taken down whole although the command that started it was killed on the way", () =>
    Effect.gen(function* () {
      const file = path.join(import.meta.dirname, "up-and-down.ts")
      for (const made of [1, 3, 5]) {
        const child = spawn(process.execPath, ["--no-warnings", file, "killed", "namespaces"], { stdio: "ignore" })
        const ended = new Promise((resume) => child.once("close", resume))
        let record: LabRecord | undefined
        for (let turn = 0; turn < 15_000 && (record === undefined || left(record.network!).length < made); turn++) {
          yield* Effect.sleep(2)
          record ??= recordOf("killed")
        }
        child.kill("SIGKILL")
        yield* Effect.promise(() => ended)
        assert.isAtLeast(left(record!.network!).length, made)
        yield* Lab.down("killed")
        assert.deepStrictEqual(left(record!.network!), [])
      }
    })
  )

  it.live("never takes what is another lab's", () =>
    Effect.gen(function* () {
      const { link } = Namespaces.plan(3)
      spawnSync(Namespaces.program("ip"), ["link", "add", link, "type", "veth", "peer", "name", `${link}x`])
      const other = { ...Namespaces.plan(3), link }
      for (const words of Namespaces.calls(other)) spawnSync(Namespaces.program("ip"), words, { stdio: "ignore" })
      assert.deepStrictEqual(yield* Namespaces.remove(other), [])
      assert.deepStrictEqual(left(other), [link], "the link was made by another")
      spawnSync(Namespaces.program("ip"), ["link", "del", link])
      assert.deepStrictEqual(left(other), [])
    })
  )
})

describe("a lab in namespaces that cannot be made", () => {
  const reasonOf = (system: string) =>
    Effect.map(Effect.flip(Lab.up({ system, name: "none", namespaces: true })), ({ detail, reason }) => ({
      detail,
      reason
    }))

  it.live("is one of a system that cannot, which says so", () =>
    Effect.gen(function* () {
      const { detail, reason } = yield* reasonOf("postgres")
      assert.strictEqual(reason, "BadOption")
      assert.include(detail, "postgres")
    })
  )

  it.live.skipIf(process.getuid?.() !== 0)("is one of a user without the rights, who is told which", () =>
    Effect.promise(async () => {
      const program = `
        const { problem } = await import(${JSON.stringify(path.resolve(import.meta.dirname, "../src/Namespaces.ts"))})
        console.log(problem())`
      const words = ["--bounding-set=-all", "--inh-caps=-all", process.execPath, "--no-warnings"]
      const { stdout } = spawnSync("setpriv", [...words, "--input-type=module", "-e", program], { encoding: "utf8" })
      assert.match(stdout, /CAP_NET_ADMIN and CAP_SYS_ADMIN, which this user lacks\. Run this as root/)
    })
  )
})
