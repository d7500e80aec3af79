/**
 * The baseline of the HTTP figures: node:http over node:sqlite with nothing between, with WAL and synchronous FULL as
 * the worker has them. A start is one insert in a commit of its own. A progress is one select, decoded and encoded with
 * the same schemas. It is started as a process of its own, `node BareServer.ts PATH`, and prints its port.
 */
import { Operation } from "@inquorate/core/Operation"
import { make } from "@inquorate/core/Operation"
import { progressOf } from "@inquorate/core/Wire"
import * as Schema from "effect/Schema"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { DatabaseSync } from "node:sqlite"

const database = new DatabaseSync(process.argv[2]!)
database.exec(
  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE operation (id TEXT PRIMARY KEY, operation TEXT NOT NULL) STRICT"
)
const insert = database.prepare("INSERT INTO operation (id, operation) VALUES (?, ?) ON CONFLICT DO NOTHING")
const select = database.prepare("SELECT operation FROM operation WHERE id = ?")
const codec = Schema.fromJsonString(Operation)
const encode = Schema.encodeSync(codec)
const decode = Schema.decodeSync(codec)
const headers = { "Content-Type": "application/json; charset=utf-8", "X-Content-Type-Options": "nosniff" }

const server = http.createServer((request, response) => {
  const url = new URL(request.url!, "http://localhost")
  const id = url.searchParams.get("OperationId")!
  if (request.method === "POST") {
    const operation = make(
      id,
      {
        kind: "PartitionQuorumLoss",
        serviceName: "fabric:/a/b",
        partitionId: "66666666-7777-8888-9999-aaaaaaaaaaaa",
        mode: "QuorumReplicas",
        hold: 1000
      },
      Date.now()
    )
    const { changes } = insert.run(id, encode(operation))
    response.writeHead(changes === 1 ? 202 : 409, { "Content-Length": 0 })
    return response.end()
  }
  const row = select.get(id) as { operation: string } | undefined
  if (row === undefined) {
    response.writeHead(404, { "Content-Length": 0 })
    return response.end()
  }
  const body = JSON.stringify(progressOf(decode(row.operation)))
  response.writeHead(200, { ...headers, "Content-Length": Buffer.byteLength(body) })
  response.end(body)
})
server.listen(0, "127.0.0.1", () =>
  process.stdout.write(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
)
