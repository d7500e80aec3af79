// The answers of a worker that follows a script. They are written by hand from the contract of Service Fabric's fault
// surface and of /v1.

/** The operation and the partition that everything here is about. */
export const id = "9c3aa30c-6b8e-4f5e-9c2f-0d8ad5f4c001"
export const partitionId = "2f0d8ad5-6b8e-5f5e-9c2f-9c3aa30cc001"

/** The answers of GetQuorumLossProgress, GetFaultOperationList and the list of /v1. */
export const progress = {
  State: "Completed",
  InvokeQuorumLossResult: {
    ErrorCode: 0,
    SelectedPartition: { ServiceName: "fabric:/orders/quorum", PartitionId: partitionId }
  }
}
export const operations = [{ OperationId: id, State: "Completed", Type: "PartitionQuorumLoss" }]
export const listed = [
  {
    operation: {
      format: 1,
      id,
      request: {
        kind: "PartitionQuorumLoss",
        serviceName: "fabric:/orders/quorum",
        partitionId,
        mode: "QuorumReplicas",
        hold: 5000
      },
      receivedAt: 1000,
      stage: { _tag: "Completed" },
      attempt: 1,
      notBefore: 1000,
      firstDeadline: 8100,
      endedAt: 6400
    },
    state: "Completed"
  }
]

const state = "FABRIC_E_INVALID_TEST_COMMAND_STATE"

/** A request listener of node:http. */
export const answer = (request, response) => {
  const [status, body] = request.url.includes("/StartQuorumLoss?")
    ? [202, undefined]
    : request.url.includes("/GetQuorumLossProgress?")
      ? [200, progress]
      : request.url.startsWith("/Faults/$/Cancel?")
        ? [400, { Error: { Code: state, Message: "Not in this state." } }]
        : request.url.startsWith("/Faults/")
          ? [200, operations]
          : request.url.startsWith("/v1/operations")
            ? [200, listed]
            : [404, { Error: { Code: "E_FAIL", Message: request.url } }]
  request.resume()
  response.writeHead(status, body === undefined ? {} : { "content-type": "application/json" })
  response.end(body === undefined ? "" : JSON.stringify(body))
}
