// Calls both clients over fetch, against the answers of `answers.mjs`. It is bundled for a browser before it runs.
import * as Client from "@inquorate/transport/Client"
import * as FabricClient from "@inquorate/transport/FabricClient"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { id, partitionId } from "./answers.mjs"

/** What both clients say of the worker at `endpoint`. */
export const ask = (endpoint) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const fabric = yield* FabricClient.make({ endpoint })
      const target = { serviceId: "orders~quorum", partitionId, operationId: id }
      yield* fabric.startQuorumLoss({ ...target, mode: "QuorumReplicas", durationSeconds: 5 })
      const progress = yield* fabric.getQuorumLossProgress(target)
      const operations = yield* fabric.getFaultOperationList()
      const refused = yield* Effect.flip(fabric.cancelOperation(id, true))
      const client = yield* Client.make({ endpoint })
      const listed = yield* client.list()
      return { progress, operations, refused: refused.code, listed }
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
