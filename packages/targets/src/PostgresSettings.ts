/**
 * What a PostgreSQL cluster holds in a configuration file: who we are to it, and its members.
 */
import * as Schema from "effect/Schema"
import * as Container from "./Container.ts"
import * as MemberAddress from "./MemberAddress.ts"
import * as Patroni from "./Patroni.ts"
import * as Pods from "./Pods.ts"
import * as PostgresAddress from "./PostgresAddress.ts"
import * as PostgresTls from "./PostgresTls.ts"
import { Secret } from "./Secret.ts"

/**
 * The most bytes of a member's name. PostgreSQL keeps no more of an `application_name`, so it would never find a longer
 * name.
 */
const nameMost = 63

/**
 * True for a name that PostgreSQL keeps as it is in an `application_name`: it replaces all but printable ASCII. In
 * `synchronous_standby_names` a `*` stands for every standby, in quotes too.
 */
const isStreamable = (name: string): boolean => /^[ -~]*$/.test(name) && name !== "*"

/** A password, or where it is: as any secret, or in a password file of libpq's form (`.pgpass`). */
export const Password = Schema.Union([...Secret.members, Schema.Struct({ passfile: Schema.String })]).annotate({
  expected: "a secret, { env: name }, { file: path } or { passfile: path }"
})

/** A service of libpq's service file: its name, and the file where it is not one of the usual ones. */
export const Service = Schema.Union([
  Schema.NonEmptyString,
  Schema.Struct({ name: Schema.NonEmptyString, file: Schema.String })
]).annotate({ expected: "a service's name, or { name, file }" })

const memberFields = MemberAddress.fields("127.0.0.1:5432", nameMost)

/**
 * One member of a PostgreSQL cluster. Its `application_name` in replication is its name in `synchronous_standby_names`.
 */
export const PostgresMember = Schema.Struct({
  name: memberFields.name,
  /** Where the member takes connections; the host and port of its `service` unless given. */
  address: Schema.optionalKey(PostgresAddress.Address),
  /** The service that tells the member's address, and whatever else applies to this member alone. */
  service: Schema.optionalKey(Service),
  host: memberFields.host,
  dataDirectory: memberFields.dataDirectory,
  ...Container.fields
})
  .check(Container.isWhole)
  .check(
    Schema.makeFilter(
      ({ address, service }: { readonly address?: unknown; readonly service?: unknown }) =>
        address !== undefined ||
        service !== undefined || {
          path: ["address"],
          issue: "Expected an address such as 127.0.0.1:5432, or a service"
        }
    )
  )
  .annotate({ identifier: "PostgresMember" })
export type PostgresMember = typeof PostgresMember.Type

/** What names the members. */
interface Sources {
  readonly members?: unknown
  readonly pods?: unknown
  readonly patroni?: unknown
}

/** What a PostgreSQL cluster holds in a configuration file. The user needs pg_monitor, no more. */
export const PostgresSettings = Schema.Struct({
  /** The user; that of `service` unless given. */
  user: Schema.optionalKey(Schema.String),
  password: Schema.optionalKey(Password),
  /** The database; that of `service` unless given. */
  database: Schema.optionalKey(Schema.String),
  tls: Schema.optionalKey(PostgresTls.TlsSettings),
  /** The service that gives user, database, password and TLS where they are not given here. */
  service: Schema.optionalKey(Service),
  /**
   * Where the REST API answers of the Patroni that manages the cluster. What Patroni would do about a loss is read
   * there.
   */
  patroni: Schema.optionalKey(Patroni.PatroniSettings),
  /** All members, the primary included, in any order; the pods, or those that Patroni names, unless given. */
  members: Schema.optionalKey(
    Schema.NonEmptyArray(PostgresMember).check(
      Schema.makeFilter(
        (members: ReadonlyArray<PostgresMember>) =>
          MemberAddress.shared(members, "name", ({ name }) => [name.toLowerCase()]) ?? true
      ),
      Schema.makeFilter((members: ReadonlyArray<PostgresMember>) => {
        const index = members.findIndex(({ name }) => !isStreamable(name))
        return (
          index < 0 || {
            path: [index, "name"],
            issue: "Expected a name that a standby can stream under: printable ASCII alone, and not *"
          }
        )
      }),
      Schema.makeFilter((members: ReadonlyArray<PostgresMember>) => MemberAddress.sharedPlace(members) ?? true),
      Schema.makeFilter(
        (members: ReadonlyArray<PostgresMember>) =>
          MemberAddress.shared(members, "address", ({ address }) =>
            address === undefined ? [] : PostgresAddress.all(address)
          ) ?? true
      )
    )
  ),
  /** In place of members: the pods that are the members, each named as its pod. */
  pods: Schema.optionalKey(Pods.PodsSettings)
})
  .check(
    Schema.makeFilter(({ members, patroni, pods }: Sources) =>
      members !== undefined && pods !== undefined
        ? { path: ["members"], issue: "Expected members or pods, not both" }
        : members !== undefined ||
          pods !== undefined ||
          patroni !== undefined || {
            path: ["members"],
            issue: "Expected members, or pods, or the address of the Patroni that names them"
          }
    )
  )
  .check(
    Schema.makeFilter(
      ({
        database,
        service,
        user
      }: {
        readonly database?: string
        readonly service?: unknown
        readonly user?: string
      }) => service !== undefined || (user !== undefined && database !== undefined),
      { expected: "user and database, or a service that names them" }
    )
  )
  .annotate({ identifier: "PostgresSettings" })
export type PostgresSettings = typeof PostgresSettings.Type

/** A member as it is opened: one that the configuration or Patroni names, or a pod. */
export type OpenedMember = PostgresMember & Pick<Container.Fields, "pod">

/** The settings of a cluster whose members are these, or those that Patroni names. */
export type OpenedSettings = Omit<PostgresSettings, "members" | "pods"> & {
  readonly members?: readonly [OpenedMember, ...ReadonlyArray<OpenedMember>]
}
