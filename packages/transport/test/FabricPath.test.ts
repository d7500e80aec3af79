/* oxlint-disable unicorn/consistent-function-scoping -- a small function stands beside the one story that uses it */
/** The URL grammar: the requests of the official clients, the contract's odd corners, and laws over any URL. */
import { assert, describe, it } from "@effect/vitest"
import { table } from "@inquorate/core/FabricError"
import type { FabricCall } from "../src/fabric/FabricCall.ts"
import * as FabricPath from "../src/fabric/FabricPath.ts"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const P = "11111111-2222-3333-4444-555555555555"
const O = "AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee"
const o = O.toLowerCase()

const call = (method: string, target: string): FabricCall => {
  const result = FabricPath.parse(method, target)
  if (Result.isFailure(result)) return assert.fail(`${result.failure.code}: ${result.failure.message}`)
  return result.success.call
}

const code = (method: string, target: string): string => {
  const result = FabricPath.parse(method, target)
  return Result.isFailure(result) ? result.failure.code : `parsed ${result.success.call._tag}`
}

const startOf = (query: string, service = "TestApp~Svc", partition = P): string =>
  `/Faults/Services/${service}/$/GetPartitions/${partition}/$/StartQuorumLoss?${query}`

const whole = `api-version=6.0&OperationId=${O}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=2&timeout=60`

// Requests as the official command line puts them on the wire, in its parameter order.
const official: ReadonlyArray<readonly [string, string, FabricCall["_tag"]]> = [
  ["GET", "/", "GetRootPage"],
  ["GET", "/$/GetClusterVersion?api-version=6.4&timeout=60", "GetClusterVersion"],
  [
    "GET",
    "/$/GetClusterHealth?api-version=6.0&NodesHealthStateFilter=0&ApplicationsHealthStateFilter=0&EventsHealthStateFilter=0&ExcludeHealthStatistics=false&IncludeSystemApplicationHealthStatistics=false&timeout=60",
    "GetClusterHealth"
  ],
  ["GET", "/$/GetClusterManifest?api-version=6.0&timeout=60", "GetClusterManifest"],
  ["GET", "/Nodes?api-version=6.3&NodeStatusFilter=default&MaxResults=0&timeout=60", "GetNodeList"],
  ["GET", "/Nodes/n0?api-version=6.0&timeout=60", "GetNode"],
  [
    "GET",
    "/Applications?api-version=6.1&ApplicationDefinitionKindFilter=0&ExcludeApplicationParameters=false&MaxResults=0&timeout=60",
    "GetApplicationList"
  ],
  ["GET", "/Applications/TestApp?api-version=6.0&ExcludeApplicationParameters=false&timeout=60", "GetApplication"],
  ["GET", "/Applications/TestApp/$/GetServices?api-version=6.0&timeout=60", "GetServiceList"],
  ["GET", "/Applications/TestApp/$/GetServices/TestApp~Svc?api-version=6.0&timeout=60", "GetService"],
  ["GET", "/Services/TestApp~Svc/$/GetDescription?api-version=6.0&timeout=60", "GetServiceDescription"],
  ["GET", "/Services/TestApp~Svc/$/GetApplicationName?api-version=6.0&timeout=60", "GetApplicationName"],
  ["GET", "/Services/TestApp~Svc/$/GetPartitions?api-version=6.4&timeout=60", "GetPartitionList"],
  ["GET", `/Partitions/${P}?api-version=6.0&timeout=60`, "GetPartition"],
  ["GET", `/Partitions/${P}/$/GetServiceName?api-version=6.0&timeout=60`, "GetServiceName"],
  ["GET", `/Partitions/${P}/$/GetReplicas?api-version=6.0&timeout=60`, "GetReplicaList"],
  ["GET", `/Partitions/${P}/$/GetReplicas?api-version=6.0&ContinuationToken=131&timeout=60`, "GetReplicaList"],
  ["GET", `/Partitions/${P}/$/GetReplicas/131?api-version=6.0&timeout=60`, "GetReplica"],
  ["POST", startOf(whole), "StartQuorumLoss"],
  [
    "GET",
    `/Faults/Services/TestApp~Svc/$/GetPartitions/${P}/$/GetQuorumLossProgress?api-version=6.0&OperationId=${O}&timeout=60`,
    "GetQuorumLossProgress"
  ],
  [
    "GET",
    `/Faults/Services/TestApp/Svc/$/GetPartitions/${P}/$/GetQuorumLossProgress?api-version=6.0&OperationId=${O}&timeout=60`,
    "GetQuorumLossProgress"
  ],
  ["GET", "/Faults/?api-version=6.0&TypeFilter=65535&StateFilter=65535&timeout=60", "GetFaultOperationList"],
  ["GET", "/Faults/?api-version=6.0&TypeFilter=2&StateFilter=8&timeout=60", "GetFaultOperationList"],
  ["POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${O}&Force=false&timeout=60`, "CancelOperation"],
  ["POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${O}&Force=true&timeout=60`, "CancelOperation"]
]

describe("what the official clients send", () => {
  for (const [method, target, tag] of official) {
    it(`${method} ${target.slice(0, 90)} is ${tag}`, () => {
      assert.strictEqual(call(method, target)._tag, tag)
    })
  }

  it("every parameter of a start is read", () => {
    assert.deepStrictEqual(call("POST", startOf(whole)), {
      _tag: "StartQuorumLoss",
      serviceName: "fabric:/TestApp/Svc",
      partitionId: P,
      operationId: o,
      mode: "QuorumReplicas",
      duration: 2
    })
  })

  it("a cancel carries its force", () => {
    assert.deepStrictEqual(call("POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${O}&Force=TRUE`), {
      _tag: "CancelOperation",
      operationId: o,
      force: true
    })
    assert.deepStrictEqual(call("POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${O}`), {
      _tag: "CancelOperation",
      operationId: o,
      force: false
    })
  })
})

describe("the path", () => {
  const serviceName = (target: string) => (call("GET", target) as { readonly serviceName: string }).serviceName

  it("empty segments never matter", () => {
    assert.strictEqual(code("GET", "//Nodes///?api-version=6.0"), "parsed GetNodeList")
    assert.strictEqual(code("GET", "/Faults?api-version=6.0"), "parsed GetFaultOperationList")
  })
  it("ids hold raw slashes, tildes, blanks and escapes, at every api-version", () => {
    assert.strictEqual(serviceName("/Services/a/b/c/$/GetDescription?api-version=6.0"), "fabric:/a/b/c")
    assert.strictEqual(serviceName("/Services/a~b~c/$/GetDescription?api-version=1.0"), "fabric:/a/b/c")
    assert.strictEqual(serviceName("/Services/a%20b/c/$/GetDescription?api-version=8.2"), "fabric:/a b/c")
    assert.strictEqual(serviceName("/Services/a%2Fb/$/GetDescription?api-version=8.2"), "fabric:/a/b")
  })
  it("%24 is as good as $", () => {
    assert.strictEqual(code("GET", "/Services/a~b/%24/GetDescription?api-version=6.0"), "parsed GetServiceDescription")
    assert.strictEqual(code("GET", "/%24/GetClusterVersion?api-version=6.0"), "parsed GetClusterVersion")
  })
  it("an id is never swallowed across a $, and never empty", () => {
    assert.strictEqual(code("GET", "/Services/a/$/b/$/GetDescription?api-version=6.0"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Services/$/GetDescription?api-version=6.0"), "E_INVALIDARG")
  })
  it("literal segments are compared with case", () => {
    assert.strictEqual(code("GET", "/faults/?api-version=6.0"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Services/a~b/$/getDescription?api-version=6.0"), "E_INVALIDARG")
  })
  it("a wrong verb and an unknown path are 400, never 404 or 405", () => {
    for (const method of ["PUT", "DELETE", "HEAD", "OPTIONS", "get"]) {
      assert.strictEqual(code(method, "/Nodes?api-version=6.0"), "E_INVALIDARG")
    }
    assert.strictEqual(code("GET", "/Nowhere?api-version=6.0"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "*"), "E_INVALIDARG")
  })
  it("a malformed name is refused as such", () => {
    for (const id of ["a%3Fb", "a%23b", "a~~b", "~a", "a~", "a%zz", "a%00b"]) {
      assert.strictEqual(code("GET", `/Services/${id}/$/GetDescription?api-version=6.0`), "FABRIC_E_INVALID_NAME_URI")
    }
  })
  it("a partition id is a GUID of 36 characters in either case", () => {
    assert.strictEqual(code("GET", `/Partitions/${O}?api-version=6.0`), "parsed GetPartition")
    for (const id of [`{${P}}`, P.replaceAll("-", ""), `${P}0`, P.replace("1", "g"), `%20${P.slice(1)}`]) {
      assert.strictEqual(code("GET", `/Partitions/${id}?api-version=6.0`), "E_INVALIDARG")
    }
  })
  it("a progress path is matched for shape, its partition id is not looked at", () => {
    assert.strictEqual(
      code(
        "GET",
        `/Faults/Services/x/$/GetPartitions/nonsense/$/GetQuorumLossProgress?api-version=6.0&OperationId=${O}`
      ),
      "parsed GetQuorumLossProgress"
    )
  })
  it("a replica id is a positive 64-bit number", () => {
    for (const id of ["0", "-1", "x", "9223372036854775808"]) {
      assert.strictEqual(code("GET", `/Partitions/${P}/$/GetReplicas/${id}?api-version=6.0`), "E_INVALIDARG")
    }
    assert.strictEqual(
      code("GET", `/Partitions/${P}/$/GetReplicas/9223372036854775807?api-version=6.0`),
      "parsed GetReplica"
    )
  })
  it("a fragment is dropped and an absolute target is taken by its path", () => {
    assert.strictEqual(code("GET", "/Nodes?api-version=6.0#x"), "parsed GetNodeList")
    assert.strictEqual(code("GET", "http://127.0.0.1:19080/Nodes?api-version=6.0"), "parsed GetNodeList")
  })
  it("an overlong text is too large", () => {
    assert.strictEqual(code("GET", `/Nodes/${"n".repeat(4097)}?api-version=6.0`), "FABRIC_E_VALUE_TOO_LARGE")
  })
})

describe("the api-version", () => {
  const withVersion = (version: string) => code("GET", `/Nodes?api-version=${version}`)
  it("equal spellings are equal", () => {
    for (const version of ["6", "6.0", "06.00", "6.0-preview", "1.0", "8.2", "3.5"]) {
      assert.strictEqual(withVersion(version), "parsed GetNodeList", version)
    }
  })
  it("of a newer client is taken, and answered in the newest form that is known", () => {
    for (const version of ["8.2", "8.3", "9", "11.4", "999.9-preview"]) {
      const parsed = FabricPath.parse("GET", `/Nodes?api-version=${version}`)
      assert(Result.isSuccess(parsed), version)
      assert.strictEqual(parsed.success.version, 8.2, version)
    }
    // What ended with an old version is not there for a newer one.
    assert.strictEqual(code("GET", "/Tools/Chaos/$/Report?api-version=11.4"), "E_INVALIDARG")
  })
  it("is required, a number and in range", () => {
    for (const version of ["", "0.9", "six", "6.0.0", "-6", "6-Preview", "Infinity", "1e3"]) {
      assert.strictEqual(withVersion(version), "E_INVALIDARG", version)
    }
    assert.strictEqual(code("GET", "/Nodes"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Nodes?Api-Version=6.0"), "E_INVALIDARG")
  })
})

describe("the query", () => {
  it("a missing required parameter is 404 by its code", () => {
    for (const name of ["OperationId", "QuorumLossMode", "QuorumLossDuration"]) {
      const query = whole
        .split("&")
        .filter((piece) => !piece.startsWith(name))
        .join("&")
      const result = FabricPath.parse("POST", startOf(query))
      assert(Result.isFailure(result))
      assert.strictEqual(result.failure.code, "FABRIC_E_NAME_DOES_NOT_EXIST")
      assert.include(result.failure.message, name)
    }
  })
  it("the first value of a name wins, and a piece that is not two non-empty parts is absent", () => {
    const first = call("POST", startOf(`OperationId=&OperationId=${P}=&${whole}&OperationId=${P}`))
    assert.strictEqual(first._tag === "StartQuorumLoss" && first.operationId, o)
    assert.strictEqual(
      code("POST", startOf(`api-version=6.0&OperationId=&QuorumLossMode=AllReplicas&QuorumLossDuration=1`)),
      "FABRIC_E_NAME_DOES_NOT_EXIST"
    )
  })
  it("names are case-sensitive, values are decoded", () => {
    assert.strictEqual(
      code("POST", startOf(whole.replace("OperationId", "operationid"))),
      "FABRIC_E_NAME_DOES_NOT_EXIST"
    )
    assert.strictEqual(
      code("POST", startOf(whole.replace("QuorumReplicas", "Quorum%52eplicas"))),
      "parsed StartQuorumLoss"
    )
  })
  it("the two words for the smaller mode mean the same, any other is refused", () => {
    const mode = (word: string) => call("POST", startOf(whole.replace("QuorumReplicas", word)))
    for (const [word, meant] of [
      ["QuorumLossReplicas", "QuorumReplicas"],
      ["AllReplicas", "AllReplicas"]
    ] as const) {
      const start = mode(word)
      assert.strictEqual(start._tag === "StartQuorumLoss" && start.mode, meant)
    }
    for (const word of ["Invalid", "quorumreplicas", "Bogus", "toString", "__proto__"]) {
      assert.strictEqual(code("POST", startOf(whole.replace("QuorumReplicas", word))), "E_INVALIDARG", word)
    }
  })
  it("numbers are decimal or hex without octal, sign or overflow", () => {
    const duration = (text: string) => {
      const result = FabricPath.parse("POST", startOf(whole.replace("Duration=2", `Duration=${text}`)))
      if (Result.isFailure(result)) return result.failure.code
      return result.success.call._tag === "StartQuorumLoss" ? result.success.call.duration : "other"
    }
    assert.strictEqual(duration("0"), 0)
    assert.strictEqual(duration("0x10"), 16)
    assert.strictEqual(duration("010"), 10)
    assert.strictEqual(duration("2147483"), 2147483)
    for (const text of ["2147484", "-5", "%2B5", "1.5", "1e3", "0x", "4294967296", "99999999999999999999", "x"]) {
      assert.strictEqual(duration(text), "E_INVALIDARG", text)
    }
  })
  it("the first failing check answers: service, partition, operation, mode, duration", () => {
    const wrong = "api-version=6.0&OperationId=x&QuorumLossMode=x&QuorumLossDuration=x"
    const message = (target: string) => {
      const result = FabricPath.parse("POST", target)
      return Result.isFailure(result) ? result.failure.message : "parsed"
    }
    assert.include(message(startOf(wrong, "a~~b", "x")), "ServiceId")
    assert.include(message(startOf(wrong, "a~b", "x")), "PartitionId")
    assert.include(message(startOf(wrong)), "OperationId")
    assert.include(message(startOf(wrong.replace("OperationId=x", `OperationId=${O}`))), "QuorumLossMode")
    assert.include(
      message(startOf(wrong.replace("OperationId=x", `OperationId=${O}`).replace("Mode=x", "Mode=AllReplicas"))),
      "QuorumLossDuration"
    )
  })
  it("the timeout is decimal seconds; what cannot be read is the default, zero is refused", () => {
    const timeout = (text: string) => {
      const result = FabricPath.parse("GET", `/Nodes?api-version=6.0&timeout=${text}`)
      return Result.isSuccess(result) ? result.success.timeout : result.failure.code
    }
    assert.strictEqual(timeout("7"), 7)
    assert.strictEqual(timeout("4294967295"), 4294967295)
    for (const text of ["0x10", "x", "-1", "4294967296"]) assert.strictEqual(timeout(text), 60, text)
    assert.strictEqual(timeout("0"), "E_INVALIDARG")
    assert.strictEqual(timeout("00"), "E_INVALIDARG")
  })
  it("filters, flags, words and pages are checked", () => {
    const filters = call("GET", "/Faults/?api-version=6.0&TypeFilter=0x2&StateFilter=8")
    assert.deepStrictEqual(filters, { _tag: "GetFaultOperationList", typeFilter: 2, stateFilter: 8 })
    const bad = FabricPath.parse("GET", "/Faults/?api-version=6.0&TypeFilter=many")
    assert(Result.isFailure(bad))
    assert.match(bad.failure.message, /^The specified filter value is invalid: many\. Please specify a valid number\./)
    assert.strictEqual(code("POST", `/Faults/$/Cancel?api-version=6.0&OperationId=${O}&Force=1`), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Nodes?api-version=6.3&NodeStatusFilter=UP"), "parsed GetNodeList")
    assert.strictEqual(code("GET", "/Nodes?api-version=6.3&NodeStatusFilter=1"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Nodes?api-version=6.3&MaxResults=-1"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Nodes?api-version=6.3&ContinuationToken=zz"), "E_INVALIDARG")
    assert.strictEqual(code("GET", "/Applications?api-version=6.1&ContinuationToken=nope"), "E_INVALIDARG")
    assert.strictEqual(
      code("GET", `/Partitions/${P}/$/GetReplicas?api-version=6.0&ContinuationToken=a`),
      "E_INVALIDARG"
    )
  })
})

describe("laws", () => {
  // Any text, and text made of the pieces that matter, so that shrinking finds the corners of the grammar.
  const Piece = Schema.Literals([
    "/",
    "?",
    "&",
    "=",
    "#",
    "%",
    "%24",
    "$",
    "~",
    "Faults",
    "Services",
    "Nodes",
    "Partitions",
    "Applications",
    "a",
    P,
    "GetPartitions",
    "GetReplicas",
    "StartQuorumLoss",
    "Cancel",
    "api-version=6.0",
    "OperationId",
    O,
    "timeout=0",
    "\u0000",
    "é",
    "%00",
    "%zz",
    "0x",
    "9".repeat(30),
    "QuorumLossMode=AllReplicas",
    "QuorumLossDuration",
    "Force",
    "MaxResults",
    "StartDataLoss",
    "DataLossMode=FullDataLoss",
    "StartRestart",
    "StartTransition",
    "GetTransitionProgress",
    "NodeTransitionType=Stop",
    "NodeInstanceId",
    "NodeInstanceId=0",
    "StopDurationInSeconds=1",
    "Recover",
    "RecoverAllPartitions"
  ])
  const Method = Schema.Literals(["GET", "POST", "PUT"])
  const allowed = new Set([
    "E_INVALIDARG",
    "FABRIC_E_NAME_DOES_NOT_EXIST",
    "FABRIC_E_INVALID_NAME_URI",
    "FABRIC_E_VALUE_TOO_LARGE",
    "FABRIC_E_INVALID_INSTANCE_ID",
    "FABRIC_E_INVALID_DURATION"
  ])
  const judge = (method: string, target: string): void => {
    const result = FabricPath.parse(method, target)
    if (Result.isSuccess(result)) {
      assert.isTrue(result.success.timeout >= 1 && result.success.timeout <= 4294967295)
      assert.isTrue(result.success.version >= 1 && result.success.version <= FabricPath.apiVersionMax)
    } else {
      assert.isTrue(allowed.has(result.failure.code), result.failure.code)
      assert.isTrue(result.failure.code in table)
      assert.isNotEmpty(result.failure.message)
    }
  }
  it.prop(
    "any text is a call or one of the six errors",
    [Method, Schema.String],
    ([method, target]) => {
      judge(method, target)
    },
    { arbitrary: { runs: 500 } }
  )
  it.prop(
    "any mixture of the grammar's pieces is a call or one of the six errors",
    [Method, Schema.Array(Piece)],
    ([method, pieces]) => {
      judge(method, `/${pieces.join("/")}`)
      judge(method, pieces.join(""))
    }
  )
  it.prop(
    "a name comes back from its id, in both spellings",
    [Schema.Array(Schema.String.check(Schema.isPattern(/^[A-Za-z0-9 ._é%+-]{1,8}$/))).check(Schema.isMinLength(1))],
    ([parts]) => {
      const name = `fabric:/${parts.join("/")}`
      for (const version of [3, 6]) {
        const id = FabricPath.idOf(name, version)
        const parsed = call("GET", `/Services/${id}/$/GetDescription?api-version=6.0`)
        assert.strictEqual(parsed._tag === "GetServiceDescription" && parsed.serviceName, name)
      }
      const token = FabricPath.nameToken(name)
      const parsed = call("GET", `/Applications?api-version=6.1&ContinuationToken=${token}`)
      assert.strictEqual(parsed._tag === "GetApplicationList" && parsed.paging.after, name)
    }
  )
})
