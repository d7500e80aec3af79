// An editor tells values of the published types by name, not as a page of fields. publish-check has the declarations of
// these values written and looks for the names.
import type { Cluster } from "@inquorate/core/Cluster"
import * as Effect from "effect/Effect"
import * as Client from "@inquorate/transport/Client"
import { connect } from "@inquorate/transport/Promise"

const connection = connect("http://127.0.0.1:19080")
const operation = connection.operation("9c3aa30c-6b8e-4f5e-9c2f-0d8ad5f4c001")

export const views = async () => (await connection.clusters())[0]!
export const group = async () => (await views()).groups[0]!
export const member = async () => (await group()).members[0]!
export const serverProcess = async () => (await member()).process!
export const preview = async () => connection.plan({ partition: "orders", hold: "5s" })
export const plan = async () => (await preview()).plan!
export const detail = async () => operation.detail()
export const record = async () => (await detail()).operation
export const evidence = async () => (await operation.done).evidence
export const verdict = async () => (await evidence()).verdicts[0]!
export const change = async () => {
  for await (const one of operation) return one
  throw new Error("none")
}
export const listed = async () => (await connection.list())[0]!
export const discovered = (cluster: Cluster) => Effect.map(cluster.target.discover, (groups) => groups[0]!)
export const receipt = (client: Client.Client) => Effect.map(client.list(), (all) => all[0]!)
