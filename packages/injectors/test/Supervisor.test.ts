/**
 * What is told of a process's supervisor: what systemd says, in its own words, and nothing where nobody can be asked.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Machine from "../src/hosts/Machine.ts"
import * as Supervisor from "../src/Supervisor.ts"
import * as MadeUpHost from "./MadeUpHost.ts"

const unit = (watchdog: string, restart: string, again = "100ms") =>
  Supervisor.parse(`etcd.service\nRestart=${restart}\nWatchdogUSec=${watchdog}\nRestartUSec=${again}\n`)
const said = (watchdog: string, restart: string) => Supervisor.describePause(unit(watchdog, restart)).warnings
const nobody = { supervisors: [], warnings: [] }

describe("a supervisor", () => {
  it("that would end a silent server is told with its time, in every way systemd writes it", () => {
    for (const [text, millis] of [
      ["30s", 30_000],
      ["1min 30s", 90_000],
      ["500ms", 500],
      ["1h", 3_600_000],
      ["1s 250ms", 1250],
      ["1w 1d", 691_200_000],
      ["1month", 2_629_800_000],
      ["400us", 1]
    ] as const) {
      const { supervisors, warnings } = Supervisor.describePause(unit(text, "on-watchdog"))
      const [warning, ...more] = warnings
      assert.deepStrictEqual(more, [])
      assert.include(
        warning,
        `end etcd.service when it has not notified for ${millis} ms and start it again (Restart=on-watchdog)`
      )
      // The server notified up to half of it ago.
      assert.deepStrictEqual(
        supervisors.map(({ patience, reaction }) => [patience, reaction]),
        [[Math.floor(millis / 2), "RestartsMember"]]
      )
      assert.include(supervisors[0]?.source, "WatchdogSec of etcd.service")
    }
  })

  it("that would bring a dead server back is told apart, and none is told where there is none", () => {
    assert.match(said("0", "always")[0]!, /bring etcd.service back .*Restart=always/)
    assert.deepStrictEqual(said("0", "no"), [])
    assert.deepStrictEqual(said("infinity", "no"), [])
    // What a pause does not wake is no supervisor of it.
    assert.deepStrictEqual(Supervisor.describePause(unit("0", "always")).supervisors, [])
    assert.deepStrictEqual(Supervisor.describePause(Supervisor.parse("")), nobody)
    assert.deepStrictEqual(Supervisor.describePause(Supervisor.parse("user.slice\n\n")), nobody)
  })

  it("is told to who would kill where it starts the server again", () => {
    const { supervisors, warnings } = Supervisor.describeKill(unit("0", "always", "1s 500ms"))
    assert.deepStrictEqual(warnings, [
      "systemd would start etcd.service again during the hold (Restart=always), which breaks it; name the unit in the settings of kill"
    ])
    assert.deepStrictEqual(
      supervisors.map(({ patience, reaction }) => [patience, reaction]),
      [[1500, "RestartsMember"]]
    )
    // SIGKILL is no success and no watchdog.
    for (const restart of ["no", "on-success", "on-watchdog"]) {
      assert.deepStrictEqual(Supervisor.describeKill(unit("0", restart)), nobody)
    }
    assert.deepStrictEqual(Supervisor.describeKill(null), nobody)
    // Of a unit that the kill stops itself there is nothing to tell.
    const followed = Supervisor.parse("etcd.service\nRestart=always\nWatchdogUSec=0\nFollowed=yes\n")
    assert.deepStrictEqual(Supervisor.describeKill(followed), nobody)
  })

  for (const shell of MadeUpHost.shells) {
    it(`is the unit nearest to the process, and nobody where systemd cannot be asked (${shell.join(" ")})`, () => {
      const host = MadeUpHost.make({
        "proc/7/cgroup": "0::/system.slice/etcd.service/a part\n",
        "proc/8/cgroup": "0::/user.slice/user-0.slice\n"
      })
      fs.mkdirSync(path.join(host.root, "bin"))
      const answer = "WatchdogUSec=30s\nRestart=always\nRestartUSec=1s\nMainPID=7\n"
      const systemctl = `#!/bin/sh\n[ "$*" = "show --property=WatchdogUSec,Restart,RestartUSec,MainPID -- etcd.service" ] && printf '${answer}'\n`
      fs.writeFileSync(path.join(host.root, "bin/systemctl"), systemctl, { mode: 0o755 })
      const told = (pid: number, user: number): Supervisor.Unit | null =>
        Supervisor.parse(
          host.told(shell, ["facts.sh", "supervisor.sh"], `effective=${user}; watchers ${pid}`, {
            environment: { PATH: `${host.root}/bin:${process.env["PATH"]}` }
          })
        )
      assert.isNull(told(7, 0))
      host.add({ "systemd/system/x": "" })
      const unit = { unit: "etcd.service", watchdog: 30_000, restart: "always", restartAfter: 1000 }
      assert.deepStrictEqual(told(7, 1000), unit)
      // Of its main process the kill ends and starts the unit itself, where it may.
      assert.deepStrictEqual(told(7, 0), { ...unit, followed: true })
      assert.isNull(told(8, 0))
    })
  }
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
