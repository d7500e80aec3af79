/**
 * What DBOS makes of a start: node:http over `DBOS.startWorkflow` with nothing between, on the server whose address is the
 * first argument. A start is answered once its workflow is stored. The queue lets one workflow run at a time, which waits
 * for ever, so that the others are stored and no more. It is started as a process of its own, and prints its port.
 */
import { DBOS } from "@dbos-inc/dbos-sdk"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

DBOS.setConfig({ name: "bench", systemDatabaseUrl: process.argv[2]!, logLevel: "error" })
const fault = DBOS.registerWorkflow((_request: object) => new Promise<never>(() => undefined), { name: "fault" })
await DBOS.launch()
await DBOS.registerQueue("faults", { globalConcurrency: 1 })

const server = http.createServer((request, response) => {
  const url = new URL(request.url!, "http://localhost")
  const answer = (status: number): void => {
    response.writeHead(status, { "Content-Length": 0 })
    response.end()
  }
  DBOS.startWorkflow(fault, { workflowID: url.searchParams.get("OperationId")!, queueName: "faults" })({
    kind: "PartitionQuorumLoss",
    serviceName: "fabric:/a/b",
    partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
    mode: "QuorumReplicas",
    hold: 1000
  }).then(
    () => answer(202),
    () => answer(500)
  )
})
server.listen(0, "127.0.0.1", () =>
  process.stdout.write(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
)
