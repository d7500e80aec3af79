/**
 * Goal: a worker that is reached over TLS takes tokens, and no secret is told; it is not trusted where it should not be,
 * and does not start where it could not know its callers. Method: the bundled worker and `inq` on a real PostgreSQL
 * group, with certificates and tokens that are made for the run; Microsoft's Python client with the same certificates.
 */
import * as Certificates from "@inquorate/testkit/Certificates"
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as https from "node:https"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import {
  alternatives,
  as,
  config,
  file,
  inq,
  onOneLab,
  past,
  security,
  servers,
  tokenOf,
  worker,
  world,
  write,
  writePair
} from "./SecureWorker.ts"

onOneLab()

describe("a worker that knows its callers, through inq", () => {
  it(
    "takes tokens from the environment or a file, by their role, and repeats none",
    async () => {
      const admin = tokenOf({ "http://schemas.microsoft.com/ws/2008/06/identity/claims/role": "Admin" })
      const user = tokenOf({ roles: ["User"] })
      const over = tokenOf({ roles: ["Admin"], exp: Math.floor(past / 1000) })
      const environment = { INQUORATE_ENDPOINT: worker.endpoint, INQUORATE_CA: file("servers.crt") }
      const run = (token: string, ...arguments_: ReadonlyArray<string>) =>
        Harness.startInq(arguments_, { ...environment, INQUORATE_TOKEN: token }).done
      const begun = await run(admin, "start", "vault", "--duration", "1s", "--watch")
      assert.strictEqual(begun.code, 0, begun.stderr)
      const seen = await inq("list", "--token", `file:${write("token", `${user}\n`)}`)
      assert.strictEqual(seen.code, 0, seen.stderr)
      const refused = await run(user, "start", "vault", "--duration", "1s")
      assert.strictEqual(refused.code, 3)
      assert.match(refused.stderr, /role User.*\(E_ACCESSDENIED\)/)
      const expired = await run(over, "list")
      assert.strictEqual(expired.code, 3)
      assert.match(expired.stderr, /The bearer token has expired; fetch a new one\./)
      const given = await inq("list", "--token", admin)
      assert.strictEqual(given.code, 2)
      for (const { stderr, stdout } of [begun, seen, refused, expired, given]) {
        for (const token of [admin, user, over]) assert.notInclude(stdout + stderr, token)
      }
      assert.notInclude(worker.log(), admin)
    },
    Harness.within(60_000)
  )

  it(
    "is not trusted where it should not be, and wrong files are named",
    async () => {
      const command = (...arguments_: ReadonlyArray<string>) =>
        Harness.startInq(["clusters", ...arguments_], { INQUORATE_ENDPOINT: worker.endpoint }).done
      const ca = ["--ca", file("servers.crt")]
      for (const [arguments_, code, words] of [
        [[], 6, /is not trusted: its certificate is from an authority that is not trusted here; name that authority/],
        [["--ca", file("clients.crt")], 6, /is not trusted: its certificate is from an authority/],
        [[...ca, "--cert", file("admin.crt")], 2, /go together; give --key \(INQUORATE_KEY\) too/],
        [
          [...ca, "--cert", file("admin.crt"), "--key", file("user.key")],
          2,
          /user\.key does not belong to .*admin\.crt/
        ],
        [["--ca", "/nowhere/ca.crt"], 2, /\/nowhere\/ca\.crt cannot be read: there is no such file/],
        [["--ca", file("admin.key")], 2, /admin\.key holds no certificate in PEM/],
        [[...ca, "--token", "env:NO_SUCH_TOKEN"], 2, /environment variable NO_SUCH_TOKEN is not set/],
        [["--endpoint", worker.endpoint.replace("https", "http")], 6, /If it speaks TLS, say https/]
      ] as const) {
        const ran = await command(...arguments_)
        assert.strictEqual(ran.code, code, ran.stderr)
        assert.match(ran.stderr, words)
        assert.strictEqual(ran.stderr.trim().split("\n").length, 1)
      }
    },
    Harness.within(60_000)
  )
})

describe("a worker that is to be reached from elsewhere", () => {
  const run = async (settings: object, listen: string) => {
    const child: ChildProcess = spawn(
      process.execPath,
      [
        Harness.bundles[0]!,
        "--config",
        Harness.writeConfig(world, "elsewhere.yaml", settings),
        "--listen",
        listen,
        "--store",
        `sqlite:${path.join(world.folder, "elsewhere.db")}`
      ],
      { stdio: ["ignore", "pipe", "pipe"] }
    )
    let seen = ""
    const listening = new Promise<null>((resolve) => {
      for (const stream of [child.stdout!, child.stderr!]) {
        stream.on("data", (data: Buffer) => {
          seen += data.toString()
          if (seen.includes("listening on")) resolve(null)
        })
      }
    })
    const ended = new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1)))
    const code = await Promise.race([ended, listening])
    const stop = async () => {
      child.kill("SIGTERM")
      await ended
    }
    return { code, seen: () => seen, stop }
  }

  it(
    "does not start without knowing its callers, or with files that do not fit",
    async () => {
      const open = await run({}, "0.0.0.0:0")
      assert.strictEqual(open.code, 4)
      assert.match(open.seen(), /0\.0\.0\.0 is not a loopback address.*security\.certificates/)
      const { certificates, tls, tokens } = security()
      for (const [settings, words] of [
        [{ certificates, tls: { ...tls, key: file("admin.key") } }, /admin\.key does not belong to .*worker\.crt/],
        [
          { certificates, tls: { ...tls, certificate: "/nowhere.crt" } },
          /\/nowhere\.crt cannot be read: there is no such/
        ],
        [{ certificates, tls: { ...tls, certificate: file("worker.key") } }, /worker\.key holds no certificate/],
        [{ certificates: { ...certificates, ca: file("issuer.pem") }, tls }, /issuer\.pem holds no certificate/],
        [
          { tokens: { ...tokens, keys: file("worker.key") }, tls },
          /worker\.key cannot be used as the keys.*private key/
        ],
        [{ tokens }, /elsewhere\.yaml:\d+: security\.tokens: Without TLS everyone on the way/]
      ] as const) {
        const wrong = await run({ security: settings }, "0.0.0.0:0")
        assert.strictEqual(wrong.code, 2, wrong.seen())
        assert.match(wrong.seen(), words)
      }
    },
    Harness.within(60_000)
  )

  it(
    "goes by the names in its certificate and those that are configured, and warns of what will be trouble",
    async () => {
      writePair(
        "old",
        Certificates.make({ name: "worker", issuer: servers, alternatives, validTo: Date.now() + 86_400_000 })
      )
      fs.chmodSync(file("old.key"), 0o644)
      const tls = { certificate: file("old.crt"), key: file("old.key") }
      const settings = { security: { ...security(), tls, names: ["proxy.example"] } }
      const started = await run(settings, "0.0.0.0:0")
      try {
        assert.strictEqual(started.code, null, started.seen())
        assert.match(started.seen(), /old\.crt expires at/)
        assert.match(started.seen(), /old\.key can be read by other users; chmod 600 it/)
        const port = /listening on https:\/\/0\.0\.0\.0:(\d+)/.exec(started.seen())![1]!
        const endpoint = `https://localhost:${port}`
        const ran = await Harness.inq("clusters", ...as("user"), "--ca", file("servers.crt"), "--endpoint", endpoint)
        assert.strictEqual(ran.code, 0, ran.stderr)
        const statusAs = (host: string) =>
          new Promise<number>((resolve, reject) => {
            const [cert, key] = ["user.crt", "user.key"].map((name) => fs.readFileSync(file(name)))
            const options = { headers: { host }, servername: "localhost", ca: servers.certificate, cert, key }
            https
              .get(`${endpoint}/v1/clusters`, options, (answer) => resolve(answer.resume().statusCode!))
              .on("error", reject)
          })
        const hosts = [`localhost:${port}`, "proxy.example", "proxy.example:443", "evil.example"]
        assert.deepStrictEqual(await Promise.all(hosts.map(statusAs)), [200, 200, 200, 403])
      } finally {
        await started.stop()
      }
      const anonymous = await run({ security: { allowAnonymous: true } }, "0.0.0.0:0")
      try {
        assert.strictEqual(anonymous.code, null, anonymous.seen())
        assert.match(anonymous.seen(), /listening on 0\.0\.0\.0 without authentication: everyone who reaches it/)
      } finally {
        await anonymous.stop()
      }
    },
    Harness.within(60_000)
  )
})

const python = "/usr/bin/python3"
const missing = spawnSync(python, ["-c", "import azure.servicefabric"]).status !== 0

describe.skipIf(missing)("the Python client over TLS, skipped where it is not installed", () => {
  it(
    "lives a quorum loss as Admin, and gets its own error as anybody less",
    async () => {
      const fresh = await Harness.startWorker(world, "python.db", { config })
      const partitions = await Harness.inq(
        ...["partitions", "--output", "json", "--endpoint", fresh.endpoint, "--ca", file("servers.crt")],
        ...as("user")
      )
      const [{ partitionId }] = JSON.parse(partitions.stdout) as [{ partitionId: string }]
      const output = await new Promise<string>((resolve, reject) => {
        const arguments_ = [
          path.join(import.meta.dirname, "sdk_secure.py"),
          ...[fresh.endpoint, "vault~quorum", partitionId, randomUUID(), file("servers.crt")],
          ...["admin", "user"].flatMap((name) => [file(`${name}.crt`), file(`${name}.key`)])
        ]
        execFile(python, arguments_, { timeout: 60_000 }, (error, stdout, stderr) =>
          error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}\n${stderr}`))
        )
      })
      const calls = output
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as readonly [name: string, passed: boolean, came: string])
      assert.deepStrictEqual(
        calls.filter(([, passed]) => !passed),
        []
      )
      assert.strictEqual(calls.length, 8)
      assert.isTrue(Harness.nothingStopped(world))
    },
    Harness.within(90_000)
  )
})
