/**
 * Goal: nobody hides a server, or keeps a look at a host waiting, by the crowd that he makes. Method: we look for processes of
 * the user nobody beside many of the user games. Needs root, for the two users.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { freePorts } from "./EtcdCluster.ts"
import * as HostServers from "../src/HostServers.ts"
import * as ListeningProcess from "../src/ListeningProcess.ts"
import { eventually, folderOf, games, host, nobody, root, start, without } from "./StartedServers.ts"

// What anybody on a host may have as much of as he likes.
describe.skipIf(!root)(`a crowd of one user${without("", "")}`, () => {
  it("hides no server of another user, and makes no answer long", { timeout: 120_000 }, async () => {
    const program = path.join(folderOf(games, 0o755), "etcd")
    fs.copyFileSync("/bin/sleep", program)
    fs.chmodSync(program, 0o755)
    const crowd = Array.from({ length: 70 }, () => start([program, ...Array(40).fill("9".repeat(200))], { uid: games }))
    const mine = path.join(folderOf(nobody, 0o755), "etcd")
    fs.copyFileSync("/bin/sleep", mine)
    const ours = start([mine, "100"], {})
    const { crowds, servers } = await eventually(
      () => Effect.runPromise(HostServers.find(host, 20_000)),
      ({ servers }) => servers.some(({ pid }) => pid === ours)
    )
    assert.deepStrictEqual(
      servers.filter(({ pid }) => pid === ours).map(({ account, system, user }) => ({ account, system, user })),
      [{ account: "nobody", system: "etcd", user: nobody }]
    )
    const his = servers.filter(({ pid }) => crowd.includes(pid))
    // On a busy machine they may cost too much before they are too many.
    assert.isAtMost(his.length, 64)
    assert.include(crowds, games)
    for (const { words } of his) assert.isAtMost(words.join("").length, 4096)
    for (const pid of [...crowd, ours]) process.kill(pid, "SIGKILL")
  })

  it("that swaps a pipe in for a file again and again keeps no look waiting", { timeout: 120_000 }, async () => {
    const data = folderOf(games)
    const program = path.join(folderOf(games, 0o755), "postgres")
    fs.copyFileSync("/usr/bin/perl", program)
    const swaps =
      `open(my $file, ">", "file"); system("mkfifo", "pipe"); ` +
      `while (1) { for ("file", "pipe") { link($_, "next"); rename("next", "postmaster.pid") } }`
    const his = start([program, "-e", swaps], { uid: games, cwd: data })
    await eventually(async () => fs.existsSync(path.join(data, "postmaster.pid")), Boolean)
    for (let turn = 0; turn < 30; turn++) {
      const { servers } = await Effect.runPromise(HostServers.find(host, 20_000))
      assert.isTrue(servers.some(({ pid }) => pid === his))
    }
    process.kill(his, "SIGKILL")
  })

  it("on other addresses of a server's port is not looked at", { timeout: 120_000 }, async () => {
    const [port] = await freePorts(1)
    // Listens at so many addresses from one on, and says so by a file.
    const listens =
      "use Socket; my ($first, $count, $mark) = @ARGV; for (0 .. $count - 1) { socket(my $s, PF_INET, SOCK_STREAM, 0); " +
      `bind($s, sockaddr_in(${port}, pack("N", $first + $_))) or die; listen($s, 1); push @kept, $s } open(my $f, ">", $mark); sleep 1000`
    const marks = [nobody, games].map((uid) => path.join(folderOf(uid), "ready"))
    const server = start(["perl", "-e", listens, String(0x7f000001), "1", marks[0]!], {})
    const other = start(["perl", "-e", listens, String(0x7f070001), "500", marks[1]!], { uid: games })
    await eventually(async () => marks.every((mark) => fs.existsSync(mark)), Boolean)
    const place = ListeningProcess.placeInHex(`127.0.0.1:${port}`)
    const facts = await Effect.runPromise(ListeningProcess.look(host, "listeners", [place, "", "none"], 20_000))
    const told = (word: string) => facts.flatMap(([first, ...words]) => (first === word ? [words[0]] : []))
    assert.deepStrictEqual(told("listen"), [place])
    assert.deepStrictEqual(told("holds"), [String(server)])
    // Where the address is a name, anybody's socket may be meant: of each user's no more than a bound.
    const named = await Effect.runPromise(
      ListeningProcess.look(host, "listeners", [place.replace(/^[^:]*/, "*"), "", "none"], 20_000)
    )
    assert.isTrue(named.some(([word, pid]) => word === "holds" && pid === String(server)))
    assert.strictEqual(named.filter(([word, , , user]) => word === "listen" && user === String(games)).length, 128)
    for (const pid of [server, other]) process.kill(pid, "SIGKILL")
  })
})
