/**
 * What follows from the kind of a fault: one row for each kind. Nobody else asks which kind a request is in order to
 * decide how it goes. A kind without a row does not compile. The rows of a node's three transitions stand beside each
 * other.
 */
import type * as Effect from "effect/Effect"
import { Refusal } from "./Plan.ts"
import type { FaultKind, FaultRequest, NodeRequest, RequestOf } from "./Request.ts"
import type { Target, TargetError } from "./Target.ts"
import { formatMillis, type Millis } from "./Time.ts"
import type { ServiceFacts } from "./Topology.ts"

// --- models ---

/** What follows from the kind of one request. */
export interface Fault {
  /** For how long the fault was asked to last: 0 for what ends as soon as it is done. */
  readonly duration: Millis
  /** How long after the order its fences end by themselves; `verifyWithin` is how long a loss may take to show. */
  readonly budget: (verifyWithin: Millis) => Millis
  /** The phase that follows the order. `Lifting` begins with fences that another operation armed. */
  readonly first: "Arming" | "Destroying" | "Lifting"
  /**
   * What follows once every fence is armed: the loss is proven, the members are brought back at once, or the operation is
   * Completed with its fences standing until their deadline.
   */
  readonly afterArming: "Verifying" | "Lifting" | "Standing"
  /**
   * True where the fault takes the quorum. Writes prove the loss, measure it and watch it to its end. A fence that ends
   * early or is seen broken fails the operation.
   */
  readonly losesQuorum: boolean
  /** True where a member may be seen running while its fence stands, since it is started again at once. */
  readonly restarts: boolean
  /** True where another fault of which this is true may take the same server process at the same time. */
  readonly sharesProcess: boolean
  /** True where it ends a fault and begins none. The limits of what may run at once do not count it. */
  readonly givesBack: boolean
  /** When the members count as back. */
  readonly back: BackRule
  /** What a service of this kind cannot suffer, or null. `serviceName` is the name that the request gave. */
  readonly unsuited: (service: ServiceFacts) => Refusal | null
  /** The words are made when they are read. The rules of an operation ask for rows often, and for words never. */
  readonly words: FaultWords
  /** What the target does itself, in the phase `Destroying`; null where fences do it all. */
  readonly act: TargetAct | null
}

/** What a target does to a group itself, where nothing is fenced. It is begun once; a retry may begin it again. */
export interface TargetAct {
  /** Undefined where the target cannot. */
  readonly perform: (target: Target, group: string) => Effect.Effect<void, TargetError> | undefined
  /** True where the system counts a loss of its data when it is done, and only that count tells that it is. */
  readonly counted: boolean
  /** As in "destroying the data". */
  readonly doing: string
  /** As in "The replicas and their data are gone". */
  readonly done: string
  /** As in "The data was not destroyed". */
  readonly notDone: string
  /** As in "An earlier owner was about to destroy the data, and nothing tells that it did". */
  readonly untold: string
}

/**
 * When the members of a fault count as back. `Healthy`: every voter is up. If the group was degraded before, and the
 * request allowed it, everybody who was there. `Everybody`: everybody who was up before. `Rebuilt`: as healthy as
 * before, by whatever members. `Node`: everything on the node, in every group.
 */
export type BackRule =
  | { readonly _tag: "Healthy" }
  | { readonly _tag: "Everybody" }
  | { readonly _tag: "Rebuilt" }
  | { readonly _tag: "Node"; readonly nodeName: string }

/** A fault in words for a person. */
export interface FaultWords {
  /** What was asked for in a few words: the mode, and for how long. */
  readonly asked: string
  /** What was asked for in one or two short words, for a table. */
  readonly short: string
  /** What was asked for, after the words "Operation … on …". */
  readonly announced: string
  /** What a cancel does, as in "cancels it". */
  readonly cancelled: string
  /** What Arming does to the members, as in "taking out". */
  readonly arming: string
  /** What Lifting does; `members` are the names of those that come back. */
  readonly lifting: (members: string) => string
}

// --- make ---

/** The row of a request. */
export const faultOf = (request: FaultRequest): Fault => {
  const known = made.get(request)
  if (known !== undefined) return known
  // The row is the one of this very request's kind, which TypeScript does not see through a union.
  const fault = (rows[request.kind] as (request: FaultRequest) => Fault)(request)
  made.set(request, fault)
  return fault
}

// --- internal ---

// Every move of an operation asks for the row of its request some ten times.
const made = new WeakMap<FaultRequest, Fault>()

/** How long a restarted member may stay away when nobody brings it back. By then it starts by itself. */
export const restartBudget: Millis = 10_000

const suitsAny = (): null => null

const bringingBack = (members: string): string => `bringing back ${members}`

const partitionWords = (request: RequestOf<"PartitionDataLoss" | "PartitionRestart">, short: string): FaultWords => {
  const asked = request.member === undefined ? request.mode : `${request.member} alone`
  return {
    asked,
    short,
    announced: `${request.kind} ${asked}`,
    cancelled: "cancels it",
    arming: "taking out",
    lifting: bringingBack
  }
}

const nodeWords = (asked: string, short: string, arming: string): FaultWords => ({
  asked,
  short,
  announced: `NodeTransition ${asked}`,
  cancelled: "cancels it",
  arming,
  lifting: bringingBack
})

const ofNode = ({ nodeName }: NodeRequest) => ({
  duration: 0,
  budget: () => restartBudget,
  losesQuorum: false,
  sharesProcess: false,
  back: { _tag: "Node", nodeName } as const,
  act: null,
  unsuited: suitsAny
})

const transitions = {
  Stop: (request) => ({
    ...ofNode(request),
    duration: request.duration,
    budget: () => request.duration,
    first: "Arming",
    afterArming: "Standing",
    restarts: false,
    givesBack: false,
    get words() {
      return nodeWords(
        `Stop, for ${formatMillis(request.duration)}${request.intent === undefined ? "" : `, deactivated (${request.intent})`}`,
        `stop ${formatMillis(request.duration)}`,
        "taking out"
      )
    }
  }),
  Start: (request) => ({
    ...ofNode(request),
    first: "Lifting",
    afterArming: "Lifting",
    restarts: false,
    givesBack: true,
    get words() {
      return nodeWords("Start", "start", "starting")
    }
  }),
  Restart: (request) => ({
    ...ofNode(request),
    first: "Arming",
    afterArming: "Lifting",
    restarts: true,
    givesBack: false,
    get words() {
      return nodeWords("Restart", "restart", "taking out")
    }
  })
} satisfies {
  readonly [T in NodeRequest["transition"]]: (request: Extract<NodeRequest, { readonly transition: T }>) => Fault
}

const rows = {
  PartitionQuorumLoss: ({ hold, mode, serviceName }) => ({
    duration: hold,
    budget: (verifyWithin) => verifyWithin + hold,
    first: "Arming",
    afterArming: "Verifying",
    losesQuorum: true,
    restarts: false,
    sharesProcess: true,
    givesBack: false,
    back: { _tag: "Healthy" },
    act: null,
    unsuited: (service) =>
      service.kind === "Stateless"
        ? Refusal.cases.Stateless.make({ serviceName })
        : service.persisted
          ? null
          : Refusal.cases.Volatile.make({ serviceName }),
    get words() {
      return {
        asked: `${mode}, hold ${formatMillis(hold)}`,
        short: `loss ${formatMillis(hold)}`,
        announced: `hold ${formatMillis(hold)}`,
        cancelled: "lifts at once",
        arming: "taking out",
        lifting: () => "lifting"
      }
    }
  }),
  PartitionDataLoss: (request) => ({
    duration: 0,
    budget: () => restartBudget,
    first: "Destroying",
    afterArming: "Lifting",
    losesQuorum: false,
    restarts: false,
    sharesProcess: false,
    givesBack: false,
    back: { _tag: "Rebuilt" },
    act: {
      perform: ({ loseData }, group) => loseData?.(group, request.mode, request.member),
      // One replica alone is no loss that the system would count.
      counted: request.member === undefined,
      doing: "destroying the data",
      done: "The replicas and their data are gone",
      notDone: "The data was not destroyed",
      untold: "An earlier owner was about to destroy the data, and nothing tells that it did"
    },
    unsuited: ({ kind }) =>
      kind === "Stateless" && request.member === undefined
        ? Refusal.cases.Stateless.make({ serviceName: request.serviceName })
        : null,
    get words() {
      return partitionWords(request, request.member === undefined ? "data loss" : "removal")
    }
  }),
  PartitionRestart: (request) => ({
    duration: 0,
    budget: () => restartBudget,
    first: "Arming",
    afterArming: "Lifting",
    losesQuorum: false,
    restarts: true,
    sharesProcess: false,
    givesBack: false,
    back: { _tag: "Everybody" },
    act: null,
    unsuited: ({ kind }) =>
      kind === "Stateless" && request.mode === "OnlyActiveSecondaries"
        ? Refusal.cases.NoSecondaries.make({ serviceName: request.serviceName })
        : null,
    get words() {
      return partitionWords(request, "restart")
    }
  }),
  NodeTransition: (request) =>
    // The same as in `faultOf`.
    (transitions[request.transition] as (request: NodeRequest) => Fault)(request)
} satisfies { readonly [Kind in FaultKind]: (request: RequestOf<Kind>) => Fault }

/** Every kind, in the order of their rows. */
export const faultKinds = Object.keys(rows) as ReadonlyArray<FaultKind>
