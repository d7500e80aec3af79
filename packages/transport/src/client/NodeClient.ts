/**
 * The `HttpClient` of Node for both clients, with what TLS and tokens need: the authorities to trust, our own
 * certificate, and a token. All of them come from files, and the token may come from the environment. Only this client
 * module does not run in a browser.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as http from "node:http"
import * as https from "node:https"
import { CredentialError, readCertificates, readPair, readSecret, type SecretSource } from "./Credentials.ts"
import { withToken } from "./BearerToken.ts"

// --- models ---

/** Files in PEM, and the place of the token. Everything may be left out. */
export interface Options {
  /** The authorities that the server's certificate may come from. The public ones if absent. */
  readonly ca?: string | undefined
  /** Our certificate, followed by its chain, and the key that belongs to it. */
  readonly pair?: { readonly certificate: string; readonly key: string } | undefined
  /** The bearer token. */
  readonly token?: SecretSource | undefined
}

// --- layers ---

/** Node's own `HttpClient`. It reads the files once, when the layer is made. */
export const layer = (options: Options): Layer.Layer<HttpClient.HttpClient, CredentialError> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const ca = options.ca === undefined ? undefined : yield* readCertificates(options.ca)
      const pair = options.pair === undefined ? undefined : yield* readPair(options.pair)
      const token = options.token === undefined ? undefined : yield* readToken(options.token)
      const agents = agentsWith({
        ...(ca === undefined ? {} : { ca: ca.pem }),
        ...(pair === undefined ? {} : { cert: pair.certificate, key: Redacted.value(pair.key) })
      })
      const client = yield* Effect.provideService(NodeHttpClient.makeNodeHttp, NodeHttpClient.HttpAgent, agents)
      return withToken(client, token)
    })
  )

// --- internal ---

// The next question goes over the connection of the last one, if it comes soon. No server that keeps connections ends an
// idle one as soon as this, so that no question is sent into a connection's end.
const kept: http.AgentOptions = { keepAlive: true, timeout: 1000 }

const agentsWith = (secure: https.AgentOptions): NodeHttpClient.HttpAgent["Service"] => {
  // TLS is slow to load, so it waits until an address asks for it.
  let made: https.Agent | undefined
  return {
    http: new http.Agent(kept),
    get https() {
      return (made ??= new https.Agent({ ...kept, ...secure }))
    }
  }
}

const readToken = Effect.fnUntraced(function* (source: SecretSource) {
  const token = yield* readSecret(source)
  if (/^[\x21-\x7e]+$/.test(Redacted.value(token))) return token
  const where = "env" in source ? `The environment variable ${source.env}` : source.file
  return yield* new CredentialError({
    reason: "NotAToken",
    detail: `${where} holds more than a token: blanks, line breaks or letters that no token has.`
  })
})
