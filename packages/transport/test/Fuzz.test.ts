/**
 * Goal: whatever a request holds, it is not answered with a 5xx that the contract does not name, does not end the
 * worker, and leaves no rejected promise behind. Method: connections from a seed (`INQUORATE_FUZZ_SEED`), as many as
 * `INQUORATE_FUZZ` says, over real sockets. `pnpm fuzz` makes a long run. What fails prints the seed and the number
 * that bring it back.
 */
import { assert, it } from "@effect/vitest"
import { type FabricErrorCode, table } from "@inquorate/core/FabricError"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as NodeServer from "../src/server/NodeServer.ts"
import { layer } from "./FakeOperations.ts"
import { connection } from "./Fuzzing.ts"
import { request } from "./http.ts"

const count = Number(process.env["INQUORATE_FUZZ"] ?? 3000)
const seed = Number(process.env["INQUORATE_FUZZ_SEED"] ?? 20_220_613)
const atOnce = 16

/** The errors above 499 that the contract names for every call, and our own for a full queue. */
const named = new Set<FabricErrorCode>([
  "E_ABORT",
  "FABRIC_E_NOT_PRIMARY",
  "FABRIC_E_NO_WRITE_QUORUM",
  "FABRIC_E_RECONFIGURATION_PENDING",
  "FABRIC_E_SERVICE_TOO_BUSY",
  "FABRIC_E_TIMEOUT",
  "FABRIC_E_COMMUNICATION_ERROR",
  "FABRIC_E_GATEWAY_NOT_REACHABLE"
])

/** What the server says to these bytes until it closes, or begins a stream that would not end. */
const say = (port: number, bytes: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1")
    let answer = ""
    const timer = setTimeout(() => socket.destroy(), 5000)
    socket.setEncoding("latin1")
    socket.on("data", (chunk: string) => {
      answer += chunk
      if (answer.includes("text/event-stream")) socket.destroy()
    })
    socket.on("error", () => {})
    socket.on("close", () => {
      clearTimeout(timer)
      resolve(answer)
    })
    socket.end(bytes, "latin1")
  })

/** Why an answer may not be, or nothing. Answers to a row of requests are looked at by their status lines. */
const judge = (answer: string): string | undefined => {
  const lines = [...answer.matchAll(/^HTTP\/1\.1 ([0-9]{3}) ?(.*)\r$/gm)]
  if (answer !== "" && lines.length === 0) return "not HTTP"
  for (const [index, line] of lines.entries()) {
    const status = Number(line[1])
    if (status < 400) continue
    const whole = answer.slice(line.index, lines[index + 1]?.index)
    const split = whole.indexOf("\r\n\r\n")
    const head = whole.slice(0, split).toLowerCase()
    const body = whole.slice(split + 4)
    if (!head.includes("\r\ncontent-type: application/json")) return `${status} without JSON`
    if (!head.includes("\r\nx-content-type-options: nosniff")) return `${status} without nosniff`
    // The answer to a HEAD has none.
    if (body === "") continue
    const code = /"Code":"([A-Z_]+)"/.exec(body)?.[1] as FabricErrorCode | undefined
    if (code === undefined || !Object.hasOwn(table, code)) return `${status} without a code of the table`
    if (status >= 500 && !named.has(code)) return `${status} ${code}`
  }
  return undefined
}

it.live(
  `${count} connections from seed ${seed} break nothing`,
  () =>
    Effect.gen(function* () {
      const { port } = yield* NodeServer.serve({
        host: "127.0.0.1",
        port: 0,
        limits: { headersTime: 1000, requestTime: 1500 }
      })
      const seen = new Map<string, number>()
      const problems: Array<string> = []
      const unhandled = (reason: unknown): void => void problems.push(`unhandled: ${String(reason)}`)
      process.on("unhandledRejection", unhandled)
      yield* Effect.forEach(
        Array.from({ length: count }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            const answer = yield* Effect.promise(() => say(port, connection(seed, index, port)))
            const status = /^HTTP\/1\.1 ([0-9]{3})/.exec(answer)?.[1] ?? "closed"
            seen.set(status, (seen.get(status) ?? 0) + 1)
            const problem = judge(answer)
            if (problem !== undefined && problems.length < 20) problems.push(`number ${index}: ${problem}`)
          }),
        { concurrency: atOnce, discard: true }
      )
      process.off("unhandledRejection", unhandled)
      assert.deepStrictEqual(problems, [], `INQUORATE_FUZZ_SEED=${seed}`)
      assert.strictEqual((yield* request(port, "GET", "/healthz")).status, 200)
      // A run that never got past the door would find nothing.
      for (const status of ["200", "202", "400", "403", "404"]) assert.isAbove(seen.get(status) ?? 0, 0, status)
    }).pipe(Effect.scoped, Effect.provide(layer)),
  within(Math.max(60_000, count * 20))
)
