/**
 * What a lab is, and what one system has to know to make it. A lab is a throwaway local cluster that outlives the
 * command that started it. One record in the state directory describes it, and `down` stops the processes that are on
 * record there. A module gets a site (folders, identity, a way to start processes that are on record before they run)
 * and brings its cluster up.
 */
import { Instant } from "@inquorate/core/Time"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { LabNetwork } from "./Namespaces.ts"

/** One member of a lab. `pid` and `startTime` (field 22 of `/proc/<pid>/stat`) together name its process for ever. */
export const LabMember = Schema.Struct({
  name: Schema.String,
  /** The client address, `host:port`. */
  address: Schema.String,
  dataDirectory: Schema.String,
  /** The file its output goes to. */
  log: Schema.String,
  pid: Schema.Int,
  startTime: Schema.String
}).annotate({ identifier: "LabMember" })
export type LabMember = typeof LabMember.Type

/** The record of a lab, stored as `lab.json` before anything is started. */
export const Lab = Schema.Struct({
  /** The version of the record's form; a later form is refused unread. Version 2 is the form with namespaces. */
  version: Schema.Literals([1, 2]),
  name: Schema.String,
  system: Schema.String,
  /** `Starting` until its cluster took a write. A lab whose `up` was killed stays `Starting` until `down`. */
  state: Schema.Literals(["Starting", "Up"]),
  createdAt: Instant,
  /** The folder of its data, binaries and logs, which `down` removes. */
  folder: Schema.String,
  /**
   * The signal that stops a member. SIGINT and SIGTERM ask for an orderly end; SIGKILL is for systems where that takes
   * long and gains nothing.
   */
  stopSignal: Schema.Literals(["SIGINT", "SIGTERM", "SIGKILL"]),
  members: Schema.Array(LabMember),
  /** The namespaces of its members, where they have some; `down` removes them. */
  network: Schema.optionalKey(LabNetwork),
  /** The cluster in the form of a worker's configuration file. */
  configuration: Schema.Json
}).annotate({ identifier: "Lab" })
export type Lab = typeof Lab.Type

/**
 * A lab could not be started, stopped or read; `detail` says why and what to do. `DidNotStart` and `NoBinaries` left
 * nothing behind. `DidNotStop` left something; `down` may then be repeated.
 */
export class LabError extends Schema.TaggedError<LabError>()("LabError", {
  lab: Schema.String,
  reason: Schema.Literals([
    "UnknownSystem",
    "BadName",
    "BadMembers",
    "BadOption",
    "NameTaken",
    "NoBinaries",
    "NotThisPlatform",
    "NotPermitted",
    "DidNotStart",
    "DidNotStop",
    "StateUnreadable"
  ]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** A process to start for a lab. */
export interface LabProcess {
  /** What it is, such as the member's name. */
  readonly label: string
  /** The absolute path of its executable. */
  readonly command: string
  readonly arguments: ReadonlyArray<string>
  /** The name of its log within the site's folder; output is appended. */
  readonly log: string
  readonly environment: Readonly<Record<string, string>>
  /** Runs as whoever called `up` instead of as the site's identity. */
  readonly asCaller?: boolean
  /** The network namespace it runs in; this machine's own where it is left out. */
  readonly namespace?: string
}

/** A process by its number and the moment it began, in clock ticks since boot. */
export interface ProcessName {
  readonly pid: number
  readonly startTime: string
}

/** Where and as whom a module brings its cluster up. */
export interface LabSite {
  readonly name: string
  readonly members: number
  /** Where the caller said the binaries are; null to search. */
  readonly bin: string | null
  /** What the caller set of the module's options. */
  readonly options: Readonly<Record<string, string>>
  /** The lab's own folder in the state directory; only the caller can read it. */
  readonly directory: string
  /** The folder for data, binaries and logs; the site's identity owns it. */
  readonly folder: string
  /** The namespaces that members are to run in, one each; null where they share this machine's own network. */
  readonly network: LabNetwork | null
  /** The identity that processes run under; null where they run as the caller. */
  readonly runAs: { readonly uid: number; readonly gid: number } | null
  /** True where that identity can enter a folder and everything above it. */
  readonly canEnter: (folder: string) => boolean
  /** Starts a process in a session of its own. It is on record before its executable runs. */
  readonly start: (process: LabProcess) => Effect.Effect<ProcessName, LabError>
  /** Runs a process to its end; a non-zero exit code is a `DidNotStart` with the end of its log. */
  readonly run: (process: LabProcess) => Effect.Effect<void, LabError>
  /** Stops processes of this site, with all their descendants, and waits until they are gone. */
  readonly stop: (processes: ReadonlyArray<ProcessName>) => Effect.Effect<void, LabError>
}

/** A cluster that took its first write. */
export interface LabCluster {
  readonly members: ReadonlyArray<LabMember>
  readonly configuration: Schema.Json
}

/** One system of which labs can be made. */
export interface LabModule {
  /** The system, such as `postgres`. */
  readonly system: string
  /** How many members a lab of it may have, the usual number first. */
  readonly memberCounts: readonly [number, ...ReadonlyArray<number>]
  readonly stopSignal: Lab["stopSignal"]
  /** What may be set, by name, each explained in a line for a person. The module reads the values. */
  readonly options?: Readonly<Record<string, string>>
  /** True where its members can run in network namespaces of their own. */
  readonly inNamespaces?: boolean
  /** Starts a cluster at the site and waits until it takes writes. On failure the caller stops what was started. */
  readonly up: (site: LabSite) => Effect.Effect<LabCluster, LabError>
}
