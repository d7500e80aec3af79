/**
 * A simulated Service Fabric cluster, served over HTTP from this very process, for a test without Effect. It answers as
 * soon as `startEmulator` settles. Every client of Service Fabric's HTTP gateway or of `/v1` can speak to it. The scope
 * of `await using` ends it. It writes nothing to a disk, and several of them may run side by side.
 */
import { Clusters } from "@inquorate/core/Cluster"
import * as MemoryStore from "@inquorate/core/MemoryStore"
import * as ChaosDriver from "@inquorate/engine/ChaosDriver"
import * as Engine from "@inquorate/engine/Engine"
import * as NodeServer from "@inquorate/transport/NodeServer"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Scope from "effect/Scope"
import * as Emulator from "../Emulator.ts"
import { type Layout, LayoutError, place, standard } from "../Layout.ts"
import { LayoutFile, toLayout } from "../LayoutFile.ts"

// --- models ---

/** How to start a cluster. Every field has a default. */
export interface EmulatorOptions {
  /** The nodes, applications and services, as in a file for `--layout`. The standard cluster if absent. */
  readonly layout?: LayoutFile
  /** All ids and places follow from this number. 1 if absent. */
  readonly seed?: number
  /**
   * The cluster does what it does by itself so many times faster than Service Fabric. 1 if absent. Speed never shortens
   * what a caller asks for, such as a hold.
   */
  readonly speed?: number
  /** Where to listen. `127.0.0.1` if absent. */
  readonly host?: string
  /** The port. A free one if absent. */
  readonly port?: number
  /** True to answer under any name and to any page, for example to another container. */
  readonly anyHost?: boolean
  /** Hears each line of the log. If absent, nobody does. */
  readonly log?: (line: string) => void
}

/** A partition of the cluster. The same layout and seed give it the same id at every start. */
export interface EmulatedPartition {
  /** Its id, a UUID. */
  readonly id: string
  /** Its name for a client of `/v1`, such as `Shop/Orders` or `Shop/Ledger.0`. */
  readonly name: string
  /** Its service, such as `fabric:/Shop/Orders`. */
  readonly serviceName: string
  /** Its service in the spelling of Service Fabric's calls, such as `Shop~Orders`. */
  readonly serviceId: string
}

/** A cluster that runs until `stop`, or until the scope of `await using` ends. */
export interface RunningEmulator extends AsyncDisposable {
  /** Its address, such as `http://127.0.0.1:40123`. */
  readonly url: string
  readonly port: number
  /** Every partition, in the layout's order. */
  readonly partitions: ReadonlyArray<EmulatedPartition>
  /** The names of the nodes. */
  readonly nodes: ReadonlyArray<string>
  /** Ends the cluster and settles when nothing of it is left. Every call gives the same promise. */
  readonly stop: () => Promise<void>
}

// --- errors ---

/**
 * A cluster could not be started. `BadRequest`: an argument is wrong, and the message names it. `CannotListen`: the
 * port is in use, or the address is not one of this machine's.
 */
export class EmulatorError extends Error {
  override readonly name = "EmulatorError"
  readonly code: "BadRequest" | "CannotListen"

  constructor(code: EmulatorError["code"], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

// --- make ---

/** Starts a cluster and settles when it answers. */
export const startEmulator = async (options: EmulatorOptions = {}): Promise<RunningEmulator> => {
  const { anyHost, host, layout, log, port, seed, speed } = checked(options)
  const partitions = Result.getOrThrowWith(place(layout, seed), badRequest)
  const clusters = Effect.map(Emulator.make({ layout, seed, speed }), (made) => Clusters.of({ all: made.clusters }))
  const served = Layer.effect(Served, NodeServer.serve({ host, port, anyHost })).pipe(
    Layer.provide(ChaosDriver.layer({ workerId })),
    Layer.provide(Engine.layer({ workerId, lookFirst, defaultMaxHold: longest })),
    Layer.provide(Layer.effect(Clusters, clusters)),
    Layer.provide(MemoryStore.layer()),
    Layer.provide(Logger.layer(log === undefined ? [] : [Logger.map(Logger.formatLogFmt, log)]))
  )
  const scope = Scope.makeUnsafe()
  const exit = await Effect.runPromiseExit(Layer.buildWithScope(served, scope))
  if (Exit.isFailure(exit)) {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    throw errorOf(exit.cause)
  }
  const { port: taken, url } = Context.get(exit.value, Served)
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= Effect.runPromise(Scope.close(scope, Exit.void)))
  return {
    url,
    port: taken,
    partitions: partitions.map(({ application, group, partitionId, service }) => ({
      id: partitionId,
      name: `${application}/${group}`,
      serviceName: `fabric:/${application}/${service.name}`,
      serviceId: `${application}~${service.name}`
    })),
    nodes: layout.nodes.map(({ name }) => name),
    stop,
    [Symbol.asyncDispose]: stop
  }
}

// --- internal ---

class Served extends Context.Service<Served, NodeServer.Serving>()("@inquorate/emulator/Served") {}

const workerId = "emulator"
const lookFirst = 5000
/** The longest time that the wire can ask for, in milliseconds. */
const longest = 2_147_483_000

const Options = Schema.Struct({
  layout: Schema.optionalKey(LayoutFile),
  seed: Schema.optionalKey(Schema.Int),
  speed: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
  host: Schema.optionalKey(Schema.NonEmptyString),
  port: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
  anyHost: Schema.optionalKey(Schema.Boolean)
})

interface Checked {
  readonly layout: Layout
  readonly seed: number
  readonly speed: number
  readonly host: string
  readonly port: number
  readonly anyHost: boolean
  readonly log: EmulatorOptions["log"]
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The options with their defaults. An error names the place of each mistake in them. */
const checked = ({ log, ...options }: EmulatorOptions): Checked => {
  const decoded = Schema.decodeUnknownResult(Options, { errors: "all", onExcessProperty: "error", reportInput: true })(
    // An option that is given as undefined counts as absent.
    Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  )
  if (Result.isFailure(decoded)) {
    const mistakes = formatIssue(decoded.failure.issue).issues.map(({ message, path = [] }) => {
      const place = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".")
      return place === "" ? message : `${place}: ${message}`
    })
    throw new EmulatorError("BadRequest", mistakes.join("\n"))
  }
  const { anyHost = false, host = "127.0.0.1", layout, port = 0, seed = 1, speed = 1 } = decoded.success
  return { anyHost, host, layout: layout === undefined ? standard : toLayout(layout), log, port, seed, speed }
}

const badRequest = (error: LayoutError): EmulatorError =>
  new EmulatorError("BadRequest", `layout: ${error.message}`, { cause: error })

const errorOf = (cause: Cause.Cause<LayoutError | NodeServer.ServeError>): unknown => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error === undefined) return Cause.squash(cause)
  if (error instanceof LayoutError) return badRequest(error)
  return new EmulatorError("CannotListen", error.message, { cause: error })
}
