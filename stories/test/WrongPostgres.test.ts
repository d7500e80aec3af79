/** Goal: no wrong input harms a PostgreSQL group or leaves its caller without an answer. Method: `WrongInputs`. */
import { suite } from "./WrongInputs.ts"

suite({
  system: "postgres",
  lab: "shop",
  partial: {
    fabric: { faulted: -2147017796, refusal: "" },
    v1: [504, "FABRIC_E_COMMUNICATION_ERROR", ""],
    inq: [3, /groups of partial are not known: .*lists s2, but no member of that name/],
    says: /partial at .*lists s2, but no member of that name .* is configured/
  },
  broken: [
    {
      system: "postgres",
      user: "postgres",
      database: "postgres",
      members: [{ name: "p", address: "nowhere" }]
    },
    "an address such as 127.0.0.1:5432"
  ]
})
