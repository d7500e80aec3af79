/**
 * Goal: nobody is taken for a server by what he says of himself, and no record is believed that somebody else could
 * have written. Method: real processes of the users nobody (a server's own) and games (anybody) are offered to the
 * program on the host. Each has one thing of a server's that it can have. Identity.long.test.ts has more of some kinds.
 */
import { factor } from "@inquorate/testkit/Pace"
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Preflight } from "@inquorate/core/Injector"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Netfilter from "../src/mechanisms/Netfilter.ts"
import * as Programs from "../src/Programs.ts"
import * as IdentityBench from "./IdentityBench.ts"
import * as ProcessTree from "./ProcessTree.ts"

const {
  areContainers,
  areServices,
  etcdOf,
  folderOf,
  games,
  groups,
  here,
  isFencedWith,
  isImpossible,
  isReady,
  judged,
  nobody,
  orderFor,
  pause,
  perl,
  refusal,
  root,
  skip,
  sweepOf,
  within
} = IdentityBench

IdentityBench.useFolder()

const isMistaken = (preflight: Preflight): void =>
  assert.strictEqual(preflight._tag, "Mistaken", JSON.stringify(preflight))

describe.skipIf(!root)(`the server of a data directory${skip}`, () => {
  it.live("is who has etcd's database open for writing, wherever he stands and whatever he is told", () =>
    Effect.gen(function* () {
      const { directory, file } = etcdOf(nobody)
      isReady(yield* judged((yield* perl(`open(A, ">>", "${file}") or die`, nobody)).process, directory))
    })
  )

  isFencedWith({ PERLIO: ":crlf" })

  it.live("is nobody who only reads it, names it, or reached it by another name", () =>
    Effect.gen(function* () {
      const { directory, file } = etcdOf(nobody, 0o644)
      const linked = path.join(folderOf(games, 0o755), "db")
      fs.linkSync(file, linked)
      const impostors = [
        `open(A, "<", "${file}") or die`,
        `open(A, "<", "${linked}") or die`,
        `chdir "${directory}" or die`,
        `chdir "${path.dirname(file)}" or die; open(A, "<", "db")`
      ]
      for (const text of impostors) isMistaken(yield* judged((yield* perl(text, games)).process, directory))
      // By O_PATH a descriptor names a file and no more, whatever it was opened for.
      const pointing =
        "import os, sys, time; os.open(sys.argv[1], os.O_PATH | os.O_RDWR); print(1, flush=True); time.sleep(999)"
      const python = "/usr/bin/python3"
      if (fs.existsSync(python)) {
        const pointer = yield* ProcessTree.startWith([python, ["-c", pointing, file]], { uid: games })
        isMistaken(yield* judged(pointer.process, directory))
      }
      const namer = [
        "perl",
        ["-e", '$| = 1; print "ready\\n"; sleep 1000', "--", `--data-dir=${directory}`, directory]
      ] as const
      isMistaken(yield* judged((yield* ProcessTree.startWith(namer, { uid: games })).process, directory))
    })
  )

  it.live("is nobody who was handed the descriptor by the server, which is another user's", () =>
    Effect.gen(function* () {
      const { directory, file } = etcdOf(nobody)
      const heir = yield* perl(`open(A, ">>", "${file}") or die; $) = "5 5"; $( = 5; $< = 5; $> = 5; die if $> != 5`)
      isMistaken(yield* judged(heir.process, directory))
    })
  )

  it.live("is nobody whose database stands elsewhere under a path with line ends in it", () =>
    Effect.gen(function* () {
      const { directory } = etcdOf(nobody)
      const own = path.join(folderOf(games, 0o755), `x\nx -> ${directory}`, "member/snap")
      fs.mkdirSync(own, { recursive: true })
      fs.writeFileSync(path.join(own, "db"), "")
      fs.chmodSync(path.join(own, "db"), 0o666)
      isMistaken(yield* judged((yield* perl(`open(A, ">>", $ARGV[0]) or die`, games)).process, directory))
      const text = `opendir(D, "${path.resolve(own, "../../..")}"); my ($x) = grep { /x/ } readdir D; chdir "${path.resolve(own, "../../..")}/$x/member/snap"; open(A, ">>", "db") or die`
      isMistaken(yield* judged((yield* perl(text, games)).process, directory))
    })
  )

  it.live("is the postmaster that its own user's file names, and nobody who wrote one where everybody may", () =>
    Effect.gen(function* () {
      const standing = (directory: string, uid: number) =>
        perl(`chdir "${directory}" or die; open(F, ">", "postmaster.pid"); print F "$$\\n"; close F`, uid)
      const own = folderOf(nobody)
      isReady(yield* judged((yield* standing(own, nobody)).process, own))
      const shared = folderOf(0, 0o1777)
      isMistaken(yield* judged((yield* standing(shared, games)).process, shared))
      const open = folderOf(games, 0o777)
      isMistaken(yield* judged((yield* standing(open, games)).process, open))
      const theirs = folderOf(nobody, 0o755)
      fs.writeFileSync(path.join(theirs, "postmaster.pid"), "1\n", { mode: 0o644 })
      isMistaken(yield* judged((yield* perl(`chdir "${theirs}" or die`, games)).process, theirs))
      isMistaken(yield* judged((yield* perl(`chdir "${theirs}" or die`, nobody)).process, theirs))
    })
  )

  it.live("is looked for in bounded time, whatever stands in the place of its file", () =>
    Effect.gen(function* () {
      const [piped, linked] = [folderOf(nobody), folderOf(nobody)]
      assert.strictEqual(spawnSync("mkfifo", [path.join(piped, "postmaster.pid")]).status, 0)
      fs.symlinkSync("/dev/zero", path.join(linked, "postmaster.pid"))
      for (const directory of [piped, linked]) {
        isMistaken(yield* judged((yield* perl(`chdir "${directory}" or die`, nobody)).process, directory))
      }
    })
  )

  it.live("may have any name, also one that looks like the kernel's own words", () =>
    Effect.gen(function* () {
      const { directory, file } = etcdOf(nobody)
      const odd = yield* perl(`open(A, ">>", "${file}") or die; $0 = "a) R 1\\n1 (b"`, nobody)
      assert.include(fs.readFileSync(`/proc/${odd.process.pid}/comm`, "latin1"), ") R 1\n")
      isReady(yield* judged(odd.process, directory))
    })
  )

  it.live("is told from the program it says to be, also where an upgrade replaced that", () =>
    Effect.gen(function* () {
      const place = folderOf(0, 0o755)
      const program = path.join(place, "server")
      fs.copyFileSync(fs.realpathSync("/usr/bin/perl"), program)
      const text = '$| = 1; print "ready\\n"; sleep 1000'
      const server = yield* ProcessTree.startWith([program, ["-e", text]])
      fs.rmSync(program)
      fs.copyFileSync(fs.realpathSync("/usr/bin/perl"), program)
      isReady(yield* judged({ ...server.process, executable: program }))
      // A file that is really called so, and is still there.
      const named = `${program} (deleted)`
      fs.copyFileSync(program, named)
      const other = yield* ProcessTree.startWith([named, ["-e", text]])
      isMistaken(yield* judged({ ...other.process, executable: program }))
    })
  )
})

describe.skipIf(!root)(`the control group of a process${skip}`, () => {
  const freezers = [
    { version: "v1", place: "/sys/fs/cgroup/freezer", file: "freezer.state", on: "FROZEN", off: "THAWED" },
    { version: "v2", place: "/sys/fs/cgroup/unified", file: "cgroup.freeze", on: "1", off: "0" },
    { version: "v2 alone", place: "/sys/fs/cgroup", file: "cgroup.freeze", on: "1", off: "0" }
  ].filter(({ place }) => fs.existsSync(path.join(place, "cgroup.procs")))

  it.live.each(freezers)(
    "that is frozen ($version), as by docker pause, is told and refused",
    ({ place, file, off, on }) =>
      Effect.gen(function* () {
        const tree = yield* ProcessTree.start("still")
        const cut = Netfilter.make(new Map([["here", here]]), { keepPorts: [] })
        const group = yield* within(place, [`inquorate-${randomUUID()}`, "leaf"], tree.process.pid)
        isReady(yield* judged(tree.process))
        // Frozen from above, as a pod's group is.
        fs.writeFileSync(path.join(group, "..", file), on)
        isImpossible(yield* judged(tree.process), "is frozen by")
        // As a pod sees it, which has no sight of the control group.
        const facts = path.join(import.meta.dirname, "../host/facts.sh")
        const seen = spawnSync("sh", ["-c", '. "$1"; sleeps_frozen "$2"', "sh", facts, String(tree.process.pid)])
        assert.strictEqual(seen.status, 0, "is not seen by what it waits for")
        isImpossible(yield* cut.preflight(tree.process), "is frozen by")
        const error = yield* Effect.flip(pause.arm(yield* orderFor(tree, tree.process.dataDirectory)))
        assert.include(error.detail, "is frozen by")
        fs.writeFileSync(path.join(group, "..", file), off)
        isReady(yield* judged(tree.process))
      })
  )

  const id = "0123456789abcdef".repeat(4)
  areServices([["inquorate-docker-registry.service"]])

  areContainers([
    ["docker", id],
    ["kubepods.slice", "kubepods-burstable.slice", `cri-containerd-${id}.scope`]
  ])

  it("cannot have a line end in its name, so that one row is one group", () => {
    assert.throws(() => fs.mkdirSync(path.join(groups, "inquorate\n0::/docker")))
  })
})

describe.skipIf(!root)(`a member that its supervisor ended and started again behind the fence${skip}`, () => {
  const fenced = Effect.gen(function* () {
    const { directory, file } = etcdOf(nobody)
    const start = perl(`open(A, ">>", "${file}") or die`, nobody)
    const server = yield* start
    const order = yield* orderFor(server, directory)
    yield* pause.arm(order)
    return { server, order, start }
  })

  it.live("breaks the fence", () =>
    Effect.gen(function* () {
      const { order, server, start } = yield* fenced
      process.kill(server.process.pid, "SIGKILL")
      const before = yield* pause.inspect("here", order.fence, 1)
      assert.isFalse(before._tag === "Armed" && before.broken, "nobody runs in its place")
      yield* start
      let seen = before
      for (let turn = 0; turn < 100 * factor && !(seen._tag === "Armed" && seen.broken); turn++) {
        yield* Effect.sleep(50)
        seen = yield* pause.inspect("here", order.fence, 1)
      }
      assert.isTrue(seen._tag === "Armed" && seen.broken)
      assert.isTrue((yield* pause.lift("here", order.fence, 1)).broken)
    })
  )

  it.live("is told by the lift, though no keeper has looked since", () =>
    Effect.gen(function* () {
      const { order, server, start } = yield* fenced
      const [keepers] = fs.globSync(
        path.join(IdentityBench.folder, "state/fences", order.fence.operationId, "*/keepers")
      )
      const [first, , second] = fs.readFileSync(keepers!, "utf8").split(" ")
      for (const pid of [first, second]) process.kill(Number(pid), "SIGSTOP")
      process.kill(server.process.pid, "SIGKILL")
      const successor = yield* start
      const lifted = yield* pause.lift("here", order.fence, 1)
      assert.isTrue(lifted.broken)
      assert.include(lifted.detail, `process ${successor.process.pid} serves its data directory now`)
    })
  )
})

describe.skipIf(!root)(`the state directory${skip}`, () => {
  it("is the same by the shell's words and by ours, whatever the environment holds", () => {
    const home = folderOf(games)
    const environments: ReadonlyArray<NodeJS.ProcessEnv> = [
      { INQUORATE_STATE: `${home}/own` },
      { INQUORATE_STATE: "", XDG_STATE_HOME: `${home}/states`, HOME: home },
      { XDG_STATE_HOME: "", HOME: home },
      { XDG_STATE_HOME: "states", HOME: home },
      { HOME: home }
    ]
    const module = path.resolve(import.meta.dirname, "../src/hosts/StateDirectory.ts")
    for (const environment of environments) {
      const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
      const drop = ["--reuid=5", "--regid=5", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin", ...words]
      const said = spawnSync("setpriv", [...drop, "sh", "-c", Programs.pause, "inquorate", "hello"], {
        encoding: "utf8"
      })
      const program = `process.seteuid(5); const { stateDirectory } = await import("${module}"); console.log(stateDirectory())`
      const ours = spawnSync(process.execPath, ["--no-warnings", "--input-type=module", "-e", program], {
        encoding: "utf8",
        env: environment
      })
      assert.strictEqual(said.stdout.trim().split(" ").at(-1), ours.stdout.trim(), `${said.stderr}${ours.stderr}`)
      assert.isTrue(ours.stdout.startsWith(home), ours.stdout)
    }
  })

  it.live("is made where nobody else may write, also in a sticky folder like /tmp", () =>
    Effect.gen(function* () {
      const shared = folderOf(0, 0o1777)
      for (const name of ["one", "two/three", "four//five/"]) {
        assert.deepStrictEqual(yield* sweepOf(path.join(shared, name)), [])
      }
      const own = folderOf(games)
      assert.deepStrictEqual(yield* sweepOf(`${own}/state`, games), [])
      const linked = path.join(folderOf(0, 0o755), "link")
      fs.symlinkSync(folderOf(0, 0o755), linked)
      assert.deepStrictEqual(yield* sweepOf(`${linked}/state`), [])
    })
  )

  it.live("is refused with a sentence where another user may change it, or what leads to it", () =>
    Effect.gen(function* () {
      const theirs = folderOf(games, 0o755)
      assert.include(yield* refusal(theirs), "belongs to another user")
      assert.include(yield* refusal(`${theirs}/state`), "belongs to another user")
      assert.isFalse(fs.existsSync(`${theirs}/state`))
      fs.mkdirSync(`${theirs}/made`, { mode: 0o700 })
      assert.include(yield* refusal(`${theirs}/made`), "belongs to another user")
      const grouped = folderOf(0, 0o775)
      assert.include(yield* refusal(grouped), "others may write to")
      fs.mkdirSync(`${grouped}/state`, { mode: 0o700 })
      assert.include(yield* refusal(`${grouped}/state`), "others may write to")
      assert.include(yield* refusal(folderOf(0, 0o1777)), "others may write to")
      const shared = folderOf(0, 0o1777)
      fs.mkdirSync(`${shared}/theirs`)
      fs.chownSync(`${shared}/theirs`, games, games)
      assert.include(yield* refusal(`${shared}/theirs`), "belongs to another user")
      assert.include(yield* refusal(`${shared}/theirs/state`), "belongs to another user")
    })
  )

  it.live("is refused where a link leads to it, and nothing is made through another user's link", () =>
    Effect.gen(function* () {
      const [target, place, shared] = [folderOf(0), folderOf(0, 0o755), folderOf(0, 0o1777)]
      fs.symlinkSync(target, path.join(place, "own"))
      assert.include(yield* refusal(path.join(place, "own")), "is a link")
      fs.symlinkSync(target, path.join(shared, "his"))
      fs.lchownSync(path.join(shared, "his"), games, games)
      assert.include(yield* refusal(path.join(shared, "his")), "belongs to another user")
      assert.include(yield* refusal(path.join(shared, "his", "state")), "belongs to another user")
      assert.deepStrictEqual(fs.readdirSync(target), [])
      // A link of root's that leads into a folder of his.
      fs.symlinkSync(folderOf(games, 0o755), path.join(place, "into"))
      assert.include(yield* refusal(path.join(place, "into", "state")), "belongs to another user")
    })
  )
})
