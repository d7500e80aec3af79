/**
 * An etcd lab: three or five members `m0`… on 127.0.0.1, or each in a namespace with an address of its own. It runs
 * plain or over TLS, open to everybody or with authentication on. It has etcd's own timing, and `--pre-vote`, which
 * brings writes back 134 ms (median) after a majority was stopped for 3 s, against 1.2 s without it. The cluster's
 * token is drawn anew each time, since etcd makes its cluster id from the token and the addresses.
 */
import { parseMillis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import * as path from "node:path"
import * as LabCertificates from "./LabCertificates.ts"
import { attempt, didNotStart, portsFor, untilReady } from "./LabStart.ts"
import { LabError, type LabCluster, type LabMember, type LabModule, type LabSite } from "./LabModule.ts"

/** Labs of etcd. */
export const etcd: LabModule = {
  system: "etcd",
  memberCounts: [3, 5],
  // A leader that is asked to stop tries for 7 s to hand over to members that stop as well.
  stopSignal: "SIGKILL",
  options: {
    election: "the election timeout, from 50ms to 50s, with a tenth of it between heartbeats; etcd's own is 1s",
    tls: "true for TLS with certificates on both sides, among members too",
    auth: "true for authentication, with a user that may write the probe's key and no other"
  },
  inNamespaces: true,
  up: Effect.fn("EtcdLab.up")(function* (site): Effect.fn.Return<LabCluster, LabError> {
    const timing = yield* timingOf(site)
    const withTls = yield* flagOf(site, "tls")
    const withUsers = yield* flagOf(site, "auth")
    const command = yield* prepare(site)
    const addresses = site.network?.members.map(({ address }) => address) ?? []
    const tls = withTls ? yield* LabCertificates.make(site, addresses, `${user}-lab`) : null
    for (let tries = 1; ; tries++) {
      const plan = yield* planMembers(site)
      const members = yield* startMembers(site, command, plan, timing, tls?.server ?? null)
      const asking = { members, tls: tls?.client ?? null }
      if ((yield* untilReady(site, members, readiness(asking))) === "Ready") {
        const password = withUsers ? yield* authenticate(site, asking) : null
        return { members, configuration: configurationOf(members, site.network, asking.tls, password) }
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

/** The `etcd` in this folder; where no folder is given, the first on this search path. `null` where there is none. */
export const findBinary = (bin: string | null, searchPath: string = process.env["PATH"] ?? ""): string | null => {
  const folders = bin === null ? searchPath.split(path.delimiter).filter((folder) => path.isAbsolute(folder)) : [bin]
  const found = folders.map((folder) => path.join(folder, "etcd")).find(isExecutable)
  return found === undefined ? null : fs.realpathSync(found)
}

// --- internal ---

const answerTimeout = 2000
/** The user of the lab's configuration, and the one key that its role may read and write. */
const user = "inquorate"
const probeKey = "inquorate/probe"

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

const flagOf = (site: LabSite, name: string): Effect.Effect<boolean, LabError> => {
  const asked = site.options[name] ?? "false"
  return asked === "true" || asked === "false"
    ? Effect.succeed(asked === "true")
    : Effect.fail(
        new LabError({ lab: site.name, reason: "BadOption", detail: `${name}=${asked} is neither true nor false.` })
      )
}

const prepare = Effect.fnUntraced(function* (site: LabSite): Effect.fn.Return<string, LabError> {
  const binary = findBinary(site.bin)
  if (binary === null) {
    const where = site.bin === null ? "No etcd is on the PATH." : `There is no etcd in ${site.bin}.`
    const advice = "Install it (apt-get install etcd-server), or download a release of etcd and pass --bin its folder."
    return yield* new LabError({ lab: site.name, reason: "NoBinaries", detail: `${where} ${advice}` })
  }
  if (site.canEnter(path.dirname(binary))) return binary
  // The lab gets a copy of an executable that its own user cannot reach, such as one in the home of root.
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
  timing: ReadonlyArray<string>,
  tls: LabCertificates.CertificateFiles | null
): Effect.Effect<ReadonlyArray<LabMember>, LabError> => {
  const token = `${site.name}-${crypto.randomBytes(8).toString("hex")}`
  const scheme = tls === null ? "http" : "https"
  const cluster = plan.map(({ name, peer }) => `${name}=${scheme}://${peer}`).join(",")
  return Effect.forEach(plan, ({ client, name, namespace, peer }) => {
    const log = `${name}.log`
    const dataDirectory = path.join(site.folder, name)
    const settings = {
      name,
      "data-dir": dataDirectory,
      "listen-client-urls": `${scheme}://${client}`,
      "advertise-client-urls": `${scheme}://${client}`,
      "listen-peer-urls": `${scheme}://${peer}`,
      "initial-advertise-peer-urls": `${scheme}://${peer}`,
      "initial-cluster": cluster,
      "initial-cluster-state": "new",
      "initial-cluster-token": token,
      // Without this, releases before 3.5 use the older logger, which they too call deprecated.
      logger: "zap"
    }
    const started = site.start({
      label: name,
      command,
      arguments: [
        "--pre-vote",
        ...timing,
        ...(tls === null ? [] : tlsFlags(tls)),
        ...Object.entries(settings).flatMap(([flag, value]) => [`--${flag}`, value])
      ],
      log,
      ...(namespace === null ? {} : { namespace }),
      // On this architecture releases before 3.5 start only if told to.
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

/** Whom to ask, and with which certificates. */
interface Asking {
  readonly members: ReadonlyArray<LabMember>
  readonly tls: LabCertificates.CertificateFiles | null
}

const tlsFlags = ({ ca, certificate, key }: LabCertificates.CertificateFiles): ReadonlyArray<string> =>
  ["", "peer-"].flatMap((whose) => [
    ...[`--${whose}cert-file`, certificate, `--${whose}key-file`, key],
    ...[`--${whose}trusted-ca-file`, ca, `--${whose}client-cert-auth`]
  ])

// Empty once every member follows a leader and the quorum acknowledged one write of the key `inquorate/lab`.
const readiness = (asking: Asking): Effect.Effect<string> =>
  Effect.gen(function* () {
    for (const member of asking.members) {
      const answer = yield* ask(asking, member, "/v3/maintenance/status", {})
      const { errors = [], leader = "0" } = yield* Schema.decodeEffect(Status)(answer)
      if (errors.length > 0) return `${member.name}: ${errors.join(", ")}`
      if (leader === "0") return `${member.name}: no leader`
    }
    yield* ask(asking, asking.members[0]!, "/v3/kv/put", { key: btoa("inquorate/lab"), value: btoa("up") })
    return ""
  }).pipe(Effect.catch(({ message }) => Effect.succeed(message)))

// Turns authentication on. The passwords are drawn anew and stand in files of the lab's own folder. The file of our
// user's password is returned. Root's is for the person who practises.
const authenticate = Effect.fnUntraced(function* (site: LabSite, asking: Asking): Effect.fn.Return<string, LabError> {
  const secret = (name: string) =>
    attempt(site, () => {
      const file = path.join(site.directory, `${name}.password`)
      const password = crypto.randomBytes(18).toString("base64url")
      fs.writeFileSync(file, `${password}\n`, { mode: 0o600 })
      return { file, password }
    })
  const own = yield* secret(user)
  const root = yield* secret("root")
  const perm = { permType: "READWRITE", key: btoa(probeKey) }
  const calls: ReadonlyArray<readonly [question: string, body: unknown]> = [
    ["user/add", { name: "root", password: root.password }],
    ["user/grant", { user: "root", role: "root" }],
    ["role/add", { name: user }],
    ["role/grant", { name: user, perm }],
    ["user/add", { name: user, password: own.password }],
    ["user/grant", { user, role: user }],
    ["enable", {}]
  ]
  for (const [question, body] of calls) {
    yield* Effect.mapError(ask(asking, asking.members[0]!, `/v3/auth/${question}`, body), ({ message }) =>
      didNotStart(site, `Authentication could not be turned on: ${message}.`)
    )
  }
  return own.file
})

const ask = (
  { tls }: Asking,
  { address }: LabMember,
  question: string,
  body: unknown
): Effect.Effect<string, NoAnswer> =>
  Effect.callback((resume) => {
    const fail = (cause: unknown): void =>
      resume(
        new NoAnswer({ message: `${address}: ${(cause instanceof Error ? cause.message : String(cause)).trim()}` })
      )
    const options = { method: "POST", agent: false as const, timeout: answerTimeout }
    const request =
      tls === null
        ? http.request(`http://${address}${question}`, options)
        : https.request(`https://${address}${question}`, {
            ...options,
            ca: fs.readFileSync(tls.ca),
            cert: fs.readFileSync(tls.certificate),
            key: fs.readFileSync(tls.key)
          })
    request.on("timeout", () => request.destroy(new Error(`no answer within ${answerTimeout} ms`)))
    request.on("error", fail)
    request.on("response", (response) => {
      response.setEncoding("utf8")
      let text = ""
      response.on("data", (chunk: string) => (text += chunk))
      response.on("error", fail)
      response.on("end", () => (response.statusCode === 200 ? resume(Effect.succeed(text)) : fail(text)))
    })
    request.end(JSON.stringify(body))
    return Effect.sync(() => request.destroy())
  })

/**
 * The cluster in the form that `@inquorate/targets/Etcd` reads. Members with addresses of their own are there to be cut
 * off. The others can be restarted just as they were; the kill cannot do that across network namespaces.
 */
const configurationOf = (
  members: ReadonlyArray<LabMember>,
  network: LabSite["network"],
  tls: LabCertificates.CertificateFiles | null,
  password: string | null
): LabCluster["configuration"] => ({
  system: "etcd",
  ...(tls === null ? {} : { tls: { ca: tls.ca, certificate: tls.certificate, key: tls.key } }),
  ...(password === null ? {} : { user, password: { file: password } }),
  ...(network === null ? { kill: {} } : { injector: "netfilter" }),
  members: members.map(({ address, dataDirectory, name }) => ({ name, address, host: "local", dataDirectory }))
})
