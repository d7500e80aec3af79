/**
 * The port of one mechanism that takes one replica out of its group and puts it back. An injector knows no system and
 * chooses nothing. It gets an order for one fence at a time, and every fence that it arms ends by itself at its
 * deadline.
 */
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Guid } from "./Guid.ts"
import { Grade } from "./Plan.ts"
import { Supervisor } from "./Supervision.ts"
import { Instant, Millis } from "./Time.ts"
import { ProcessRef } from "./Topology.ts"

/** Names one fence on its host for ever: one operation, one attempt, one member. */
export class FenceId extends Schema.Opaque<FenceId>()(
  Schema.Struct({
    operationId: Guid,
    attempt: Schema.Int,
    member: Schema.String
  }).annotate({ identifier: "FenceId" })
) {}

/**
 * The order for one fence. The host refuses it when it comes late (after `startBy`), again, or from a lower epoch than
 * it has seen. So a worker that was frozen and thaws cannot stop anything again.
 */
export interface FenceOrder {
  readonly fence: FenceId
  readonly process: ProcessRef
  readonly epoch: number
  /** When the fence ends by itself; sent to the host as remaining time. */
  readonly deadline: Instant
  /**
   * The last moment to begin, in milliseconds on this worker's monotonic clock (`Clock.monotonicTimeNanos`). Taken
   * together with the lease check, so that whatever freezes us in between only makes the order late.
   */
  readonly startByMonotonic: Millis
  /** The member's name in its cluster, where the fence is called otherwise: what settings per member go by. */
  readonly member?: string
}

/** What one host is to make ready for one fence, before anything may be touched. */
export type FencePreparation = Pick<FenceOrder, "fence" | "process" | "epoch" | "member">

/**
 * The go to what stands prepared on a host: one short message, the only one with a last moment to begin. The host
 * refuses it late, repeated or outranked, as it refuses a `FenceOrder`. A late one touches nothing, and may be given
 * again.
 */
export type FenceGo = Pick<FenceOrder, "epoch" | "deadline" | "startByMonotonic">

/**
 * What stands ready on one host and has touched nothing. It ends with its scope. What had no go by then undoes itself.
 */
export interface Prepared {
  /** Applies all of it at once; what became of each, in the order they were prepared. */
  readonly go: (
    go: FenceGo
  ) => Effect.Effect<ReadonlyArray<Result.Result<typeof FenceState.cases.Armed.Type, InjectorError>>>
}

/**
 * Who ended a fence: the `Worker` by a lift, a `Keeper` of ours on the host at the deadline, the `Kernel` by itself, or a
 * `Sweep` that found it late.
 */
export const Ender = Schema.Literals(["Worker", "Keeper", "Kernel", "Sweep"])
export type Ender = typeof Ender.Type

/** How a fence stands on its host, by the host's own record. */
export const FenceState = Schema.TaggedUnion({
  /** The host has no record of it. */
  Absent: {},
  /** Ordered, not yet applied or its applying was not seen to end. */
  Arming: {},
  /**
   * Applied and checked. `broken` tells that the processes were seen running although the fence stood; `grade` tells,
   * where the host's record does, what ends it without us.
   */
  Armed: {
    processes: Schema.Int,
    armedAt: Instant,
    deadline: Instant,
    keepers: Schema.Int,
    broken: Schema.Boolean,
    grade: Schema.optionalKey(Grade)
  },
  /**
   * Off. `by` tells who ended it, `offAt` when, in UTC by the host's clock. `detail` is what the host adds for a
   * person, such as the process that a killed server runs as now.
   */
  Lifted: {
    by: Ender,
    offAt: Instant,
    /** How long ago that was by the host's uptime, which no step of its clock moves; left out where it has no uptime of it. */
    ago: Schema.optionalKey(Millis),
    broken: Schema.Boolean,
    detail: Schema.optionalKey(Schema.String)
  },
  /** The order was refused by the host and nothing was touched. */
  Refused: { problem: Schema.String }
})
export type FenceState = typeof FenceState.Type

/** What a sweep or `doctor` found on a host. */
export class FenceReport extends Schema.Opaque<FenceReport>()(
  Schema.Struct({
    fence: FenceId,
    host: Schema.String,
    injector: Schema.String,
    state: FenceState
  }).annotate({ identifier: "FenceReport" })
) {}

/**
 * An injector could not do what it was told. `OrderRefused`: the host said no and nothing was touched. `Late`: the
 * same, only because the order came after its start-by; it may be given again with another. `NotApplied`: it was tried,
 * undone, and did not hold. `Unknown`: the answer was lost and the fence may stand; ask `inspect`. `Unreachable`:
 * nothing was sent.
 */
export class InjectorError extends Schema.TaggedError<InjectorError>()("InjectorError", {
  host: Schema.String,
  member: Schema.String,
  reason: Schema.Literals(["OrderRefused", "Late", "NotApplied", "Unknown", "Unreachable"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** What an injector says of a process before anything is touched. */
export const Preflight = Schema.TaggedUnion({
  /**
   * It can be taken out. `skew` is the host's clock minus ours in milliseconds. `machineId` names the machine where it
   * has an id. `took` is how long the host needed for the answer. `warnings` tells what a person should know, such as a
   * supervisor that brings the process back if it ended. `supervisors` are those that act on its silence.
   */
  Ready: {
    grade: Grade,
    skew: Schema.Int,
    machineId: Schema.optionalKey(Schema.String),
    took: Schema.optionalKey(Millis),
    warnings: Schema.optionalKey(Schema.Array(Schema.String)),
    supervisors: Schema.optionalKey(Schema.Array(Supervisor))
  },
  /** It cannot; `problem` says why in words for a person. */
  Impossible: { problem: Schema.String, skew: Schema.optionalKey(Schema.Int) },
  /** The process is not what it was said to be, or is gone. */
  Mistaken: { problem: Schema.String, skew: Schema.optionalKey(Schema.Int) }
})
export type Preflight = typeof Preflight.Type

/** One mechanism that takes one replica out and puts it back. Every method may be repeated without harm. */
export interface Injector {
  /** The mechanism, such as `pause`. */
  readonly name: string
  /** True where a fence ends the process and its lift starts a new one: such a mechanism restarts members. */
  readonly restarts?: boolean
  /** Looks at the process without touching it; `member` says whose it is, for a mechanism with settings per member. */
  readonly preflight: (process: ProcessRef, member?: string) => Effect.Effect<Preflight, InjectorError>
  /**
   * Makes the fences of one operation on one host ready, and touches nothing. It may take as long as it takes. What
   * hears no go within `standBy` milliseconds undoes itself, and is on record as never applied. Where this is left out,
   * `arm` does both at once.
   */
  readonly prepare?: (
    host: string,
    preparations: ReadonlyArray<FencePreparation>,
    standBy: Millis
  ) => Effect.Effect<Prepared, InjectorError, Scope.Scope>
  /** Applies the fence and checks that it holds. Success means applied, checked, and ended by itself at the deadline. */
  readonly arm: (order: FenceOrder) => Effect.Effect<typeof FenceState.cases.Armed.Type, InjectorError>
  /** Brings the deadline of a standing fence forward; a later one than it has is refused. */
  readonly tighten: (
    host: string,
    fence: FenceId,
    epoch: number,
    deadline: Instant
  ) => Effect.Effect<void, InjectorError>
  /**
   * Takes the fence off, dismisses its keepers and waits for them. A fence that was never armed is marked, so that it
   * never can be. It succeeds only when nothing of the fence is left.
   */
  readonly lift: (
    host: string,
    fence: FenceId,
    epoch: number
  ) => Effect.Effect<typeof FenceState.cases.Lifted.Type, InjectorError>
  /** How the fence stands, by the host's own record. Makes `epoch` the least the host still obeys for this operation. */
  readonly inspect: (host: string, fence: FenceId, epoch: number) => Effect.Effect<FenceState, InjectorError>
  /** All fences on a host that carry our mark. `clear` lifts those past their deadline and forgets those long off. */
  readonly sweep: (
    host: string,
    options: { readonly clear: boolean }
  ) => Effect.Effect<ReadonlyArray<FenceReport>, InjectorError>
}
