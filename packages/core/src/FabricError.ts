/**
 * Service Fabric's error codes in one place: name, HRESULT (signed 32 bits), HTTP status, and the message that the
 * gateway sends where an error carries none of its own. Sources: the gateway's map from HRESULT to status, and the
 * public enumeration FABRIC_ERROR_CODE. A worker never sends a code that is not in this table.
 */
import * as Schema from "effect/Schema"

/** What one error code means on the wire. `message` is the default text; `Null` is the literal the gateway sends. */
export interface FabricErrorEntry {
  readonly hresult: number
  readonly status: number
  readonly message: string
}

/** Every error code a worker can answer with. */
export const table = {
  E_INVALIDARG: { hresult: -2147024809, status: 400, message: "Invalid argument" },
  E_ACCESSDENIED: { hresult: -2147024891, status: 403, message: "Access denied." },
  E_ABORT: { hresult: -2147467260, status: 503, message: "Operation canceled." },
  E_POINTER: { hresult: -2147467261, status: 500, message: "Invalid argument" },
  E_NOINTERFACE: { hresult: -2147467262, status: 500, message: "Invalid cast." },
  E_NOTIMPL: { hresult: -2147467263, status: 501, message: "The method or operation is not implemented." },
  E_FAIL: { hresult: -2147467259, status: 500, message: "Null" },
  E_OUTOFMEMORY: {
    hresult: -2147024882,
    status: 500,
    message: "Insufficient memory to continue the execution of the program."
  },
  FABRIC_E_KEY_NOT_FOUND: { hresult: -2147017709, status: 404, message: "The given key was not present." },
  FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS: {
    hresult: -2147017644,
    status: 409,
    message: "This test command operation already exists."
  },
  FABRIC_E_INVALID_TEST_COMMAND_STATE: {
    hresult: -2147017645,
    status: 400,
    message: "This test command operation is not valid for the current state of the test command."
  },
  FABRIC_E_NAME_DOES_NOT_EXIST: { hresult: -2147017791, status: 404, message: "Name does not exist." },
  FABRIC_E_INVALID_NAME_URI: { hresult: -2147017794, status: 400, message: "Invalid name URI." },
  FABRIC_E_VALUE_TOO_LARGE: { hresult: -2147017773, status: 413, message: "Invalid argument" },
  FABRIC_E_MESSAGE_TOO_LARGE: { hresult: -2147017651, status: 413, message: "Fabric Message is too large" },
  FABRIC_E_NODE_TRANSITION_IN_PROGRESS: { hresult: -2147017632, status: 400, message: "Null" },
  FABRIC_E_INVALID_INSTANCE_ID: { hresult: -2147017630, status: 400, message: "Null" },
  FABRIC_E_INVALID_DURATION: { hresult: -2147017629, status: 400, message: "Null" },
  FABRIC_E_FAULT_ANALYSIS_SERVICE_NOT_ENABLED: { hresult: -2147017607, status: 400, message: "Null" },
  FABRIC_E_SERVICE_DOES_NOT_EXIST: { hresult: -2147017779, status: 404, message: "Service does not exist." },
  FABRIC_E_PARTITION_NOT_FOUND: {
    hresult: -2147017753,
    status: 404,
    message: "The operation failed because the requested partition does not exist."
  },
  FABRIC_E_REPLICA_DOES_NOT_EXIST: {
    hresult: -2147017752,
    status: 404,
    message: "The specified replica does not exist."
  },
  FABRIC_E_NODE_NOT_FOUND: { hresult: -2147017789, status: 404, message: "Node not found." },
  FABRIC_E_APPLICATION_TYPE_NOT_FOUND: { hresult: -2147017766, status: 404, message: "Application type not found" },
  FABRIC_E_APPLICATION_NOT_FOUND: { hresult: -2147017763, status: 404, message: "Application not found" },
  FABRIC_E_INVALID_FOR_STATELESS_SERVICES: {
    hresult: -2147017616,
    status: 400,
    message: "Operation only valid for stateful services."
  },
  FABRIC_E_ONLY_VALID_FOR_STATEFUL_PERSISTENT_SERVICES: {
    hresult: -2147017615,
    status: 400,
    message: "Operation only valid for stateful persistent services."
  },
  FABRIC_E_INVALID_FOR_STATEFUL_SERVICES: {
    hresult: -2147017617,
    status: 400,
    message: "Operation only valid for stateless services."
  },
  FABRIC_E_INVALID_PARTITION_SELECTOR: {
    hresult: -2147017624,
    status: 400,
    message: "The partition selector is invalid"
  },
  FABRIC_E_INVALID_REPLICA_STATE: {
    hresult: -2147017669,
    status: 400,
    message: "This operation cannot be performed in the current replica state."
  },
  FABRIC_E_INVALID_REPLICA_OPERATION: {
    hresult: -2147017670,
    status: 400,
    message: "Restart can only be performed on persisted services. For volatile or stateless services use Remove."
  },
  FABRIC_E_NODE_IS_UP: { hresult: -2147017788, status: 400, message: "Node is up." },
  FABRIC_E_NODE_IS_DOWN: { hresult: -2147017633, status: 400, message: "Null" },
  FABRIC_E_ALREADY_STOPPED: { hresult: -2147017634, status: 400, message: "Null" },
  FABRIC_E_STOP_IN_PROGRESS: { hresult: -2147017635, status: 400, message: "Null" },
  FABRIC_E_INSTANCE_ID_MISMATCH: {
    hresult: -2147017680,
    status: 409,
    message: "The provided InstanceId did not match."
  },
  FABRIC_E_NODE_HAS_NOT_STOPPED_YET: {
    hresult: -2147017678,
    status: 409,
    message: "Node has not stopped yet - a previous StopNode is still pending"
  },
  FABRIC_E_INVALID_ADDRESS: { hresult: -2147017795, status: 400, message: "The supplied address was invalid." },
  FABRIC_E_NOT_READY: {
    hresult: -2147017785,
    status: 503,
    message: "The requested data is not yet in cache.  This same operation is likely to succeed if retried later."
  },
  FABRIC_E_TIMEOUT: { hresult: -2147017729, status: 504, message: "Operation timed out." },
  FABRIC_E_COMMUNICATION_ERROR: {
    hresult: -2147017796,
    status: 504,
    message: "A communication error caused the operation to fail."
  },
  FABRIC_E_OPERATION_NOT_COMPLETE: { hresult: -2147017784, status: 504, message: "The operation has not completed." },
  FABRIC_E_GATEWAY_NOT_REACHABLE: {
    hresult: -2147017655,
    status: 502,
    message: "A communication error caused the operation to fail."
  },
  FABRIC_E_NO_WRITE_QUORUM: {
    hresult: -2147017787,
    status: 503,
    message:
      "The operation failed because a quorum of nodes are not available for this replica set.  Consider retrying once more nodes are up."
  },
  FABRIC_E_NOT_PRIMARY: {
    hresult: -2147017786,
    status: 503,
    message:
      "The operation failed because this node is not the primary replica.  Consider re-resolving the primary and retrying the operation there."
  },
  FABRIC_E_RECONFIGURATION_PENDING: {
    hresult: -2147017782,
    status: 503,
    message: "The operation failed because this replica set is currently reconfiguring."
  },
  FABRIC_E_OBJECT_CLOSED: { hresult: -2147017730, status: 503, message: "The object is closed." },
  FABRIC_E_SERVICE_OFFLINE: {
    hresult: -2147017778,
    status: 503,
    message: "The operation failed because the service is currently offline."
  },
  FABRIC_E_SERVICE_TOO_BUSY: {
    hresult: -2147017691,
    status: 503,
    message: "The service cannot process the request because it is too busy. Please retry."
  },
  FABRIC_E_REPLICATION_QUEUE_FULL: { hresult: -2147017781, status: 503, message: "Replication queue is full." },
  FABRIC_E_CONNECTION_CLOSED_BY_REMOTE_END: {
    hresult: -2147017646,
    status: 503,
    message: "Error in Connection during ServiceCommunication"
  },
  FABRIC_E_CONNECTION_DENIED: { hresult: -2147017661, status: 500, message: "Not authorized to connect" },
  FABRIC_E_SERVER_AUTHENTICATION_FAILED: {
    hresult: -2147017660,
    status: 401,
    message: "Failed to authenticate server identity"
  },
  FABRIC_E_INVALID_CREDENTIALS: {
    hresult: -2147017737,
    status: 400,
    message: "The specified credentials are invalid."
  },
  FABRIC_E_USER_ROLE_CLIENT_CERTIFICATE_NOT_CONFIGURED: {
    hresult: -2147017654,
    status: 400,
    message: "Certificate for UserRole FabricClient is not configured."
  },
  FABRIC_E_INVALID_OPERATION: { hresult: -2147017731, status: 400, message: "The operation is invalid." },
  FABRIC_E_INVALID_PARTITION_KEY: { hresult: -2147017793, status: 400, message: "Invalid partition key/ID" },
  FABRIC_E_CHAOS_ALREADY_RUNNING: { hresult: -2147017640, status: 400, message: "Null" },
  FABRIC_E_HEALTH_ENTITY_NOT_FOUND: { hresult: -2147017705, status: 404, message: "Entity not found in Health Store" },
  FABRIC_E_WRITE_CONFLICT: { hresult: -2147017770, status: 409, message: "Write conflict." },
  FABRIC_E_ENUMERATION_COMPLETED: { hresult: -2147017769, status: 404, message: "Enumeration has completed." },
  FABRIC_E_INVALID_CONFIGURATION: {
    hresult: -2147017755,
    status: 400,
    message: "A configuration parameter has been set to an invalid value. Please check the logs for details."
  },
  FABRIC_E_LOADBALANCER_NOT_READY: {
    hresult: -2147017668,
    status: 500,
    message: "Cluster Resource Manager is currently busy."
  }
} as const satisfies Record<string, FabricErrorEntry>

/** The name of an error code, such as `FABRIC_E_KEY_NOT_FOUND`. */
export type FabricErrorCode = keyof typeof table

/** Decodes the name of an error code, as stored and as sent. */
export const FabricErrorCode = Schema.Literals(Object.keys(table) as ReadonlyArray<FabricErrorCode>)

/** The signed 32-bit HRESULT of a code: the value of `ErrorCode` in a result. */
export const hresult = (code: FabricErrorCode): number => table[code].hresult

/** The code with this HRESULT, or `undefined` for one we never send. */
export const fromHresult = (value: number): FabricErrorCode | undefined =>
  (Object.keys(table) as ReadonlyArray<FabricErrorCode>).find((code) => table[code].hresult === value)
