/**
 * Goal: a server is found however its distribution starts it, and nobody else is taken for it whatever he does. Method:
 * we look for real servers of the user nobody, started in each of the usual ways, and for processes of the user games
 * that each have one thing of a server's. Needs root, for the two users.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ProcessRef } from "@inquorate/core/Topology"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Client } from "pg"
import * as EtcdProcess from "../src/EtcdProcess.ts"
import * as ListeningProcess from "../src/ListeningProcess.ts"
import type { Located } from "../src/Located.ts"
import * as NamedProcess from "../src/NamedProcess.ts"
import * as PostgresProcess from "../src/PostgresProcess.ts"
import { freePorts } from "./EtcdCluster.ts"
import { isRunning } from "./Recipe.ts"
import { eventually, folder, folderOf, games, host, nobody, root, start, started, without } from "./StartedServers.ts"

const etcd = ["/usr/bin/etcd", "/usr/local/bin/etcd"].find((file) => fs.existsSync(file))
const bin = fs.existsSync("/usr/lib/postgresql")
  ? fs
      .readdirSync("/usr/lib/postgresql")
      .map((version) => `/usr/lib/postgresql/${version}/bin`)
      .find((folder) => fs.existsSync(`${folder}/initdb`))
  : undefined
const stop = async (pid: number): Promise<void> => {
  process.kill(pid, "SIGTERM")
  await eventually(async () => !isRunning(pid), Boolean)
}

const found = (port: number, dataDirectory = ""): Promise<EtcdProcess.Candidate | string> => {
  const address = `127.0.0.1:${port}`
  const sought = {
    addresses: [address],
    openFile: EtcdProcess.database,
    folders: dataDirectory === "" ? [] : [dataDirectory]
  }
  return Effect.runPromise(
    Effect.map(ListeningProcess.find(host, sought, 20_000), (listening) =>
      EtcdProcess.candidate("here", { address, configured: dataDirectory }, listening)
    )
  )
}

const processOf = (one: EtcdProcess.Candidate | string): ProcessRef =>
  typeof one === "string" ? assert.fail(one) : one.process

/** What a stranger does, in Python, and then waits; says `ready` once it is done. */
const stranger = async (text: string, words: ReadonlyArray<string>, uid = games): Promise<number> => {
  const program = path.join(folderOf(uid, 0o755), "etcd")
  fs.copyFileSync(fs.realpathSync("/usr/bin/python3"), program)
  const script = `import os, sys, time, socket, array\n${text}\nprint("ready", flush=True)\ntime.sleep(600)`
  const child = spawn(program, ["-c", script, ...words], {
    cwd: "/",
    uid,
    gid: uid,
    stdio: ["ignore", "pipe", "inherit"]
  })
  started.push(child.pid!)
  await new Promise<void>((resume, fail) => {
    child.stdout.once("data", () => resume())
    child.once("close", () => fail(new Error(`the stranger failed: ${text}`)))
  })
  return child.pid!
}

describe.skipIf(!root || etcd === undefined)(`etcd${without(etcd, "etcd")}`, () => {
  const urls = (port: number, peer: number) => ({
    name: "m0",
    "listen-client-urls": `http://127.0.0.1:${port}`,
    "advertise-client-urls": `http://127.0.0.1:${port}`,
    "listen-peer-urls": `http://127.0.0.1:${peer}`,
    "initial-advertise-peer-urls": `http://127.0.0.1:${peer}`,
    "initial-cluster": `m0=http://127.0.0.1:${peer}`,
    "unsafe-no-fsync": "true"
  })
  type Told = Readonly<Record<string, string>>
  const variable = (name: string): string => `ETCD_${name.toUpperCase().replaceAll("-", "_")}`
  const flags = (told: Told): ReadonlyArray<string> => Object.entries(told).map(([name, value]) => `--${name}=${value}`)
  const ways: ReadonlyArray<{ readonly way: string; readonly begin: (told: Told, data: string) => number }> = [
    {
      way: "flags",
      begin: (told, data) => start([etcd!, ...flags(told), "--data-dir", data], {})
    },
    {
      way: "the environment of Debian's unit",
      begin: (told, data) => {
        const { "unsafe-no-fsync": _, ...rest } = told
        const env = Object.fromEntries(Object.entries(rest).map(([name, value]) => [variable(name), value]))
        return start([etcd!, "--unsafe-no-fsync"], { env: { ...env, ETCD_DATA_DIR: data, DAEMON_ARGS: "" } })
      }
    },
    {
      way: "a configuration file, as kOps and Ansible's roles write it",
      begin: (told, data) => {
        const file = path.join(path.dirname(data), `${path.basename(data)}.yml`)
        const { "unsafe-no-fsync": _, ...rest } = told
        const lines = [...Object.entries(rest), ["data-dir", data]].map(
          ([name, value]) => `${name}: ${JSON.stringify(value)}`
        )
        fs.writeFileSync(file, [...lines, "unsafe-no-fsync: true", ""].join("\n"), { mode: 0o644 })
        return start([etcd!, `--config-file=${file}`], {})
      }
    },
    {
      way: "a directory that is relative to where it stands",
      begin: (told, data) =>
        start([etcd!, ...flags(told), "--data-dir", path.basename(data)], { cwd: path.dirname(data) })
    },
    {
      way: "no directory at all, so that it takes NAME.etcd where it stands",
      begin: (told, data) => start([etcd!, ...flags(told)], { cwd: data })
    }
  ]

  const up = async (begin: (told: Told, data: string) => number) => {
    const [port, peer] = (await freePorts(2)) as [number, number]
    const data = folderOf(nobody)
    const pid = begin(urls(port, peer), data)
    await eventually(
      () => found(port),
      (one) => typeof one !== "string"
    )
    return { port, data, pid }
  }

  it.each(ways)("is found by its open database when it is told of it by $way", async ({ begin, way }) => {
    const { data, pid, port } = await up(begin)
    const process = processOf(await found(port))
    const expected = way.startsWith("no directory") ? path.join(data, "m0.etcd") : data
    assert.deepInclude(process, { pid, executable: etcd!, dataDirectory: expected })
    assert.strictEqual(processOf(await found(port, expected)).pid, pid)
    await stop(pid)
  })

  it("is not a stranger with a path of line ends, a link, a descriptor, or a mount of his own", async () => {
    const { data, pid, port } = await up(ways[0]!.begin)
    const table = fs
      .readFileSync("/proc/net/tcp", "latin1")
      .split("\n")
      .map((row) => row.trim().split(/\s+/))
    const hex = port.toString(16).toUpperCase().padStart(4, "0")
    const inode = table.find((row) => row[1]?.endsWith(`:${hex}`) && row[3] === "0A")![9]!
    const forged = `x\nx -> socket:[${inode}]\nx -> ${data}/member/snap/db\n/proc/${pid}/fd:\nholds 1 ${inode}\n`
    const before = await found(port)
    const attempts: ReadonlyArray<string> = [
      `p = os.path.join(sys.argv[1], sys.argv[2]); os.makedirs(p); os.open(p, os.O_RDONLY); open(os.path.join(p, "db"), "w")`,
      `p = os.path.join(sys.argv[1], sys.argv[2] + "member/snap"); os.makedirs(p); os.chdir(p); f = open("db", "w")`,
      `os.symlink(sys.argv[3] + "/member/snap/db", sys.argv[1] + "/db"); os.open(sys.argv[1] + "/db", os.O_PATH | os.O_NOFOLLOW)`,
      `f = open(sys.argv[1] + "/socket:[" + sys.argv[4] + "]", "w"); os.chdir(sys.argv[1])`
    ]
    for (const text of attempts) {
      await stranger(text, [folderOf(games, 0o755), forged, data, inode, `--data-dir=${data}`])
      assert.deepStrictEqual(await found(port), before, text)
      assert.deepStrictEqual(await found(port, data), before, text)
    }
    await stop(pid)
  })

  it("is not who was handed its socket by a compromised member, nor who has a database in its stead", async () => {
    const { data, pid, port } = await up(ways[0]!.begin)
    await stop(pid)
    // Our own process plays the member: it listens and has the database open, and hands both to a stranger.
    const meeting = path.join(folderOf(nobody, 0o755), "meeting")
    const member = `
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); f = open(sys.argv[2] + "/member/snap/db", "r+b")
m = socket.socket(socket.AF_UNIX); m.bind(sys.argv[3]); os.chmod(sys.argv[3], 0o777); m.listen(1)
if os.fork() == 0:
    c, _ = m.accept()
    c.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno(), f.fileno()]))])
    time.sleep(600)`
    const played = await stranger(member, [String(port), data, meeting], nobody)
    // The member and what it forked hold the same; the one that the other comes from is the server.
    assert.strictEqual(processOf(await found(port)).pid, played)
    const heir = `
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); _, a, _, _ = c.recvmsg(1, 4096)
os.makedirs(sys.argv[2] + "/own/member/snap"); f = open(sys.argv[2] + "/own/member/snap/db", "w")`
    const heirPid = await stranger(heir, [meeting, folderOf(games, 0o755)])
    assert.notStrictEqual(heirPid, played)
    assert.deepInclude(processOf(await found(port)), { pid: played, dataDirectory: data })
    // Alone with the socket he is told of, and not believed.
    for (const each of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (
          fs.readlinkSync(`/proc/${each}/exe`) === fs.readlinkSync(`/proc/${played}/exe`) &&
          Number(each) !== played
        ) {
          process.kill(Number(each), "SIGKILL")
        }
      } catch {
        // It ended meanwhile.
      }
    }
    process.kill(played, "SIGKILL")
    const left = await eventually(
      () => found(port),
      (one) => String(one).includes("by a socket that another user made")
    )
    assert.match(String(left), /by a socket that another user made/)
  })

  it("is not who has its own folder mounted over the member's in a namespace of his own", async () => {
    const { data, pid, port } = await up(ways[0]!.begin)
    const program = path.join(folderOf(games, 0o755), "etcd")
    fs.copyFileSync(fs.realpathSync("/bin/sleep"), program)
    const own = folderOf(games, 0o755)
    fs.mkdirSync(path.join(own, "member/snap"), { recursive: true })
    fs.writeFileSync(path.join(own, "member/snap/db"), "")
    fs.chmodSync(path.join(own, "member/snap/db"), 0o666)
    const text = `mount --bind ${own} ${folder}/${path.basename(data)} && exec 3>>${data}/member/snap/db; exec ${program} 600`
    start(["unshare", "-Urm", "sh", "-c", text], { uid: games })
    await new Promise((resume) => setTimeout(resume, 500))
    assert.strictEqual(processOf(await found(port)).pid, pid)
    await stop(pid)
  })
})

describe.skipIf(!root || bin === undefined)(`PostgreSQL${without(bin, "postgresql")}`, () => {
  let data = ""
  let port = 0
  beforeAll(async () => {
    data = path.join(folderOf(nobody), "main")
    port = (await freePorts(1))[0]!
    const made = spawnSync(`${bin}/initdb`, ["-D", data, "-A", "trust", "-U", "postgres", "--no-sync"], {
      uid: nobody,
      gid: nobody,
      cwd: "/",
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" }
    })
    assert.strictEqual(made.status, 0, made.stderr)
  }, 120_000)

  const own = () => [
    "-c",
    `port=${port}`,
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    `unix_socket_directories=${path.dirname(data)}`,
    "-c",
    "fsync=off"
  ]

  const asked = async (): Promise<{ readonly backend: number; readonly told: string } | undefined> => {
    const client = new Client({ host: "127.0.0.1", port, user: "postgres", database: "postgres" })
    client.on("error", () => undefined)
    try {
      await client.connect()
      clients.push(client)
      const { rows } = await client.query(
        "select pg_backend_pid() as backend, current_setting('data_directory') as told"
      )
      return rows[0]
    } catch {
      return undefined
    }
  }
  const clients: Array<Client> = []
  const leave = () => Promise.all(clients.splice(0).map((client) => client.end()))

  const locate = async (changes: Partial<PostgresProcess.Sought> = {}): Promise<Located> => {
    const answer = await eventually(asked, (one) => one !== undefined)
    assert.isDefined(answer, "PostgreSQL did not come up")
    const sought = {
      dataDirectory: answer!.told,
      configured: "",
      addresses: [`127.0.0.1:${port}`],
      backend: answer!.backend
    }
    return Effect.runPromise(PostgresProcess.locate(host, { ...sought, ...changes }, 20_000))
  }

  const postmaster = (): number => Number(fs.readFileSync(path.join(data, "postmaster.pid"), "utf8").split("\n")[0])

  const end = async (): Promise<void> => {
    await leave()
    await stop(postmaster())
    await eventually(
      async () => fs.existsSync(path.join(data, "postmaster.pid")),
      (there) => !there
    )
  }

  const control = (words: ReadonlyArray<string>, cwd = "/") => {
    const log = path.join(path.dirname(data), "log")
    const options = own()
      .filter((word) => word !== "-c")
      .map((word) => `-c ${word}`)
      .join(" ")
    const { status, stderr } = spawnSync(`${bin}/pg_ctl`, [...words, "-l", log, "-o", options, "start"], {
      uid: nobody,
      gid: nobody,
      cwd,
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
      stdio: ["ignore", "ignore", "pipe"],
      encoding: "utf8"
    })
    assert.strictEqual(status, 0, stderr)
  }

  const ways: ReadonlyArray<{ readonly way: string; readonly begin: () => void }> = [
    { way: "postgres -D", begin: () => void start([`${bin}/postgres`, "-D", data, ...own()], {}) },
    { way: "pg_ctl -D with an absolute name", begin: () => control(["-D", data]) },
    { way: "pg_ctl -D with a relative name", begin: () => control(["-D", "main"], path.dirname(data)) },
    {
      way: "PGDATA alone, as the units of PGDG for Fedora and RHEL",
      begin: () => void start([`${bin}/postgres`, ...own()], { env: { PGDATA: data } })
    },
    {
      way: "a config_file elsewhere that names data_directory, as pg_ctlcluster",
      begin: () => {
        const etc = folderOf(nobody, 0o755)
        fs.writeFileSync(
          path.join(etc, "postgresql.conf"),
          `data_directory = '${data}'\nhba_file = '${etc}/pg_hba.conf'\nident_file = '${etc}/pg_ident.conf'\n`,
          { mode: 0o644 }
        )
        for (const name of ["pg_hba.conf", "pg_ident.conf"]) {
          fs.copyFileSync(path.join(data, name), path.join(etc, name))
          fs.chownSync(path.join(etc, name), nobody, nobody)
        }
        start([`${bin}/postgres`, "-c", `config_file=${etc}/postgresql.conf`, ...own()], {})
      }
    }
  ]

  it.each(ways)("is found when it is started by $way", { timeout: 120_000 }, async ({ begin }) => {
    begin()
    const { problem, process } = await locate()
    assert.strictEqual(problem, "")
    assert.deepInclude(process, {
      pid: postmaster(),
      dataDirectory: data,
      executable: fs.realpathSync(`${bin}/postgres`)
    })
    await end()
  })

  it("is not who a file names that others could have written, nor another's server", { timeout: 120_000 }, async () => {
    start([`${bin}/postgres`, "-D", data, ...own()], {})
    const before = await locate()
    assert.strictEqual(before.problem, "")
    const pid = postmaster()
    // The server says that its data directory is one where everybody may write; what is there names a process of games.
    const shared = folderOf(0, 0o1777)
    const lines = (number: number) => `${number}\n${shared}\n1\n${port}\n\n127.0.0.1\n`
    const posing = await stranger("os.chdir(sys.argv[1])", [shared])
    for (const number of [posing, pid]) {
      fs.rmSync(path.join(shared, "postmaster.pid"), { force: true })
      fs.writeFileSync(path.join(shared, "postmaster.pid"), lines(number), { mode: 0o644 })
      fs.chownSync(path.join(shared, "postmaster.pid"), games, games)
      const { problem } = await locate({ dataDirectory: shared })
      assert.match(problem, /others than its user could have written/)
    }
    // A folder that is all his: then it is his process, which does not serve the address.
    const his = folderOf(games)
    fs.writeFileSync(path.join(his, "postmaster.pid"), lines(posing), { mode: 0o600 })
    fs.chownSync(path.join(his, "postmaster.pid"), games, games)
    const posed = await locate({ dataDirectory: his })
    assert.isNull(posed.process)
    assert.notStrictEqual(posed.problem, "")
    // The right process, but for another address than the one it answers on.
    const elsewhere = await locate({ addresses: [`127.0.0.2:${port}`] })
    assert.match(elsewhere.problem, /is not the server that answers/)
    // By its Unix socket too, under whatever name of the folder; not by another server's.
    const linked = path.join(folderOf(nobody, 0o755), "run")
    fs.symlinkSync(path.dirname(data), linked)
    assert.strictEqual((await locate({ addresses: [`${linked}:${port}`] })).process?.pid, pid)
    const theirs = folderOf(games, 0o755)
    await stranger(`s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)`, [
      path.join(theirs, `.s.PGSQL.${port}`)
    ])
    assert.match((await locate({ addresses: [`${theirs}:${port}`] })).problem, /is not the server that answers/)
    for (const name of ["a pipe", "a link"]) {
      const odd = folderOf(nobody)
      if (name === "a pipe") spawnSync("mkfifo", [path.join(odd, "postmaster.pid")])
      else fs.symlinkSync(path.join(data, "postmaster.pid"), path.join(odd, "postmaster.pid"))
      assert.match((await locate({ dataDirectory: odd })).problem, /postmaster.pid cannot be read/, name)
    }
    await end()
  })
})

describe.skipIf(!root)(`a process that a number in a file names${without("", "")}`, () => {
  it("is not taken where another user's link leads to its data directory", async () => {
    const [theirs, his, real] = [folderOf(games), folderOf(nobody, 0o755), folderOf(nobody)]
    const theirPid = start(["/bin/sleep", "1000"], { uid: games, cwd: theirs })
    const pid = start(["/bin/sleep", "1000"], { cwd: real })
    const located = (target: string, number: number, owner: number): Promise<Located> => {
      const link = path.join(his, "data")
      fs.rmSync(link, { force: true })
      fs.symlinkSync(target, link)
      fs.lchownSync(link, owner, owner)
      const named = { dataDirectory: `${his}/../${path.basename(his)}//data/.`, pid: number, pidFile: undefined }
      return Effect.runPromise(NamedProcess.locate(host, named, 20_000))
    }
    assert.match((await located(theirs, theirPid, nobody)).problem, /a link of another user than the server's leads to/)
    // Root's link, and the server's own, lead where they lead.
    assert.strictEqual((await located(theirs, theirPid, 0)).process?.dataDirectory, theirs)
    assert.strictEqual((await located(real, pid, nobody)).process?.dataDirectory, real)
    assert.strictEqual((await located(path.relative(his, real), pid, nobody)).process?.dataDirectory, real)
    for (const one of [theirPid, pid]) process.kill(one, "SIGKILL")
  })
})

// Mode 700, as the data directory has everywhere: who is not the server's user sees nothing below it.
describe("a data directory that our user cannot see", () => {
  it("is told with all that may be the cause, and what to do", async () => {
    const sought = {
      dataDirectory: "/var/lib/postgresql/none-here/main",
      configured: "",
      addresses: ["127.0.0.1:5432"],
      backend: process.pid
    }
    const { problem, process: found } = await Effect.runPromise(PostgresProcess.locate(host, sought, 20_000))
    assert.isNull(found)
    assert.match(problem, /our user may not look there \(then run the worker as root or as the server's own user\)/)
    assert.notMatch(problem, /is no folder/)
  })
})
