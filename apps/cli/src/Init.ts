/**
 * The command that writes a first configuration: it finds the servers that run here, or those that were named, asks them who
 * is in their cluster, and writes what it found with remarks. It changes nothing of any server, and a file that is there
 * already only when told to.
 */
import type { Found, Reference, Wishes } from "@inquorate/targets/FindClusters"
import * as TextFile from "@inquorate/transport/TextFile"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as os from "node:os"
import { print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { nameAll, write } from "./WorkerYaml.ts"

/** `inq init`: a worker's configuration from the servers there are. */
export const init = Command.make(
  "init",
  {
    addresses: Argument.String("address").pipe(
      Argument.withDescription(
        "Members, one of each cluster at the least: HOST:PORT, or the folder of a Unix socket; the servers of this machine unless given"
      ),
      Argument.variadic()
    ),
    file: Flag.String("file").pipe(
      Flag.withAlias("f"),
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write it (worker.yaml); - for standard output"),
      Flag.withDefault("worker.yaml")
    ),
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("Write over the file if it is there"),
      Flag.withDefault(false)
    ),
    user: Flag.String("user").pipe(
      Flag.withDescription("The servers' user that looks and probes (inquorate for PostgreSQL)"),
      Flag.optional
    ),
    password: Flag.String("password").pipe(
      Flag.withDescription("Where its password is, env:NAME or file:PATH"),
      Flag.optional
    ),
    database: Flag.String("database").pipe(Flag.withDescription("PostgreSQL's database (postgres)"), Flag.optional),
    serverCa: Flag.String("server-ca").pipe(
      Flag.withDescription("A file of authorities that the servers' certificates may come from, PEM"),
      Flag.optional
    ),
    serverCert: Flag.String("server-cert").pipe(
      Flag.withDescription("A file with the certificate that the servers are shown, PEM"),
      Flag.optional
    ),
    serverKey: Flag.String("server-key").pipe(Flag.withDescription("A file with its private key, PEM"), Flag.optional)
  },
  Effect.fnUntraced(function* (input) {
    const toScreen = input.file === "-"
    if (!toScreen) yield* mayBeWritten(input.file, input.force)
    const wishes: Wishes = {
      addresses: yield* Effect.forEach(input.addresses, addressOf),
      user: Option.getOrUndefined(input.user),
      password: yield* referenceOf(Option.getOrUndefined(input.password)),
      database: Option.getOrUndefined(input.database),
      tls: yield* tlsOf(
        Option.getOrUndefined(input.serverCa),
        Option.getOrUndefined(input.serverCert),
        Option.getOrUndefined(input.serverKey)
      ),
      ownUser: process.getuid?.(),
      ownAddresses: Object.values(os.networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
    }
    const { FindClusters, LocalHost } = yield* drivers
    const found = yield* FindClusters.find(LocalHost.make("local"), wishes)
    if (found.clusters.length === 0) return yield* nothing(found, wishes)
    const text = write(found.clusters, toScreen ? "worker.yaml" : input.file)
    if (toScreen) {
      yield* Effect.sync(() => process.stdout.write(text))
      return
    }
    yield* save(input.file, text, input.force)
    yield* print(valueOf(found, input.file), () => told(found, input.file))
  })
).pipe(
  Command.withDescription("Find the servers there are, and write a worker's configuration for them"),
  Command.withExamples([
    { command: "sudo inq init", description: "From the servers of etcd and PostgreSQL that run here" },
    { command: "inq init 10.0.0.11:2379", description: "From a cluster elsewhere, by one of its members" },
    {
      command: "inq init 127.0.0.1:5432 --user inquorate --password env:PGPASSWORD",
      description: "From a PostgreSQL that wants a password"
    }
  ])
)

// --- internal ---

// Evaluated by this command only, so that every other one starts without it.
const drivers = Effect.promise(async () => ({
  FindClusters: await import("@inquorate/targets/FindClusters"),
  LocalHost: await import("@inquorate/injectors/LocalHost")
}))

const usage = (detail: string): Failure => new Failure({ exit: "usage", detail })

const mayBeWritten = (file: string, force: boolean): Effect.Effect<void, Failure> =>
  fs.statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
    ? Effect.fail(usage(`--file: ${file} is a folder: name the file in it.`))
    : !force && fs.existsSync(file)
      ? Effect.fail(isThere(file))
      : Effect.void

const isThere = (file: string): Failure =>
  new Failure({
    exit: "refused",
    detail: `${file} is there already, and was left as it is. --force writes over it, --file names another.`
  })

const addressOf = (said: string): Effect.Effect<string, Failure> => {
  const address = said.replace(/^https?:\/\//, "").replace(/(?<=:\d+)\/$/, "")
  const isOne = /^(([^:\s[\]/]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}|\/[^:\n]*(:\d{1,5})?)$/.test(address)
  const port = Number(/:(\d+)$/.exec(address)?.[1] ?? 1)
  return isOne && port >= 1 && port <= 65_535
    ? Effect.succeed(address)
    : Effect.fail(
        usage(
          `address: expected HOST:PORT, or the folder of a Unix socket such as /run/postgresql, got ${JSON.stringify(said)}.`
        )
      )
}

// What was given may be the password itself, which must not be repeated.
const referenceOf = (said: string | undefined): Effect.Effect<Reference | undefined, Failure> => {
  if (said === undefined) return Effect.succeed(undefined)
  const [, kind, place = ""] = /^(file|env):(.+)$/s.exec(said) ?? []
  if (kind === undefined) {
    return Effect.fail(
      usage("--password: expected env:NAME or file:PATH, where the password is, and not the password.")
    )
  }
  return kind === "file"
    ? Effect.map(readable("--password", place), (file) => ({ file }))
    : Effect.succeed({ env: place })
}

// A file that a person names here is meant to be used now.
const readable = (flag: string, named: string): Effect.Effect<string, Failure> => {
  const file = absolute(named)
  return Effect.try({
    try: () => {
      TextFile.read(file)
      return file
    },
    catch: (cause) => usage(`${flag}: ${file} cannot be read: ${(cause as Error).message}`)
  })
}

const absolute = (path: string): string => (path.startsWith("/") ? path : `${process.cwd()}/${path}`)

const tlsOf = (
  ca: string | undefined,
  certificate: string | undefined,
  key: string | undefined
): Effect.Effect<Wishes["tls"], Failure> => {
  if ((certificate === undefined) !== (key === undefined)) {
    return Effect.fail(usage("--server-cert and --server-key go together: give both."))
  }
  if (ca === undefined && certificate === undefined) return Effect.succeed(undefined)
  return Effect.all({
    ...(ca === undefined ? {} : { ca: readable("--server-ca", ca) }),
    ...(certificate === undefined || key === undefined
      ? {}
      : { certificate: readable("--server-cert", certificate), key: readable("--server-key", key) })
  })
}

const nothing = ({ notes }: Found, { addresses, ownUser }: Wishes): Failure =>
  new Failure({
    exit: addresses.length > 0 ? "unreachable" : "refused",
    detail:
      addresses.length > 0
        ? "Nothing that is etcd or PostgreSQL answers there; no file was written."
        : `No server of etcd or PostgreSQL was seen on this machine${ownUser === 0 ? "" : " by our user"}; no file was written. Name a member, such as inq init 10.0.0.11:2379, or practise on inq lab up etcd.`,
    more: notes.map((note) => `- ${note}`)
  })

// Only a file that was not there a moment ago is made, so that nobody's is lost between the look and the write.
const save = (file: string, text: string, force: boolean): Effect.Effect<void, Failure> =>
  Effect.try({
    try: () => fs.writeFileSync(file, text, { flag: force ? "w" : "wx" }),
    catch: (cause) => {
      const { code, message } = cause as NodeJS.ErrnoException
      return code === "EEXIST" ? isThere(file) : usage(`${file} cannot be written: ${message}`)
    }
  })

const valueOf = ({ clusters, notes }: Found, file: string): unknown => ({
  file,
  clusters: nameAll(clusters).map(([name, { members, missing, system }]) => ({
    name,
    system,
    members: members.map(({ address, isLocal, name }) => ({ name, address, isLocal })),
    missing
  })),
  notes
})

const told = (found: Found, file: string): ReadonlyArray<string> => {
  const missing = nameAll(found.clusters).flatMap(([name, cluster]) =>
    cluster.missing.map((detail) => `- ${name}: ${detail}`)
  )
  return [
    `${file} is written:`,
    ...nameAll(found.clusters).map(
      ([name, { members, system }]) =>
        `  ${name}, ${system}: ${members.map((member) => `${member.name} at ${member.address}${member.isLocal ? "" : " (elsewhere)"}`).join(", ")}`
    ),
    ...(missing.length === 0 ? [] : ["Still to do:", ...missing]),
    ...(found.notes.length === 0 ? [] : ["Not in it:", ...found.notes.map((note) => `- ${note}`)]),
    `Read it, then: inquorate-worker --check ${file} --connect`
  ]
}
