/**
 * Small TCP servers that speak to each other, for the tests to cut apart: on loopback, or each in a network namespace of
 * its own behind a bridge in yet another. Everything is killed by pid and deleted by name at the end of the scope.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import type { FenceOrder } from "@inquorate/core/Injector"
import type { ProcessRef } from "@inquorate/core/Topology"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ProcessTree from "./ProcessTree.ts"

/** Why these tests cannot run here, or empty where they can. */
export const missing = ((): string => {
  if (process.platform !== "linux") return "Linux"
  if (process.getuid?.() !== 0) return "root"
  if (spawnSync("nft", ["list", "tables"]).status !== 0) return "CAP_NET_ADMIN and nft"
  return ""
})()

/** Why namespaces cannot be made here, or empty where they can. */
export const missingNamespaces =
  missing !== "" ? missing : spawnSync("ip", ["netns", "list"]).status === 0 ? "" : "ip netns"

export interface Peer {
  readonly member: string
  readonly process: ProcessRef
  readonly client: string
  readonly peer: string
  /** How to run a program where clients stand. */
  readonly from: ReadonlyArray<string>
}

/** What a member said of each of the others, in their order: reached by a new connection, and by the one it had. */
export interface Echo {
  readonly fresh: ReadonlyArray<boolean>
  readonly standing: ReadonlyArray<boolean>
}

export interface Namespaces {
  /** How to run a program where clients stand. */
  readonly hub: ReadonlyArray<string>
  readonly members: ReadonlyArray<{ readonly enter: ReadonlyArray<string>; readonly address: string }>
}

/**
 * Namespaces m0… with 10.77.<n>.1x on a bridge in a namespace of its own, where clients stand as 10.77.<n>.1; or, of IPv6,
 * with fd77:<n>::1x and fd77:<n>::1.
 */
export const namespaces = (count: number, kind: 4 | 6 = 4): Effect.Effect<Namespaces, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const prefix = `${namespacePrefix}${(turn += 1)}`
        const names = Array.from({ length: count }, (_, index) => `${prefix}m${index}`)
        const hub = `${prefix}hub`
        ip("netns", "add", hub)
        ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        const own = (host: number): string => (kind === 4 ? `10.77.${turn}.${host}` : `fd77:${turn}::${host}`)
        // Nobody else can have the address, and who looks whether somebody has keeps it from being used for a second.
        const add = (name: string, link: string, host: number): void =>
          ip(
            "-n",
            name,
            "addr",
            "add",
            `${own(host)}/${kind === 4 ? 24 : 64}`,
            "dev",
            link,
            ...(kind === 4 ? [] : ["nodad"])
          )
        add(hub, "bridge", 1)
        for (const link of ["bridge", "lo"]) ip("-n", hub, "link", "set", link, "up")
        const members = names.map((name, index) => {
          const address = own(10 + index)
          ip("netns", "add", name)
          ip("-n", hub, "link", "add", `port${index}`, "type", "veth", "peer", "name", "eth0", "netns", name)
          ip("-n", hub, "link", "set", `port${index}`, "master", "bridge", "up")
          add(name, "eth0", 10 + index)
          for (const link of ["eth0", "lo"]) ip("-n", name, "link", "set", link, "up")
          return { enter: entering(name), address }
        })
        return { names: [hub, ...names], namespaces: { hub: entering(hub), members } }
      }),
      ({ names }) => Effect.sync(() => names.forEach((name) => ip("netns", "del", name)))
    ),
    (made) => made.namespaces
  )

/** The namespaces of this test that are there. */
export const namespacesLeft = (): ReadonlyArray<string> =>
  fs.existsSync("/run/netns") ? fs.readdirSync("/run/netns").filter((name) => name.startsWith(namespacePrefix)) : []

/** Starts servers that know of each other: on loopback, or where each is told to. */
export const start = (
  count: number,
  options: {
    readonly inside?: Namespaces
    readonly named?: boolean
    /** The address that they meet on where they are in no namespaces of their own; 127.0.0.1 unless given. */
    readonly loopback?: string
    /** Gives each an /etc/hosts of its own, which `writeHosts` writes. */
    readonly ownHosts?: boolean
    readonly ports?: "two" | "one"
    readonly uid?: number
  } = {}
): Effect.Effect<ReadonlyArray<Peer>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const started = await Promise.all(Array.from({ length: count }, (_, index) => startOne(index, options)))
        await Promise.all(
          started.map(async ({ child, peer }) => {
            const others = started.filter((other) => other.peer !== peer).map((other) => other.peer.peer)
            child.stdin.write(`${JSON.stringify(others)}\n`)
            await line(child.stdout)
          })
        )
        return started
      }),
      (started) =>
        Effect.sync(() => {
          for (const { child, peer } of started) {
            child.kill("SIGKILL")
            fs.rmSync(peer.process.dataDirectory, { recursive: true, force: true })
          }
        })
    ),
    (started) =>
      started.map(({ peer }): Peer => {
        if (options.named === false) return peer
        const others = started.filter((other) => other.peer !== peer).map((other) => other.peer.peer)
        return { ...peer, process: { ...peer.process, peers: { own: [peer.peer], others } } }
      })
  )

/** Asks a member by its client port who it reaches; undefined where it does not answer. */
export const ask = (peer: Peer, patience: number): Effect.Effect<Echo | undefined> =>
  Effect.promise(async () => {
    const answer =
      peer.from.length === 0
        ? await question(peer.client, `${patience}\n`)
        : await run([...peer.from, process.execPath, "-e", asking, peer.client, String(patience)])
    return answer === "" ? undefined : (JSON.parse(answer) as Echo)
  })

/** True where the first two reach each other by new connections, false where neither does; anything between is an error. */
export const meet = (first: Peer, second: Peer): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    // The answer is never late on an idle machine; a busy one is asked again before it is believed.
    for (const patience of [200, 700]) {
      const said = yield* Effect.all([ask(first, patience), ask(second, patience)], { concurrency: 2 })
      if (said.some((echo) => echo === undefined)) throw new Error("a client was not answered")
      const heard = said.map((echo) => echo!.fresh[0]!)
      if (heard.every(Boolean)) return true
      if (patience === 700 && heard.some(Boolean)) throw new Error("cut one way only")
    }
    return false
  })

/** Writes the /etc/hosts that this member alone sees. */
export const writeHosts = ({ process }: Peer, text: string): void =>
  fs.writeFileSync(path.join(process.dataDirectory, "hosts"), `${text}\n`)

/** The program's output where it succeeded, else empty. */
export const run = (words: ReadonlyArray<string>): Promise<string> =>
  new Promise((resume) => {
    const child = spawn(words[0]!, words.slice(1), { stdio: ["ignore", "pipe", "ignore"] })
    let text = ""
    child.stdout.on("data", (chunk) => (text += chunk))
    child.on("close", (code) => resume(code === 0 ? text : ""))
  })

/** Runs a program, from when it has said a line until the end of the scope. */
export const beside = (words: ReadonlyArray<string>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(words[0]!, words.slice(1), { stdio: ["pipe", "pipe", "inherit"] })
      await line(child.stdout)
      return child
    }),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )

export const nft = (...words: ReadonlyArray<string>): { readonly ok: boolean; readonly said: string } => {
  const result = spawnSync("nft", words, { encoding: "utf8" })
  return { ok: result.status === 0, said: result.stdout + result.stderr }
}

/** Arms in a process of its own, which is killed once the fences stand. */
export const armAndDie = (orders: ReadonlyArray<FenceOrder>): Effect.Effect<void> =>
  Effect.promise(async () => {
    const file = path.join(import.meta.dirname, "arm-and-hold.ts")
    const child = spawn(process.execPath, ["--no-warnings", file, JSON.stringify(orders)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const said = await new Promise((resume) => {
      child.stdout.once("data", (chunk) => resume(String(chunk).trim()))
      child.once("close", () => resume("nothing"))
    })
    assert.strictEqual(said, "armed")
    child.kill("SIGKILL")
    await new Promise((resume) => child.once("close", resume))
  })

// --- internal ---

// A veth's name has 15 bytes at most, but these are names of namespaces, and of no one else's.
const namespacePrefix = `inqtest-${process.pid}-`
let turn = 0

const ip = (...words: ReadonlyArray<string>): void => {
  execFileSync("ip", words, { stdio: ["ignore", "ignore", "inherit"] })
}

const entering = (name: string): ReadonlyArray<string> => ["nsenter", `--net=/run/netns/${name}`]

const startOne = async (
  index: number,
  {
    inside,
    loopback = "127.0.0.1",
    ownHosts = false,
    ports = "two",
    uid
  }: {
    readonly inside?: Namespaces
    readonly loopback?: string
    readonly ownHosts?: boolean
    readonly ports?: "two" | "one"
    readonly uid?: number
  }
) => {
  const dataDirectory = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-peer-"))
  if (uid !== undefined) fs.chownSync(dataDirectory, uid, uid)
  const member = inside?.members[index]
  const address = member?.address ?? loopback
  const at = (port: number): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`)
  const program = uid === undefined ? process.execPath : reachable(dataDirectory)
  if (ownHosts) fs.writeFileSync(path.join(dataDirectory, "hosts"), "")
  const apart = ownHosts ? ["unshare", "--mount", "--propagation", "private", "sh", "-c", withOwnHosts, "sh"] : []
  const words = [...(member?.enter ?? []), ...apart, program, "-e", serving, address, ports]
  const child = spawn(words[0]!, words.slice(1), {
    cwd: dataDirectory,
    stdio: ["pipe", "pipe", "inherit"],
    ...(uid === undefined ? {} : { uid, gid: uid })
  })
  const [client, own] = JSON.parse(await line(child.stdout)) as [number, number]
  const pid = child.pid!
  const peer: Peer = {
    member: `m${index}`,
    client: at(client),
    peer: at(own),
    from: inside?.hub ?? [],
    process: {
      host: "here",
      pid,
      startTime: ProcessTree.look(pid)!.startTime,
      executable: fs.readlinkSync(`/proc/${pid}/exe`),
      dataDirectory
    }
  }
  return { child, peer }
}

// Where this program lies in a home that another user may not enter.
const reachable = (directory: string): string => {
  const link = path.join(directory, "program")
  try {
    fs.linkSync(process.execPath, link)
  } catch {
    fs.copyFileSync(process.execPath, link)
    fs.chmodSync(link, 0o755)
  }
  return link
}

const line = (stream: NodeJS.ReadableStream): Promise<string> =>
  new Promise((resume) => stream.once("data", (chunk) => resume(String(chunk))))

const question = (endpoint: string, words: string): Promise<string> =>
  new Promise((resume) => {
    const { host, port } = endOf(endpoint)
    const socket = net.connect({ host, port }, () => socket.end(words))
    let text = ""
    socket.on("data", (chunk) => (text += chunk))
    socket.on("close", () => resume(text))
    socket.on("error", () => resume(""))
    socket.setTimeout(4000, () => socket.destroy())
  })

const withOwnHosts = 'mount --bind "$PWD/hosts" /etc/hosts && exec "$@"'

/** The host and the port of an endpoint. */
const endOf = (endpoint: string): { readonly host: string; readonly port: number } => ({
  host: endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/^\[|\]$/g, ""),
  port: Number(endpoint.slice(endpoint.lastIndexOf(":") + 1))
})

const asking = `
const endOf = ${endOf.toString()}
const [endpoint, patience] = process.argv.slice(1)
const socket = require("node:net").connect(endOf(endpoint), () => socket.end(patience + "\\n"))
socket.pipe(process.stdout)
socket.on("error", () => process.exit(1))
socket.setTimeout(4000, () => process.exit(1))
`

const serving = `
const net = require("node:net")
const endOf = ${endOf.toString()}
const [address, ports] = process.argv.slice(1)
const listen = (serve) => new Promise((done) => {
  const server = net.createServer({ allowHalfOpen: true }, serve).listen(0, address, () => done(server.address().port))
})
const dial = (endpoint) => {
  const socket = net.connect({ ...endOf(endpoint), noDelay: true })
  socket.on("error", () => {})
  return socket
}
const within = (patience, told) => Promise.race([told, new Promise((done) => setTimeout(done, patience, false))])
const echoed = (socket, nonce) => new Promise((done) => {
  const hear = (chunk) => { if (String(chunk).includes(nonce)) { socket.off("data", hear); done(true) } }
  socket.on("data", hear)
  socket.write(nonce + ";")
})
let others = [], standing = [], count = 0
const fresh = async (endpoint, patience) => {
  const socket = dial(endpoint)
  const heard = await within(patience, echoed(socket, "fresh" + ++count))
  socket.destroy()
  return heard
}
const client = (socket) => {
  socket.on("error", () => {})
  socket.once("data", async (words) => {
    const patience = Number(words)
    const said = await Promise.all([
      Promise.all(others.map((endpoint) => fresh(endpoint, patience))),
      Promise.all(standing.map((peer) => within(patience, echoed(peer, "standing" + ++count))))
    ])
    socket.end(JSON.stringify({ fresh: said[0], standing: said[1] }))
  })
}
const peer = (socket) => { socket.on("error", () => {}); socket.pipe(socket) }
;(async () => {
  const own = await listen(peer)
  const open = ports === "two" ? await listen(client) : own
  console.log(JSON.stringify([open, own]))
  process.stdin.once("data", async (words) => {
    others = JSON.parse(String(words))
    standing = others.map(dial)
    await Promise.all(standing.map((socket) => echoed(socket, "hello")))
    console.log("ready")
  })
})()
`
