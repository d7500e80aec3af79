/**
 * Goal: what a host's processes can write about themselves (their names, arguments, control groups, folders) changes no
 * answer about them. Method: the shipped functions against a made-up /proc, in each shell that a host may have.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as MadeUpHost from "./MadeUpHost.ts"
import { statLine } from "./MadeUpHost.ts"

const id = "0123456789abcdef".repeat(4)
const other = "f".repeat(64)
const us = String(process.getuid?.() ?? 0)
const statusOf = (name: string, more: string): string => `Name:\t${name}\nUmask:\t0022\n${more}`
const ofUser = (user: string): string => statusOf("server", `Uid:\t7\t${user}\t8\t9\nGid:\t1\t1\t1\t1\n`)

const host = MadeUpHost.make({
  "proc/uptime": "12.34 99.00\n",
  "proc/self/stat": statLine(50, "sh"),
  "proc/self/status": ofUser(us),
  "proc/self/cgroup": "0::/system.slice/worker.service\n",
  "proc/self/ns/pid": "",
  "proc/self/ns/net": "",
  "proc/self/ns/user": "",
  // Names that look like the end of a name, or like more than one line.
  "proc/101/stat": statLine(101, "a) R 1 2 3", { state: "T", parent: 7, born: 4242 }),
  "proc/102/stat": statLine(102, "\n) Z 9\n\\x * ", { parent: 8, born: 5 }),
  "proc/103/stat": "103 no name at all\n",
  "proc/104/stat": statLine(104, "gone", { state: "Z" }),
  "proc/105/stat": statLine(105, "dead", { state: "X" }),
  "proc/106/stat": statLine(106, ")", { state: "t", born: 60 })
})
const facts = ["facts.sh"]

describe.each(MadeUpHost.shells.map((shell) => [shell.join(" "), shell] as const))("facts.sh in %s", (_, shell) => {
  const told = (script: string): string => host.told(shell, facts, script)
  /** Runs a function for each row's words, and says which came true. */
  const truths = (call: string, words: ReadonlyArray<string>, script = ""): ReadonlyArray<boolean> =>
    told(
      `${script}\nfor word in ${words.map((word) => `'${word}'`).join(" ")}; do if ${call}; then echo 1; else echo 0; fi; done`
    )
      .trim()
      .split("\n")
      .map((line) => line === "1")
  const splits = (call: string, yes: ReadonlyArray<string>, no: ReadonlyArray<string>, script = ""): void => {
    const all = [...yes, ...no]
    const found = truths(call, all, script)
    assert.deepStrictEqual(
      all.filter((__, index) => found[index]),
      [...yes]
    )
  }

  it("takes digits alone for a number, and no more of them than the shell can reckon with", () => {
    const no = ["", "-1", "+1", "1 ", " 1", "1.5", "0x1", "1e3", "1\n2", "*", "9".repeat(19), "9".repeat(400), "１"]
    splits('is_number "$word"', ["0", "007", "1", "9".repeat(18)], no)
  })

  it("takes hexadecimal digits and dashes alone for a name", () => {
    splits('is_name "$word"', ["0a-f", "6d31"], ["", "..", "a/b", "A", "a b", "a\nb", "*", "a.b", "$x"])
  })

  it("reads the uptime as whole milliseconds that no shell takes for octal", () => {
    assert.strictEqual(told('clock; echo "$now"'), "12340\n")
    for (const [uptime, millis] of [
      ["0.00", "0"],
      ["0.09", "90"],
      ["1234567.89", "1234567890"]
    ] as const) {
      host.add({ "proc/uptime": `${uptime} 1.00\n` })
      assert.strictEqual(told('clock; echo "$now $((now + 1))"'), `${millis} ${Number(millis) + 1}\n`)
    }
    host.add({ "proc/uptime": "12.34 99.00\n" })
  })

  it("reads the time of a date that knows no parts of a second", () => {
    const by = (said: string): string =>
      told(`date() { case $2 in +%s) echo 1700000001 ;; *) echo '${said}' ;; esac; }; utc; echo "$utc"`)
    assert.strictEqual(by("1700000000123456789"), "1700000000123\n")
    assert.strictEqual(by("1700000000%N"), "1700000001000\n")
    assert.strictEqual(by("1700000000N"), "1700000001000\n")
    assert.strictEqual(by(""), "1700000001000\n")
    assert.strictEqual(by("1700000000"), "1700000000000\n")
  })

  it("finds state, parent and start time behind whatever a process calls itself", () => {
    const say = (pid: number): string => told(`look ${pid} && echo "$state $parent $born" || echo none`)
    assert.strictEqual(say(101), "T 7 4242\n")
    assert.strictEqual(say(102), "S 8 5\n")
    assert.strictEqual(say(103), "none\n")
    assert.strictEqual(say(106), "t 1 60\n")
    assert.strictEqual(say(999), "none\n")
  })

  it("takes nothing for alive but a running process with the same start time", () => {
    splits("alive ${word% *} ${word#* }", ["101 4242", "102 5"], ["101 4243", "101 ", "104 100", "105 100", "999 1"])
  })

  it("reads who traces a process, and shows a tracer's name only where it is plain", () => {
    host.add({
      "proc/120/status": statusOf("TracerPid:\\n9", "State:\tt\nTracerPid:\t77\n"),
      "proc/77/comm": "gdb-13.x_y\n",
      "proc/78/comm": "gdb; rm -rf x\n",
      "proc/79/comm": "\n"
    })
    assert.strictEqual(told('tracer_of 120; echo "$tracer"; tracer_of 999; echo "$tracer"'), "77\n0\n")
    const said = told('for by in 77 78 79 999; do traced 120 $by; echo "$problem"; done').trim().split("\n")
    assert.deepStrictEqual(
      said.map((line) => /\((.*)\)/.exec(line)?.[1]),
      ["gdb-13.x_y", "with a name of other characters", "with a name of other characters", "unknown"]
    )
  })

  it("takes a process for stopped only where every thread is, whatever the threads are called", () => {
    for (const [pid, states] of [
      [130, ["T", "t", "Z", "X"]],
      [131, ["T", "S"]],
      [132, ["t", "D"]]
    ] as const) {
      for (const [index, state] of states.entries())
        host.add({ [`proc/${pid}/task/${pid + index * 1000}/stat`]: statLine(pid, ") T 1 (", { state }) })
    }
    splits('halted "$word"', ["130"], ["131", "132"])
  })

  it("finds all descendants, by the kernel's lists and, where it has none, by reading all of /proc", () => {
    const tree = [
      [200, 1],
      [201, 200],
      [202, 200],
      [203, 201],
      [204, 999]
    ] as const
    for (const [pid, parent] of tree) {
      const kids = tree.filter(([, of]) => of === pid).map(([kid]) => kid)
      host.add({
        [`proc/${pid}/stat`]: statLine(pid, ") S 200 (", { parent, born: pid * 2 }),
        [`proc/${pid}/task/${pid}/children`]: kids.length === 0 ? "" : `${kids.join(" ")} `,
        // Another thread with the first child once more, and one that has ended since.
        [`proc/${pid}/task/${pid}9/children`]: kids.length === 0 ? "" : `${kids[0]} 99999 `
      })
    }
    const sorted = (text: string): ReadonlyArray<string> => text.trim().split(" ").toSorted()
    const whole = ["200:400", "201:402", "202:404", "203:406"]
    const listed = `mkdir -p '${host.root}'/proc/$$/task/$$ && true >'${host.root}'/proc/$$/task/$$/children`
    assert.deepStrictEqual(sorted(told(`${listed}; family 200:400; echo $kin; rm -r '${host.root}'/proc/$$`)), whole)
    assert.deepStrictEqual(sorted(told("family 200:400; echo $kin")), whole)
  })

  it("believes the kernel's word on a container, and no folder of a control group beside it", () => {
    const cgroups: Readonly<Record<string, readonly [text: string, ours: boolean, any: boolean]>> = {
      300: [`0::/docker/${id}\n`, true, true],
      301: [`0::/system.slice/docker-${id}.scope\n`, true, true],
      302: [`0::/machine.slice/libpod-${id}.scope/container\n`, true, true],
      303: [`12:cpu,cpuacct:/docker/${id}\n3:memory:/docker/${id}\n`, true, true],
      304: [`0::/kubepods.slice/pod1/cri-containerd-${id}.scope\n`, true, true],
      // A container within the container, and one of another id.
      305: [`0::/docker/${id}/docker/${other}\n`, false, true],
      306: [`0::/docker/${other}\n`, false, true],
      307: [`3:cpu:/docker/${id}\n2:memory:/docker/${other}\n`, false, true],
      // Names that only look like one.
      308: [`0::/docker/${id}x\n`, false, false],
      309: [`0::/system.slice/docker-${id.slice(1)}.scope\n`, false, false],
      310: ["0::/system.slice/docker-backup.service\n", false, false],
      311: ["0::/user.slice/lxc-tool.scope\n", false, false],
      312: ["0::/\n", false, false],
      313: [`0::/x:0::/docker/${id}\n`, true, true],
      314: ["0::/lxc/web\n", false, true],
      315: ["0::/lxc.payload.web\n", false, true],
      316: ["", false, false]
    }
    for (const [pid, [text]] of Object.entries(cgroups)) {
      host.add({ [`proc/${pid}/cgroup`]: text, [`proc/${pid}/ns/mnt`]: "" })
    }
    const pids = Object.keys(cgroups)
    const by = (column: 1 | 2): ReadonlyArray<boolean> => pids.map((pid) => cgroups[pid]![column])
    assert.deepStrictEqual(truths(`is_of_container "$word" ${id}`, pids), by(1))
    assert.deepStrictEqual(truths('in_container "$word"', pids), by(2))
    // A group below one that was delegated may have any name. Its processes see the files of this host, or nobody may
    // know which.
    for (const [pid, space] of [
      ["317", "self"],
      ["318", "1"],
      ["319", "none"]
    ] as const) {
      host.add({ [`proc/${pid}/cgroup`]: `0::/user.slice/user-5.slice/docker-${id}.scope\n`, "proc/1/ns/mnt": "" })
      if (space !== "none") host.add({ [`proc/${pid}/ns/mnt`]: { link: `${host.root}/proc/${space}/ns/mnt` } })
    }
    assert.deepStrictEqual(truths(`is_of_container "$word" ${id}`, ["317", "318", "319"]), [false, false, false])
  })

  it("believes of containerd's containers, whose names are anybody's, the whole path of a control group alone", () => {
    const cgroups: Readonly<Record<string, string>> = {
      330: "5:pids:/prod/etcd.0\n0::/prod/etcd.0\n",
      331: "0::/prod/etcd.0/container\n",
      332: "5:pids:/\n0::/prod/etcd.0\n",
      // Whoever was given a group may make these below it.
      333: "0::/user.slice/user-5.slice/prod/etcd.0\n",
      334: "0::/x/prod/etcd.0\n",
      335: "0::/prod/etcd.0/prod/etcd.0\n",
      // Other names, one of them by what a pattern could take a dot for.
      336: "0::/prod/etcd-0\n",
      337: "0::/test/etcd.0\n",
      338: "0::/prod/etcd.0x\n",
      339: "0::/prod\n",
      340: `5:pids:/docker/${id}\n0::/prod/etcd.0\n`
    }
    for (const [pid, text] of Object.entries(cgroups)) {
      host.add({ [`proc/${pid}/cgroup`]: text, [`proc/${pid}/ns/mnt`]: "" })
    }
    const all = Object.keys(cgroups)
    splits('is_of_container "$word" prod/etcd.0', all.slice(0, 3), all.slice(3))
    // Such a name says nothing of the containers of other engines.
    splits(`is_of_container "$word" ${id}`, [], all.slice(0, -1))
  })

  it("takes no process for one in a container whose control group is our own", () => {
    host.add({ "proc/self/cgroup": `0::/docker/${id}\n` })
    assert.deepStrictEqual(truths('in_container "$word"', ["300", "306"]), [false, true])
    host.add({ "proc/self/cgroup": "0::/system.slice/worker.service\n" })
  })

  it("tells a frozen control group from one that is named like it", () => {
    host.add({
      "proc/320/cgroup": "0::/a.slice/b\n",
      "proc/321/cgroup": "0::/c\n",
      "proc/322/cgroup": "5:freezer:/v1\n0::/c\n",
      "proc/323/cgroup": "5:cpu,freezer2:/v1\n",
      "cgroup/a.slice/cgroup.freeze": "1\n",
      "cgroup/a.slice/b/cgroup.freeze": "0\n",
      "cgroup/c/cgroup.freeze": "0\n",
      "cgroup/freezer/v1/freezer.state": "FREEZING\n"
    })
    splits('frozen "$word"', ["320", "322"], ["321", "323", "999"])
  })

  it("sees by what the kernel says a process waits for that it is frozen, where no control group is to be seen", () => {
    const waits: ReadonlyArray<readonly [pid: number, state: string, wait: string]> = [
      [324, "D", "__refrigerator"],
      [325, "D", "do_epoll_wait"],
      [326, "D", "futex_do_wait"],
      [327, "S", "get_signal"],
      [328, "S", "do_epoll_wait"],
      [329, "D", "folio_wait_bit_common"],
      [330, "T", "do_signal_stop"],
      [331, "R", "0"],
      [332, "D", "wait_for_vfork_done"]
    ]
    for (const [pid, state, wait] of waits) {
      host.add({
        [`proc/${pid}/cgroup`]: "0::/../elsewhere\n",
        [`proc/${pid}/stat`]: statLine(pid, "server) D 1", { state }),
        [`proc/${pid}/status`]: "Name:\tserver\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t1\n",
        [`proc/${pid}/wchan`]: wait
      })
    }
    splits('frozen "$word"', ["324", "325", "326", "327"], ["328", "329", "330", "331", "332"])
  })

  it("reads the effective user, and none where the kernel says none", () => {
    host.add({
      "proc/330/status": ofUser("33"),
      "proc/331/status": statusOf("x", "Uid:\t1\tevil\n"),
      "proc/332/status": ""
    })
    assert.strictEqual(
      told('for pid in 330 331 332 999; do user_of $pid && echo "$user" || echo none; done'),
      "33\nnone\nnone\nnone\n"
    )
  })

  it("reads the number that a process has in its own namespace", () => {
    host.add({
      "proc/335/status": statusOf("x", "NSpid:\t335\t12\t7\n"),
      "proc/336/status": statusOf("x", "NSpid:\t336\n"),
      "proc/337/status": statusOf("NSpid:", "Pid:\t1\n")
    })
    assert.strictEqual(
      told('for pid in 335 336 337; do inner_of $pid && echo "$inner" || echo none; done'),
      "7\n336\nnone\n"
    )
  })

  it("tells a descriptor that is open for writing from all others", () => {
    const flags: Readonly<Record<string, string>> = {
      1: "0100001",
      2: "0100002",
      3: "0100000",
      4: "010000002",
      5: "09",
      6: "0x2",
      7: ""
    }
    for (const [number, value] of Object.entries(flags))
      host.add({ [`proc/340/fdinfo/${number}`]: `pos:\t0\nflags:\t${value}\nmnt_id:\t1\n` })
    splits('is_for_writing 340 "$word"', ["1", "2"], ["3", "4", "5", "6", "7", "8"])
  })

  it("takes etcd for the server of a folder by the open file, not by its name", () => {
    host.add({
      "data/etcd/member/snap/db": "",
      "data/copy/member/snap/db": "",
      "proc/350/fd/5": { link: `${host.root}/data/etcd/member/snap/db` },
      "proc/350/fdinfo/5": "flags:\t0100002\n",
      "proc/350/status": ofUser(us),
      // The same file, only read.
      "proc/351/fd/5": { link: `${host.root}/data/etcd/member/snap/db` },
      "proc/351/fdinfo/5": "flags:\t0100000\n",
      "proc/351/status": ofUser(us),
      // A user who is neither the owner nor root.
      "proc/352/fd/5": { link: `${host.root}/data/etcd/member/snap/db` },
      "proc/352/fdinfo/5": "flags:\t0100002\n",
      "proc/352/status": ofUser("4242")
    })
    const at = (folder: string): string => `serves "$word" '${host.root}/data/${folder}'`
    splits(at("etcd"), us === "0" ? ["350", "352"] : ["350"], us === "0" ? ["351"] : ["351", "352"])
    splits(at("copy"), [], ["350", "351", "352"])
  })

  it("takes PostgreSQL for the server by a file that its user alone can have written, of bounded length", () => {
    const folder = path.join(host.root, "data/pg")
    host.add({
      "data/pg/postmaster.pid": "360\n",
      "proc/360/cwd": { link: folder },
      "proc/360/status": ofUser(us),
      "proc/361/cwd": { link: folder },
      "proc/361/status": ofUser(us),
      "proc/362/cwd": { link: host.root },
      "proc/362/status": ofUser(us),
      "proc/363/cwd": { link: folder },
      "proc/363/status": ofUser("4242")
    })
    fs.chmodSync(folder, 0o700)
    const pid = path.join(folder, "postmaster.pid")
    fs.chmodSync(pid, 0o600)
    const at = `serves "$word" '${folder}'`
    splits(at, ["360"], ["361", "362", "363"])
    for (const text of ["361 360\n", `${" ".repeat(30)}361\n`, "-361\n", "361x\n", ""]) {
      fs.writeFileSync(pid, text)
      splits(at, [], ["360", "361"])
    }
    fs.writeFileSync(pid, "361\n")
    splits(at, ["361"], ["360"])
    fs.chmodSync(pid, 0o622)
    splits(at, [], ["361"])
    fs.chmodSync(pid, 0o600)
    // A link to a file that says the same.
    fs.renameSync(pid, path.join(host.root, "named"))
    fs.symlinkSync(path.join(host.root, "named"), pid)
    splits(at, [], ["361"])
    fs.rmSync(pid)
  })

  it("takes any other server by the folder it stands in or a file below it, of its user alone", () => {
    const folder = path.join(host.root, "data/any")
    host.add({
      "data/any/file": "",
      "data/anywhere/file": "",
      "proc/370/cwd": { link: folder },
      "proc/370/status": ofUser(us),
      "proc/371/cwd": { link: "/" },
      "proc/371/fd/3": { link: `${folder}/file` },
      "proc/371/fdinfo/3": "flags:\t02\n",
      "proc/371/status": ofUser(us),
      "proc/372/cwd": { link: "/" },
      "proc/372/fd/3": { link: `${host.root}/data/anywhere/file` },
      "proc/372/fdinfo/3": "flags:\t02\n",
      "proc/372/status": ofUser(us),
      "proc/373/cwd": { link: folder },
      "proc/373/status": ofUser("4242")
    })
    fs.chmodSync(folder, 0o700)
    splits(`serves "$word" '${folder}'`, ["370", "371"], ["372", "373"])
    fs.chmodSync(folder, 0o770)
    splits(`serves "$word" '${folder}'`, [], ["370", "371"])
  })

  it("judges presence before all else, and says what is wrong", () => {
    host.add({ "proc/380/stat": statLine(380, "x", { born: 9 }), "proc/381/stat": statLine(381, "x", { state: "Z" }) })
    const say = (words: string): string =>
      told(`judge_presence ${words} && echo "$standing" || echo "$verdict: $problem"`)
    assert.strictEqual(say("380 9"), "S\n")
    assert.strictEqual(say("380 8"), "mistaken: pid 380 belongs to another process now\n")
    assert.strictEqual(say("381 100"), "mistaken: process 381 has ended\n")
    assert.strictEqual(say("999 1"), "mistaken: no process 999 is there\n")
  })

  it("judges where a process lives by the namespaces and the control group that the kernel shows", () => {
    const here = { link: `${host.root}/proc/self/ns/pid` }
    const net = { link: `${host.root}/proc/self/ns/net` }
    const user = { link: `${host.root}/proc/self/ns/user` }
    host.add({
      "proc/390/ns/pid": here,
      "proc/390/ns/net": net,
      "proc/390/cgroup": "0::/system.slice/etcd.service\n",
      "proc/391/ns/pid": here,
      "proc/391/ns/net": "",
      "proc/391/cgroup": "0::/system.slice/etcd.service\n",
      "proc/392/ns/pid": "",
      "proc/392/ns/net": net,
      "proc/393/ns/pid": here,
      "proc/393/ns/net": net,
      "proc/393/cgroup": `0::/docker/${id}\n`,
      "proc/397/ns/pid": "",
      "proc/397/ns/net": "",
      "proc/397/cgroup": `3:pids:/kubepods/burstable/pod${id.slice(0, 8)}/${id}\n`,
      "proc/394/ns/user": user,
      "proc/394/ns/mnt": "",
      "proc/395/ns/mnt": "",
      "proc/396/ns/mnt": "",
      "proc/394/cgroup": `0::/docker/${id}\n`,
      "proc/395/ns/user": "",
      "proc/395/cgroup": `0::/docker/${id}\n`,
      "proc/396/ns/user": user,
      "proc/396/cgroup": `0::/docker/${other}\n`
    })
    splits('judge_home "$word" /bin/server ""', ["390"], ["391", "392", "393"])
    splits('judge_home "$word" /bin/server anywhere', ["390", "391"], ["392", "393"])
    const why = (pid: number): string => told(`judge_home ${pid} /bin/server ""; echo "$problem"`)
    assert.match(why(391), /namespaces of its own, as in a container: name it .* made it; .* lxc .* are not supported/)
    assert.match(why(393), /in a container, which its member's configuration does not name/)
    assert.match(why(397), /in a pod of Kubernetes: name the cluster as a host .* the pods as the members/)
    splits(`judge_home "$word" docker:${id}:/bin/server ""`, ["394"], ["390", "395", "396"])
  })

  it("judges a program by the file it is, and one that an upgrade replaced by its name", () => {
    host.add({
      "bin/server": "",
      "bin/server (deleted)": "",
      "data/own/file": "",
      "proc/400/exe": { link: `${host.root}/bin/server` },
      "proc/401/exe": { link: `${host.root}/bin/gone (deleted)` },
      "proc/402/exe": { link: `${host.root}/bin/server (deleted)` },
      ...Object.fromEntries(
        [400, 401, 402].flatMap((pid) => [
          [`proc/${pid}/cwd`, { link: `${host.root}/data/own` }],
          [`proc/${pid}/status`, ofUser(us)]
        ])
      )
    })
    fs.chmodSync(path.join(host.root, "data/own"), 0o700)
    const runs = (program: string): string =>
      `judge_server "$word" 1 '${host.root}/bin/${program}' '${host.root}/data/own'`
    splits(runs("server"), ["400"], ["401", "402"])
    splits(runs("gone"), ["401"], ["400", "402"])
    splits(runs("server (deleted)"), ["402"], ["401"])
  })

  it("finds the process that took a server's place, and none that only has its program", () => {
    const runs = { link: `${host.root}/bin/server` }
    const stands = { link: `${host.root}/data/own` }
    host.add({
      "proc/410/exe": runs,
      "proc/410/cwd": { link: "/" },
      "proc/410/stat": statLine(410, "x"),
      "proc/410/status": ofUser(us)
    })
    const ask = `replaced 409 1 '${host.root}/bin/server' '${host.root}/data/own' && echo "$successor" || echo "none$successor"`
    const without = ask.replace("replaced", `rm -rf '${host.root}/proc/400'; replaced`)
    assert.strictEqual(told(without), "none\n")
    host.add({
      "proc/411/exe": runs,
      "proc/411/cwd": stands,
      "proc/411/stat": statLine(411, "x", { state: "Z" }),
      "proc/411/status": ofUser(us),
      "proc/412/exe": runs,
      "proc/412/cwd": stands,
      "proc/412/stat": statLine(412, ") Z (", { state: "R" }),
      "proc/412/status": ofUser(us)
    })
    assert.strictEqual(told(ask), "412\n")
    // While the process of the order lives, nobody has taken its place.
    host.add({ "proc/409/stat": statLine(409, "x", { born: 1 }) })
    assert.strictEqual(told(ask), "none\n")
    for (const pid of [409, 411, 412]) fs.rmSync(path.join(host.root, `proc/${pid}`), { recursive: true })
  })

  it("takes an order's process only where each of its words can be one", () => {
    const of = (pid: string, born: string, program: string, folder: string): string =>
      told(
        `line_='${program}'; folder_='${folder}'; well_formed '${pid}' '${born}' "$line_" "$folder_" && echo "$engine|$container|$path_" || echo no`
      )
    assert.strictEqual(of("5", "1", "/bin/a b", "/data"), "||/bin/a b\n")
    assert.strictEqual(of("5", "1", `podman:${id}:/bin/a:b`, "/data"), `podman|${id}|/bin/a:b\n`)
    for (const name of ["k8s.io/a", "default/etcd-0", `default/${id}`, `${"n".repeat(76)}/${"c".repeat(76)}`]) {
      assert.strictEqual(of("5", "1", `containerd:${name}:/bin/a:b`, "/data"), `containerd|${name}|/bin/a:b\n`)
    }
    const names = [
      "",
      "a",
      "/a",
      "a/",
      "a/b/c",
      "a/..",
      "../a",
      "a/b*",
      "a/b c",
      "a/-b",
      "a/b.",
      "a/b._c",
      "a/$x",
      "a/b\nc"
    ]
    for (const name of [...names, `a/${"c".repeat(152)}`, id]) {
      assert.strictEqual(of("5", "1", `containerd:${name}:/bin/a`, "/data"), "no\n", name)
    }
    assert.strictEqual(of("5", "1", "docker:default/etcd-0:/bin/a", "/data"), "no\n")
    const wrong: ReadonlyArray<Parameters<typeof of>> = [
      ["1", "1", "/bin/a", "/data"],
      ["0", "1", "/bin/a", "/data"],
      ["-5", "1", "/bin/a", "/data"],
      ["5", "", "/bin/a", "/data"],
      ["5", "1", "bin/a", "/data"],
      ["5", "1", "/bin/a", "data"],
      ["5", "1", "/bin/a\n", "/data"],
      ["5", "1", "/bin/a", "/da\nta"],
      ["5", "1", `ls:${id}:/bin/a`, "/data"],
      ["5", "1", `docker:${id.slice(1)}:/bin/a`, "/data"],
      ["5", "1", `docker:${id.slice(1)}*:/bin/a`, "/data"],
      ["5", "1", `docker:${id}:bin/a`, "/data"]
    ]
    for (const words of wrong) assert.strictEqual(of(...words), "no\n", words.join("|"))
  })
})
