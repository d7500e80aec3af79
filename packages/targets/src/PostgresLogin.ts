/**
 * How the worker logs in to the members of a PostgreSQL cluster. The configuration says how, completed from libpq's
 * service file where one is named. What stands in files is read again for each connection. That it can be read at all
 * is checked once, when the cluster is opened.
 */
import { TargetError } from "@inquorate/core/Target"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type * as Container from "./Container.ts"
import * as NamedFile from "./NamedFile.ts"
import type { OpenedMember, OpenedSettings, PostgresSettings } from "./PostgresSettings.ts"
import * as PostgresAddress from "./PostgresAddress.ts"
import type { ConnectionSettings, Login } from "./PostgresConnection.ts"
import * as PostgresService from "./PostgresService.ts"
import { TlsMode, type TlsSettings } from "./PostgresTls.ts"

/** A member with its addresses, the first one apart. */
export interface Member extends Container.Fields {
  readonly name: string
  readonly address: string
  readonly otherAddresses: ReadonlyArray<string>
  readonly host?: string
  readonly dataDirectory?: string
  readonly connection: (applicationName: string) => ConnectionSettings
}

/** The members of a cluster, and how to connect to any address, theirs or another. */
export interface Logins {
  readonly members: readonly [Member, ...ReadonlyArray<Member>]
  readonly to: (address: string, applicationName: string) => ConnectionSettings
}

/** Reads the logins of a cluster. Fails where a secret or a service that the settings name does not exist. */
export const make = Effect.fnUntraced(function* (
  cluster: string,
  settings: OpenedSettings & { readonly members: readonly [OpenedMember, ...ReadonlyArray<OpenedMember>] }
): Effect.fn.Return<Logins, TargetError> {
  const misconfigured = (detail: string) => new TargetError({ cluster, endpoint: "", reason: "Misconfigured", detail })
  const attempt = <A>(read: () => A): Effect.Effect<A, TargetError> =>
    Effect.try({ try: read, catch: (cause) => misconfigured((cause as Error).message) })
  const secret = yield* secretOf(settings.password, misconfigured)
  const loginOf = (member: OpenedMember) => () => read(settings, member, secret)
  const memberOf = (member: OpenedMember): Effect.Effect<Member, TargetError> =>
    Effect.map(attempt(loginOf(member)), ({ endpoints }) => {
      const [address, ...otherAddresses] = endpoints.map(PostgresAddress.print) as [string, ...Array<string>]
      const connection = (applicationName: string) => ({ address, applicationName, login: loginOf(member) })
      const { address: _, service: __, ...own } = member
      return { ...own, address, otherAddresses, connection }
    })
  // Few servers ask for a password, but a password that is configured must exist.
  if (settings.password !== undefined && !isPassfile(settings.password)) yield* attempt(secret)
  const [first, ...rest] = settings.members
  const members = [yield* memberOf(first), ...(yield* Effect.forEach(rest, memberOf))] as const
  return {
    members,
    to: (address, applicationName) =>
      members.find((member) => member.address === address)?.connection(applicationName) ?? {
        address,
        applicationName,
        login: loginOf({ name: address, address })
      }
  }
})

// --- internal ---

type Password = NonNullable<PostgresSettings["password"]>

const isPassfile = (password: Password): password is { readonly passfile: string } =>
  !Redacted.isRedacted(password) && "passfile" in password

// An environment variable cannot change, so it is read once. A file is read each time.
const secretOf = (
  password: Password | undefined,
  misconfigured: (detail: string) => TargetError
): Effect.Effect<() => Redacted.Redacted | null, TargetError> => {
  if (password === undefined || isPassfile(password)) return Effect.succeed(() => null)
  if (Redacted.isRedacted(password)) return Effect.succeed(() => password)
  if ("file" in password) return Effect.succeed(() => readSecret(password.file))
  return Effect.mapBoth(Config.Redacted(password.env), {
    onSuccess: (value) => () => value,
    onFailure: () => misconfigured(`the environment variable ${password.env} of the password is not set`)
  })
}

const readSecret = (file: string): Redacted.Redacted => {
  try {
    return Redacted.make(
      NamedFile.read(file)
        .toString("utf8")
        .replace(/\r?\n$/, "")
    )
  } catch (cause) {
    throw new Error(`the password's file cannot be read: ${(cause as Error).message}`, { cause })
  }
}

const read = (settings: OpenedSettings, member: OpenedMember, secret: () => Redacted.Redacted | null): Login => {
  const service = new Map([...parametersOf(settings.service), ...parametersOf(member.service)])
  const user = settings.user ?? service.get("user")
  const database = settings.database ?? service.get("dbname") ?? user
  if (user === undefined || database === undefined)
    throw new Error("neither the configuration nor the service names a user")
  const passfile =
    settings.password === undefined
      ? service.get("passfile")
      : isPassfile(settings.password)
        ? settings.password.passfile
        : undefined
  const own = settings.password === undefined ? service.get("password") : undefined
  return {
    endpoints: endpointsOf(member, service),
    user,
    database,
    tls: settings.tls ?? tlsOf(service),
    password: (endpoint) => {
      if (own !== undefined) return Redacted.make(own)
      if (passfile === undefined) return secret()
      const host = endpoint.name || endpoint.host
      const found = PostgresService.password(passfile, { host, port: endpoint.port, database, user })
      return found === null ? null : Redacted.make(found)
    }
  }
}

const parametersOf = (service: OpenedMember["service"]): PostgresService.Parameters =>
  service === undefined
    ? new Map()
    : typeof service === "string"
      ? PostgresService.read(service, PostgresService.usualFiles(process.env))
      : PostgresService.read(service.name, [service.file])

// A service may name several hosts, and one port for each or one for all, in lists with commas. Where it names addresses
// beside them, those are connected to, and a host is what its server is called.
const endpointsOf = ({ address, name }: OpenedMember, service: PostgresService.Parameters): Login["endpoints"] => {
  if (address !== undefined) {
    const [first, ...rest] = PostgresAddress.all(address)
    return [PostgresAddress.endpoint(first), ...rest.map(PostgresAddress.endpoint)]
  }
  const [names, numbers] = ["host", "hostaddr"].map((key) =>
    (service.get(key) ?? "").split(",").map((part) => part.trim())
  ) as [Array<string>, Array<string>]
  const numbered = numbers.some((number) => number !== "")
  if (numbered && names[0] !== "" && names.length !== numbers.length)
    throw new Error(
      `the service of ${name} names ${names.length} in host and ${numbers.length} in hostaddr: name as many in each`
    )
  const hosts = (numbered ? numbers : names).map((host, index) =>
    host === "" ? { host: names[index]! } : numbered ? { host, name: names[index] ?? "" } : { host }
  )
  const ports = (service.get("port") ?? String(PostgresAddress.defaultPort)).split(",")
  const [first, ...rest] = hosts.map((host, index) => ({
    ...host,
    port: Number(ports.length === 1 ? ports[0] : ports[index]) || PostgresAddress.defaultPort
  }))
  if (first === undefined || first.host === "") throw new Error(`the service of ${name} names no host`)
  return [first, ...rest]
}

const tlsOf = (service: PostgresService.Parameters): TlsSettings => {
  const [rootcert, certificate, key] = ["sslrootcert", "sslcert", "sslkey"].map((name) => service.get(name))
  // A service without a mode has libpq's own default, even where it names authorities of its own.
  const mode = service.get("sslmode") ?? (rootcert === "system" ? "verify-full" : "prefer")
  if (!isMode(mode)) throw new Error(`the service's sslmode "${mode}" is none of ${TlsMode.literals.join(", ")}`)
  if (rootcert === "system" && mode !== "verify-full")
    throw new Error(`the service has sslmode "${mode}" beside sslrootcert "system", which goes with verify-full alone`)
  if ((certificate === undefined) !== (key === undefined))
    throw new Error("the service names one of sslcert and sslkey: name both or none")
  const ca = rootcert ?? ownAuthorities(mode)
  return {
    mode,
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined || key === undefined ? {} : { certificate, key })
  }
}

const isMode = Schema.is(TlsMode)

// Where no authorities are named, libpq takes those in the user's home. A mode that checks cannot do without them.
const ownAuthorities = (mode: TlsMode): string | undefined => {
  const file = path.join(os.homedir(), ".postgresql", "root.crt")
  return mode.startsWith("verify-") || (mode === "require" && fs.existsSync(file)) ? file : undefined
}
