/** What is told of a process's supervisor: what systemd says in its own words, and nothing where nobody can be asked. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Machine from "../src/hosts/Machine.ts"
import * as Supervisor from "../src/Supervisor.ts"

const said = (watchdog: string, restart: string) =>
  Supervisor.describePause(Supervisor.parse(`etcd.service\nRestart=${restart}\nWatchdogUSec=${watchdog}\n`))

describe("a supervisor", () => {
  it("that would end a silent server is told with its time, in every way systemd writes it", () => {
    for (const [text, millis] of [
      ["30s", 30_000],
      ["1min 30s", 90_000],
      ["500ms", 500],
      ["1h", 3_600_000]
    ] as const) {
      const [warning, ...more] = said(text, "on-watchdog")
      assert.deepStrictEqual(more, [])
      assert.include(warning, `end etcd.service after ${millis} ms of silence and start it again (Restart=on-watchdog)`)
    }
  })

  it("that would bring a dead server back is told apart, and none is told where there is none", () => {
    assert.match(said("0", "always")[0]!, /bring etcd.service back .*Restart=always/)
    assert.deepStrictEqual(said("0", "no"), [])
    assert.deepStrictEqual(said("infinity", "no"), [])
    assert.deepStrictEqual(Supervisor.describePause(Supervisor.parse("")), [])
    assert.deepStrictEqual(Supervisor.describePause(Supervisor.parse("user.slice\n\n")), [])
  })

  it("is told to who would kill where it starts the server again", () => {
    const said = (restart: string) => Supervisor.describeKill({ unit: "etcd.service", watchdog: 0, restart })
    assert.deepStrictEqual(said("always"), [
      "systemd would start etcd.service again during the hold (Restart=always), which breaks it; name the unit in the settings of kill"
    ])
    assert.deepStrictEqual(said("no"), [])
    assert.deepStrictEqual(Supervisor.describeKill(null), [])
    // Of a unit that the kill stops itself there is nothing to tell.
    const followed = Supervisor.parse("etcd.service\nRestart=always\nWatchdogUSec=0\nFollowed=yes\n")
    assert.deepStrictEqual(Supervisor.describeKill(followed), [])
  })

  it.live("of a process that is in no unit, or not there, is nobody", () =>
    Effect.gen(function* () {
      const host = LocalHost.make("here")
      const nobody = { host: "here", pid: 999_999_999, startTime: "1", executable: "/bin/sh", dataDirectory: "/" }
      assert.deepStrictEqual(yield* Supervisor.warningsOfPause(host, nobody), [])
      assert.deepStrictEqual(yield* Supervisor.warningsOfKill(host, nobody), [])
    })
  )
})

describe("a machine", () => {
  it.live("has one id, whatever label it goes by", () =>
    Effect.gen(function* () {
      const one = yield* Machine.identify(LocalHost.make("a"))
      assert.strictEqual(one, yield* Machine.identify(LocalHost.make("b")))
      assert.notStrictEqual(one, "")
    })
  )
})
