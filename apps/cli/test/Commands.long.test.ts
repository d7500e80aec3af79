/**
 * The commands as a person types them, asked for much: call by call against a gateway that knows nothing but Service
 * Fabric's own, request by request against a worker, and with every file that can be given for a configuration.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { exitCodes } from "../src/ExitCode.ts"
import * as FakeGateway from "./FakeGateway.ts"
import { O, P } from "./FakeGateway.ts"
import * as FakeWorker from "./FakeWorker.ts"
import * as Inq from "./Inq.ts"
import { configured, looked, trying } from "./Trial.ts"

const { check, folder, inq } = trying(Inq.bundled())

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
      const { lines, url } = yield* FakeGateway.serve
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
})

describe("a cluster's configuration on trial", () => {
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
