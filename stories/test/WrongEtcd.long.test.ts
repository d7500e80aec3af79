/** Goal: no wrong input harms an etcd group or leaves its caller without an answer. Method: `WrongInputs`. */
import { suite } from "./WrongInputs.ts"

// A follower; of a leader that is left out the others tell that it is up, and they are enough to cut.
const says = /m\d is a member of the cluster but not configured: add it with its address/

suite({
  system: "etcd",
  lab: "locks",
  partial: {
    fabric: { faulted: -2147017731, refusal: "Degraded" },
    v1: [409, "FABRIC_E_INVALID_OPERATION", "Degraded"],
    inq: [3, says],
    says
  },
  broken: [{ system: "etcd", members: [{ name: "m0", address: "nowhere" }] }, "an address such as 127.0.0.1:2379"]
})
