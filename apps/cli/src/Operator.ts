/**
 * What starting a fault and guarding it takes, whoever answers: a worker or a Service Fabric gateway.
 */
import type { FaultRequest } from "@inquorate/core/Request"
import type { OperationState } from "@inquorate/core/Wire"
import type * as Effect from "effect/Effect"
import type * as Command from "effect/cli/Command"
import { Failure } from "./Failure.ts"

// --- models ---

/** What a command asks, and how it fails. */
export type Asked<A> = Effect.Effect<A, Failure, Command.CommandContext<"inq">>

/** A partition as a fault names it. */
export interface NamedPartition {
  readonly serviceName: string
  readonly partitionId: string
}

/** What was answered to a start: `value` is what `--output json` prints. */
export interface Started {
  readonly replayed: boolean
  readonly value: unknown
}

/** How an operation ended: its state, and the sentence for a person where there is one. */
export interface Ended {
  readonly state: OperationState
  readonly sentence: string
}

/** An operation by its id, and whether it lives. */
export interface Known {
  readonly id: string
  readonly lives: boolean
}

/** What starting a fault and guarding it takes, of whoever answers. */
export interface Operator {
  readonly start: (doing: string, id: string, request: FaultRequest) => Asked<Started>
  /** The state after the wish was recorded; `value` is what `--output json` prints. */
  readonly cancel: (id: string, force: boolean) => Asked<{ readonly state: OperationState; readonly value: unknown }>
  /** Shows changes until the operation has ended, and gives back how it ended. */
  readonly follow: (id: string, options: { readonly verbose: boolean }) => Asked<Ended>
}

// --- errors ---

/** There is no node of that name. */
export const noNode = (nodeName: string): Failure =>
  new Failure({ exit: "refused", detail: `There is no node ${nodeName}. "inq node list" lists the ones there are.` })
