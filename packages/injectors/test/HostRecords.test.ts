/**
 * Goal: what stands in the state directory is believed only where nobody else can have put it there. A name or a line
 * in it that is not whole counts as none. Method: the shipped functions of records and keepers, on folders made for
 * them, in each shell that a host may have.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as MadeUpHost from "./MadeUpHost.ts"
import { statLine } from "./MadeUpHost.ts"

const us = String(process.getuid?.() ?? 0)
const isRoot = us === "0"
const boot = "b0000000-0000-4000-8000-000000000001"
const operation = "0a000000-0000-4000-8000-00000000000b"

const host = MadeUpHost.make({
  "proc/uptime": "500.00 1.00\n",
  "proc/self/stat": statLine(50, "sh"),
  "proc/self/status": `Name:\tsh\nUid:\t${us}\t${us}\t${us}\t${us}\n`,
  "proc/self/cgroup": "0::/\n",
  "proc/sys/kernel/random/boot_id": `${boot}\n`,
  "proc/50/stat": statLine(50, "sh", { born: 7 }),
  "proc/71/stat": statLine(71, ") Z 1 (", { born: 700 }),
  "proc/72/stat": statLine(72, "keeper", { born: 701 })
})
const records = ["facts.sh", "records.sh", "orders.sh"]
const keeper = [...records, "keeper-hooks.sh", "pause.sh", "keeper.sh"]

let count = 0
/** A new empty folder of the made-up host. */
const folder = (name = "state"): string => {
  count += 1
  const at = path.join(host.root, `${name}${count}`)
  fs.mkdirSync(at, { mode: 0o700 })
  return at
}
/** A fence's folder with these files. */
const fenceOf = (files: Readonly<Record<string, string>>): string => {
  const at = folder("fence")
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(at, name), text)
  return at
}

describe.each(MadeUpHost.shells.map((shell) => [shell.join(" "), shell] as const))("records.sh in %s", (_, shell) => {
  const told = (script: string, environment: Readonly<Record<string, string>> = {}, input = ""): string =>
    host.told(shell, records, script, { environment, input })
  const opened = (state: string): string =>
    told("open_root fences && echo open || printf '%s\\n' \"$problem\"", { INQUORATE_STATE: state }).trim()

  it("makes a state directory where nobody else can have put one, and its folders in it", () => {
    const at = path.join(folder(), "deep/er")
    assert.strictEqual(opened(at), "open")
    assert.strictEqual(fs.statSync(path.join(at, "fences")).mode & 0o777, 0o700)
    assert.strictEqual(opened(`${at}//`), "open")
    assert.include(told("open_state() { open_root; }; hello", { INQUORATE_STATE: at }), ` ${at}\n`)
  })

  it("takes no state directory whose name is no plain path", () => {
    for (const at of ["state", "/tmp/../tmp/x", "/tmp/./x", "/tmp/a\nb", "/"]) {
      const state = at.startsWith("/tmp") ? at.replace("/tmp", host.root) : at
      if (at === "/" && isRoot) continue
      assert.notStrictEqual(opened(state), "open", at)
    }
  })

  it("takes none that others may write to, or that they could have put there", () => {
    const at = folder()
    fs.chmodSync(at, 0o770)
    assert.strictEqual(opened(at), `others may write to the state directory ${at}`)
    fs.chmodSync(at, 0o1777)
    assert.strictEqual(opened(at), `others may write to the state directory ${at}`)
    const above = folder()
    const below = path.join(above, "below")
    fs.mkdirSync(below, { mode: 0o700 })
    fs.chmodSync(above, 0o777)
    assert.strictEqual(opened(below), `others may write to ${above}, which leads to the state directory ${below}`)
    // Where each may remove only what is his own.
    fs.chmodSync(above, 0o1777)
    assert.strictEqual(opened(below), "open")
  })

  it("takes none that is a link, a file, or leads through a circle of links", () => {
    const at = folder()
    const link = path.join(folder(), "link")
    fs.symlinkSync(at, link)
    assert.strictEqual(opened(link), `the state directory ${link} is a link`)
    fs.mkdirSync(path.join(at, "in"), { mode: 0o700 })
    assert.strictEqual(opened(path.join(link, "in")), "open")
    const file = path.join(at, "file")
    fs.writeFileSync(file, "")
    assert.include(opened(file), "is no folder")
    const circle = path.join(folder(), "circle")
    fs.symlinkSync(circle, circle)
    assert.notStrictEqual(opened(path.join(circle, "in")), "open")
    fs.chmodSync(at, 0o777)
    assert.include(opened(path.join(link, "in")), `others may write to ${at}`)
  })

  it.runIf(isRoot)("takes none of another user, and no link of one", () => {
    const at = folder()
    fs.chownSync(at, 4242, 4242)
    assert.include(opened(at), `belongs to another user`)
    const target = folder()
    const link = path.join(folder(), "link")
    fs.symlinkSync(target, link)
    fs.lchownSync(link, 4242, 4242)
    assert.include(opened(path.join(link, "in")), "belongs to another user")
    const place = folder()
    fs.mkdirSync(path.join(place, "fences"))
    fs.chownSync(path.join(place, "fences"), 4242, 4242)
    assert.include(opened(place), "belongs to another user")
  })

  it("takes no folder in it that is a link or that others may write to", () => {
    const at = folder()
    fs.symlinkSync(folder(), path.join(at, "fences"))
    assert.include(opened(at), "fences is a link")
    fs.rmSync(path.join(at, "fences"))
    fs.mkdirSync(path.join(at, "fences"))
    fs.chmodSync(path.join(at, "fences"), 0o775)
    assert.include(opened(at), "others may write to it")
  })

  it("believes no record that holds a link, or what others may write", () => {
    const at = (prepare: (where: string) => void): string => {
      const where = folder("record")
      fs.writeFileSync(path.join(where, "order"), "", { mode: 0o600 })
      prepare(where)
      return told(`effective=${us} problem=; is_ours '${where}' && echo ours || echo strange`).trim()
    }
    assert.strictEqual(
      at(() => {}),
      "ours"
    )
    assert.strictEqual(
      at((where) => fs.symlinkSync("/etc/passwd", path.join(where, "lifted"))),
      "strange"
    )
    assert.strictEqual(
      at((where) => fs.chmodSync(path.join(where, "order"), 0o620)),
      "strange"
    )
    assert.strictEqual(
      at((where) => fs.chmodSync(where, 0o702)),
      "strange"
    )
    assert.strictEqual(
      at((where) => void told(`mkfifo '${where}/wake'`)),
      "ours"
    )
    assert.strictEqual(
      at((where) => void told(`mkfifo '${where}/order.2'`)),
      "strange"
    )
  })

  it("finds the earliest deadline, by each clock, among names that mean nothing", () => {
    const names = ["900.5000", "800.6000", "x.1", "700.", ".700", "1.2.3", "-1.5", `${"9".repeat(20)}.1`, "07x.1"]
    const fence = fenceOf(Object.fromEntries(names.map((name) => [`deadline.${name}`, ""])))
    assert.strictEqual(told(`fence='${fence}'; deadlines; echo "$deadline $deadline_utc"`), "800 5000\n")
    assert.strictEqual(told(`fence='${fenceOf({})}'; deadlines || echo none`), "none\n")
  })

  it("finds a higher epoch, and none in a name that is no number", () => {
    const at = folder("operation")
    for (const name of ["epoch.2", "epoch.x", "epoch.", `epoch.${"9".repeat(20)}`]) fs.mkdirSync(path.join(at, name))
    const of = (epoch: number): string =>
      told(`operation='${at}' epoch=${epoch}; outranked && echo "$seen" || echo no`).trim()
    assert.deepStrictEqual([of(1), of(2), of(3)], ["2", "no", "no"])
  })

  it("takes a record of another boot as void, and one that is not written yet as not", () => {
    const of = (order: string): string =>
      told(`fence='${fenceOf({ order })}' boot=${boot}; void && echo void || echo valid`).trim()
    assert.deepStrictEqual([of(`${boot}\n1 2\n`), of("another\n"), of("")], ["valid", "void", "valid"])
  })

  it("writes the end of a fence once, whoever else writes it", () => {
    const fence = fenceOf({})
    told(`date() { echo 1700000000000000000; }; fence='${fence}'; settle Worker; settle Keeper 1 2`)
    assert.strictEqual(fs.readFileSync(path.join(fence, "lifted"), "utf8"), "500000 1700000000000 Worker\n")
    fs.rmSync(path.join(fence, "lifted"))
    told(`date() { echo 1700000000000000000; }; fence='${fence}'; settle Kernel 42 43; settle Worker`)
    assert.strictEqual(fs.readFileSync(path.join(fence, "lifted"), "utf8"), "42 43 Kernel\n")
  })

  it("tells how long ago an end was only where its uptime can be one of this boot", () => {
    const fence = fenceOf({ order: `${boot}\n` })
    const ago = (off: string): string =>
      told(`boot=${boot} fence='${fence}' off='${off}'; since_off; echo "$ago"`).trim()
    assert.deepStrictEqual(["499000", "500000", "500001", "0", "", "-5", "x"].map(ago), [
      "1000",
      "0",
      "-",
      "-",
      "-",
      "-",
      "-"
    ])
  })

  it("takes an order once, and once more for each time that it came late", () => {
    const at = path.join(folder("operation"), "1.aa")
    const take = (): string =>
      told(`is_over() { [ -e "$fence/refused" ]; }; fence='${at}'; take_order; echo taken`).trim()
    assert.strictEqual(take(), "taken")
    assert.strictEqual(take(), "refused this order was given before")
    const late = `fence='${at}'; note_late; true >"$fence/refused"`
    told(late)
    assert.strictEqual(take(), "taken")
    assert.isFalse(fs.existsSync(path.join(at, "refused")))
    assert.strictEqual(take(), "refused this order was given before")
    told(late)
    fs.writeFileSync(path.join(at, "lifted"), "")
    assert.strictEqual(take(), "refused this order was given before")
    fs.rmSync(path.join(at, "lifted"))
    fs.writeFileSync(path.join(at, "armed.1.2.3"), "")
    assert.strictEqual(take(), "refused this order was given before")
  })

  it("takes nothing for strange that is removed while it looks", () => {
    const at = folder()
    const names = `map { "${at}/$_" } 1 .. 400`
    const churn = spawn(
      "perl",
      ["-e", `umask(077); while (1) { open(my $file, ">", $_) for ${names}; unlink(${names}) }`],
      {
        stdio: ["ignore", "ignore", "inherit"]
      }
    )
    try {
      const look = `effective=${us}; for turn in 1 2 3 4 5 6; do for look in 1 2 3 4 5 6 7 8 9 10; do is_ours '${at}' || echo strange; done; done`
      assert.strictEqual(told(look), "")
    } finally {
      churn.kill("SIGKILL")
    }
  })

  it("opens no record for words that are not its words", () => {
    const state = folder()
    const open = (...words: ReadonlyArray<string>): string =>
      told(
        `records=fences; open_state() { open_root fences; }; open_record ${words.map((word) => `'${word}'`).join(" ")}; echo "$fence"`,
        { INQUORATE_STATE: state }
      ).trim()
    assert.strictEqual(open(operation, "1", "6d", "2"), `${state}/fences/${operation}/1.6d`)
    assert.isTrue(fs.existsSync(path.join(state, "fences", operation, "epoch.2")))
    for (const words of [
      ["..", "1", "6d", "2"],
      [`${operation}/..`, "1", "6d", "2"],
      [operation, "1/..", "6d", "2"],
      [operation, "1", "../6d", "2"],
      [operation, "1", "6d", "2/x"],
      [operation, "1", "6d", ""],
      ["", "1", "6d", "2"]
    ])
      assert.strictEqual(open(...words), "refused the order is malformed", words.join("|"))
    fs.symlinkSync("/etc", path.join(state, "fences/abc"))
    assert.include(open("abc", "1", "6d", "2"), "is a link, or belongs to another user")
  })

  it("hands the words of a session on as they were said, and nothing but the verbs of orders", () => {
    const words = ["it's", "", '"$HOME" `id` \\ !x', "two\nlines\n", "*", "-n", "\\c\\0101%s", " a  b ", "ü"]
    const line = (word: string): string => word.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")
    const say = (...all: ReadonlyArray<string>): string => [String(all.length), ...all.map(line), ""].join("\n")
    const script = `open_session() { :; }; hello() { echo hi; }; keep() { echo kept; }; prepare() { for word; do printf '<%s>' "$word"; done; echo; }; session`
    const said = told(script, {}, `${say("prepare", ...words)}${say("keep", "1")}${say("hello")}x\n${say("hello")}`)
    const mark = "-- inquorate --\n"
    const wanted = `<prepare>${words.map((word) => `<${word}>`).join("")}\n`
    assert.strictEqual(said, `hi\n${mark}${wanted.replace("<prepare>", "")}${mark}${mark}hi\n${mark}`)
  })
})

describe.each(MadeUpHost.shells.map((shell) => [shell.join(" "), shell] as const))("keeper.sh in %s", (_, shell) => {
  const told = (script: string, environment: Readonly<Record<string, string>> = {}): string =>
    host.told(shell, keeper, script, { environment })
  const on = (files: Readonly<Record<string, string>>, script: string): string =>
    told(`boot=${boot} fence='${fenceOf(files)}'; ${script}`).trim()

  it("reads the keepers and the holder only from a line that is whole", () => {
    const read = (keepers: string): string => on({ keepers }, 'keepers && echo "$k1 $b1 $k2 $b2" || echo none')
    assert.strictEqual(read("71 700 72 701 .\n"), "71 700 72 701")
    for (const line of [
      "71 700 72 701\n",
      "71 700 72 70",
      "71 700 72 701 . x\n",
      "-1 700 72 701 .\n",
      "* * * * .\n",
      ""
    ])
      assert.strictEqual(read(line), "none", line)
    const held = (holder: string): string => on({ holder }, 'holding && echo "$h1 $hb" || echo "none$h1"')
    assert.strictEqual(held("71 700 .\n"), "71 700")
    for (const line of ["71 700\n", "71 .\n", "-71 700 .\n", ""]) assert.strictEqual(held(line), "none", line)
  })

  it("lets go of nothing but pids with their start times, never the first process or a group", () => {
    const list = on({ processes: "71 700\n1 5\n0 5\n-1 5\n72\n72 x\n* *\n72 701" }, "list=; recorded; echo $list")
    assert.strictEqual(list, "71:700")
  })

  it("reads an order line by line, with whatever stands in its paths", () => {
    const order = `${boot}\n71 700 2 900\n/bin/a b \\n'\n/data/*  x\n`
    assert.strictEqual(
      on({ order }, `facts_of_order; printf '%s|' "$pid" "$start" "$exe" "$directory"`),
      "71|700|/bin/a b \\n'|/data/*  x|"
    )
  })

  it("calls a fence over only once its end is on record and nobody of ours is left", () => {
    const over = (files: Readonly<Record<string, string>>): string =>
      on({ order: `${boot}\n`, ...files }, "is_over && echo over || echo not")
    const lifted = { lifted: "1 2 Worker\n" }
    assert.strictEqual(over({}), "not")
    assert.strictEqual(over(lifted), "over")
    assert.strictEqual(over({ ...lifted, keepers: "999 1 71 700 .\n" }), "not")
    assert.strictEqual(over({ ...lifted, keepers: "71 699 72 700 .\n" }), "over")
    assert.strictEqual(over({ ...lifted, holder: "71 700 .\n" }), "not")
    assert.strictEqual(over({ ...lifted, "lifter.71.700": "" }), "not")
    assert.strictEqual(over({ ...lifted, "lifter.71.700": "", "done.71.700": "" }), "over")
    assert.strictEqual(over({ ...lifted, "lifter.x.700": "", "lifter.71.": "" }), "over")
    assert.strictEqual(over({ order: "another boot\n", keepers: "71 700 72 701 .\n" }), "over")
    assert.strictEqual(over({ refused: "1 no\n" }), "over")
  })

  it("calls one that heard no go lapsed once its own time is over, and never one that did", () => {
    const lapsed = (files: Readonly<Record<string, string>>): string => on(files, "lapsed && echo lapsed || echo not")
    assert.strictEqual(lapsed({ "standby.499999": "" }), "lapsed")
    assert.strictEqual(lapsed({ "standby.500000": "" }), "not")
    assert.strictEqual(lapsed({ "standby.499999": "", go: "" }), "not")
    assert.strictEqual(lapsed({ "standby.499999": "", "armed.1.2.3": "" }), "not")
    assert.strictEqual(lapsed({ "standby.x": "" }), "not")
    assert.strictEqual(lapsed({}), "not")
  })

  it("hears a go once, in time, whole, of the epoch that is obeyed", () => {
    const prepared = { keepers: "71 700 72 701 .\n", prepared: "", "standby.500500": "" }
    const give = (
      files: Readonly<Record<string, string>>,
      words: string,
      { epochs = ["epoch.1"], turns = 1 }: { readonly epochs?: ReadonlyArray<string>; readonly turns?: number } = {}
    ): string => {
      const at = folder("operation")
      for (const name of epochs) fs.mkdirSync(path.join(at, name))
      const fence = path.join(at, "1.aa")
      fs.mkdirSync(fence)
      for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(fence, name), text)
      const once = `(give_go ${words}; echo went)`
      const said = told(
        `mkfifo '${fence}/wake'; operation='${at}' fence='${fence}' epoch=1 k1=71 b1=700 k2=72 b2=701; ${Array(turns).fill(once).join("; ")}`
      )
      return said.trim()
    }
    assert.strictEqual(give(prepared, "500200 600000 1700000600000"), "went")
    assert.strictEqual(
      give(prepared, "500200 600000 1700000600000", { turns: 2 }),
      "went\nrefused this order was given before"
    )
    assert.strictEqual(give(prepared, "499999 600000 1700000600000", { turns: 1 }), "late the order came late by 1 ms")
    assert.strictEqual(give(prepared, "500200 500000 1700000600000"), "refused the deadline had passed")
    assert.strictEqual(give(prepared, "500200 x 1700000600000"), "refused the order is malformed")
    assert.strictEqual(
      give(prepared, "500200 600000 1", { epochs: ["epoch.1", "epoch.2"] }),
      "refused epoch 2 was seen, the order is of epoch 1"
    )
    assert.strictEqual(
      give({ ...prepared, lifted: "1 2 Worker\n" }, "500200 600000 1"),
      "refused it was lifted before it was applied"
    )
    assert.strictEqual(give({ ...prepared, refused: "1 it was a no\n" }, "500200 600000 1"), "refused it was a no")
    assert.strictEqual(
      give({ keepers: "71 700 72 701 .\n", "standby.500500": "" }, "500200 600000 1"),
      "refused the host has nothing prepared for it"
    )
  })

  it("never takes two fences for one because their data directories had one inode, one after the other", () => {
    const now = folder("data")
    const same = (place: string): string =>
      on(
        { order: `${boot}\n71 700 1 2\n/bin/a\n${place}\n` },
        `container= directory='${now}' hold=on.1.2; is_same_place && echo same || echo other`
      )
    assert.strictEqual(same(now), "same")
    assert.strictEqual(same(folder("data")), "other")
    assert.strictEqual(same("/never/there"), "other")
    // A record that is not whole is taken for the same: two fences on one server are worse than none.
    assert.strictEqual(
      on({ order: "" }, `container= directory='${now}' hold=on.1.2; is_same_place && echo same`),
      "same"
    )
  })

  it("tells how a fence stands by its record, however the record was broken off", () => {
    const tell = (files: Readonly<Record<string, string>>): string =>
      on({ order: `${boot}\n71 700 1 9\n/bin/a\n/data\n`, ...files }, "quietly= list=; describe")
    assert.strictEqual(tell({}), "arming")
    assert.strictEqual(tell({ refused: "5 the reason, whole\n" }), "refused the reason, whole")
    assert.strictEqual(tell({ lifted: "499000 1700 Worker\n" }), "lifted Worker 1700 0 1000")
    assert.strictEqual(
      tell({ lifted: "499000 1700 Worker\n", broken: "", back: "1 runs as 9\n" }),
      "lifted Worker 1700 1 1000 runs as 9"
    )
    const armed = { "armed.490000.1600.3": "", "deadline.600000.1900": "", keepers: "71 700 72 701 .\n" }
    assert.strictEqual(tell(armed), "armed 3 1600 1900 2 0 Keeper")
    assert.strictEqual(tell({ ...armed, holder: "71 700 .\n" }), "armed 3 1600 1900 2 0 Kernel")
    assert.strictEqual(tell({ ...armed, keepers: "71 1 72 701 .\n" }), "armed 3 1600 1900 1 0 Keeper")
    // Nobody of ours is left, and what was stopped runs.
    assert.strictEqual(
      tell({ ...armed, keepers: "71 1 72 1 .\n", processes: "72 701\n" }),
      "armed 3 1600 1900 0 1 Keeper"
    )
  })
})

describe.each(MadeUpHost.shells.map((shell) => [shell.join(" "), shell] as const))("shared.sh in %s", (_, shell) => {
  const parts = [
    ...records,
    "keeper-hooks.sh",
    "stopped-tree.sh",
    "traced-tree.sh",
    "shared.sh",
    "pause.sh",
    "keeper.sh"
  ]
  /** Fences of one operation with these files, and those who share them; the fence `aa` is open. */
  const on = (fences: Readonly<Record<string, Readonly<Record<string, string>>>>, script: string): string => {
    const at = folder("operation")
    fs.mkdirSync(path.join(at, "shared.1.1"))
    const members = Object.keys(fences).map((name) => `${name} 71 700 600000\n`)
    fs.writeFileSync(path.join(at, "shared.1.1/members"), members.join(""))
    for (const [name, files] of Object.entries(fences)) {
      fs.mkdirSync(path.join(at, `1.${name}`))
      const all = { shared: "shared.1.1 .\n", order: `${boot}\n`, ...files }
      for (const [file, text] of Object.entries(all)) fs.writeFileSync(path.join(at, `1.${name}`, file), text)
    }
    const opened = `boot=${boot} operation='${at}' fence='${at}/1.aa' attempt=1 epoch=1 shared=`
    return host.told(shell, parts, `${opened}; ${script}`).replaceAll(at, "AT").trim()
  }

  it("believes who shares only from a line that is whole and names nothing else", () => {
    const said = (shared: string): string => on({ aa: { shared } }, 'sharing && echo "$shared" || echo none')
    assert.strictEqual(said("shared.1.1 .\n"), "AT/shared.1.1")
    for (const line of ["shared.1.1\n", "shared.1.1", "../x .\n", "shared.1 .\n", "shared.1.x .\n", "x.1.1 .\n", "\n"])
      assert.strictEqual(said(line), "none", line)
  })

  it("calls a fence over once its end is on record and the holder let go of it or is dead, whoever keeps others", () => {
    const over = (files: Readonly<Record<string, string>>): string =>
      on({ aa: { keepers: "71 700 72 701 .\n", holder: "71 700 .\n", ...files } }, "is_over && echo over || echo not")
    const lifted = { lifted: "1 2 Worker\n" }
    assert.strictEqual(over({ loosed: "" }), "not")
    assert.strictEqual(over(lifted), "not")
    assert.strictEqual(over({ ...lifted, loosed: "" }), "over")
    assert.strictEqual(over({ ...lifted, holder: "71 699 .\n" }), "over")
    assert.strictEqual(over({ ...lifted, loosed: "", "lifter.71.700": "" }), "not")
    assert.strictEqual(over({ ...lifted, loosed: "", shared: "shared.1.1" }), "not")
  })

  it("ends the holder for one fence only where none of the others is to stand on", () => {
    const last = (files: Readonly<Record<string, string>>): string =>
      on({ aa: {}, bb: files }, 'sharing; is_last && echo last || echo not; echo "$fence"')
    const standing = { "armed.1.2.3": "", "deadline.500001.1": "" }
    assert.strictEqual(last(standing), "not\nAT/1.aa")
    assert.strictEqual(last({}), "not\nAT/1.aa")
    for (const ending of ["lifted", "refused", "dismissed", "released", "undone"])
      assert.strictEqual(last({ ...standing, [ending]: "" }), "last\nAT/1.aa", ending)
    assert.strictEqual(last({ ...standing, "deadline.500000.1": "" }), "last\nAT/1.aa")
    assert.strictEqual(last({ ...standing, shared: "shared.1.2 .\n" }), "last\nAT/1.aa")
  })

  it("gives the go of several fences in one line, and never writes over an earlier one", () => {
    const script = 'sound aa bb; sound cc; for turn in 1 2; do cat "$operation/shared.1.1/go.$turn"; done'
    assert.strictEqual(on({ aa: {}, bb: {}, cc: {} }, script), "aa bb .\ncc .")
  })
})
