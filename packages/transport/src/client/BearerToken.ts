/**
 * Puts a bearer token on every request of an `HttpClient`. Runs in a browser too.
 */
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"

/** The same client with a bearer token on every request. Without a token, the client itself. */
export const withToken = (http: HttpClient.HttpClient, token: Redacted.Redacted | undefined): HttpClient.HttpClient =>
  token === undefined ? http : HttpClient.mapRequest(http, HttpClientRequest.bearerToken(Redacted.value(token)))
