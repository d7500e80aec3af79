/**
 * A PostgreSQL lab: one primary `p` and two or four standbys `s1`…, with quorum commit by a majority that includes the
 * primary (`ANY 1 (s1, s2)`, measured: one standby may go, and with both gone a commit waits for ever). It listens on
 * 127.0.0.1 only. It asks for a password, since a superuser can run commands as the lab's user. With the option `tls`
 * it admits TLS only, with certificates that both sides check.
 */
import * as Effect from "effect/Effect"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Client } from "pg"
import * as LabCertificates from "./LabCertificates.ts"
import { attempt, didNotStart, portsFor, untilReady } from "./LabStart.ts"
import { LabError, type LabCluster, type LabMember, type LabModule, type LabSite } from "./LabModule.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"

/** Labs of PostgreSQL with quorum commit. */
export const postgres: LabModule = {
  system: "postgres",
  memberCounts: [3, 5],
  // A fast shutdown: the server ends sessions instead of waiting for them.
  stopSignal: "SIGINT",
  options: { tls: "true for TLS alone, with certificates on both sides, among members too" },
  up: Effect.fn("PostgresLab.up")(function* (site): Effect.fn.Return<LabCluster, LabError> {
    const binaries = yield* PostgresBinaries.prepare(site, PostgresBinaries.usualSearch(site.bin))
    const names = ["p", ...Array.from({ length: site.members - 1 }, (_, index) => `s${index + 1}`)]
    const withTls = yield* tlsOf(site)
    const password = yield* choosePassword(site)
    const certificates = withTls ? yield* LabCertificates.make(site, [], user) : null
    yield* makeData(site, binaries, names, certificates !== null)
    for (let tries = 1; ; tries++) {
      const plan = yield* planMembers(site, names)
      yield* configure(site, plan, password, certificates?.server ?? null)
      const members = yield* startMembers(site, binaries, plan)
      const outcome = yield* untilReady(site, members, readiness(members, password, certificates?.client ?? null))
      if (outcome === "Ready") {
        return { members, configuration: configurationOf(site, members, certificates?.client ?? null) }
      }
      yield* site.stop(members)
      if (tries === 5) return yield* didNotStart(site, `No free ports were found in ${tries} tries.`)
    }
  })
}

// --- internal ---

const user = "postgres"
const database = "postgres"

const tlsOf = (site: LabSite): Effect.Effect<boolean, LabError> => {
  const asked = site.options["tls"] ?? "false"
  return asked === "true" || asked === "false"
    ? Effect.succeed(asked === "true")
    : Effect.fail(
        new LabError({ lab: site.name, reason: "BadOption", detail: `tls=${asked} is neither true nor false.` })
      )
}

// Nobody gets in without TLS, without a certificate of the lab's own authority, or without the password.
const admission = ["all", "replication"]
  .map((what) => `hostssl ${what} all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n`)
  .join("")

const give = (site: LabSite, file: string): void => {
  if (site.runAs !== null) fs.chownSync(file, site.runAs.uid, site.runAs.gid)
}

// The password is kept twice: for the caller, whose configuration refers to it, and, until initdb has read it, for the
// lab's own user.
const choosePassword = (site: LabSite): Effect.Effect<string, LabError> =>
  attempt(site, () => {
    const password = crypto.randomBytes(18).toString("base64url")
    fs.writeFileSync(path.join(site.directory, "password"), `${password}\n`, { mode: 0o600 })
    const file = path.join(site.folder, "password")
    fs.writeFileSync(file, `${password}\n`, { mode: 0o600 })
    give(site, file)
    return password
  })

const dataDirectory = (site: LabSite, name: string): string => path.join(site.folder, name)

// Copies made before the first start are standbys at once, so no base backup is needed.
const makeData = Effect.fnUntraced(function* (
  site: LabSite,
  { environment, initdb }: PostgresBinaries.Binaries,
  names: ReadonlyArray<string>,
  onlyTls: boolean
) {
  const first = dataDirectory(site, names[0]!)
  const passwordFile = path.join(site.folder, "password")
  yield* site.run({
    label: "initdb",
    command: initdb,
    arguments: [
      `--pgdata=${first}`,
      `--username=${user}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--no-locale",
      "--no-instructions",
      // The system may lose an empty cluster in a power cut during these two seconds; the servers themselves do sync.
      "--no-sync"
    ],
    log: "setup.log",
    environment
  })
  yield* attempt(site, () => {
    fs.rmSync(passwordFile)
    fs.appendFileSync(path.join(first, "postgresql.conf"), "\ninclude 'lab.conf'\n")
    if (onlyTls) fs.writeFileSync(path.join(first, "pg_hba.conf"), admission)
  })
  yield* Effect.forEach(
    names.slice(1),
    (name) =>
      site.run({
        label: `copy for ${name}`,
        command: "/bin/cp",
        arguments: ["-R", first, dataDirectory(site, name)],
        log: "setup.log",
        environment: {}
      }),
    { concurrency: "unbounded" }
  )
  yield* attempt(site, () => {
    for (const name of names.slice(1)) {
      const signal = path.join(dataDirectory(site, name), "standby.signal")
      fs.writeFileSync(signal, "", { mode: 0o600 })
      give(site, signal)
    }
  })
})

interface PlannedMember {
  readonly name: string
  readonly port: number
  readonly dataDirectory: string
}

const planMembers = Effect.fnUntraced(function* (site: LabSite, names: ReadonlyArray<string>) {
  const ports = yield* portsFor(site, names.length)
  return names.map((name, index): PlannedMember => ({
    name,
    port: ports[index]!,
    dataDirectory: dataDirectory(site, name)
  }))
})

const quote = (value: string): string => `'${value.replaceAll("'", "''")}'`

/** What a commit waits for: as many standbys as make, with the primary itself, a majority of all members. */
const quorumRule = (members: ReadonlyArray<{ readonly name: string }>): string =>
  `ANY ${Math.floor(members.length / 2)} (${members
    .slice(1)
    .map(({ name }) => name)
    .join(", ")})`

const configure = (
  site: LabSite,
  plan: ReadonlyArray<PlannedMember>,
  password: string,
  tls: LabCertificates.CertificateFiles | null
): Effect.Effect<void, LabError> =>
  attempt(site, () => {
    const primary = plan[0]!
    for (const member of plan) {
      // The log of an earlier try, whose words would be taken for this one's.
      fs.rmSync(path.join(site.folder, `${member.name}.log`), { force: true })
      const settings: ReadonlyArray<readonly [string, string]> = [
        ["listen_addresses", "127.0.0.1"],
        ["port", String(member.port)],
        ["unix_socket_directories", ""],
        ["cluster_name", site.name],
        ["lc_messages", "C"],
        ["shared_buffers", "16MB"],
        // Segments in /dev/shm would outlive a killed server; files in its data directory go with the lab.
        ["dynamic_shared_memory_type", "mmap"],
        // The default of 5 s would be most of the time that a lab takes to start, and that a killed member takes to
        // return.
        ["wal_retrieve_retry_interval", "200ms"],
        ...(tls === null
          ? []
          : ([
              ["ssl", "on"],
              ["ssl_cert_file", tls.certificate],
              ["ssl_key_file", tls.key],
              ["ssl_ca_file", tls.ca]
            ] as const)),
        ...(member === primary
          ? ([["synchronous_standby_names", quorumRule(plan)]] as const)
          : ([
              [
                "primary_conninfo",
                `host=127.0.0.1 port=${primary.port} user=${user} password=${password} application_name=${member.name}${tls === null ? "" : upstreamTls(tls)}`
              ]
            ] as const))
      ]
      const file = path.join(member.dataDirectory, "lab.conf")
      fs.writeFileSync(file, settings.map(([name, value]) => `${name} = ${quote(value)}\n`).join(""), { mode: 0o600 })
      give(site, file)
    }
  })

const upstreamTls = ({ ca, certificate, key }: LabCertificates.CertificateFiles): string =>
  ` sslmode=verify-full sslrootcert='${ca}' sslcert='${certificate}' sslkey='${key}'`

const startMembers = (
  site: LabSite,
  { environment, postgres }: PostgresBinaries.Binaries,
  plan: ReadonlyArray<PlannedMember>
): Effect.Effect<ReadonlyArray<LabMember>, LabError> =>
  Effect.forEach(plan, (member) => {
    const log = `${member.name}.log`
    return Effect.map(
      site.start({ label: member.name, command: postgres, arguments: ["-D", member.dataDirectory], log, environment }),
      ({ pid, startTime }): LabMember => ({
        name: member.name,
        address: `127.0.0.1:${member.port}`,
        dataDirectory: member.dataDirectory,
        log: path.join(site.folder, log),
        pid,
        startTime
      })
    )
  })

// Empty once every standby streams and answers and one write was acknowledged by the quorum.
const readiness = (
  members: ReadonlyArray<LabMember>,
  password: string,
  tls: LabCertificates.CertificateFiles | null
): Effect.Effect<string> =>
  Effect.promise(async () => {
    // `pg` is needed only here. A command line that only lists the systems should start without it.
    const pg = await import("pg")
    const clients: Array<Client> = []
    const connect = async (member: LabMember): Promise<Client> => {
      const [host, port] = member.address.split(":")
      const bounds = { connectionTimeoutMillis: 5000, query_timeout: 5000 }
      const ssl = tls !== null && {
        ca: fs.readFileSync(tls.ca),
        cert: fs.readFileSync(tls.certificate),
        key: fs.readFileSync(tls.key)
      }
      const client = new pg.Client({ host, port: Number(port), user, database, password, ssl, ...bounds })
      clients.push(client)
      client.on("error", () => {})
      await client.connect()
      return client
    }
    try {
      const primary = await connect(members[0]!)
      const seen = await primary.query<{ application_name: string }>(
        "select application_name from pg_stat_replication where state = 'streaming' and sync_state = 'quorum'"
      )
      const missing = members.slice(1).filter(({ name }) => !seen.rows.some((row) => row.application_name === name))
      if (missing.length > 0) return `${missing.map(({ name }) => name).join(", ")} not streaming`
      for (const member of members.slice(1)) await connect(member)
      await primary.query("select pg_logical_emit_message(true, 'inquorate', 'up')")
      return ""
    } catch (cause) {
      return (cause as Error).message
    } finally {
      await Promise.allSettled(clients.map((client) => client.end()))
    }
  })

/** The cluster in the form that `@inquorate/targets/Postgres` reads. Members can be restarted just as they were. */
const configurationOf = (
  site: LabSite,
  members: ReadonlyArray<LabMember>,
  tls: LabCertificates.CertificateFiles | null
): LabCluster["configuration"] => ({
  system: "postgres",
  kill: {},
  user,
  password: { file: path.join(site.directory, "password") },
  database,
  ...(tls === null ? {} : { tls: { mode: "verify-full", ...tls } }),
  members: members.map(({ address, dataDirectory, name }) => ({ name, address, host: "local", dataDirectory }))
})
