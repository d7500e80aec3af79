/** The systems whose servers run in containers for tests, as targets on this machine. */
import type { Target, TargetError } from "@inquorate/core/Target"
import * as ContainedServers from "@inquorate/testkit/ContainedServers"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { etcd as etcdModule, EtcdSettings } from "../src/Etcd.ts"
import { postgres as postgresModule } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"

/** A system whose members run in containers. */
export interface ContainedSystem {
  readonly servers: ContainedServers.ContainedServers
  /** Its one group. */
  readonly group: string
  /** The target of these members. */
  readonly open: (members: ReadonlyArray<ContainedMember>) => Effect.Effect<Target, TargetError, Scope.Scope>
}

/** What a configuration says of a member. */
export interface ContainedMember {
  readonly name: string
  readonly address: string
  readonly host: "here"
  readonly container?: string
  readonly compose?: { readonly project: string; readonly service: string }
  readonly engine?: string
  readonly namespace?: string
}

/** This machine, by label. */
export const hosts = new Map([["here", LocalHost.make("here")]])

/** Three etcd. */
export const etcd: ContainedSystem = {
  servers: ContainedServers.etcd,
  group: "raft",
  open: (members) =>
    Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(EtcdSettings)({ members })), (settings) =>
      etcdModule.make("orders", settings, hosts)
    )
}

/** PostgreSQL with quorum commit. */
export const postgres: ContainedSystem = {
  servers: ContainedServers.postgres,
  group: "quorum",
  open: (members) =>
    Effect.flatMap(
      Effect.orDie(Schema.decodeUnknownEffect(PostgresSettings)({ user: "postgres", database: "postgres", members })),
      (settings) => postgresModule.make("orders", settings, hosts)
    )
}
