/**
 * The port to a system under test: which groups it has, who is in them, and a probe that shows by a real write whether
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
 * The system could not be asked, or answered nonsense. `Unfit`: the system answers, but the proof of a loss needs
 * something that cannot be had now, such as a connection of its own.
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
   * Sends one linearizable write and waits for the system's answer, however long it takes. An interruption abandons the
   * write, and its outcome is then unknown. Where no connection can be made, the outcome is Unknown and never an error.
   */
  readonly write: (endpoint: string) => Effect.Effect<ProbeOutcome>
  /** Asks the members that were left alone what they say of the quorum. It takes at most one second. */
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
  /** Discovers the groups that the cluster has now. Its time is bounded, also while members are stopped. */
  readonly discover: Effect.Effect<ReadonlyArray<Topology>, TargetError>
  /** Opens a probe of one group. */
  readonly probe: (group: string) => Effect.Effect<Probe, TargetError, Scope.Scope>
  /** True where `Probe.survivors` can say that the quorum is lost. */
  readonly survivorsSpeak: boolean
  /** True where `Probe.survivors` hears this member when it is left alone. Unless given, it hears every voter. */
  readonly canSpeak?: (member: Member) => boolean
  /**
   * How long after the loss the survivors have spoken at the latest; 2000 ms unless given. A shorter hold does not need
   * their word.
   */
  readonly survivorsSpeakAfter?: Millis
  /** Witnesses that are part of the system itself, such as its supervisor. They are asked through every operation. */
  readonly witnesses?: ReadonlyArray<Witness>
  /** The type of the cluster's application, where it has one, as a simulated Service Fabric cluster does. */
  readonly application?: ApplicationFacts
  /** The nodes of the cluster, where the members alone do not tell all there is to know of them. */
  readonly nodes?: Effect.Effect<ReadonlyArray<NodeFacts>, TargetError>
  /**
   * Destroys replicas of a group with their data, and waits until the system sees it. Only a target whose data may be
   * destroyed has this. With `member` only that replica goes, and the group loses no data.
   */
  readonly loseData?: (group: string, mode: DataLossMode, member?: string) => Effect.Effect<void, TargetError>
  /**
   * Gives up what a group in quorum loss waits for, so that it serves again without. Only simulated clusters have this.
   */
  readonly recover?: (group: string) => Effect.Effect<void, TargetError>
  /** How long recovery may take before it counts as not proven. */
  readonly recoveryBudget: Millis
  /** How long one write may take while the group recovers. After that the next one is tried. */
  readonly recoveryWriteTimeout: Millis
}
