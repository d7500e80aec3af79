/**
 * The commands as a person types them, against a worker and against a gateway that knows nothing but Service Fabric's own
 * calls and answers 400 to whatever else it is asked, as a real one does.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Guid from "@inquorate/core/Guid"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import * as Commands from "../src/Commands.ts"
import { exitCodes } from "../src/ExitCode.ts"
import * as FakeWorker from "./FakeWorker.ts"
import * as Inq from "./Inq.ts"

const { main, run } = Inq.bundled()
const folder = path.dirname(main)

const O = "11111111-1111-4111-8111-111111111111"
const untold = "00000000-0000-4000-8000-000000000bad"
const P = FakeWorker.topology.partitionId

const inq = (endpoint: string, ...args: ReadonlyArray<string>): Effect.Effect<Inq.Ran> =>
  run([...args, "--endpoint", endpoint])

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

const gateway = Effect.gen(function* () {
  const lines: Array<string> = []
  const states = ["Running", "Running", "RollingBack", "Faulted"]
  const answers: ReadonlyArray<readonly [RegExp, () => unknown]> = [
    [/^GET \/\$\/GetClusterVersion\?/, () => ({ Version: "9.1.1" })],
    [/^GET \/Nodes\/n0\?/, () => ({ Name: "n0", InstanceId: "132", NodeStatus: "Up" })],
    [/^GET \/Nodes\?/, () => ({ ContinuationToken: "", Items: [{ Name: "n0", InstanceId: "132", NodeStatus: "Up" }] })],
    [/^GET \/Applications\?/, () => ({ Items: [{ Id: "app", Name: "fabric:/app", TypeName: "T" }] })],
    [
      /^GET \/Applications\/app\/\$\/GetServices\?/,
      () => ({ Items: [{ Id: "app~svc", Name: "fabric:/app/svc", ServiceKind: "Stateful" }] })
    ],
    [
      /^GET \/Services\/app~svc\/\$\/GetPartitions\?/,
      () => ({
        Items: [
          {
            ServiceKind: "Stateful",
            PartitionInformation: { ServicePartitionKind: "Singleton", Id: P },
            PartitionStatus: "Ready"
          }
        ]
      })
    ],
    [/^GET \/Partitions\/[^/]+\/\$\/GetReplicas\?/, () => ({ Items: [{ ServiceKind: "Stateful", ReplicaId: "7" }] })],
    [
      /^GET \/Faults\/\?/,
      () => [
        { OperationId: untold, State: "RollingBack", Type: "Invalid" },
        { OperationId: O, State: "Running", Type: "PartitionRestart" }
      ]
    ],
    [
      /^GET \/Faults\/Services\/.*\/GetRestartProgress\?/,
      () => {
        const State = states.shift() ?? "Faulted"
        return State === "Faulted"
          ? {
              State,
              RestartPartitionResult: {
                ErrorCode: -2147017753,
                SelectedPartition: { ServiceName: "fabric:/app/svc", PartitionId: Guid.nil }
              }
            }
          : { State }
      }
    ]
  ]
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const made = Http.createServer((request, response) => {
        const line = `${request.method} ${request.url}`
        lines.push(line)
        const found = answers.find(([pattern]) => pattern.test(line))
        if (found !== undefined) return void response.end(JSON.stringify(found[1]()))
        if (request.method === "POST") return void response.writeHead(line.includes("/Start") ? 202 : 200).end()
        response.writeHead(400).end('{"Error":{"Code":"E_INVALIDARG","Message":"Invalid argument"}}')
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.callback<void>((resume) => {
        made.close(() => resume(Effect.void))
        made.closeAllConnections()
      })
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, lines }
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

/** Stands before a worker and writes down what it is asked. It may keep a header of each answer to itself. */
const counted = Effect.fnUntraced(function* (url: string, kept = "") {
  const lines: Array<string> = []
  const { hostname, port } = new URL(url)
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const made = Http.createServer((request, response) => {
        lines.push(`${request.method} ${request.url}`)
        const { headers, method, url: target } = request
        const onward = Http.request({
          hostname,
          port,
          method,
          path: target,
          headers: { ...headers, host: `${hostname}:${port}` }
        })
        onward.on("response", (answer) => {
          delete answer.headers[kept]
          answer.pipe(response.writeHead(answer.statusCode!, answer.headers))
        })
        request.pipe(onward)
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) => Effect.sync(() => (made.closeAllConnections(), made.close()))
  )
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return (...args: ReadonlyArray<string>) => Effect.map(inq(at, ...args), () => lines.splice(0))
})

describe("what a worker is asked", () => {
  it.live("is what the command needs, on /v1 alone", () =>
    Effect.gen(function* () {
      const asked = yield* counted((yield* FakeWorker.serve).url)
      for (const [words, lines] of [
        ["partitions", ["GET /v1/clusters"]],
        ["list", ["GET /v1/operations?limit=20"]],
        [`restart lab --id ${O}`, ["GET /v1/clusters", `PUT /v1/operations/${O}`]],
        [`show ${O}`, [`GET /v1/operations/${O}`]],
        [`watch ${O}`, [`GET /v1/operations/${O}/events`, `GET /v1/operations/${O}`]],
        ["show last", ["GET /v1/operations?limit=1000", `GET /v1/operations/${O}`]],
        ["recover partition lab -y", ["GET /v1/clusters", "POST /v1/recover"]],
        ["node stop lab-m1", ["GET /v1/nodes/lab-m1", "PUT /v1/operations/ID"]],
        ["chaos stop", ["POST /v1/chaos/stop"]],
        ["health", ["GET /v1/health"]]
      ] as const) {
        const seen = yield* asked(...words.split(" "))
        const known = seen.map((line) => (words.startsWith("node") ? line.replace(/[0-9a-f-]{36}$/, "ID") : line))
        assert.deepStrictEqual(known, [...lines], words)
      }
    }).pipe(Effect.scoped)
  )
})

describe("what cannot be read", () => {
  const both = ["GET /v1/operations?limit=20", "GET /v1/unreadable"]

  it.live("is told below the others, or that it lives where only those are asked for", () =>
    Effect.gen(function* () {
      const unreadable = [{ id: O, state: "Running", problem: "it has no stage" }] as const
      const { url } = yield* FakeWorker.serveWith({ holds: false, unreadable })
      assert.include((yield* inq(url, "list")).out, `${O} (Running) cannot be read: it has no stage`)
      assert.include((yield* inq(url, "list", "--state", "live")).out, "cannot be read")
      assert.notInclude((yield* inq(url, "list", "--state", "Faulted")).out, "cannot be read")
      assert.deepStrictEqual(yield* (yield* counted(url))("list"), both)
    }).pipe(Effect.scoped)
  )

  it.live("is asked for where an older worker does not say that there is none", () =>
    Effect.gen(function* () {
      const asked = yield* counted((yield* FakeWorker.serve).url, "inquorate-unreadable")
      assert.deepStrictEqual(yield* asked("list"), both)
    }).pipe(Effect.scoped)
  )
})

describe("against a Service Fabric gateway", () => {
  it.live("finds out what it talks to, and drives it by its own calls", () =>
    Effect.gen(function* () {
      const { lines, url } = yield* gateway
      // Paths of ours mean nothing to a gateway.
      const posts = () => lines.filter((line) => line.startsWith("POST") && !line.includes(" /v1/"))
      assert.match((yield* inq(url, "clusters")).out, /^APPLICATION .*\nfabric:\/app +T/)
      assert.match((yield* inq(url, "partitions")).out, new RegExp(`fabric:/app/svc +Stateful, Ready[^]*id ${P}`))
      const start = yield* inq(url, "start", "app", "-d", "2s", "--id", O)
      assert.strictEqual(start.code, 0, start.error)
      const restart = yield* inq(url, "restart", "app/svc", "--id", O, "--watch", "--surface", "fabric")
      assert.strictEqual(restart.code, exitCodes.faulted, restart.error)
      assert.match(restart.out, /Running\n.*RollingBack\n.*Faulted \(error -2147017753\)\n.*ended Faulted\./)
      const stop = yield* inq(url, "node", "stop", "n0", "-d", "10m", "--id", O, "--surface", "fabric")
      assert.strictEqual(stop.code, 0, stop.error)
      const cancel = yield* inq(url, "cancel", O)
      assert.strictEqual(cancel.out, `${O}: Running\n`)
      assert.match(
        (yield* inq(url, "list", "--surface", "fabric")).out,
        /^OPERATION +TYPE +STATE\n.*PartitionRestart +Running/
      )
      const query = `?api-version=6.0&OperationId=${O}`
      const of = (call: string) => `POST /Faults/Services/app~svc/$/GetPartitions/${P}/$/${call}${query}`
      assert.deepStrictEqual(posts(), [
        `${of("StartQuorumLoss")}&QuorumLossMode=QuorumReplicas&QuorumLossDuration=2&timeout=60`,
        `${of("StartRestart")}&RestartPartitionMode=AllReplicasOrInstances&timeout=60`,
        `POST /Faults/Nodes/n0/$/StartTransition/${query}&NodeTransitionType=Stop&NodeInstanceId=132&StopDurationInSeconds=600&timeout=60`,
        `POST /Faults/$/Cancel${query}&Force=false&timeout=60`
      ])
      const halves = yield* inq(url, "start", "app", "-d", "1500ms", "--surface", "fabric")
      assert.strictEqual(halves.code, exitCodes.usage)
      assert.include(halves.error, "whole seconds")
      const guard = yield* inq(url, "start", "app", "-d", "1s", "--override", "degraded", "--surface", "fabric")
      assert.strictEqual(guard.code, exitCodes.usage)
      assert.strictEqual(posts().length, 4)
    }).pipe(Effect.scoped)
  )

  it.live("is known by its first answer: nobody is asked who it is", () =>
    Effect.gen(function* () {
      const { lines, url } = yield* gateway
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
      const { lines, url } = yield* gateway
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
  const check = (name: string, text: string) => {
    fs.writeFileSync(path.join(folder, name), text)
    return inq("http://127.0.0.1:1", "target", "check", path.join(folder, name))
  }
  const looked = (up: boolean) =>
    JSON.stringify({
      id: "x",
      members: ["a", "b", "c"].map((name) => ({ name, role: name === "a" ? "leader" : "follower", up }))
    })
  const configured = (up: boolean, write: string) =>
    JSON.stringify({ system: "command", look: `echo '${looked(up)}'`, write, members: [{ name: "a" }] })

  it.live("tells members, writes and what is missing", () =>
    Effect.gen(function* () {
      const { code, out } = yield* check("unplaced.yaml", configured(true, "true"))
      assert.strictEqual(code, exitCodes.refused, out)
      assert.include(out, "majority of 3, Healthy")
      assert.include(out, "write: acknowledged")
      assert.include(out, "a cannot be taken out: no host is configured for this member")
    })
  )

  it.live("reaches other machines as a worker does, and says why where it cannot", () =>
    Effect.gen(function* () {
      const one = { system: "command", look: `echo '${looked(true)}'`, write: "true" }
      const placed = { ...one, members: [{ name: "a", host: "far", dataDirectory: "/d", pidFile: "/p" }] }
      const nobody = { ssh: "127.0.0.1", port: 1, configFile: "/dev/null" }
      const hosts = { far: nobody, prod: { kubernetes: { image: "keeper", kubeconfig: "/no/such/file" } } }
      const { code, out } = yield* check("far.yaml", JSON.stringify({ hosts, clusters: { one: placed } }))
      assert.strictEqual(code, exitCodes.refused, out)
      assert.include(out, "write: acknowledged")
      assert.match(out, /a cannot be taken out: host far cannot be reached \(.*Connection refused/)
      const pods = { system: "etcd", pods: { host: "prod", namespace: "db", statefulSet: "etcd" } }
      const there = yield* check("pods.yaml", JSON.stringify({ hosts, clusters: { pods } }))
      assert.strictEqual(there.code, exitCodes.unreachable, there.out)
      assert.match(there.error, /pods: .*kubectl/)
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

  it.live("says which part does not work", () =>
    Effect.gen(function* () {
      const lost = yield* check("lost.yaml", configured(false, "echo refused no leader"))
      assert.strictEqual(lost.code, exitCodes.refused)
      assert.include(lost.out, "write: refused")
      assert.include(lost.out, "not every write was acknowledged")
      const dead = yield* check(
        "dead.yaml",
        '{ system: command, look: "exit 1", write: "true", members: [{ name: a }] }'
      )
      assert.strictEqual(dead.code, exitCodes.unreachable)
      assert.include(dead.error, "it ended with 1")
      const wrong = yield* check("wrong.yaml", '{ system: command, look: "true", members: [] }')
      assert.strictEqual(wrong.code, exitCodes.usage)
      assert.include(wrong.error, "write")
      const absent = yield* inq("http://127.0.0.1:1", "target", "check", path.join(folder, "absent.yaml"))
      assert.strictEqual(absent.code, exitCodes.usage)
      assert.include(absent.error, "no such file")
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

  it.live("reads a file as editors of other systems write it, and says what it is where it is none", () =>
    Effect.gen(function* () {
      const plain = configured(true, "true")
      const lines = `\uFEFFclusters:\r\n  one: ${plain}\r\n`
      const { code, out } = yield* check("windows.yaml", lines)
      assert.strictEqual(code, exitCodes.refused, out)
      assert.match(out, /^one: command, .*Healthy/)
      for (const [text, words] of [
        [
          `{ ${plain.slice(1, -1)}, witnesses: [{ name: w, http: { url: "http://127.0.0.1:1", ca: /nowhere/ca.pem } }] }`,
          "wrong.yaml:1: witnesses.0.http.ca: the file cannot be read: ENOENT"
        ],
        ["", "it has no cluster: give a worker's configuration with clusters, or one cluster alone"],
        ["clusters: {}\n", "it has no cluster"],
        ["- system: etcd\n", "Expected object"],
        ["clusters:\n\tone: {}\n", ":2: YAML is indented by blanks, and this line begins with a tab"],
        [`clusters: { one: ${plain}, two: ${plain} }`, "name one of its clusters with --cluster: one, two"]
      ] as const) {
        const wrong = yield* check("wrong.yaml", text)
        assert.strictEqual(wrong.code, exitCodes.usage, text)
        assert.include(wrong.error, words)
      }
      const directory = yield* inq("http://127.0.0.1:1", "target", "check", folder)
      assert.strictEqual(directory.code, exitCodes.usage)
      assert.include(directory.error, `${folder}: it cannot be read: it is a folder, not a file`)
    })
  )
})
