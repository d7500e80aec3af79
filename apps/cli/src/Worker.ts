/**
 * The client of a worker, over Node's own HTTP. A module of its own, so that the commands that ask no worker start
 * without the whole of it.
 */
import * as Client from "@inquorate/transport/Client"
import type { CredentialError } from "@inquorate/transport/Credentials"
import * as NodeClient from "@inquorate/transport/NodeClient"
import * as Effect from "effect/Effect"

/** The client of the worker at `endpoint`, with the certificates and the token that it is to show. */
export const connect = (endpoint: string, options: NodeClient.Options): Effect.Effect<Client.Client, CredentialError> =>
  Client.make({ endpoint }).pipe(Effect.provide(NodeClient.layer(options)))
