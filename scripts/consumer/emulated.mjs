// A stranger's test without Effect: a simulated cluster in this process is called as Microsoft's clients call one, and
// by the promise client. The program ends by itself only where the stop of the cluster leaves nothing behind.
import * as assert from "node:assert/strict"
import { EmulatorError, startEmulator } from "@inquorate/emulator/Promise"
import { connect, InquorateError } from "@inquorate/transport/Promise"

const cluster = await startEmulator({
  layout: { nodes: 5, applications: { Shop: { services: { Orders: {} } } } },
  speed: 50
})
const [orders] = cluster.partitions
assert.equal(orders.serviceId, "Shop~Orders")
const fabric = async (target, method = "GET") => {
  const answer = await fetch(`${cluster.url}${target}`, { method })
  return { status: answer.status, body: await answer.text() }
}
const listed = await fabric("/Services/Shop~Orders/$/GetPartitions?api-version=6.4&timeout=60")
assert.equal(JSON.parse(listed.body).Items[0].PartitionInformation.Id, orders.id)
const id = crypto.randomUUID()
const fault = `/Faults/Services/Shop~Orders/$/GetPartitions/${orders.id}/$`
const asked = `api-version=6.0&OperationId=${id}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=60&timeout=60`
assert.equal((await fabric(`${fault}/StartQuorumLoss?${asked}`, "POST")).status, 202)

const inquorate = connect(cluster.url)
const loss = inquorate.operation(id)
await loss.lost
const shown = JSON.parse((await fabric(`/Partitions/${orders.id}?api-version=6.0`)).body)
assert.equal(shown.PartitionStatus, "InQuorumLoss")
const second = await inquorate.start({ partition: "Shop/Orders", hold: "1s" }).catch((error) => error)
assert.ok(second instanceof InquorateError && second.refusal !== null, String(second))
await loss.cancel()
assert.equal((await loss.done).state, "Cancelled")

const refused = await startEmulator({ layout: { nodes: 1, applications: { A: { services: { S: {} } } } } }).catch(
  (e) => e
)
assert.ok(refused instanceof EmulatorError && refused.code === "BadRequest", String(refused))
await cluster[Symbol.asyncDispose]()
await assert.rejects(fetch(cluster.url))
