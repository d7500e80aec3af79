/**
 * The port of a system under test: what groups it has, who is in them, and a probe that shows by a real write whether
 * the quorum is there. A target chooses no victims and touches no process.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ProbeOutcome, SurvivorsWord } from "./Evidence.ts"
import type { DataLossMode } from "./Request.ts"
import type { Millis } from "./Time.ts"
import type { Member, NodeFacts, Topology } from "./Topology.ts"
import type { Witness } from "./Witness.ts"

/**
 * The system could not be asked, or answered nonsense. `Unfit`: it answers, but what a proof of its loss needs, such as a
 * connection of its own, cannot be had now.
 */
export class TargetError extends Schema.TaggedError<TargetError>()("TargetError", {
  cluster: Schema.String,
  endpoint: Schema.String,
  reason: Schema.Literals(["Unreachable", "TimedOut", "Misconfigured", "Unsupported", "Unfit"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** A probe of one group: open connections, one fixed key, bounded in everything. */
export interface Probe {
  /** The endpoints a write can be sent to, in the order to try them. */
  readonly endpoints: ReadonlyArray<string>
  /**
   * Sends one linearizable write and waits for the system's answer, for as long as it takes; interruption abandons the
   * write, whose outcome is then unknown. A connection that cannot be made is Unknown, never an error.
   */
  readonly write: (endpoint: string) => Effect.Effect<ProbeOutcome>
  /** What the members that were left alone say of the quorum; bounded to one second. */
  readonly survivors: Effect.Effect<SurvivorsWord>
}

/** The type of an application, in Service Fabric's words. */
export interface ApplicationFacts {
  readonly typeName: string
  readonly typeVersion: string
  readonly parameters: ReadonlyArray<{ readonly key: string; readonly value: string }>
}

/** A system under test. */
export interface Target {
  /** The system, such as `postgres`. */
  readonly system: string
  /** The configured name of the cluster. */
  readonly cluster: string
  /** The groups the cluster has now; bounded in time, also while members are stopped. */
  readonly discover: Effect.Effect<ReadonlyArray<Topology>, TargetError>
  /** Opens a probe of one group. */
  readonly probe: (group: string) => Effect.Effect<Probe, TargetError, Scope.Scope>
  /** True where `Probe.survivors` can say that the quorum is lost. */
  readonly survivorsSpeak: boolean
  /** Whether this member, left alone, is one that `Probe.survivors` hears; every voter unless given. */
  readonly canSpeak?: (member: Member) => boolean
  /**
   * How long after the loss the survivors have spoken at the latest, 2000 ms unless given; in a shorter hold their word
   * is not needed.
   */
  readonly survivorsSpeakAfter?: Millis
  /** Who is to be asked through every operation as part of the system itself, such as its supervisor. */
  readonly witnesses?: ReadonlyArray<Witness>
  /** The type of its application where it has one, as a simulated Service Fabric cluster does. */
  readonly application?: ApplicationFacts
  /** The nodes of the cluster, where they are more than what the members tell. */
  readonly nodes?: Effect.Effect<ReadonlyArray<NodeFacts>, TargetError>
  /**
   * Destroys replicas of a group with their data, for as long as it takes the system to see it. Only a target whose data
   * may be destroyed has it. With `member` that replica alone goes, which is no loss of the group's data.
   */
  readonly loseData?: (group: string, mode: DataLossMode, member?: string) => Effect.Effect<void, TargetError>
  /** Gives up what a group in quorum loss waits for, and lets it serve again without. Only simulated clusters have it. */
  readonly recover?: (group: string) => Effect.Effect<void, TargetError>
  /** How long recovery may take before it counts as not proven. */
  readonly recoveryBudget: Millis
  /** How long one write may take while the group recovers before the next is tried. */
  readonly recoveryWriteTimeout: Millis
}
