/**
 * Goal: nobody gains a right by a restart, and no restart silently loses what confined a server. Method: real servers
 * of the users nobody and games that lie as a compromised server can: rewritten environment, odd words, swapped files,
 * descriptors of others' files, and confinement of every kind that the kernel shows.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { FenceOrder } from "@inquorate/core/Injector"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Kill from "../src/mechanisms/Kill.ts"
import * as LocalHost from "../src/hosts/LocalHost.ts"
import * as Bench from "./Bench.ts"
import * as ForeignServer from "./ForeignServer.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as RestartedServer from "./RestartedServer.ts"

const hosts = new Map([["here", LocalHost.make("here")]])
const kill = Kill.make(hosts)
const lift = (order: FenceOrder, injector = kill) => injector.lift("here", order.fence, 1)
const isRoot = process.getuid?.() === 0
/** Becoming another user takes root: skipped for everybody else. */
const asRoot = it.live.skipIf(!isRoot)

const mayMake = (folder: string): boolean => {
  try {
    fs.mkdirSync(`${folder}/inquorate-try-${process.pid}`)
    fs.rmdirSync(`${folder}/inquorate-try-${process.pid}`)
    return true
  } catch {
    return false
  }
}
const hasGroups = isRoot && mayMake("/sys/fs/cgroup/pids")
const hasUnits = isRoot && mayMake("/sys/fs/cgroup/systemd")

const hasKeys = isRoot && fs.existsSync("/proc/keys")

Bench.useState()

describe("a server of another user", () => {
  asRoot("whose environment has lost its end mark is refused, and nothing of it runs", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const mark = path.join(folder, "pwned")
      const tree = yield* ForeignServer.server(ForeignServer.loop, { words: [`$(id -un>${mark})'`, "'"] })
      ForeignServer.poke(tree.process.pid, 51, (end) => [end - 1, "x"])
      const preflight = yield* kill.preflight(tree.process, tree.member)
      assert.match(problemOf(preflight), /environment of process \d+ .* does not end .*kill\.members/)
      const refused = yield* Effect.flip(kill.arm(yield* Bench.orderFor(tree)))
      assert.strictEqual(refused.reason, "OrderRefused")
      assert.isTrue(ProcessTree.isThere(tree.process.pid))
      assert.isFalse(fs.existsSync(mark))
    })
  )

  asRoot("whose arguments have lost their end mark is refused", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server(ForeignServer.loop)
      ForeignServer.poke(tree.process.pid, 49, (end) => [end - 1, "x"])
      assert.match(problemOf(yield* kill.preflight(tree.process, tree.member)), /rewritten its arguments/)
      assert.strictEqual((yield* Effect.flip(kill.arm(yield* Bench.orderFor(tree)))).reason, "OrderRefused")
      assert.isTrue(ProcessTree.isThere(tree.process.pid))
    })
  )

  asRoot("comes back with words of any bytes, and none of them is text of a program", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const mark = path.join(folder, "pwned")
      const odd = [
        `'; touch ${mark}; '`,
        `$(touch ${mark})`,
        `\`touch ${mark}\``,
        "a\nb\n",
        "\x01",
        "\x7f\xff",
        "",
        "-c"
      ]
      const environment = { ODD: `'\n$(touch ${mark})\x01`, BASH_ENV: mark, PERL5OPT: "-Mno_such_module", EMPTY: "" }
      const tree = yield* ForeignServer.server(ForeignServer.loop, { words: odd, environment })
      const before = ForeignServer.surroundings(tree.process.pid)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      // Between the order and the restart it says something else, as another process of the same user.
      yield* lift(order)
      assert.deepStrictEqual(ForeignServer.surroundings(RestartedServer.current(tree.process).pid), before)
      assert.isFalse(fs.existsSync(mark))
    })
  )

  asRoot("has neither environment nor command in arguments that others can read", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const seen = path.join(folder, "seen")
      // Written in two halves, or it would find itself.
      const watcher = spawn(
        "perl",
        [
          "-e",
          `my $secret = "hidden" . "-4711"; while (1) { for my $name (glob "/proc/[0-9]*/cmdline") { open(my $file, "<", $name) or next; local $/; my $text = <$file>; if (defined $text && $text =~ /$secret/) { open(my $out, ">>", $ARGV[0]); $text =~ tr/\\0/ /; print $out substr($text, 0, 300), "\\n" } } }`,
          seen
        ],
        { uid: 5, gid: 60, stdio: "ignore" }
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => watcher.kill("SIGKILL")))
      const tree = yield* ForeignServer.server(ForeignServer.loop, { environment: { PASSWORD: "hidden-4711" } })
      for (const injector of [kill, commanded(tree.member, "exec sh -c 'while :; do sleep 1000; done' m1")]) {
        const order = yield* Bench.orderFor({ ...tree, process: RestartedServer.current(tree.process) })
        yield* injector.arm(order)
        yield* lift(order, injector)
        assert.isTrue(RestartedServer.runs(tree.process))
      }
      const now = RestartedServer.current(tree.process)
      assert.include(fs.readFileSync(`/proc/${now.pid}/environ`, "latin1"), "PASSWORD=hidden-4711\0")
      assert.isFalse(fs.existsSync(seen), fs.existsSync(seen) ? fs.readFileSync(seen, "utf8") : "")
    })
  )

  asRoot("is started by its command as that user, with no more than it had", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server(ForeignServer.loop, {
        as: [...ForeignServer.nobody, "--no-new-privs", "--bounding-set", "-all,+net_admin"]
      })
      const said = path.join(tree.process.dataDirectory, "said")
      const ours = commanded(
        tree.member,
        `{ id -u; id -G; grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status; } >${said}; exec sh -c 'while :; do sleep 1000; done'`
      )
      const order = yield* Bench.orderFor(tree)
      yield* ours.arm(order)
      yield* lift(order, ours)
      assert.strictEqual(fs.readFileSync(said, "utf8"), "65534\n65534\nCapBnd:\t0000000000001000\nNoNewPrivs:\t1\n")
    })
  )

  asRoot("does not get the environment of a server that its command's server is less confined than", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server(ForeignServer.loop, {
        environment: { LD_PRELOAD_NOT: "kept" },
        before: ["unshare", "-m"]
      })
      const ours = commanded(tree.member, "exec sh -c 'while :; do sleep 1000; done'")
      assert.strictEqual((yield* ours.preflight(tree.process, tree.member))._tag, "Ready")
      const order = yield* Bench.orderFor(tree)
      yield* ours.arm(order)
      yield* lift(order, ours)
      const now = RestartedServer.current(tree.process)
      assert.notInclude(fs.readFileSync(`/proc/${now.pid}/environ`, "latin1"), "LD_PRELOAD_NOT")
    })
  )

  asRoot("is not mistaken for a stranger's process that names its data directory", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server(ForeignServer.loop)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      const stranger = spawn(tree.process.executable, ["-c", "sleep 1000; :", "server", tree.process.dataDirectory], {
        uid: 5,
        gid: 60,
        stdio: "ignore"
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => stranger.kill("SIGKILL")))
      const lifted = yield* lift(order)
      const now = RestartedServer.current(tree.process)
      assert.strictEqual(lifted.detail, `runs again as process ${now.pid}`)
      assert.strictEqual(ForeignServer.uidOf(now.pid), "65534")
      assert.isFalse(lifted.broken)
    })
  )
})

describe("the files of a restarted server", () => {
  asRoot("are opened with the mode that they had: what was read only is never written", () =>
    Effect.gen(function* () {
      for (const [how, flags] of [
        ["</etc/passwd", 0],
        ["<>/dev/null", null]
      ] as const) {
        const tree = yield* ForeignServer.server(ForeignServer.loop, { output: `1${how} 2${how}` })
        const order = yield* Bench.orderFor(tree)
        yield* kill.arm(order)
        yield* lift(order)
        const now = RestartedServer.current(tree.process)
        for (const number of [1, 2]) {
          const file = fs.readlinkSync(`/proc/${now.pid}/fd/${number}`)
          assert.strictEqual(file, flags === null ? "/dev/null" : "/etc/passwd")
          if (flags !== null) assert.strictEqual(ForeignServer.flagsOf(now.pid, number) & 0o3, flags)
        }
      }
    })
  )

  asRoot("are not opened again where the descriptor was for nothing but the path", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server([
        "perl",
        [
          "-e",
          `$| = 1; print "ready\\n"; my $name = "/etc/passwd"; my $fd = syscall(${openat}, -100, $name, 010000000, 0); syscall(${dup3}, $fd, $_, 0) for 1, 2; sleep 1 while 1`
        ]
      ])
      yield* Bench.until("the descriptor", () => fs.readlinkSync(`/proc/${tree.process.pid}/fd/2`) === "/etc/passwd")
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      yield* lift(order)
      const now = RestartedServer.current(tree.process)
      yield* Bench.until("its own opening", () => fs.readlinkSync(`/proc/${now.pid}/fd/2`) === "/etc/passwd")
      assert.strictEqual(ForeignServer.flagsOf(now.pid, 2) & 0o10000003, 0o10000000)
    })
  )

  asRoot("are neither created nor followed by a link: what was swapped stays as it is", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const target = path.join(folder, "of-root")
      fs.writeFileSync(target, "untouched\n", { mode: 0o600 })
      for (const swap of [
        (log: string) => fs.symlinkSync(target, log),
        (log: string) => fs.symlinkSync(path.join(folder, "new"), log),
        (log: string) => fs.linkSync(target, log),
        (log: string) => spawnSync("mkfifo", [log]),
        () => {}
      ]) {
        const log = path.join(folder, "log")
        fs.writeFileSync(log, "")
        fs.chownSync(log, 65_534, 65_534)
        const tree = yield* ForeignServer.server(ForeignServer.loop, { output: `>>${log} 2>&1` })
        const order = yield* Bench.orderFor(tree)
        yield* kill.arm(order)
        fs.renameSync(log, `${log}.away`)
        swap(log)
        const lifted = yield* lift(order)
        const now = RestartedServer.current(tree.process)
        assert.strictEqual(fs.readlinkSync(`/proc/${now.pid}/fd/1`), "/dev/null")
        assert.match(
          lifted.detail ?? "",
          new RegExp(`^its output is /dev/null now, .*; runs again as process ${now.pid}$`)
        )
        assert.strictEqual(fs.readFileSync(target, "utf8"), "untouched\n")
        assert.isFalse(fs.existsSync(path.join(folder, "new")))
        fs.rmSync(log, { force: true })
      }
    })
  )

  asRoot("are opened by the server's own rights: a log of root's is not", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const log = path.join(folder, "log")
      fs.writeFileSync(log, "", { mode: 0o644 })
      const handle = fs.openSync(log, "a")
      const tree = yield* ForeignServer.server(ForeignServer.loop, { stderr: handle, output: ">/dev/null" })
      fs.closeSync(handle)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      const lifted = yield* lift(order)
      assert.match(lifted.detail ?? "", /its user cannot open .*log/)
    })
  )

  asRoot("may be a named pipe that nobody reads, which holds nothing up", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const pipe = path.join(folder, "pipe")
      spawnSync("mkfifo", [pipe])
      fs.chownSync(pipe, 65_534, 65_534)
      const reader = fs.openSync(pipe, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
      const tree = yield* ForeignServer.server(ForeignServer.loop, { output: `>${pipe} 2>&1` })
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      fs.closeSync(reader)
      yield* lift(order)
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )

  asRoot("and its folder are the very ones: another folder of the same name is not entered", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const stand = path.join(folder, "stand")
      fs.mkdirSync(stand)
      fs.chownSync(stand, 65_534, 65_534)
      const tree = yield* ForeignServer.server(ForeignServer.loop, { stand })
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      fs.renameSync(stand, `${stand}.away`)
      fs.symlinkSync("/root", stand)
      const failed = yield* Effect.flip(lift(order))
      assert.include(failed.detail, `${stand}`)
      fs.rmSync(stand)
      fs.mkdirSync(stand)
      assert.include((yield* Effect.flip(lift(order))).detail, "is another one now")
      fs.rmdirSync(stand)
      fs.renameSync(`${stand}.away`, stand)
      yield* lift(order)
      // A keeper that was starting a command names the directory for a moment.
      yield* Bench.until("one server", () => ForeignServer.naming(tree.process.dataDirectory).length === 1)
    })
  )

  asRoot("and its folder are refused before the kill where the folder was removed, or its user may not enter it", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const stand = path.join(folder, "stand")
      fs.mkdirSync(stand)
      const gone = yield* ForeignServer.server(ForeignServer.loop, { stand })
      fs.rmdirSync(stand)
      assert.match(problemOf(yield* kill.preflight(gone.process, gone.member)), /folder .* was removed/)
      fs.mkdirSync(stand)
      const barred = yield* ForeignServer.server(ForeignServer.loop, { stand })
      fs.chmodSync(stand, 0o700)
      assert.match(problemOf(yield* kill.preflight(barred.process, barred.member)), /cannot enter the folder/)
    })
  )

  asRoot("are kept in a record that counts whole and ours alone", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server(ForeignServer.loop)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      const record = path.join(Bench.directoryOf(order.fence), "restart")
      const whole = fs.readFileSync(record)
      assert.strictEqual(fs.statSync(record).mode & 0o777, 0o600)
      fs.writeFileSync(record, whole.subarray(0, -1))
      assert.include((yield* Effect.flip(lift(order))).detail, "is not whole")
      fs.writeFileSync(record, whole)
      fs.chownSync(record, 65_534, 65_534)
      assert.include((yield* Effect.flip(lift(order))).detail, "belongs to another user")
      fs.chownSync(record, 0, 0)
      yield* lift(order)
      assert.isTrue(RestartedServer.runs(tree.process))
      assert.isFalse(fs.existsSync(record))
    })
  )
})

describe("what confines a server", () => {
  const kept: ReadonlyArray<readonly [string, ForeignServer.Wrapped]> = [
    ["no_new_privs", { wrapper: ["setpriv", "--no-new-privs"] }],
    ["a bounding set", { as: [...ForeignServer.nobody, "--bounding-set", "-all,+net_admin"] }],
    ["an empty bounding set", { as: [...ForeignServer.nobody, "--bounding-set", "-all"] }],
    ["its groups", { as: ["setpriv", "--reuid", "65534", "--regid", "65534", "--groups", "60,5"] }],
    ["a lower priority", { wrapper: ["nice", "-n", "7"] }],
    ["a batch policy", { wrapper: ["chrt", "-b", "0"] }],
    ["a policy of real time", { before: ["chrt", "-r", "3"] }],
    ["limits", { wrapper: ["prlimit", "--nofile=77:99", "--core=0:0", "--nproc=333:333"] }],
    ["one processor", { wrapper: ["taskset", "1"] }],
    ["addresses that are not random", { wrapper: ["setarch", "-R"] }],
    ["an out-of-memory score", { wrapper: ["choom", "-n", "300", "--"] }]
  ]
  for (const [what, wrapped] of kept) {
    asRoot(`comes back with it: ${what}`, () =>
      Effect.gen(function* () {
        const tree = yield* ForeignServer.server(ForeignServer.loop, wrapped)
        const before = ForeignServer.surroundings(tree.process.pid)
        const order = yield* Bench.orderFor(tree)
        yield* kill.arm(order)
        yield* lift(order)
        assert.deepStrictEqual(ForeignServer.surroundings(RestartedServer.current(tree.process).pid), before)
      })
    )
  }

  asRoot("does not grow by what the worker has: priority, processors, keys, capabilities to hand on", () =>
    Effect.gen(function* () {
      const tree = yield* ForeignServer.server(ForeignServer.loop)
      const before = ForeignServer.surroundings(tree.process.pid)
      const own = os.getPriority(process.pid)
      os.setPriority(process.pid, -5)
      yield* Effect.addFinalizer(() => Effect.sync(() => os.setPriority(process.pid, own)))
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      yield* lift(order)
      const now = RestartedServer.current(tree.process)
      assert.deepStrictEqual(ForeignServer.surroundings(now.pid), before)
      assert.deepStrictEqual(
        fs.readdirSync(`/proc/${now.pid}/fd`).filter((number) => Number(number) > 2 && Number(number) < 10),
        []
      )
    })
  )

  it.live.skipIf(!hasKeys)(
    "has none of the worker's keys, also where its user may make no more (as root, with keyrings)",
    () =>
      Effect.gen(function* () {
        // 250 keys are more than a user may have.
        const asNobody = (code: string) =>
          spawnSync("perl", ["-e", code], { uid: 65_534, gid: 65_534, encoding: "utf8" }).stdout
        const many = `for my $n (1 .. 250) { my ($kind, $name, $x) = ("user", "filler$n", "x"); syscall(${addKey}, $kind, $name, $x, 1, -4) >= 0 or print "full\n" }`
        yield* Effect.addFinalizer(() => Effect.sync(() => asNobody(`syscall(${keyctl}, 7, -4)`)))
        const tree = yield* ForeignServer.server([
          "sh",
          ["-c", "cat /proc/keys >keys.$$; while :; do sleep 1000; done", "server"]
        ])
        assert.include(asNobody(many), "full")
        const near = LocalHost.make("here")
        const own = `syscall(${keyctl}, 1, 0); my ($kind, $name, $x) = ("user", "inquorate-secret", "x"); syscall(${addKey}, $kind, $name, $x, 1, -3) >= 0 or die; exec "sh", "-c", @ARGV`
        const keyed = Kill.make(
          new Map([
            [
              "here",
              {
                ...near,
                run: (program, words, options) =>
                  near.run(`exec perl -e '${own}' "$@"`, [program, "inquorate", ...words], options)
              }
            ]
          ])
        )
        const order = yield* Bench.orderFor(tree)
        yield* keyed.arm(order)
        yield* lift(order, keyed)
        const now = RestartedServer.current(tree.process)
        const seen = path.join(tree.process.dataDirectory, `keys.${now.pid}`)
        yield* Bench.until("the keys that it sees", () => fs.existsSync(seen) && fs.readFileSync(seen, "utf8") !== "")
        assert.notInclude(fs.readFileSync(seen, "utf8"), "inquorate-secret")
      })
  )

  it.live.skipIf(!hasGroups)("comes back with it: a control group (as root, where there is a hierarchy of pids)", () =>
    Effect.gen(function* () {
      const group = `/sys/fs/cgroup/pids/inquorate-test-${process.pid}`
      fs.mkdirSync(group)
      const tree = yield* ForeignServer.server(ForeignServer.loop)
      yield* Effect.addFinalizer(() =>
        Effect.promise(() => ForeignServer.removeGroup(group, tree.process.dataDirectory))
      )
      fs.writeFileSync(`${group}/cgroup.procs`, String(tree.process.pid))
      const before = ForeignServer.surroundings(tree.process.pid)
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      yield* lift(order)
      assert.deepStrictEqual(ForeignServer.surroundings(RestartedServer.current(tree.process).pid), before)
    })
  )

  it.live.skipIf(!hasUnits)("is left to its unit where it is the main process of one (a stand-in for systemctl)", () =>
    Effect.gen(function* () {
      const unit = `inquorate-test-${process.pid}.service`
      const group = `/sys/fs/cgroup/systemd/${unit}`
      fs.mkdirSync(group)
      const tree = yield* ForeignServer.server(ForeignServer.loop, { wrapper: ["setpriv", "--no-new-privs"] })
      yield* Effect.addFinalizer(() =>
        Effect.promise(() => ForeignServer.removeGroup(group, tree.process.dataDirectory))
      )
      fs.writeFileSync(`${group}/cgroup.procs`, String(tree.process.pid))
      const folder = yield* ForeignServer.openFolder
      const data = tree.process.dataDirectory
      fs.writeFileSync(
        path.join(folder, "systemctl"),
        `#!/bin/sh
case "$1 $5" in "show ${unit}") cat ${folder}/main; exit ;; esac
echo "$@" >>${folder}/calls
[ "$1" = stop ] && exit
(cd ${data} && exec setsid setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'while :; do sleep 1000; done' >>log 2>&1) &
`,
        { mode: 0o755 }
      )
      const near = LocalHost.make("here")
      const withUnits = Kill.make(
        new Map([
          [
            "here",
            {
              ...near,
              run: (program, words, options) =>
                near.run(
                  `PATH=${folder}:$PATH; export PATH; p=$1; shift; exec sh -c "$p" inquorate "$@"`,
                  [program, ...words],
                  options
                )
            }
          ]
        ])
      )
      // The unit of another process is none of its own.
      fs.writeFileSync(path.join(folder, "main"), "1\n")
      const first = yield* Bench.orderFor(tree)
      yield* withUnits.arm(first)
      yield* lift(first, withUnits)
      assert.isFalse(fs.existsSync(path.join(folder, "calls")))
      const now = { ...tree, process: RestartedServer.current(tree.process) }
      fs.writeFileSync(path.join(folder, "main"), `${now.process.pid}\n`)
      const order = yield* Bench.orderFor(now)
      yield* withUnits.arm(order)
      yield* lift(order, withUnits)
      assert.strictEqual(fs.readFileSync(path.join(folder, "calls"), "utf8"), `stop ${unit}\nstart ${unit}\n`)
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )

  // A filter of system calls that allows every one; ends what it confines in nothing but its rights.
  const filtered = [
    "perl",
    "-e",
    `my $code = pack("SCCL", 6, 0, 0, 0x7fff0000); my $filter = pack("Sx6p", 1, $code); syscall(${prctl}, 38, 1, 0, 0, 0); syscall(${prctl}, 22, 2, $filter, 0, 0) == 0 or die; exec @ARGV`
  ]
  const refused: ReadonlyArray<readonly [string, ForeignServer.Wrapped, RegExp]> = [
    ["seccomp", { wrapper: filtered }, /seccomp/],
    [
      "inheritable capabilities",
      { as: [...ForeignServer.nobody, "--inh-caps", "+net_admin"] },
      /capabilities of its own \(CapInh/
    ],
    [
      "ambient capabilities",
      { as: [...ForeignServer.nobody, "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"] },
      /capabilities of its own/
    ],
    [
      "a root without some capabilities",
      {
        as: ["setpriv", "--inh-caps", "-all", "--bounding-set", "-all"],
        before: ["setpriv", "--securebits", "+noroot"]
      },
      /root without some|bounding/
    ],
    ["a mount namespace", { before: ["unshare", "-m"] }, /namespace of its own \(mount/],
    ["a user namespace", { wrapper: ["unshare", "-U"] }, /namespace of its own|may not look/],
    ["an IPC namespace", { before: ["unshare", "-i"] }, /namespace of its own \(IPC/],
    ["a name of the host", { before: ["unshare", "-u"] }, /namespace of its own \(host name/],
    ["a control group namespace", { before: ["unshare", "-C"] }, /namespace of its own \(control group/],
    ["a namespace for its children", { before: ["unshare", "-p"] }, /namespace of its own \(process/],
    [
      "sockets from a supervisor",
      { environment: { LISTEN_FDS: "1" }, wrapper: ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"] },
      /LISTEN_FDS/
    ]
  ]
  for (const [what, wrapped, problem] of refused) {
    asRoot(`is refused before the kill where it would be lost: ${what}`, () =>
      Effect.gen(function* () {
        const tree = yield* ForeignServer.server(ForeignServer.loop, wrapped)
        const preflight = yield* kill.preflight(tree.process, tree.member)
        assert.match(problemOf(preflight), problem)
        assert.strictEqual((yield* Effect.flip(kill.arm(yield* Bench.orderFor(tree)))).reason, "OrderRefused")
        assert.isTrue(ProcessTree.isThere(tree.process.pid))
      })
    )
  }

  asRoot("is refused before the kill where it would be lost: a root directory of its own", () =>
    Effect.gen(function* () {
      const jail = yield* ForeignServer.openFolder
      const tree = yield* ForeignServer.server(["perl", ["-e", "chroot($ARGV[0]) or die; sleep 1 while 1", jail]], {
        as: ["env"]
      })
      yield* Bench.until("its jail", () => fs.readlinkSync(`/proc/${tree.process.pid}/root`) === jail)
      assert.match(problemOf(yield* kill.preflight(tree.process, tree.member)), /root directory of its own/)
    })
  )
})

describe("a server whose start is not the one it had", () => {
  it.live("runs the file that has the name now, where an upgrade replaced it, and says so", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const program = path.join(folder, "server")
      const install = (): void => {
        fs.copyFileSync(fs.realpathSync("/bin/sh"), `${program}.new`)
        fs.chmodSync(`${program}.new`, 0o755)
        fs.renameSync(`${program}.new`, program)
      }
      install()
      for (const known of ["before", "after"]) {
        const tree = yield* RestartedServer.start(
          ProcessTree.startWith([program, ["-c", "echo ready; while :; do sleep 1000; done"]])
        )
        install()
        assert.strictEqual(fs.readlinkSync(`/proc/${tree.process.pid}/exe`), `${program} (deleted)`)
        const ref = { ...tree.process, executable: known === "before" ? program : `${program} (deleted)` }
        assert.strictEqual((yield* kill.preflight(ref, tree.member))._tag, "Ready")
        const order = yield* Bench.orderFor({ ...tree, process: ref })
        yield* kill.arm(order)
        const lifted = yield* lift(order)
        const now = RestartedServer.current(tree.process)
        assert.strictEqual(fs.readlinkSync(`/proc/${now.pid}/exe`), program)
        assert.match(lifted.detail ?? "", /executable .*server was replaced since it was started/)
      }
      const last = yield* RestartedServer.start(
        ProcessTree.startWith([program, ["-c", "echo ready; while :; do sleep 1000; done"]])
      )
      fs.rmSync(program)
      const ref = { ...last.process, executable: `${program} (deleted)` }
      assert.match(problemOf(yield* kill.preflight(ref, last.member)), /executable .* was removed/)
    })
  )

  it.live("runs the file that ran, where an upgrade renamed its folder, and says so", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const install = (): void => {
        fs.mkdirSync(path.join(folder, "bin"))
        fs.copyFileSync(fs.realpathSync("/bin/sh"), path.join(folder, "bin/server"))
        fs.chmodSync(path.join(folder, "bin/server"), 0o755)
      }
      install()
      const tree = yield* RestartedServer.start(
        ProcessTree.startWith([path.join(folder, "bin/server"), ["-c", "echo ready; while :; do sleep 1000; done"]])
      )
      fs.renameSync(path.join(folder, "bin"), path.join(folder, "bin.old"))
      install()
      const ref = { ...tree.process, executable: path.join(folder, "bin.old/server") }
      const order = yield* Bench.orderFor({ ...tree, process: ref })
      yield* kill.arm(order)
      const lifted = yield* lift(order)
      const now = RestartedServer.current(ref)
      assert.strictEqual(fs.readlinkSync(`/proc/${now.pid}/exe`), ref.executable)
      assert.include(lifted.detail ?? "", `started by the name ${folder}/bin/server, which leads to another file now`)
    })
  )

  const postgres = (words: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const program = path.join(folder, "postgres")
      fs.copyFileSync(fs.realpathSync("/usr/bin/perl"), program)
      fs.chmodSync(program, 0o755)
      const main = path.join(folder, "main")
      fs.mkdirSync(main)
      return yield* ForeignServer.spawned(
        program,
        ["-e", `$| = 1; chdir("${main}"); print "ready\\n"; sleep 1 while 1`, "--", ...words],
        {
          cwd: folder,
          environment,
          dataDirectory: main
        }
      )
    })

  it.live("is refused before the kill: PostgreSQL by the relative name of its directory", () =>
    Effect.gen(function* () {
      for (const [words, environment] of [
        [["-D", "main"], {}],
        [["-Dmain"], {}],
        [["-D", "./main"], {}],
        [[], { PGDATA: "main" }],
        [["-D", "main"], { PGDATA: "/elsewhere" }],
        [["-c", "data_directory=main"], {}],
        [["--data-directory=main"], {}],
        [["-c", "config_file=main/postgresql.conf"], {}]
      ] as const) {
        const tree = yield* postgres(words, environment)
        const problem = problemOf(yield* kill.preflight(tree.process, tree.member))
        assert.match(
          problem,
          /would not serve the data directory .* the relative name .*kill\.members/,
          words.join(" ")
        )
        assert.strictEqual((yield* Effect.flip(kill.arm(yield* Bench.orderFor(tree)))).reason, "OrderRefused")
        assert.isTrue(ProcessTree.isThere(tree.process.pid))
      }
    })
  )

  it.live("is started where its words lead to the directory from where it stands", () =>
    Effect.gen(function* () {
      for (const name of ["absolute", ".", "../main"]) {
        const tree = yield* postgres(["-D", name]).pipe(
          Effect.flatMap((tree) =>
            name === "absolute" ? postgresAt(tree.process.dataDirectory) : Effect.succeed(tree)
          )
        )
        assert.strictEqual((yield* kill.preflight(tree.process, tree.member))._tag, "Ready", name)
      }
    })
  )

  const postgresAt = (main: string) =>
    ForeignServer.spawned(
      path.join(path.dirname(main), "postgres"),
      ["-e", `$| = 1; chdir("${main}"); print "ready\\n"; sleep 1 while 1`, "--", "-D", main],
      { cwd: path.dirname(main), environment: {}, dataDirectory: main }
    )

  it.live("that ends at once is told by its own last line", () =>
    Effect.gen(function* () {
      const folder = yield* ForeignServer.openFolder
      const log = path.join(folder, "log")
      const tree = yield* RestartedServer.start(
        ProcessTree.startWith([
          "sh",
          [
            "-c",
            `echo ready; exec >>${log} 2>&1; if [ -e ${folder}/broken ]; then echo "FATAL:  could not be"; exit 1; fi; while :; do sleep 1000; done`
          ]
        ])
      )
      yield* Bench.until("its log", () => fs.existsSync(log))
      fs.writeFileSync(log, "an older line\n")
      const order = yield* Bench.orderFor(tree)
      yield* kill.arm(order)
      fs.writeFileSync(path.join(folder, "broken"), "")
      assert.include((yield* Effect.flip(lift(order))).detail, "FATAL:  could not be")
      fs.rmSync(path.join(folder, "broken"))
      yield* lift(order)
      assert.isTrue(RestartedServer.runs(tree.process))
    })
  )

  it.live("is refused where the host has no Perl, with the packages that bring it", () =>
    Effect.gen(function* () {
      const tree = yield* RestartedServer.start()
      const near = LocalHost.make("here")
      const bare = yield* ForeignServer.openFolder
      for (const name of fs.readdirSync("/usr/bin")) {
        if (!name.startsWith("perl")) fs.symlinkSync(path.join("/usr/bin", name), path.join(bare, name))
      }
      const without = Kill.make(
        new Map([
          [
            "here",
            {
              ...near,
              run: (program, words, options) =>
                near.run(
                  program.replace(
                    'eval "$program"',
                    `command() { case $2 in perl) return 1 ;; *) [ -e ${bare}/$2 ] && echo $2 ;; esac; }; eval "$program"`
                  ),
                  words,
                  options
                )
            }
          ]
        ])
      )
      assert.match(problemOf(yield* without.preflight(tree.process, tree.member)), /no perl.*perl-base/)
      assert.isTrue(ProcessTree.isThere(tree.process.pid))
    })
  )
})

// --- internal ---

const [openat, dup3, prctl, keyctl, addKey] =
  process.arch === "arm64" ? [56, 24, 167, 219, 217] : [257, 292, 157, 250, 248]

const commanded = (member: string, command: string) => Kill.make(hosts, { members: { [member]: { command } } })

const problemOf = (preflight: { readonly _tag: string; readonly problem?: string }): string =>
  preflight.problem ?? preflight._tag
