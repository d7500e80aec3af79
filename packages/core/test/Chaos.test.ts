import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  allowsQuorumLoss,
  ChaosParameters,
  defaultParameters,
  fromFileTime,
  readParameters,
  toFileTime
} from "@inquorate/core/Chaos"
import { readDescription } from "@inquorate/core/ChaosSchedule"

const refusal = (value: unknown): readonly [string, string] => {
  const read = readParameters(value)
  assert.isTrue(Result.isFailure(read), JSON.stringify(value))
  return Result.isFailure(read) ? [read.failure.code, read.failure.detail] : ["", ""]
}

const read = (value: unknown): ChaosParameters => Result.getOrThrow(readParameters(value))

describe("the parameters of a run", () => {
  it("have the reference's defaults where nothing is said, also by null", () => {
    assert.deepStrictEqual(read({}), defaultParameters)
    assert.deepStrictEqual(
      read({ Context: null, ChaosTargetFilter: null, MaxConcurrentFaults: null }),
      defaultParameters
    )
    assert.strictEqual(defaultParameters.TimeToRunInSeconds, "4294967295")
    assert.isTrue(defaultParameters.ClusterHealthPolicy.ConsiderWarningAsError)
  })

  it("are those that the official command line sends", () => {
    const sent = {
      TimeToRunInSeconds: "60",
      MaxClusterStabilizationTimeoutInSeconds: 60,
      MaxConcurrentFaults: 1,
      EnableMoveReplicaFaults: true,
      WaitTimeBetweenFaultsInSeconds: 20,
      WaitTimeBetweenIterationsInSeconds: 30,
      ClusterHealthPolicy: {
        ConsiderWarningAsError: false,
        MaxPercentUnhealthyNodes: 0,
        MaxPercentUnhealthyApplications: 0,
        ApplicationTypeHealthPolicyMap: [{ Key: "T", Value: 10 }]
      },
      Context: { Map: { k: "v" } },
      ChaosTargetFilter: { NodeTypeInclusionList: ["NT"], ApplicationInclusionList: ["fabric:/TestApp"] }
    }
    assert.deepStrictEqual(read(sent), sent)
  })

  it("are refused outside their limits, each with its code and where it is wrong", () => {
    const cases: ReadonlyArray<readonly [unknown, string, RegExp]> = [
      ["text", "E_INVALIDARG", /cannot be read/],
      [{ MaxConcurrentFaults: -1 }, "E_INVALIDARG", /MaxConcurrentFaults/],
      [{ MaxConcurrentFaults: 4_294_967_296 }, "E_INVALIDARG", /MaxConcurrentFaults/],
      [{ MaxConcurrentFaults: "1" }, "E_INVALIDARG", /MaxConcurrentFaults/],
      [{ TimeToRunInSeconds: "4294967296" }, "E_INVALIDARG", /TimeToRunInSeconds/],
      [{ TimeToRunInSeconds: "-1" }, "E_INVALIDARG", /TimeToRunInSeconds/],
      [{ ClusterHealthPolicy: { MaxPercentUnhealthyNodes: 101 } }, "E_INVALIDARG", /MaxPercentUnhealthyNodes/],
      [{ Context: { Map: { k: null } } }, "E_INVALIDARG", /Map/],
      [
        { Context: { Map: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`k${n}`, "v"])) } },
        "E_INVALIDARG",
        /101/
      ],
      [{ ChaosTargetFilter: {} }, "E_INVALIDARG", /includes nothing/],
      [{ ChaosTargetFilter: { NodeTypeInclusionList: [], ApplicationInclusionList: [] } }, "E_INVALIDARG", /nothing/],
      [
        { ChaosTargetFilter: { NodeTypeInclusionList: Array.from({ length: 101 }, String) } },
        "FABRIC_E_VALUE_TOO_LARGE",
        /NodeTypeInclusionList/
      ],
      [
        { ChaosTargetFilter: { ApplicationInclusionList: Array.from({ length: 1001 }, (_, n) => `fabric:/${n}`) } },
        "FABRIC_E_VALUE_TOO_LARGE",
        /ApplicationInclusionList/
      ],
      [{ ChaosTargetFilter: { ApplicationInclusionList: ["lab"] } }, "E_INVALIDARG", /fabric:\//]
    ]
    for (const [value, code, detail] of cases) {
      const [gotCode, gotDetail] = refusal(value)
      assert.strictEqual(gotCode, code, gotDetail)
      assert.match(gotDetail, detail)
    }
  })

  it.prop("that were read are read again as the same", { parameters: ChaosParameters }, ({ parameters }) => {
    const first = readParameters(JSON.parse(JSON.stringify(parameters)))
    if (Result.isSuccess(first)) {
      assert.deepStrictEqual(read(JSON.parse(JSON.stringify(first.success))), first.success)
      assert.isTrue(Schema.is(ChaosParameters)(first.success))
    }
  })

  const Value = Schema.Union([Schema.Json, ...Object.values(ChaosParameters.fields)])

  it.prop(
    "and schedules are read or refused, whatever the JSON, and never throw",
    { one: Value, other: Value, name: Schema.Literals([...Object.keys(ChaosParameters.fields), "Schedule", "Jobs"]) },
    ({ name, one, other }) => {
      for (const value of [one, { [name]: one }, { Schedule: one }, { Schedule: { Jobs: [one, other] } }]) {
        for (const got of [readParameters(value), Result.map(readDescription(value), () => defaultParameters)]) {
          if (Result.isFailure(got)) assert.include(["E_INVALIDARG", "FABRIC_E_VALUE_TOO_LARGE"], got.failure.code)
        }
      }
    }
  )

  it("allow a quorum loss by one word only", () => {
    assert.isTrue(allowsQuorumLoss(read({ Context: { Map: { "inquorate.quorumLoss": "allow" } } })))
    for (const map of [{}, { "inquorate.quorumLoss": "true" }, { "inquorate.quorumLoss": "ALLOW" }]) {
      assert.isFalse(allowsQuorumLoss(read({ Context: { Map: map } })))
    }
    assert.isFalse(allowsQuorumLoss(defaultParameters))
  })
})

describe("the Windows file time", () => {
  it("counts ticks from 1601", () => {
    assert.strictEqual(fromFileTime("116444736000000000"), 0)
    assert.strictEqual(fromFileTime("0"), Date.parse("1601-01-01T00:00:00Z"))
    assert.strictEqual(toFileTime(Date.parse("2026-01-01T00:00:00Z")), "134116992000000000")
    for (const text of ["", "-1", "1.5", "2026-01-01", "2650467744000000000"]) assert.isUndefined(fromFileTime(text))
  })

  it.prop(
    "goes there and back",
    { at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 253402300799999 })) },
    ({ at }) => assert.strictEqual(fromFileTime(toFileTime(at)), at)
  )
})
