/**
 * Goal: what the network, other fences and other users' processes say brings no rule, no table and no server into play
 * that the order does not mean. Method: the shipped functions of the cut, of the restart and of turns on a made-up /proc,
 * with an `nft` that is a function of the test, in each shell that a host may have.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as MadeUpHost from "./MadeUpHost.ts"
import { statLine } from "./MadeUpHost.ts"

const us = String(process.getuid?.() ?? 0)
const hexPort = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0")
const hexAddress = (address: string): string =>
  address
    .split(".")
    .toReversed()
    .map((part) => Number(part).toString(16).toUpperCase().padStart(2, "0"))
    .join("")
/** Rows of `/proc/net/tcp`: state, local and remote end, number of the socket. */
const tcp = (...rows: ReadonlyArray<readonly [state: string, from: string, to: string, socket: number]>): string => {
  const end = (text: string): string => {
    const [address, port] = text.split(":")
    return `${hexAddress(address!)}:${hexPort(Number(port))}`
  }
  const lines = rows.map(
    ([state, from, to, socket], index) =>
      `   ${index}: ${end(from)} ${end(to)} ${state} 00000000:00000000 00:00000000 00000000     0        0 ${socket} 1 0 100 0 0 10 0`
  )
  return [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    ...lines,
    ""
  ].join("\n")
}
const listening = "0A"
const standing = "01"

const host = MadeUpHost.make({
  "proc/uptime": "500.00 1.00\n",
  "proc/self/stat": statLine(50, "sh"),
  "proc/50/stat": statLine(50, "sh", { born: 7 }),
  "proc/self/cgroup": "0::/\n",
  "proc/self/ns/net": "",
  "proc/self/ns/user": "",
  "proc/self/net/fib_trie":
    "  |-- 127.0.0.1\n    /32 host LOCAL\n  |-- 10.0.0.9\n    /32 host LOCAL\n  |-- 10.0.0.7\n    /32 link UNICAST\n",
  "proc/sys/kernel/random/boot_id": "boot\n"
})
const cut = ["facts.sh", "records.sh", "orders.sh", "addresses.sh", "cut.sh", "netfilter.sh"]

/** The processes of one namespace: their program, their sockets, and the table that all of them see. */
const addServers = (
  namespace: string,
  servers: Readonly<Record<number, ReadonlyArray<number>>>,
  table: string,
  locals: ReadonlyArray<string> = ["127.0.0.1"],
  { user = us, space = "proc/self/ns/user" } = {}
): void => {
  const shared = `shared/${namespace}`
  host.add({
    [`${shared}/net`]: "",
    [`${shared}/tcp`]: table,
    [`${shared}/fib_trie`]: locals.map((address) => `  |-- ${address}\n    /32 host LOCAL\n`).join("")
  })
  const to = (name: string): MadeUpHost.Entry => ({ link: path.join(host.root, name) })
  for (const [pid, sockets] of Object.entries(servers)) {
    host.add({
      [`proc/${pid}/stat`]: statLine(Number(pid), ") S 1 (", { born: Number(pid) }),
      [`proc/${pid}/exe`]: to("bin/server"),
      [`proc/${pid}/status`]: `Name:\tUid: 0\nUid:\t${user}\t${user}\t${user}\t${user}\n`,
      [`proc/${pid}/ns/net`]: to(`${shared}/net`),
      [`proc/${pid}/ns/user`]: to(space),
      [`proc/${pid}/net/tcp`]: to(`${shared}/tcp`),
      [`proc/${pid}/net/fib_trie`]: to(`${shared}/fib_trie`),
      [`proc/${pid}/fd/0`]: { link: "/dev/null" },
      // Files whose names read like a socket: one of a client of ours, one of somebody else's service.
      [`proc/${pid}/fd/1`]: { link: "/tmp/socket:[1" },
      [`proc/${pid}/fd/2`]: { link: "/tmp/x\nlrwx------ 1 0 0 64 Jan 1 1970 9 -> socket:[99]" },
      [`proc/${pid}/fd/3`]: { link: "/tmp/3 -> socket:[71]" },
      ...Object.fromEntries(sockets.map((socket) => [`proc/${pid}/fd/${socket}`, { link: `socket:[${socket}]` }]))
    })
  }
}
host.add({ "bin/server": "" })

// Three members that meet on loopback: clients at 23791…, peers at 23801…; 201 has dialled 202, and 203 has dialled 201.
addServers(
  "near",
  { 201: [11, 12, 13, 14], 202: [21, 22, 23], 203: [31, 32, 33] },
  tcp(
    [listening, "127.0.0.1:23791", "0.0.0.0:0", 11],
    [listening, "127.0.0.1:23801", "0.0.0.0:0", 12],
    [listening, "127.0.0.1:23792", "0.0.0.0:0", 21],
    [listening, "127.0.0.1:23802", "0.0.0.0:0", 22],
    [listening, "127.0.0.1:23793", "0.0.0.0:0", 31],
    [listening, "127.0.0.1:23803", "0.0.0.0:0", 32],
    [standing, "127.0.0.1:40001", "127.0.0.1:23802", 13],
    [standing, "127.0.0.1:23802", "127.0.0.1:40001", 23],
    [standing, "127.0.0.1:40002", "127.0.0.1:23801", 33],
    [standing, "127.0.0.1:23801", "127.0.0.1:40002", 14],
    // A client of ours, who is no member.
    [standing, "127.0.0.1:50000", "127.0.0.1:23791", 99],
    [standing, "127.0.0.1:23791", "127.0.0.1:50000", 98],
    // Somebody else's service, and who uses it.
    [listening, "127.0.0.1:5432", "0.0.0.0:0", 71],
    // A process of the same program that another user runs: it is a client of 201, and listens too.
    [listening, "127.0.0.1:23809", "0.0.0.0:0", 81],
    [standing, "127.0.0.1:50001", "127.0.0.1:23791", 82],
    [standing, "127.0.0.1:23791", "127.0.0.1:50001", 11]
  )
)
addServers("near-too", { 204: [81, 82] }, "", [], { user: "4242" })
host.add({ "proc/204/ns/net": { link: path.join(host.root, "shared/near/net") } })
// Two members with networks of their own, and one that listens for all on one port.
addServers(
  "far-a",
  { 211: [41, 42] },
  tcp(
    [listening, "0.0.0.0:5432", "0.0.0.0:0", 41],
    [standing, "10.1.0.1:5432", "10.1.0.2:40000", 42],
    [standing, "10.1.0.1:40000", "10.9.9.9:80", 43]
  ),
  ["127.0.0.1", "10.1.0.1"]
)
addServers("far-b", { 212: [51] }, tcp([standing, "10.1.0.2:40000", "10.1.0.1:5432", 51]), ["127.0.0.1", "10.1.0.2"])
// What anybody may make in a user namespace of his own: a network with the address of whomever he likes.
host.add({ "shared/own-user": "" })
addServers("far-c", { 213: [55] }, tcp([standing, "10.9.9.9:80", "10.1.0.1:40000", 55]), ["127.0.0.1", "10.9.9.9"], {
  space: "shared/own-user"
})
addServers("alone", { 221: [61] }, tcp([listening, "127.0.0.1:5432", "0.0.0.0:0", 61]))

describe.each(MadeUpHost.shells.map((shell) => [shell.join(" "), shell] as const))("the cut in %s", (_, shell) => {
  const told = (script: string, environment: Readonly<Record<string, string>> = {}): string =>
    host.told(shell, cut, script, { environment })
  const find = (pid: number, words: string, environment: Readonly<Record<string, string>> = {}): string => {
    const say = `echo "$way|" $own '|' $others '|' $dialled '|' $peers $peers6`
    return told(`pid=${pid} effective=0; find_cut ${words} && ${say} || echo "no: $problem"`, environment).trim()
  }

  it("takes endpoints of addresses and names, and nothing that would have to be quoted", () => {
    const split = (text: string): string =>
      told(`split_endpoints '${text}' && echo "$addresses|$ports" || echo no`).trim()
    assert.strictEqual(split("10.0.0.1:2380,[fe80::1]:65535"), "10.0.0.1 fe80::1| 2380 65535")
    assert.strictEqual(split("m-0.db_1.example:2380"), "m-0.db_1.example| 2380")
    assert.strictEqual(split("-"), "|")
    for (const text of [
      "-host:2380",
      `${"h".repeat(254)}:2380`,
      "fe80::1:2380",
      "[fe80::1%eth0]:2380",
      "10.0.0.1:0",
      "10.0.0.1:65536",
      "10.0.0.1:",
      ":2380",
      "10.0.0.1:2380;x",
      "10.0.0.1 }:1",
      "1.1.1.1:99999999999999999999",
      "$(id):1",
      "*:1"
    ])
      assert.strictEqual(split(text), "no", text)
  })

  it("gives each address one form, and takes nothing for one that is none", () => {
    const forms = (text: string): ReadonlyArray<string> => told(`echo '${text}' | canonical`).trim().split("\n")
    assert.deepStrictEqual(forms("10.0.0.1 FD00::a:1 ::1 1:2:3:4:5:6:7:: ::ffff:10.0.0.1 ::ffff:a00:1"), [
      "10.0.0.1",
      "fd00:0000:0000:0000:0000:0000:000a:0001",
      "0000:0000:0000:0000:0000:0000:0000:0001",
      "0001:0002:0003:0004:0005:0006:0007:0000",
      "10.0.0.1",
      "10.0.0.1"
    ])
    for (const none of [
      "1.2.3",
      "010.0.0.1",
      "256.0.0.1",
      "1::2::3",
      "12345::",
      "1:2:3:4:5:6:7",
      "::1.2.3",
      ":1::",
      "g::1"
    ]) {
      assert.deepStrictEqual(forms(none), [`? ${none}`])
    }
  })

  it("looks a peer's name up, and refuses one that several may have", () => {
    host.add({ "proc/self/net/fib_trie": "  |-- 127.0.0.1\n    /32 host LOCAL\n" })
    const named = (addresses: ReadonlyArray<string>): string => {
      const say = `echo "$way|" $peers '|' $peers6`
      const look = `look_up() { [ "$1 $2" = "211 m1.example" ] && printf '%s\\n' ${addresses.join(" ")}; }; command() { :; }`
      return told(
        `${look}; pid=211 effective=0; find_cut m0.example:5432 m1.example:5432 22 && ${say} || echo "no: $problem"`
      ).trim()
    }
    assert.strictEqual(named(["10.1.0.2"]), "Addresses| 10.1.0.2 |")
    assert.strictEqual(named(["10.1.0.2", "fd00::2"]), "Addresses| 10.1.0.2 | fd00:0000:0000:0000:0000:0000:0000:0002")
    assert.include(named(["10.1.0.2", "10.1.0.3"]), "m1.example stands for several addresses (10.1.0.2, 10.1.0.3)")
    assert.include(named(["fd00::2", "10.1.0.2", "fd00::3"]), "stands for several addresses")
    assert.include(named(["fe80::1%eth0"]), "not all addresses or names")
    assert.include(named(["''"]), "m1.example cannot be looked up where process 211 runs")
  })

  it("finds the peers' ports of members on loopback by who reaches whom, and no port of clients", () => {
    assert.strictEqual(find(201, "- - 22"), "Ports| 23801 | 23802 | 40001:23802 |")
    assert.include(find(203, "- - 22"), "no other member is connected to it")
  })

  it("takes the peers that are named, where they are all near or all far", () => {
    const own = "127.0.0.1:23801"
    assert.strictEqual(
      find(201, `${own} 127.0.0.1:23802,127.0.0.1:23803 22`),
      "Ports| 23801 | 23802 23803 | 40001:23802 |"
    )
    assert.include(find(201, `${own} 127.0.0.1:23802,10.0.0.2:2380 22`), "some of the peers share")
    assert.include(find(201, `${own} 1.1.1:2380 22`), "not all addresses or names")
    assert.include(find(201, `127.0.0.1:1234 127.0.0.1:23802 22`), "does not listen on the peer port 1234")
    assert.include(find(201, `127.0.0.1:23791,${own} 127.0.0.1:23802 22`), "would take its clients too")
  })

  it("cuts no port of somebody else's service, whoever says that a peer is there", () => {
    const own = "127.0.0.1:23801"
    const said = find(201, `${own} 127.0.0.1:23802,127.0.0.1:5432 22`)
    assert.include(
      said,
      "port 5432, which process 201 is said to reach a peer by, is listened on by a process of another"
    )
    assert.include(find(201, `${own} 127.0.0.1:23809 22`), "port 23809, which process 201 is said")
    // Nobody listens where a peer is down.
    assert.strictEqual(
      find(201, `${own} 127.0.0.1:23802,127.0.0.1:23899 22`),
      "Ports| 23801 | 23802 23899 | 40001:23802 |"
    )
  })

  it("never cuts a port that is kept, nor the one that this session came by", () => {
    assert.include(find(201, "- - 22,23802"), "port 23802 is kept open")
    assert.include(find(201, "- - 22", { SSH_CONNECTION: "10.0.0.1 40000 10.0.0.2 23801" }), "port 23801 is kept open")
    assert.include(find(221, "127.0.0.1:5432 127.0.0.1:5433 22"), "for clients as well as for peers")
  })

  it("cuts a member with a network of its own off from its peers' addresses, and from no other", () => {
    host.add({ "proc/self/net/if_inet6": "" })
    host.add({ "proc/self/net/fib_trie": "  |-- 127.0.0.1\n    /32 host LOCAL\n" })
    assert.strictEqual(find(211, "- - 22"), "Addresses| | | | 10.1.0.2")
    assert.strictEqual(find(211, "10.1.0.1:5432 10.1.0.2:5432 22"), "Addresses| 5432 | 5432 | | 10.1.0.2")
    assert.strictEqual(
      find(211, "10.1.0.1:5432 '[fd00::1]:5432,10.1.0.2:5432' 22"),
      "Addresses| 5432 | 5432 5432 | | 10.1.0.2 fd00:0000:0000:0000:0000:0000:0000:0001"
    )
    host.add({ "proc/self/net/if_inet6": "fd000000000000000000000000000001 02 40 00 80     eth0\n" })
    assert.include(find(211, "10.1.0.1:5432 '[fd00::1]:5432' 22"), "is this host's own")
    host.add({ "proc/self/net/fib_trie": "  |-- 10.1.0.2\n    /32 host LOCAL\n" })
    assert.include(find(211, "- - 22"), "is this host's own")
  })

  it("writes rules of numbers alone, and a time on each element", () => {
    const script = `table=inq_x left=900 wall=1700; way=Ports own=' 23801' others=' 23802 23803' dialled=' 40001:23802'; print_sets; print_cut`
    const rules = told(script).trim().split("\n")
    assert.strictEqual(rules[0], "create table inet inq_x")
    assert.deepStrictEqual(
      rules.filter((rule) => rule.startsWith("create element")),
      [
        "create element inet inq_x own { 23801 timeout 900ms }",
        "create element inet inq_x others { 23802 timeout 900ms, 23803 timeout 900ms }",
        "create element inet inq_x dialled { 40001 . 23802 timeout 900ms }"
      ]
    )
    for (const rule of rules.filter((each) => each.startsWith("add rule"))) assert.include(rule, "meta time < 1700 ")
    assert.include(rules, "add element inet inq_x standby { 1 timeout 900ms }")
    const [flush, ...more] = rules.filter((rule) => rule.startsWith("flush"))
    assert.deepStrictEqual([flush, ...more], ["flush set inet inq_x standby"])
    for (const rule of rules.filter((each) => each !== flush)) {
      assert.match(rule, /^(create|add) (table|set|chain|rule|element) inet inq_x\b/)
    }
  })

  it("has rules and a set for IPv6 only where there are such peers, when it tightens too", () => {
    const six = "fd00:0000:0000:0000:0000:0000:0000:0001"
    const table = (peers6: string): string =>
      told(`table=inq_x left=900 wall=1700; way=Addresses peers=' 10.1.0.2' peers6=' ${peers6}'; print_sets; print_cut`)
    assert.notInclude(
      told("table=inq_x left=9 wall=17; way=Addresses peers=' 10.1.0.2' peers6=; print_sets; print_cut"),
      "peers6"
    )
    assert.include(table(six), "add set inet inq_x peers6 { type ipv6_addr; flags timeout; }")
    assert.include(table(six), `create element inet inq_x peers6 { ${six} timeout 900ms }`)
    assert.include(table(six), "output meta time < 1700 ip6 daddr @peers6 drop")
    const tightening = (standing: string): string =>
      told(`table=inq_x left=900 wall=1700; way=Addresses standing='${standing}'; print_tightening`)
    assert.notInclude(tightening("peers 10.1.0.2"), "peers6")
    assert.include(tightening("peers 10.1.0.2\npeers6 fd00::1"), "input meta time < 1700 ip6 saddr @peers6 drop")
    assert.include(tightening("peers6 fd00::1"), "create element inet inq_x peers6 { fd00::1 timeout 900ms }")
  })

  it("reads the elements that stand, however nft breaks its lines", () => {
    const listing = [
      "table inet inq_x {",
      "\tset own {",
      "\t\ttype inet_service",
      "\t\tflags timeout",
      "\t\telements = { 23801 timeout 20s expires 18s400ms }",
      "\t}",
      "\tset others {",
      "\t\telements = { 23802 timeout 20s expires 18s,",
      "\t\t\t     23803 timeout 20s expires 18s }",
      "\t}",
      "\tset dialled {",
      "\t\telements = { 40001 . 23802 timeout 20s expires 18s }",
      "\t}",
      "\tset peers {",
      "\t\ttype ipv4_addr",
      "\t}",
      "\tchain input {",
      "\t\tmeta time < 1700 ip saddr @peers drop",
      "\t}",
      "}"
    ].join("\n")
    const said = told(`nft() { printf '%s\\n' '${listing}'; }; inside= table=inq_x; standing_elements`)
    assert.strictEqual(said, "own 23801\nothers 23802\nothers 23803\ndialled 40001 . 23802\n")
    assert.strictEqual(told("nft() { return 1; }; inside= table=inq_x; standing_elements"), "")
    const read = (nft: string): string =>
      told(`nft() { ${nft}; }; inside= table=inq_x; read_elements && echo "<$elements>" || echo unknown`).trim()
    assert.strictEqual(read(`printf '%s\\n' '${listing}'`), `<${said.trim()}>`)
    assert.strictEqual(read("echo 'Error: No such file or directory' >&2; return 1"), "<>")
    assert.strictEqual(read("echo 'Error: Could not process rule: Interrupted system call' >&2; return 1"), "unknown")
  })

  it("calls a cut broken only where it stood before its elements were seen to be gone", () => {
    const seen = (files: ReadonlyArray<string>, nft: string): ReadonlyArray<string> => {
      const fence = fs.mkdtempSync(path.join(host.root, "fence"))
      for (const name of files) fs.writeFileSync(path.join(fence, name), "")
      const unsettled = "unheard() { false; }; enter_ordered() { :; }; went_elsewhere() { false; }"
      told(`fence='${fence}' inside= table=inq_x; ${unsettled}; nft() { ${nft}; }; review`)
      return fs.readdirSync(fence)
    }
    const gone = "echo 'Error: No such file or directory' >&2; return 1"
    const standing = ["deadline.600000.1900", "armed.1.2.1"]
    assert.include(seen(standing, gone), "broken")
    assert.notInclude(seen([...standing, "dismissed"], gone), "broken")
    assert.notInclude(seen(["deadline.600000.1900"], `true >"$fence/armed.1.2.1"; ${gone}`), "broken")
    assert.notInclude(seen(standing, "echo 'Error: Interrupted system call' >&2; return 1"), "broken")
  })

  it("knows its own tables by their whole name, and looks at no other", () => {
    const tables = [
      "table inet inq_0a000000000040008000000000000000_1_6d31_77",
      "table inet inq_0a000000000040008000000000000000_1_6d31_77_more",
      "table inet xinq_0a000000000040008000000000000000_1_6d31_77",
      "table inet inq_0A_1_6d31_77",
      "table inet filter",
      `table inet inq_${"a".repeat(250)}_1_6d_7`
    ].join("\n")
    const said = told(`nft_list='${tables}'; timeout() { shift; printf '%s\\n' "$nft_list"; }; inside=; tables_here`)
    assert.strictEqual(said, "inq_0a000000000040008000000000000000_1_6d31_77\n")
  })

  it("removes from a sweep only tables that no standing fence accounts for", () => {
    const state = fs.mkdtempSync(path.join(host.root, "state"))
    const operation = "0a000000-0000-4000-8000-000000000000"
    const hex = operation.replaceAll("-", "")
    const fences = path.join(state, "netfilter", operation)
    fs.mkdirSync(path.join(fences, "1.aa"), { recursive: true })
    fs.mkdirSync(path.join(fences, "2.bb"))
    fs.writeFileSync(path.join(fences, "2.bb/lifted"), "1 2 Worker\n")
    const tables = [
      `${hex}_1_aa_77`,
      `${hex}_2_bb_77`,
      `${hex}_3_cc_77`,
      `${hex}_1_aa_78`,
      "0a_1_aa_77",
      `${hex}_1__77`
    ]
    const removed = (clear: string, elements: string): ReadonlyArray<string> =>
      told(
        `state_root='${state}' root_sum=77 clear=${clear} boot=boot; tables_here() { printf 'inq_%s\\n' ${tables.join(" ")}; }; is_in_use() { [ -n '${elements}' ]; }; remove_table() { echo "gone $table"; }; sweep_tables`
      )
        .trim()
        .split("\n")
        .filter((line) => line.startsWith("gone "))
        .map((line) => line.slice(`gone inq_${hex}_`.length))
    assert.deepStrictEqual(removed("look", "own 1"), [])
    assert.deepStrictEqual(removed("clear", "own 1"), ["2_bb_77", "3_cc_77"])
    assert.deepStrictEqual(removed("clear", ""), ["2_bb_77", "3_cc_77", "1_aa_78"])
  })
})

describe.each(MadeUpHost.shells.map((shell) => [shell.join(" "), shell] as const))(
  "restart and turns in %s",
  (_, shell) => {
    const kill = [
      "facts.sh",
      "records.sh",
      "orders.sh",
      "keeper-hooks.sh",
      "stopped-tree.sh",
      "turns.sh",
      "restart.sh",
      "kill.sh",
      "keeper.sh"
    ]
    const told = (script: string): string => host.told(shell, kill, script)

    it("starts a server by a unit only where systemd says that the unit's main process is this one", () => {
      const unit = (cgroup: string, says = "201", user = "0"): string => {
        host.add({ "proc/201/cgroup": cgroup, "proc/self/status": `Name:\tsh\nUid:\t0\t${user}\t0\t0\n` })
        const script = `systemctl() { :; }; timeout() { echo '${says}'; }; pid=201; supervising_unit && echo "$unit" || echo none`
        return told(script).trim()
      }
      assert.strictEqual(unit("0::/system.slice/etcd@a\\x2db.service\n"), "etcd@a\\x2db.service")
      assert.strictEqual(unit("1:name=systemd:/system.slice/etcd.service\n"), "etcd.service")
      assert.strictEqual(unit("0::/system.slice/etcd.service\n", "202"), "none")
      assert.strictEqual(unit("0::/system.slice/etcd.service\n", "201", "33"), "none")
      for (const name of [
        "-x.service",
        "a b.service",
        "a;b.service",
        "$(id).service",
        "etcd.scope",
        "etcd.service/below"
      ])
        assert.strictEqual(unit(`0::/system.slice/${name}\n`), "none", name)
      host.add({ "proc/201/cgroup": "0::/\n" })
    })

    it("takes a process for a keeper of ours only where it is our user's and called so", () => {
      const named = (...words: ReadonlyArray<string>): string => `${words.join("\0")}\0`
      host.add({
        "proc/241/cmdline": named("sh", "-c", ". x", "inquorate-keeper", "operation", "member", "/data"),
        "proc/242/cmdline": named("server", "-D", "inquorate-keeper", "/data"),
        "proc/243/cmdline": named("sh", "-c", "x\ninquorate-keeper", "server", "/data"),
        "proc/244/cmdline": "",
        "proc/245/cmdline": named("sh", "-c", ". x", "inquorate-keeper", "operation", "member", "/data"),
        "proc/self/status": `Name:\tsh\nUid:\t${us}\t${us}\t${us}\t${us}\n`,
        "proc/245/status": "Name:\tsh\nUid:\t4242\t4242\t4242\t4242\n"
      })
      for (const pid of [241, 242, 243, 244]) {
        host.add({ [`proc/${pid}/status`]: `Name:\tsh\nUid:\t${us}\t${us}\t${us}\t${us}\n` })
      }
      const said = told("for pid in 241 242 243 244 245 999; do ours $pid && echo 1 || echo 0; done").trim().split("\n")
      assert.deepStrictEqual(said, ["1", "0", "0", "0", "0", "0"])
    })

    it("finds the server of a data directory among processes that only look like it", () => {
      const folder = path.join(host.root, "data")
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
      fs.mkdirSync(folder, { mode: 0o700 })
      const fence = fs.mkdtempSync(path.join(host.root, "fence"))
      fs.writeFileSync(path.join(fence, "owner"), `${us}\n`)
      const ask = `fence='${fence}' exe='${host.root}/bin/served' directory='${folder}' strangers=; find_server && echo "$server $server_born" || echo none`
      const add = (pid: number, state: string, parent: number, cwd: string, user: string): void =>
        host.add({
          [`proc/${pid}/stat`]: statLine(pid, ") R 1 (", { state, parent, born: 9000 + pid }),
          [`proc/${pid}/exe`]: { link: `${host.root}/bin/served` },
          [`proc/${pid}/cwd`]: { link: cwd },
          [`proc/${pid}/status`]: `Name:\tUid: 0\nUid:\t${user}\t${user}\t${user}\t${user}\n`,
          [`proc/${pid}/cmdline`]: "served\0"
        })
      host.add({ "bin/served": "" })
      add(251, "Z", 1, folder, us)
      add(252, "S", 1, host.root, us)
      add(253, "S", 1, folder, "4242")
      assert.strictEqual(told(ask).trim(), "none")
      add(254, "S", 1, folder, us)
      add(255, "S", 254, folder, us)
      assert.strictEqual(told(ask).trim(), "254 9254")
      for (const pid of [251, 252, 253, 254, 255]) fs.rmSync(path.join(host.root, `proc/${pid}`), { recursive: true })
    })

    it("takes the next turn only once the owner of the last is done or dead", () => {
      const fence = fs.mkdtempSync(path.join(host.root, "fence"))
      const take = (): string =>
        told(`fence='${fence}' waits_for=; take_turn && echo "took $turn" || echo waits`).trim()
      assert.strictEqual(take(), "took 1")
      assert.strictEqual(fs.readFileSync(path.join(fence, "turn.1"), "utf8"), "50 7\n")
      assert.strictEqual(take(), "waits")
      fs.writeFileSync(path.join(fence, "over.1"), "")
      assert.strictEqual(take(), "took 2")
      // Its owner is another process by now, or what is written is not whole.
      fs.rmSync(path.join(fence, "turn.2"))
      fs.writeFileSync(path.join(fence, "turn.2"), "50 8\n")
      assert.strictEqual(take(), "took 3")
      fs.rmSync(path.join(fence, "turn.3"))
      fs.writeFileSync(path.join(fence, "turn.3"), "x\n")
      assert.strictEqual(take(), "took 4")
    })

    it("finds what an earlier turn left running by its pid and start time, in names that are whole", () => {
      const fence = fs.mkdtempSync(path.join(host.root, "fence"))
      const find = (): string =>
        told(`fence='${fence}'; earlier_child && echo "$child $child_born" || echo none`).trim()
      for (const name of ["child.1.50.8", "child.1.x.7", "child.1.50.", "child.50", "child.1.999.7"])
        fs.writeFileSync(path.join(fence, name), "")
      assert.strictEqual(find(), "none")
      fs.writeFileSync(path.join(fence, "child.2.50.7"), "")
      assert.strictEqual(find(), "50 7")
    })

    it("shows the last words of a program as one plain line", () => {
      const file = path.join(host.root, "said")
      fs.writeFileSync(file, "first\nsecond\tthird\r\u001b[31mred\u0007 \u00fc\0")
      assert.strictEqual(told(`tail_of '${file}'`), "first second third [31mred ")
    })
  }
)
