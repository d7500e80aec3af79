/**
 * A worker, a gateway, or whoever answers in their place, that names everything so that a terminal would act on it.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { topology } from "./FakeWorker.ts"

/** Clears the screen, sets the title, turns the direction, and forges a line. */
export const evil = "\u001B[2J\u001B]0;owned\u0007\u202E\u009B1m\r\nFORGED healthy\u2028\u007F"

/** What a terminal would act on. */
export const acting = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

export const O = "11111111-1111-4111-8111-111111111111"

const group = {
  ...topology,
  group: "kv",
  rule: evil,
  members: topology.members.map((member) => ({ ...member, name: `${member.name}${evil}`, processProblem: evil }))
}

export const clusters = [
  { name: "lab", system: "etcd", injector: "kill", protected: false, maxHold: null, groups: [group], problem: evil }
]

const node = {
  name: evil,
  instanceId: "1",
  status: "Up",
  since: evil,
  health: "Ok",
  stopped: false,
  address: evil,
  type: evil,
  faultDomain: evil,
  upgradeDomain: evil
}

const error = { Error: { Code: "FABRIC_E_INVALID_OPERATION", Message: evil } }

/** What a worker answers, by the line that asks. */
export const ofWorker: ReadonlyArray<readonly [RegExp, number, unknown]> = [
  [/^GET \/v1\/clusters/, 200, clusters],
  [/^GET \/v1\/nodes$/, 200, [node]],
  [/^GET \/v1\/nodes\//, 200, node],
  [
    /^GET \/v1\/health/,
    200,
    {
      kind: "Cluster",
      name: evil,
      state: "Ok",
      reports: [{ source: evil, property: evil, state: "Ok", description: evil, since: evil }],
      below: [{ kind: "Node", name: evil, state: "Ok" }]
    }
  ],
  [/^POST \/v1\/plan/, 200, { topology: group, plan: null, fences: [], notes: [evil], refusal: null }],
  [/./, 400, error]
]

/** The same of a gateway. */
export const ofGateway: ReadonlyArray<readonly [RegExp, number, unknown]> = [
  [/GetClusterVersion/, 200, { Version: evil }],
  [/^GET \/Applications\?/, 200, { Items: [{ Id: "app", Name: evil, TypeName: evil }] }],
  [/GetServices/, 200, { Items: [{ Id: "app~svc", Name: evil, ServiceKind: "Stateful" }] }],
  [
    /GetPartitions/,
    200,
    { Items: [{ ServiceKind: "Stateful", PartitionInformation: { ServicePartitionKind: "Singleton", Id: O } }] }
  ],
  [/GetReplicas/, 200, { Items: [{ ServiceKind: "Stateful", ReplicaId: "7", NodeName: evil }] }],
  [/./, 400, error]
]

/** Answers until the scope ends, and tells where. */
export const serve = (answers: typeof ofWorker) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const made = Http.createServer((request, response) => {
          const [, status, body] = answers.find(([pattern]) => pattern.test(`${request.method} ${request.url}`))!
          const worker = answers === ofWorker ? { "inquorate-api": "1" } : {}
          response.writeHead(status, { "content-type": "application/json", ...worker })
          response.end(body === undefined ? undefined : JSON.stringify(body))
        }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) => Effect.sync(() => (made.closeAllConnections(), made.close()))
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )
