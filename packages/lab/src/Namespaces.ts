/**
 * Network namespaces for the members of a lab. Each member has a namespace with an address of its own. A bridge in one
 * more namespace, the hub, joins them. One link leads from the hub to this machine's own network, where clients come
 * from. So a cut between members leaves the clients' way open.
 *
 * All names are drawn before anything is made and stand in the lab's record. So `down` finds everything, whatever
 * killed `up`. The addresses are of 198.18.0.0/15, which RFC 2544 sets aside for tests of networks. Two labs never use
 * the same addresses, since the link's name is made from them and a name can be taken only once. All other names belong
 * to this lab alone.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as childProcess from "node:child_process"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/** The namespaces of a lab, by the names that `ip netns` calls them. */
export const LabNetwork = Schema.Struct({
  /** The namespace of the bridge. */
  hub: Schema.String,
  /** The interface of this machine's own network that leads to the bridge. */
  link: Schema.String,
  /** The address of that interface. */
  gateway: Schema.String,
  /** One for each member, in their order. */
  members: Schema.Array(Schema.Struct({ namespace: Schema.String, address: Schema.String }))
}).annotate({ identifier: "LabNetwork" })
export type LabNetwork = typeof LabNetwork.Type

/** Why namespaces cannot be made here, in words for a person; empty where they can. */
export const problem = (): string => {
  const status = fs.existsSync("/proc/self/status") ? fs.readFileSync("/proc/self/status", "utf8") : ""
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`)
  const lacking = Object.entries(needed).filter(([, bit]) => ((effective >> bit) & 1n) === 0n)
  if (lacking.length > 0) {
    const names = lacking.map(([name]) => name).join(" and ")
    return `Network namespaces need ${names}, which this user lacks. Run this as root, or leave the namespaces out.`
  }
  const missing = ["ip", "nsenter"].filter((name) => find(name) === undefined)
  return missing.length === 0
    ? ""
    : `Network namespaces need the program ${missing.join(" and ")}. Install it (apt-get install iproute2 util-linux).`
}

/** Names and addresses for so many members, which no link of this machine has now. */
export const plan = (count: number): LabNetwork => {
  const prefix = `inqlab-${crypto.randomBytes(4).toString("hex")}`
  for (;;) {
    // 8192 networks of 16 addresses each.
    const number = crypto.randomInt(0, 8192)
    const first = number * 16
    const address = (index: number) => `198.${18 + (first >> 16)}.${(first >> 8) & 255}.${(first & 255) + index}`
    const link = `inqlab${number.toString(16).padStart(4, "0")}`
    const [gateway, ...rest] = Array.from({ length: count + 1 }, (_, index) => address(index + 1))
    const members = rest.map((own, index) => ({ namespace: `${prefix}-m${index}`, address: own }))
    if (!isLink(link) && !isTaken(gateway!)) return { hub: `${prefix}-hub`, link, gateway: gateway!, members }
  }
}

/** The calls of `ip` that make a network, in their order. The first that fails leaves what was made to `remove`. */
export const calls = ({ gateway, hub, link, members }: LabNetwork): ReadonlyArray<ReadonlyArray<string>> => [
  ["netns", "add", hub],
  ["-n", hub, "link", "add", "bridge", "type", "bridge"],
  // Only one link can have this name: of two labs that drew the same number, one fails here.
  ["link", "add", link, "type", "veth", "peer", "name", "gateway", "netns", hub],
  ["-n", hub, "link", "set", "gateway", "master", "bridge", "up"],
  ["-n", hub, "link", "set", "bridge", "up"],
  ["addr", "add", `${gateway}/28`, "dev", link],
  ["link", "set", link, "up"],
  ...members.flatMap(({ address, namespace }, index) => [
    ["netns", "add", namespace],
    ["-n", hub, "link", "add", `port${index}`, "type", "veth", "peer", "name", "eth0", "netns", namespace],
    ["-n", hub, "link", "set", `port${index}`, "master", "bridge", "up"],
    ["-n", namespace, "addr", "add", `${address}/28`, "dev", "eth0"],
    ["-n", namespace, "link", "set", "eth0", "up"],
    ["-n", namespace, "link", "set", "lo", "up"]
  ])
]

/** The absolute path of `ip` or `nsenter`. */
export const program = (name: "ip" | "nsenter"): string => find(name) ?? name

/** The words that run a program in a namespace, under this identity. `nsenter` itself becomes the program. */
export const entering = (namespace: string, runAs: { readonly uid: number; readonly gid: number } | null) => [
  program("nsenter"),
  `--net=${folder}/${namespace}`,
  ...(runAs === null ? [] : ["--setuid", String(runAs.uid), "--setgid", String(runAs.gid)]),
  "--"
]

/**
 * Deletes what there is of a network, and tells which namespaces could not be deleted. No process of the lab may be
 * left in them.
 */
export const remove = ({ hub, members }: LabNetwork): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => {
    const names = [hub, ...members.map(({ namespace }) => namespace)]
    // The link goes with its other end, at once. Its own name might by now be that of another lab's link.
    if (isNamespace(hub)) ip("-n", hub, "link", "del", "gateway")
    for (const name of names) if (isNamespace(name)) ip("netns", "del", name)
    return names.filter(isNamespace)
  })

// --- internal ---

const folder = "/run/netns"

// Bits of a set of capabilities, as in capabilities(7).
const needed = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n }

const find = (name: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(path.delimiter), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    .filter((place) => path.isAbsolute(place))
    .map((place) => path.join(place, name))
    .find((file) => fs.existsSync(file))

const isLink = (name: string): boolean => fs.existsSync(`/sys/class/net/${name}`)

const isNamespace = (name: string): boolean => fs.existsSync(`${folder}/${name}`)

const isTaken = (gateway: string): boolean => {
  const start = gateway.slice(0, gateway.lastIndexOf(".") + 1)
  return Object.values(os.networkInterfaces()).some((addresses = []) =>
    addresses.some(({ address }) => address.startsWith(start) && sameBlock(address, gateway))
  )
}

const sameBlock = (one: string, other: string): boolean => lastByte(one) >> 4 === lastByte(other) >> 4

const lastByte = (address: string): number => Number(address.slice(address.lastIndexOf(".") + 1))

const ip = (...words: ReadonlyArray<string>): void => {
  childProcess.spawnSync(program("ip"), words, { stdio: "ignore" })
}
