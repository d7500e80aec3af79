/**
 * The commands as a person types them, against a worker and against a gateway that knows nothing but Service Fabric's own
 * calls and answers 400 to whatever else it is asked, as a real one does.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Commands from "../src/Commands.ts"
import { exitCodes } from "../src/ExitCode.ts"
import * as FakeGateway from "./FakeGateway.ts"
import { O, P, untold } from "./FakeGateway.ts"
import * as FakeWorker from "./FakeWorker.ts"
import * as Inq from "./Inq.ts"
import { configured, trying } from "./Trial.ts"

const { check, folder, inq } = trying(Inq.bundled())

describe("the table of commands", () => {
  it("has each command by its own name", async () => {
    for (const commands of Object.values(Commands.groups)) {
      for (const [name, load] of Object.entries(commands)) assert.strictEqual((await load()).name, name)
    }
  })

  it("knows a command only where no other can be meant", () => {
    const known = (line: string) => Commands.commandIn(line.split(" "))
    assert.strictEqual(known("list"), "list")
    assert.strictEqual(known("list --state live"), "list")
    assert.strictEqual(known("--endpoint http://x:1 -o json plan list"), "plan")
    assert.strictEqual(known("--context=list show"), "show")
    assert.strictEqual(known("__names operations"), "__names")
    for (const line of [
      "lsit list",
      "--endpoint list",
      "--endpoint --output json list",
      "--unknown list",
      "--help list",
      "-- list",
      "list --completions bash",
      "list --completions=bash",
      "--log-level debug list",
      ""
    ]) {
      assert.isUndefined(known(line), line)
    }
  })
})

describe("against a worker", () => {
  it.live("starts every kind, and watches it to its end", () =>
    Effect.gen(function* () {
      const { all, recovered, url } = yield* FakeWorker.serve
      const restart = yield* inq(url, "restart", "lab", "--id", O, "--mode", "OnlyActiveSecondaries")
      assert.strictEqual(restart.code, 0, restart.error)
      assert.include(restart.out, `Started ${O}.`)
      const stop = yield* inq(url, "node", "stop", "lab-m1", "-d", "6m", "--watch")
      assert.strictEqual(stop.code, 0, stop.error)
      assert.match(
        stop.out,
        /ended Completed\.\nThe node lab-m1 is stopped until [\d :-]+, and then starts by itself; "inq node start lab-m1" starts it before\./
      )
      const loss = yield* inq(url, "data-loss", "lab/kv", "--watch", "--output", "json")
      assert.strictEqual(loss.code, 0, loss.error)
      assert.strictEqual((JSON.parse(loss.out) as { readonly state: string }).state, "Completed")
      const back = yield* inq(url, "node", "start", "lab-m1", "--output", "json")
      assert.strictEqual((JSON.parse(back.out) as { readonly replayed: boolean }).replayed, false, back.error)
      const kinds = [...all.values()].map(({ request }) => ("kind" in request ? request : undefined))
      assert.deepStrictEqual(
        kinds.map((request) => request?.kind),
        ["PartitionRestart", "NodeTransition", "PartitionDataLoss", "NodeTransition"]
      )
      assert.strictEqual(kinds[1]?.kind === "NodeTransition" && "duration" in kinds[1] && kinds[1].duration, 360_000)
      const list = yield* inq(url, "list")
      assert.match(list.out, /^OPERATION +AGE +STATE +FAULT +PLACE +RESULT\n/)
      assert.match(list.out, /Completed +stop 6 min 0 s +node lab-m1 +stopped until [\d :-]+\n/)
      const shown = yield* inq(url, "show", O)
      assert.match(shown.out, /type +PartitionRestart\n +asked +OnlyActiveSecondaries/)
      assert.strictEqual((yield* inq(url, "recover", "partition", "lab")).code, 0)
      assert.strictEqual((yield* inq(url, "recover", "all", "--yes")).code, 0)
      assert.deepStrictEqual(recovered, [{ _tag: "Partition", partitionId: P }, { _tag: "All" }])
    }).pipe(Effect.scoped)
  )

  it.live("says what was wrong, and exits by it", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeWorker.serve
      const nowhere = yield* inq(url, "node", "stop", "nowhere")
      assert.strictEqual(nowhere.code, exitCodes.refused)
      assert.include(nowhere.error, 'There is no node nowhere. "inq node list"')
      const mode = yield* inq(url, "restart", "lab", "--mode", "Some")
      assert.strictEqual(mode.code, exitCodes.usage)
      const length = yield* inq(url, "node", "stop", "lab-m1", "-d", "soon")
      assert.strictEqual(length.code, exitCodes.usage)
      assert.include(length.error, "--duration")
      const health = yield* inq(url, "health", "--output", "json")
      assert.deepInclude(JSON.parse(health.out), { kind: "Cluster", state: "Ok" })
      const lost = yield* inq(url, "health", "--partition", "kv")
      assert.strictEqual(lost.code, exitCodes.usage)
      assert.include(lost.error, "--partition: expected a partition's id")
    }).pipe(Effect.scoped)
  )
})

describe("against a Service Fabric gateway", () => {
  it.live("is known by its first answer: nobody is asked who it is", () =>
    Effect.gen(function* () {
      const { lines, url } = yield* FakeGateway.serve
      const asked = (...args: ReadonlyArray<string>) =>
        Effect.map(inq(url, ...args), () => lines.splice(0).map((line) => line.replace(/\?.*/, "")))
      assert.deepStrictEqual(yield* asked("node", "list"), ["GET /v1/nodes", "GET /Nodes"])
      assert.deepStrictEqual(yield* asked("list"), ["GET /v1/operations", "GET /Faults/"])
      assert.deepStrictEqual(yield* asked("node", "list", "--surface", "fabric"), ["GET /Nodes"])
      const forced = yield* inq(url, "list", "--surface", "inquorate")
      assert.strictEqual(forced.code, exitCodes.unreachable)
      assert.include(forced.error, `what answers at ${url} is not a worker`)
    }).pipe(Effect.scoped)
  )

  it.live("takes an operation whose type it is not told for none of a type that it knows", () =>
    Effect.gen(function* () {
      const { lines, url } = yield* FakeGateway.serve
      const shown = yield* inq(url, "show", untold, "--surface", "fabric", "--output", "json")
      assert.strictEqual(shown.code, 0, shown.error)
      assert.deepStrictEqual(JSON.parse(shown.out), { OperationId: untold, State: "RollingBack", Type: "Invalid" })
      const watched = yield* inq(url, "watch", untold, "--surface", "fabric")
      assert.strictEqual(watched.code, exitCodes.refused)
      assert.include(watched.error, `does not tell the type of operation ${untold} (RollingBack)`)
      assert.deepStrictEqual(
        lines.filter((line) => line.includes("Progress")),
        []
      )
    }).pipe(Effect.scoped)
  )

  it.live("says so where neither answers", () =>
    Effect.gen(function* () {
      const nobody = yield* inq("http://127.0.0.1:1", "restart", "app")
      assert.strictEqual(nobody.code, exitCodes.unreachable)
      assert.match(nobody.error, /no worker answers at http:\/\/127\.0\.0\.1:1 .*--endpoint/)
    })
  )
})

describe("a cluster's configuration on trial", () => {
  it.live("tells members, writes and what is missing", () =>
    Effect.gen(function* () {
      const { code, out } = yield* check("unplaced.yaml", configured(true, "true"))
      assert.strictEqual(code, exitCodes.refused, out)
      assert.include(out, "majority of 3, Healthy")
      assert.include(out, "write: acknowledged")
      assert.include(out, "a cannot be taken out: no host is configured for this member")
    })
  )

  it.live("says what is wrong with the machines that the file names", () =>
    Effect.gen(function* () {
      const file = (hosts: unknown) =>
        JSON.stringify({ hosts, clusters: { one: JSON.parse(configured(true, "true")) as unknown } })
      for (const [hosts, words] of [
        [{ far: { ssh: "far", prot: 22 } }, "hosts.far.prot: there is no such key; did you mean port?"],
        [{ far: { sudo: true } }, "hosts.far.ssh: Missing key"],
        [{ local: { ssh: "far" } }, "hosts.local.ssh: Expected only sudo here"]
      ] as const) {
        const { code, error } = yield* check("machines.yaml", file(hosts))
        assert.strictEqual(code, exitCodes.usage)
        assert.include(error, words)
      }
    })
  )

  it.live(
    "refuses a misspelt key with its line and the word that was meant, whether it stands alone or among others",
    () =>
      Effect.gen(function* () {
        const alone = yield* check(
          "alone.yaml",
          "system: command\nlook: exit 1\nwrite: exit 1\nmembers:\n  - name: a\n    dataDirectroy: /d\nwitneses: []\n"
        )
        assert.strictEqual(alone.code, exitCodes.usage)
        const file = path.join(folder, "alone.yaml")
        assert.deepStrictEqual(alone.error.trimEnd().split("\n"), [
          `inq: ${file}:6: members.0.dataDirectroy: there is no such key; did you mean dataDirectory?`,
          `${file}:7: witneses: there is no such key; did you mean witnesses?`
        ])
        const among = yield* check(
          "among.yaml",
          "clusters:\n  one:\n    system: etcd\n    protectd: true\n    members: [{ name: a, address: '127.0.0.1:1' }]\n"
        )
        assert.strictEqual(among.code, exitCodes.usage)
        assert.include(
          among.error,
          "among.yaml:4: clusters.one.protectd: there is no such key; did you mean protected?"
        )
      })
  )

  it.live("asks each witness once, and names those that do not serve", () =>
    Effect.gen(function* () {
      const asked = path.join(folder, "asked")
      const witnesses = [
        { name: "shop", command: `echo >>${asked}` },
        { name: "bank", command: "echo no leader >&2; exit 7" }
      ]
      const one = { ...(JSON.parse(configured(true, "true")) as object), witnesses }
      const { code, out } = yield* check("witnesses.yaml", JSON.stringify(one))
      assert.strictEqual(code, exitCodes.refused, out)
      assert.match(out, /^witness shop: serves after \d+ ms, exit 0$/m)
      assert.match(out, /^witness bank: does not serve after \d+ ms, exit 7: no leader$/m)
      assert.include(out, "- the witness bank does not serve: exit 7: no leader")
      assert.strictEqual(fs.readFileSync(asked, "utf8"), "\n")
    })
  )
})
