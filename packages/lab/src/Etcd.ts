/**
 * An etcd lab: three or five members `m0`… on 127.0.0.1, or each in a namespace with an address of its own, over plain
 * HTTP, with etcd's own timing and `--pre-vote`, which brings writes back 134 ms (median) after a majority with the leader
 * was stopped for 3 s, against 1.2 s without it. The cluster's token is drawn anew, for etcd makes its cluster id from the
 * token and the addresses.
 */
import { parseMillis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { attempt, didNotStart, portsFor, untilReady } from "./LabStart.ts"
import { LabError, type LabCluster, type LabMember, type LabModule, type LabSite } from "./LabModule.ts"

/** Labs of etcd. */
export const etcd: LabModule = {
  system: "etcd",
  memberCounts: [3, 5],
  // Asked to stop, a leader tries for 7 s to hand over to members that stop as well.
  stopSignal: "SIGKILL",
  options: {
    election: "the election timeout, from 50ms to 50s, with a tenth of it between heartbeats; etcd's own is 1s"
  },
  inNamespaces: true,
  up: Effect.fn("EtcdLab.up")(function* (site): Effect.fn.Return<LabCluster, LabError> {
    const timing = yield* timingOf(site)
    const command = yield* prepare(site)
    for (let tries = 1; ; tries++) {
      const plan = yield* planMembers(site)
      const members = yield* startMembers(site, command, plan, timing)
      if ((yield* untilReady(site, members, readiness(members))) === "Ready") {
        return { members, configuration: configurationOf(members, site.network) }
      }
      yield* site.stop(members)
      yield* attempt(site, () => {
        for (const { dataDirectory, log } of members) {
          fs.rmSync(dataDirectory, { recursive: true, force: true })
          fs.rmSync(log, { force: true })
        }
      })
      if (tries === 5) return yield* didNotStart(site, `No free ports were found in ${tries} tries.`)
    }
  })
}

/** The `etcd` in this folder, or the first on this search path where none is given; `null` where there is none. */
export const findBinary = (bin: string | null, searchPath: string = process.env["PATH"] ?? ""): string | null => {
  const folders = bin === null ? searchPath.split(path.delimiter).filter((folder) => path.isAbsolute(folder)) : [bin]
  const found = folders.map((folder) => path.join(folder, "etcd")).find(isExecutable)
  return found === undefined ? null : fs.realpathSync(found)
}

// --- internal ---

const answerTimeout = 2000

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

const timingOf = Effect.fnUntraced(function* (site: LabSite): Effect.fn.Return<ReadonlyArray<string>, LabError> {
  const asked = site.options["election"]
  if (asked === undefined) return []
  const election = parseMillis(asked)
  if (election === undefined || election < 50 || election > 50_000) {
    const detail = `election=${asked} is no time from 50ms to 50s.`
    return yield* new LabError({ lab: site.name, reason: "BadOption", detail })
  }
  return ["--election-timeout", String(election), "--heartbeat-interval", String(Math.floor(election / 10))]
})

const prepare = Effect.fnUntraced(function* (site: LabSite): Effect.fn.Return<string, LabError> {
  const binary = findBinary(site.bin)
  if (binary === null) {
    const where = site.bin === null ? "No etcd is on the PATH." : `There is no etcd in ${site.bin}.`
    const advice = "Install it (apt-get install etcd-server), or download a release of etcd and pass --bin its folder."
    return yield* new LabError({ lab: site.name, reason: "NoBinaries", detail: `${where} ${advice}` })
  }
  if (site.canEnter(path.dirname(binary))) return binary
  // In the home of a caller who is root, for one: what its own user cannot reach, the lab gets a copy of.
  return yield* attempt(site, () => {
    const copy = path.join(site.folder, "bin", "etcd")
    fs.mkdirSync(path.dirname(copy), { mode: 0o755 })
    fs.copyFileSync(binary, copy)
    fs.chmodSync(copy, 0o755)
    return copy
  })
})

interface PlannedMember {
  readonly name: string
  readonly client: string
  readonly peer: string
  readonly namespace: string | null
}

const planMembers = Effect.fnUntraced(function* (site: LabSite) {
  const ports = yield* portsFor(site, 2 * site.members)
  return Array.from({ length: site.members }, (_, index): PlannedMember => ({
    name: `m${index}`,
    client: `${site.network?.members[index]?.address ?? "127.0.0.1"}:${ports[2 * index]}`,
    peer: `${site.network?.members[index]?.address ?? "127.0.0.1"}:${ports[2 * index + 1]}`,
    namespace: site.network?.members[index]?.namespace ?? null
  }))
})

const startMembers = (
  site: LabSite,
  command: string,
  plan: ReadonlyArray<PlannedMember>,
  timing: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<LabMember>, LabError> => {
  const token = `${site.name}-${crypto.randomBytes(8).toString("hex")}`
  const cluster = plan.map(({ name, peer }) => `${name}=http://${peer}`).join(",")
  return Effect.forEach(plan, ({ client, name, namespace, peer }) => {
    const log = `${name}.log`
    const dataDirectory = path.join(site.folder, name)
    const settings = {
      name,
      "data-dir": dataDirectory,
      "listen-client-urls": `http://${client}`,
      "advertise-client-urls": `http://${client}`,
      "listen-peer-urls": `http://${peer}`,
      "initial-advertise-peer-urls": `http://${peer}`,
      "initial-cluster": cluster,
      "initial-cluster-state": "new",
      "initial-cluster-token": token,
      // The older one, which releases before 3.5 still take for granted, is deprecated by them too.
      logger: "zap"
    }
    const started = site.start({
      label: name,
      command,
      arguments: [
        "--pre-vote",
        ...timing,
        ...Object.entries(settings).flatMap(([flag, value]) => [`--${flag}`, value])
      ],
      log,
      ...(namespace === null ? {} : { namespace }),
      // Releases before 3.5 start on this architecture only if told to.
      environment: process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {}
    })
    return Effect.map(started, ({ pid, startTime }): LabMember => ({
      name,
      address: client,
      dataDirectory,
      log: path.join(site.folder, log),
      pid,
      startTime
    }))
  })
}

class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", { message: Schema.String }) {}

const Status = Schema.fromJsonString(
  Schema.Struct({ leader: Schema.optionalKey(Schema.String), errors: Schema.optionalKey(Schema.Array(Schema.String)) })
)

// Empty once every member follows a leader and one write, of the key `inquorate/lab`, was acknowledged by the quorum.
const readiness = (members: ReadonlyArray<LabMember>): Effect.Effect<string> =>
  Effect.gen(function* () {
    for (const member of members) {
      const answer = yield* ask(member, "/v3/maintenance/status", {})
      const { errors = [], leader = "0" } = yield* Schema.decodeEffect(Status)(answer)
      if (errors.length > 0) return `${member.name}: ${errors.join(", ")}`
      if (leader === "0") return `${member.name}: no leader`
    }
    yield* ask(members[0]!, "/v3/kv/put", { key: btoa("inquorate/lab"), value: btoa("up") })
    return ""
  }).pipe(Effect.catch(({ message }) => Effect.succeed(message)))

const ask = ({ address }: LabMember, question: string, body: unknown) =>
  Effect.tryPromise({
    try: async (signal): Promise<string> => {
      const reply = await fetch(`http://${address}${question}`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { connection: "close" },
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerTimeout)])
      })
      return reply.ok ? await reply.text() : Promise.reject(await reply.text())
    },
    catch: (cause) => new NoAnswer({ message: `${address}: ${String(cause).trim()}` })
  })

/**
 * The form that `@inquorate/targets/Etcd` reads. Members with addresses of their own are there to be cut off; the others can
 * be restarted just as they were, which the kill does not do across network namespaces.
 */
const configurationOf = (
  members: ReadonlyArray<LabMember>,
  network: LabSite["network"]
): LabCluster["configuration"] => ({
  system: "etcd",
  ...(network === null ? { kill: {} } : { injector: "netfilter" }),
  members: members.map(({ address, dataDirectory, name }) => ({ name, address, host: "local", dataDirectory }))
})
