/**
 * The client of a worker, over Node's own HTTP. A module of its own, so that the commands that ask no worker start
 * without the whole of it.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Client from "@inquorate/transport/Client"
import * as FabricClient from "@inquorate/transport/FabricClient"
import * as Effect from "effect/Effect"
import * as http from "node:http"
import * as https from "node:https"

/** The client of the worker at `endpoint`. */
export const connect = (endpoint: string): Effect.Effect<Client.Client> =>
  Client.make({ endpoint }).pipe(
    Effect.provide(NodeHttpClient.layerNodeHttpNoAgent),
    Effect.provideService(NodeHttpClient.HttpAgent, agents)
  )

/** The client of the Service Fabric surface at `endpoint`. */
export const connectFabric = (endpoint: string): Effect.Effect<FabricClient.FabricClient> =>
  FabricClient.make({ endpoint }).pipe(
    Effect.provide(NodeHttpClient.layerNodeHttpNoAgent),
    Effect.provideService(NodeHttpClient.HttpAgent, agents)
  )

// --- internal ---

// TLS is slow to load, so it waits until an address asks for it.
let secure: https.Agent | undefined
const agents = {
  http: new http.Agent(),
  get https() {
    return (secure ??= new https.Agent())
  }
}
