/**
 * Our own surface, `/v1` and `/healthz`: the server's handlers, the OpenAPI document and the client all come from the calls
 * that are declared in `Endpoints`. Errors have the Service Fabric shape `{"Error":{"Code","Message"}}`. If a rule said no,
 * the typed refusal stands beside it.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Endpoints from "./Endpoints.ts"

// --- models ---

/** An operation as shown, the answer of a start, and the body of an error. */
export type { ApiErrorBody, OperationView, StartReceipt } from "./Answers.ts"
/** The bodies of the chaos calls. */
export type { ChaosEventPage, ChaosEventsAsked, ChaosRequest, ChaosView } from "./ChaosView.ts"
/** The subject of a health call, and the health of one thing. */
export type { HealthSubject, HealthView } from "./HealthView.ts"
/** A node. */
export type { NodeView } from "./NodeView.ts"
/** Which partitions to recover. */
export type { RecoverRequest } from "./RecoverRequest.ts"

// --- errors ---

/** What the worker did not take, its body and statuses. */
export { ApiError, errorBody, errorStatuses, listLimit, SchemaErrors } from "./Endpoints.ts"

// --- make ---

/**
 * The calls about operations. All groups are at the top level, so that the endpoints become methods of the client
 * itself.
 */
export class OperationsApi extends HttpApiGroup.make("operations", { topLevel: true })
  .add(
    Endpoints.plan(),
    Endpoints.start(),
    Endpoints.list(),
    Endpoints.detail(),
    Endpoints.events(),
    Endpoints.cancel(),
    Endpoints.unreadable()
  )
  .middleware(Endpoints.SchemaErrors)
  .annotateMerge(
    OpenApi.annotations({
      title: "Operations",
      description: "Plan a fault, start it, follow it, and end it before its time."
    })
  ) {}

/** The calls about clusters, nodes and health. */
export class ClustersApi extends HttpApiGroup.make("clusters", { topLevel: true })
  .add(Endpoints.clusters(), Endpoints.nodes(), Endpoints.node(), Endpoints.health(), Endpoints.recover())
  .middleware(Endpoints.SchemaErrors)
  .annotateMerge(OpenApi.annotations({ title: "Clusters", description: "What there is, and how it stands." })) {}

/** The calls about chaos. */
export class ChaosApi extends HttpApiGroup.make("chaos", { topLevel: true })
  .add(
    Endpoints.chaos(),
    Endpoints.startChaos(),
    Endpoints.stopChaos(),
    Endpoints.chaosEvents(),
    Endpoints.chaosSchedule(),
    Endpoints.setChaosSchedule()
  )
  .middleware(Endpoints.SchemaErrors)
  .annotateMerge(
    OpenApi.annotations({ title: "Chaos", description: "Faults drawn at random, iteration after iteration." })
  ) {}

/** The calls about the worker itself. */
export class WorkerApi extends HttpApiGroup.make("worker", { topLevel: true })
  .add(Endpoints.alive())
  .middleware(Endpoints.SchemaErrors)
  .annotateMerge(OpenApi.annotations({ title: "Worker", description: "Whether the worker answers." })) {}

/** Our own surface. */
export class Api extends HttpApi.make("inquorate")
  .add(OperationsApi, ClustersApi, ChaosApi, WorkerApi)
  .annotateMerge(
    OpenApi.annotations({
      title: "Inquorate",
      version: "1",
      description:
        "Takes a partition's quorum away on purpose, holds it, gives it back, and proves all three. " +
        "Restarts partitions, stops and starts nodes, and destroys data where that is allowed."
    })
  ) {}
