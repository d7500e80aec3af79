/**
 * A gateway that knows nothing but Service Fabric's own calls and answers 400 to whatever else it is asked, as a real one
 * does. It has one partition, on which a restart runs, is rolled back and fails.
 */
import * as Guid from "@inquorate/core/Guid"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as FakeWorker from "./FakeWorker.ts"

/** The operation that it tells the type of. */
export const O = "11111111-1111-4111-8111-111111111111"
/** The one that it does not. */
export const untold = "00000000-0000-4000-8000-000000000bad"
export const P = FakeWorker.topology.partitionId

/** Serves until the scope ends; tells what it was asked. */
export const serve = Effect.gen(function* () {
  const lines: Array<string> = []
  const states = ["Running", "Running", "RollingBack", "Faulted"]
  const answers: ReadonlyArray<readonly [RegExp, () => unknown]> = [
    [/^GET \/\$\/GetClusterVersion\?/, () => ({ Version: "9.1.1" })],
    [/^GET \/Nodes\/n0\?/, () => ({ Name: "n0", InstanceId: "132", NodeStatus: "Up" })],
    [/^GET \/Nodes\?/, () => ({ ContinuationToken: "", Items: [{ Name: "n0", InstanceId: "132", NodeStatus: "Up" }] })],
    [/^GET \/Applications\?/, () => ({ Items: [{ Id: "app", Name: "fabric:/app", TypeName: "T" }] })],
    [
      /^GET \/Applications\/app\/\$\/GetServices\?/,
      () => ({ Items: [{ Id: "app~svc", Name: "fabric:/app/svc", ServiceKind: "Stateful" }] })
    ],
    [
      /^GET \/Services\/app~svc\/\$\/GetPartitions\?/,
      () => ({
        Items: [
          {
            ServiceKind: "Stateful",
            PartitionInformation: { ServicePartitionKind: "Singleton", Id: P },
            PartitionStatus: "Ready"
          }
        ]
      })
    ],
    [/^GET \/Partitions\/[^/]+\/\$\/GetReplicas\?/, () => ({ Items: [{ ServiceKind: "Stateful", ReplicaId: "7" }] })],
    [
      /^GET \/Faults\/\?/,
      () => [
        { OperationId: untold, State: "RollingBack", Type: "Invalid" },
        { OperationId: O, State: "Running", Type: "PartitionRestart" }
      ]
    ],
    [
      /^GET \/Faults\/Services\/.*\/GetRestartProgress\?/,
      () => {
        const State = states.shift() ?? "Faulted"
        return State === "Faulted"
          ? {
              State,
              RestartPartitionResult: {
                ErrorCode: -2147017753,
                SelectedPartition: { ServiceName: "fabric:/app/svc", PartitionId: Guid.nil }
              }
            }
          : { State }
      }
    ]
  ]
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const made = Http.createServer((request, response) => {
        const line = `${request.method} ${request.url}`
        lines.push(line)
        const found = answers.find(([pattern]) => pattern.test(line))
        if (found !== undefined) return void response.end(JSON.stringify(found[1]()))
        if (request.method === "POST") return void response.writeHead(line.includes("/Start") ? 202 : 200).end()
        response.writeHead(400).end('{"Error":{"Code":"E_INVALIDARG","Message":"Invalid argument"}}')
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.callback<void>((resume) => {
        made.close(() => resume(Effect.void))
        made.closeAllConnections()
      })
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, lines }
})
