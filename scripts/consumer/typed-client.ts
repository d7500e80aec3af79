// Compiled against the published types of transport's clients, and never run: it shows what is promised to a program
// that uses them.
import type { PartitionQuorumLossProgress } from "@inquorate/core/Wire"
import * as Client from "@inquorate/transport/Client"
import * as FabricClient from "@inquorate/transport/FabricClient"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"

/** The progress of an operation, with every way in which asking can fail. */
export const progress = (
  endpoint: string
): Effect.Effect<PartitionQuorumLossProgress, FabricClient.FabricClientError, HttpClient.HttpClient> =>
  Effect.flatMap(FabricClient.make({ endpoint }), (client) =>
    client.getQuorumLossProgress({ serviceId: "a~b", partitionId: "", operationId: "" })
  )

/** The client of `/v1` needs nothing but an HttpClient. */
export const client: Effect.Effect<Client.Client, never, HttpClient.HttpClient> = Client.make({
  endpoint: "http://127.0.0.1:19080"
})
