/**
 * Requests that nobody would send, from a seed: what the official clients were seen to send, bent out of shape, and what
 * no client ever sent. Pure; the same seed and number give the same bytes.
 */
import * as Seed from "@inquorate/testkit/Seed"
import { recorded } from "./Exchanges.ts"
import { etcd } from "./FakeOperations.ts"

// --- models ---

/** A source of numbers below a bound, and of choices. */
export interface Dice {
  readonly below: (bound: number) => number
  readonly of: <A>(all: ReadonlyArray<A>) => A
  /** True once in so many throws. */
  readonly once: (inSoMany: number) => boolean
}

// --- make ---

/** Dice that fall as the seed says. */
export const dice = (seed: number): Dice => {
  const { below, pick } = Seed.make(seed)
  return { below, of: pick, once: (inSoMany) => below(inSoMany) === 0 }
}

/** The bytes of connection number `index` of a run: one request, or a few in a row. */
export const connection = (seed: number, index: number, port: number): string => {
  const roll = dice(Math.imul(seed, 2654435761) + index)
  if (roll.once(40)) return noise(roll)
  const requests = roll.once(8) ? 2 + roll.below(4) : 1
  return Array.from({ length: requests }, () => request(roll, port)).join("")
}

// --- internal ---

const O = "11111111-1111-4111-8111-111111111111"

const corpus: ReadonlyArray<string> = [
  ...recorded().flatMap(({ steps }) => steps.flatMap((step) => ("request" in step ? [step.request] : []))),
  "GET /v1/clusters",
  "GET /v1/operations?limit=10",
  `GET /v1/operations/${O}`,
  `GET /v1/operations/${O}/events`,
  `PUT /v1/operations/${O}`,
  `POST /v1/operations/${O}/cancel?force=true`,
  "POST /v1/plan",
  "GET /v1/openapi.json",
  "GET /healthz",
  "GET /readyz",
  "GET /metrics"
].filter((line) => line.length < 2000)

const nasty: ReadonlyArray<string> = [
  "",
  "0",
  "-1",
  "00",
  "1e9",
  "0x10",
  "0xffffffff",
  "4294967296",
  "18446744073709551616",
  "9".repeat(300),
  "NaN",
  "null",
  "true",
  "%",
  "%00",
  "%zz",
  "%2F",
  "%24",
  "%F0%9F%92%A5",
  "%C0%AF",
  "..",
  "../../etc/passwd",
  "~",
  "~~",
  "$",
  "$/$",
  "//",
  "\\",
  "'",
  '"',
  "<script>",
  "{}",
  "a=b=c",
  "&&&",
  "#",
  "__proto__",
  "constructor",
  "toString",
  "System",
  "n".repeat(5000),
  O.toUpperCase(),
  `{${O}}`,
  "lab~kv",
  "fabric:/lab/kv",
  "x".repeat(15_000)
]

const methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "QUERY", "CONNECT", "X"]

const splice = (roll: Dice, text: string): string => {
  const at = roll.below(text.length + 1)
  return text.slice(0, at) + roll.of(nasty) + text.slice(roll.once(2) ? at : Math.min(text.length, at + roll.below(6)))
}

const bendPath = (roll: Dice, path: string): string => {
  const segments = path.split("/")
  const at = roll.below(segments.length)
  switch (roll.below(6)) {
    case 0:
      return segments.with(at, roll.of(nasty)).join("/")
    case 1:
      return segments.toSpliced(at, 1).join("/")
    case 2:
      return segments.toSpliced(at, 0, roll.of(["", "$", "%24", "~", segments.at(-1) ?? ""])).join("/")
    case 3:
      return splice(roll, path)
    case 4:
      return segments.with(at, (segments[at] ?? "").toLowerCase()).join("/")
    default:
      return path
  }
}

const bendQuery = (roll: Dice, query: string): string => {
  const pieces = query.split("&")
  const at = roll.below(pieces.length)
  const [name = ""] = (pieces[at] ?? "").split("=")
  switch (roll.below(7)) {
    case 0:
    case 1:
      return pieces.with(at, `${name}=${roll.of(nasty)}`).join("&")
    case 2:
      return pieces.toSpliced(at, 1).join("&")
    case 3:
      return [...pieces, roll.of(pieces)].join("&")
    case 4:
      return pieces.with(at, splice(roll, pieces[at] ?? "")).join("&")
    case 5:
      return [roll.of(pieces), ...pieces.map((piece) => (roll.once(3) ? piece.toLowerCase() : piece))].join("&")
    default:
      return query
  }
}

const target = (roll: Dice, whole: string): string => {
  const mark = whole.indexOf("?")
  const path = mark === -1 ? whole : whole.slice(0, mark)
  const query = mark === -1 ? "" : whole.slice(mark + 1)
  const bent = roll.once(3) ? bendPath(roll, path) : path
  const asked = roll.once(2) ? bendQuery(roll, query) : query
  return asked === "" && mark === -1 ? bent : `${bent}?${asked}`
}

const about = { serviceName: "fabric:/lab/kv", partitionId: etcd.partitionId }
const bodies: ReadonlyArray<unknown> = [
  { ...about, mode: "QuorumReplicas", hold: 1000 },
  { ...about, kind: "PartitionDataLoss", mode: "FullDataLoss" },
  { ...about, kind: "PartitionRestart", mode: "AllReplicasOrInstances" },
  { kind: "NodeTransition", transition: "Stop", nodeName: "lab-m1", instanceId: "1", duration: 300_000 },
  { kind: "NodeTransition", transition: "Start", nodeName: "lab-m1", instanceId: "1" },
  {},
  [],
  null,
  "text",
  1e308,
  { __proto__: null, constructor: { prototype: 1 } },
  { ...about, kind: ["PartitionDataLoss"], hold: {} }
]

const body = (roll: Dice): string => {
  if (roll.once(6)) return roll.of(nasty)
  if (roll.once(10)) return "[".repeat(1 + roll.below(20_000))
  const text = JSON.stringify(roll.of(bodies))
  return roll.once(3) ? splice(roll, text) : text
}

const header = (roll: Dice): string =>
  roll.of([
    "Accept: application/json",
    "Accept: text/event-stream",
    `ClusterId: ${roll.of(nasty)}`,
    `X-ServiceFabricRequestId: ${O}`,
    "X-ServiceFabricClientType: \u0001",
    "Origin: http://evil.example",
    "Sec-Fetch-Site: cross-site",
    "Expect: 100-continue",
    "Expect: the-worst",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Content-Encoding: gzip",
    "Accept-Encoding: gzip",
    "If-None-Match: *",
    "Range: bytes=0-",
    `Cookie: ${"c".repeat(3000)}`,
    `X-Nasty: ${roll.of(nasty).replaceAll("\\", "")}`,
    "Authorization: Bearer x",
    "traceparent: 00-x-y-z",
    "b3: 1"
  ])

const host = (roll: Dice, port: number): string =>
  roll.once(25) ? roll.of(["Host: evil.example", "Host:", "X: y", `Host: a\r\nHost: b`]) : `Host: 127.0.0.1:${port}`

const framing = (roll: Dice, text: string): { readonly lines: ReadonlyArray<string>; readonly body: string } => {
  if (roll.once(6)) {
    const size = Buffer.byteLength(text).toString(16)
    return {
      lines: ["Transfer-Encoding: chunked"],
      body: roll.once(4) ? `zz\r\n${text}` : `${size}\r\n${text}\r\n0\r\n\r\n`
    }
  }
  const length = roll.once(12) ? roll.of(["-1", "x", "99999999999", "5", "1e3"]) : String(Buffer.byteLength(text))
  return { lines: [`Content-Length: ${length}`], body: text }
}

const request = (roll: Dice, port: number): string => {
  const line = roll.of(corpus)
  const space = line.indexOf(" ")
  const usual = line.slice(0, space)
  const method = roll.once(10) ? roll.of(methods) : usual
  const hasBody = usual === "PUT" || line.endsWith("/v1/plan") || roll.once(12)
  const { body: text, lines } = hasBody ? framing(roll, body(roll)) : { lines: ["Content-Length: 0"], body: "" }
  const headers = [
    host(roll, port),
    ...(hasBody ? [roll.once(8) ? "Content-Type: text/plain" : "Content-Type: application/json"] : []),
    ...Array.from({ length: roll.below(3) }, () => header(roll)),
    ...lines
  ]
  const version = roll.once(60) ? roll.of(["HTTP/1.0", "HTTP/2.0", "HTTP/9", "SIP/1.0"]) : "HTTP/1.1"
  return `${method} ${target(roll, line.slice(space + 1))} ${version}\r\n${headers.join("\r\n")}\r\n\r\n${text}`
}

const noise = (roll: Dice): string =>
  Array.from({ length: 1 + roll.below(200) }, () => String.fromCharCode(roll.below(256))).join("") +
  (roll.once(2) ? "\r\n\r\n" : "")
