/**
 * The cause under an error of an `HttpClient` or a `fetch`: the platform's own message and code, and whether the other
 * side was there but could not be trusted. Runs in a browser too, where there are no codes.
 */

// --- errors ---

/** The cause under the error of an answer that broke a bound. Its code says which bound. */
export class BeyondBounds extends Error {
  readonly code: "TOO_LATE" | "TOO_LONG"

  constructor(code: BeyondBounds["code"], message: string) {
    super(message)
    this.code = code
  }
}

/**
 * Why there is no usable answer. `Unreachable`: nobody answered. `Untrusted`: TLS refused the other side, or the other
 * side refused us, so asking again is vain. `TimedOut`: the answer was not complete in time. `BadAnswer`: the answer
 * has no end.
 */
export interface TransportCause {
  readonly reason: "Unreachable" | "Untrusted" | "TimedOut" | "BadAnswer"
  readonly detail: string
}

/** The cause under a transport error, such as "connect ECONNREFUSED …". */
export const of = (error: { readonly message: string }): TransportCause => {
  let deepest: unknown = error
  for (let depth = 0; depth < 8; depth++) {
    const { cause, errors, reason } = deepest as { cause?: unknown; errors?: ReadonlyArray<unknown>; reason?: unknown }
    const next = reason ?? cause ?? errors?.[0]
    if (typeof next !== "object" || next === null) break
    deepest = next
  }
  if (deepest instanceof BeyondBounds) {
    return { reason: deepest.code === "TOO_LATE" ? "TimedOut" : "BadAnswer", detail: deepest.message }
  }
  const { code, message } = deepest as { readonly code?: unknown; readonly message?: unknown }
  const said = typeof message === "string" && message !== "" ? message : error.message
  const sentence = typeof code === "string" ? sentenceOf(code) : undefined
  return sentence === undefined
    ? { reason: "Unreachable", detail: said }
    : { reason: "Untrusted", detail: sentence === plain ? plain : `${sentence} (${said.trim()})` }
}

// --- internal ---

/** The sentence for a side that answers without TLS. OpenSSL's words for it would help nobody. */
const plain = "it speaks plain HTTP: use http://"

// OpenSSL's words, as Node gives them.
const sentenceOf = (code: string): string | undefined => {
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "CERT_SIGNATURE_FAILURE":
      return "its certificate is from an authority that is not trusted here; name that authority (ca)"
    case "CERT_HAS_EXPIRED":
      return "its certificate has expired; have it renewed"
    case "CERT_NOT_YET_VALID":
      return "its certificate is not valid yet"
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "its certificate is for another name; reach it by one of its own"
    case "EPROTO":
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
      return plain
    default:
      return code.startsWith("ERR_SSL_") && code.includes("ALERT")
        ? "it broke off the TLS handshake, most likely for our certificate"
        : undefined
  }
}
