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

describe("a unit of a user's own systemd", () => {
  const base = "/user.slice/user-1000.slice/user@1000.service"
  // What the double of systemctl was asked, by whom and with which surroundings; only a `--user` question is answered so.
  const made = (answer: string) => {
    const host = MadeUpHost.make({
      "proc/7/cgroup": `0::${base}/app.slice/etcd.service/user@0.service/sshd.service\n`,
      "proc/8/cgroup": `1:name=systemd:${base}/app.slice/etcd.service\n4:memory:${base}\n`,
      "proc/9/cgroup": `0::${base}/user.slice/libpod-1.scope/container\n`,
      "proc/10/cgroup": `0::${base}/init.scope\n`,
      "proc/11/cgroup": "0::/system.slice/etcd.service/user.slice/user-1000.slice/user@1000.service/x.service\n",
      "systemd/system/x": "",
      answer
    })
    fs.chmodSync(host.root, 0o755)
    fs.chmodSync(path.join(host.root, "answer"), 0o644)
    fs.mkdirSync(path.join(host.root, "bin"))
    fs.mkdirSync(path.join(host.root, "asked"), { mode: 0o777 })
    fs.chmodSync(path.join(host.root, "asked"), 0o777)
    const systemctl = [
      "#!/bin/sh",
      `{ echo "$*"; id -u; id -g; id -G; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; env | sort; } >"${host.root}/asked/now"`,
      `[ "$1" != --user ] || cat ${host.root}/answer`
    ]
    fs.writeFileSync(path.join(host.root, "bin/systemctl"), `${systemctl.join("\n")}\n`, { mode: 0o755 })
    return {
      asked: () => fs.readFileSync(path.join(host.root, "asked/now"), "utf8"),
      told: (shell: ReadonlyArray<string>, pid: number, user: number, more = "") =>
        Supervisor.parse(
          host.told(shell, ["facts.sh", "supervisor.sh"], `${more}effective=${user}; watchers ${pid}`, {
            environment: { PATH: `${host.root}/bin:${process.env["PATH"]}`, SECRET: "ours" }
          })
        )
    }
  }
  const loaded = "LoadState=loaded\nWatchdogUSec=30s\nRestart=always\nRestartUSec=1s\nFollowed=yes\nUser=0\n"
  const unit = { unit: "etcd.service", watchdog: 30_000, restart: "always", restartAfter: 1000, user: "1000" }

  // The setpriv of busybox, which its shell takes before any other, changes no user.
  it.skipIf(process.getuid?.() !== 0)("is asked of that systemd by root with its user's rights alone", () => {
    const [host, shell] = [made(loaded), ["dash"]]
    // What the user names deeper, and what it answers beside the settings, count for nothing.
    assert.deepStrictEqual(host.told(shell, 7, 0), unit)
    const [words, uid, gid, groups, capabilities, privileges, ...surroundings] = host.asked().trim().split("\n")
    assert.strictEqual(words, "--user show --property=LoadState,WatchdogUSec,Restart,RestartUSec -- etcd.service")
    assert.deepStrictEqual([uid, gid, groups], ["1000", "65534", "65534"])
    assert.match(capabilities!, /^CapEff:\s+0+$/)
    assert.match(privileges!, /^NoNewPrivs:\s+1$/)
    assert.include(surroundings, "XDG_RUNTIME_DIR=/run/user/1000")
    assert.notInclude(surroundings.join("\n"), "SECRET")
    assert.deepStrictEqual(host.told(shell, 8, 0), unit)
  })

  for (const shell of MadeUpHost.shells) {
    it(`is told as not read where it does not answer, and bounds the hold (${shell.join(" ")})`, () => {
      const unread = (found: Supervisor.Unit | null) => {
        assert.isNotNull(found)
        for (const { supervisors } of [Supervisor.describePause(found), Supervisor.describeKill(found)]) {
          assert.deepStrictEqual(
            supervisors.map(({ patience, reaction }) => [patience, reaction]),
            [[0, "RestartsMember"]]
          )
          assert.include(supervisors[0]!.source, `etcd.service of user 1000's own systemd, whose watchdog and Restart`)
        }
        return found.unread
      }
      const us = process.getuid?.() ?? 0
      const someoneElse = us === 0 ? 1001 : us + 1
      assert.strictEqual(unread(made(loaded).told(shell, 7, someoneElse)), "only root and that user may ask it")
      for (const answer of ["", "LoadState=not-found\nRestart=no\n", "Restart=no\n"])
        assert.strictEqual(unread(made(answer).told(shell, 7, 1000)), "it does not say, asked as that user")
      const bare = 'command() { [ "$2" != setpriv ]; }\n'
      assert.match(unread(made(loaded).told(shell, 7, 0, bare)) ?? "", /no setpriv.*install util-linux/)
    })

    it(`is no unit where it is a scope or that systemd itself, or where another unit made the names (${shell.join(" ")})`, () => {
      const host = made(loaded)
      for (const pid of [9, 10]) assert.isNull(host.told(shell, pid, 1000))
      assert.isNull(host.told(shell, 11, 1000))
      assert.match(host.asked(), /^show .* -- x\.service\n/)
    })
  }

  it("is told with whose it is, and what to do about a start during the hold", () => {
    const { supervisors, warnings } = Supervisor.describeKill(unit)
    assert.include(supervisors[0]!.source, "Restart=always of etcd.service of user 1000's own systemd")
    assert.match(warnings[0]!, /set its Restart to no for the time of the fault/)
    assert.include(Supervisor.describePause(unit).supervisors[0]!.source, "of user 1000's own systemd (30000 ms")
  })
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
