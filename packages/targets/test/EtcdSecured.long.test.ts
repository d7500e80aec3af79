/** etcd as it runs where people have set it up: TLS on both sides, users and roles, tokens that expire. */
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord, ProcessName } from "@inquorate/lab/LabModule"
import * as ProcessTree from "@inquorate/lab/ProcessTree"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import type { Target } from "@inquorate/core/Target"
import type { Member } from "@inquorate/core/Topology"
import { health } from "@inquorate/core/Topology"
import * as Certificates from "@inquorate/testkit/Certificates"
import { targetContract } from "@inquorate/testkit/TargetContract"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import type * as net from "node:net"
import * as tlsModule from "node:tls"
import * as os from "node:os"
import * as path from "node:path"
import { etcd, EtcdSettings } from "../src/Etcd.ts"
import {
  etcdctl,
  eventually,
  folder,
  only,
  open,
  outcomeOf,
  pause,
  ready,
  settingsOf,
  skip,
  start,
  written
} from "./EtcdCluster.ts"

const reason = skip === undefined ? "" : ` (skipped: ${skip})`
const state = skip === undefined ? fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-secured-")) : os.tmpdir()
process.env["INQUORATE_LAB_STATE"] = state
let lab: LabRecord

beforeAll(async () => {
  const options = { election: "300ms", tls: "true", auth: "true" }
  if (skip === undefined) lab = await Effect.runPromise(Lab.up({ system: "etcd", name: "secured", options }))
})

afterAll(async () => {
  await Effect.runPromise(Lab.down("secured"))
  assert.deepStrictEqual(fs.readdirSync(state), [])
  fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 })
})

type Settings = typeof EtcdSettings.Encoded & { readonly tls: { ca: string; certificate: string; key: string } }

const labSettings = (): Settings => {
  const { kill: _, system: __, ...settings } = lab.configuration as unknown as Settings & Record<string, unknown>
  return settings as unknown as Settings
}

const openLab = Effect.gen(function* () {
  const settings = yield* Effect.orDie(Schema.decodeEffect(EtcdSettings)(labSettings()))
  const target = yield* etcd.make("orders", settings, new Map([["local", LocalHost.make("local")]]))
  const paused: Array<ProcessName> = []
  const resume = Effect.suspend(() => ProcessTree.signal(paused.splice(0), "SIGCONT"))
  yield* Effect.addFinalizer(() => resume)
  const pause = Effect.fnUntraced(function* (members: ReadonlyArray<Pick<Member, "name">>) {
    const processes = lab.members.filter(({ name }) => members.some((member) => member.name === name))
    paused.push(...processes)
    yield* ProcessTree.signal(processes, "SIGSTOP")
    for (const { pid } of processes) {
      yield* Effect.repeat(ProcessTree.find(pid), {
        until: (entry) => entry?.state === "T",
        schedule: Schedule.spaced(5)
      })
    }
  })
  return { target, group: "raft", pause, resume }
})

targetContract("an etcd group over TLS, with users", openLab, { skip })

const refused = (settings: unknown) => Effect.flatMap(open(settings), refusalOf)

/** Why a target sees nobody. A busy machine may keep one of its members from saying so in time. */
const refusalOf = (target: Target) =>
  eventually(Effect.flip(target.discover), ({ detail }) => !/within \d+ ms/.test(detail))

describe("the settings of an etcd cluster", () => {
  const members = [{ name: "m0", address: "127.0.0.1:2379" }]
  const mistake = (settings: object): string => {
    const decoded = Schema.decodeUnknownResult(EtcdSettings)({ members, ...settings }, { onExcessProperty: "error" })
    return decoded._tag === "Failure" ? decoded.failure.message : ""
  }

  it("are taken plain, over TLS, with and without a user", () => {
    for (const settings of [{}, { tls: {} }, { tls: { ca: "/ca" } }, { user: "u", password: { env: "P" } }]) {
      assert.strictEqual(mistake(settings), "")
    }
    assert.strictEqual(mistake({ members: [{ ...members[0], metrics: "https://[::1]:2381/" }] }), "")
  })

  it.live("may name an address that is none, which is then not reached", () =>
    Effect.gen(function* () {
      for (const address of ["127.0.0.1:99999", "no such host:2379", "a..b:2379"]) {
        const opened = yield* Effect.exit(
          Effect.flatMap(open({ members: [{ name: "m0", address }] }), (target) => Effect.result(target.discover))
        )
        // Refused when it is read, or told when it is used; never a defect.
        if (opened._tag === "Success") assert.deepInclude(opened.value, { _tag: "Failure" })
        else assert.match(String(opened.cause), /Expected/)
      }
    })
  )

  it("say what is wrong with them, and tell no secret", () => {
    const cases: ReadonlyArray<readonly [object, RegExp]> = [
      [{ tls: true }, /Expected EtcdTls/],
      [{ tls: { ca: "ca.pem" } }, /Expected an absolute path/],
      [{ tls: { certificate: "/c" } }, /Expected certificate and key together/],
      [{ tls: { ca: "/ca", cert: "/c" } }, /cert/],
      [{ user: "root" }, /Expected user and password together/],
      [{ password: "hunter2" }, /Expected user and password together/],
      [{ user: "", password: "hunter2" }, /a user's name/],
      [{ members: [{ ...members[0], metrics: "127.0.0.1:2381" }] }, /a place such as http/]
    ]
    for (const [settings, sentence] of cases) {
      assert.match(mistake(settings), sentence)
      assert.notInclude(mistake(settings), "hunter2")
    }
  })
})

describe.skipIf(skip !== undefined)(`an etcd cluster with TLS and users${reason}`, () => {
  it.live("is refused with the sentence that helps where TLS is not what was configured", () =>
    Effect.gen(function* () {
      const { tls, ...plain } = labSettings()
      const place = yield* folder
      const file = (name: string, text: string): string => {
        fs.writeFileSync(path.join(place, name), text)
        return path.join(place, name)
      }
      const ca = Certificates.make({ name: "another", authority: true })
      const stranger = Certificates.make({ name: "inquorate", issuer: ca })
      const expired = Certificates.make({ name: "inquorate", issuer: ca, validTo: Date.now() - 1000 })
      const strange = { certificate: file("c", stranger.certificate), key: file("k", stranger.key) }
      const cases: ReadonlyArray<readonly [string, unknown, RegExp]> = [
        ["no tls", undefined, /speaks TLS: configure tls/],
        ["another authority", { ...tls, ca: file("ca", ca.certificate) }, /not from the authorities in tls\.ca/],
        ["the system's authorities", { certificate: tls.certificate, key: tls.key }, /not from the authorities/],
        ["no client certificate", { ca: tls.ca }, /asks for a client's certificate .*configure tls\.certificate/],
        ["a stranger's", { ca: tls.ca, ...strange }, /does not accept the client's certificate .*\/c/],
        [
          "an expired one",
          { ca: tls.ca, certificate: file("e", expired.certificate), key: file("ek", expired.key) },
          /does not accept the client's certificate/
        ],
        [
          "another server name",
          { ...tls, serverName: "etcd.example" },
          /certificate for DNS:localhost, .*, not for etcd\.example: set tls\.serverName/
        ],
        [
          "a file that is not there",
          { ...tls, ca: path.join(place, "none") },
          /file of tls\.ca cannot be read: ENOENT/
        ],
        ["a file without an end", { ...tls, ca: "/dev/zero" }, /tls\.ca cannot be read: .*more than/],
        ["another's key", { ...tls, key: strange.key }, /certificate and key of tls cannot be used together/]
      ]
      for (const [what, given, sentence] of cases) {
        const error = yield* refused({ ...plain, ...(given === undefined ? {} : { tls: given }) })
        assert.strictEqual(error.reason, "Misconfigured", `${what}: ${error.detail}`)
        assert.match(error.detail, sentence, what)
      }
    })
  )

  it.live("is refused where its certificate has expired, is not valid yet, or is for no address", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const issuer = Certificates.make({ name: "authority", authority: true })
      const ca = path.join(place, "ca")
      fs.writeFileSync(ca, issuer.certificate)
      const cases: ReadonlyArray<readonly [Omit<Certificates.Wanted, "name" | "issuer">, RegExp]> = [
        [{ alternatives: ["127.0.0.1"], validTo: Date.now() - 1000 }, /shows a certificate that has expired/],
        [{ alternatives: ["127.0.0.1"], validFrom: Date.now() + 100_000 }, /shows a certificate that is not valid yet/],
        [
          { alternatives: ["etcd.example"] },
          /certificate for DNS:etcd\.example, not for 127\.0\.0\.1: set tls\.serverName/
        ]
      ]
      for (const [wanted, sentence] of cases) {
        const { certificate, key } = Certificates.make({ name: "server", issuer, ...wanted })
        const server = tlsModule
          .createServer({ cert: certificate, key, ALPNProtocols: ["h2"] })
          .on("tlsClientError", () => {})
        const port = yield* Effect.acquireRelease(
          Effect.callback<number>((resume) => {
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as net.AddressInfo).port)))
          }),
          () => Effect.sync(() => server.close())
        )
        const error = yield* refused({ tls: { ca }, members: [{ name: "m0", address: `127.0.0.1:${port}` }] })
        assert.strictEqual(error.reason, "Misconfigured")
        assert.match(error.detail, sentence)
      }
    })
  )

  it.live("takes a name that its certificate is for, and an address as a name", () =>
    Effect.gen(function* () {
      const { tls, ...rest } = labSettings()
      for (const serverName of ["localhost", "127.0.0.1"]) {
        yield* Effect.scoped(Effect.flatMap(open({ ...rest, tls: { ...tls, serverName } }), ready))
      }
    })
  )

  it.live("is unfit without a user, and with a wrong password; it stays seen", () =>
    Effect.gen(function* () {
      const { password: _, user: __, ...nobody } = labSettings()
      const without = yield* ready(yield* open(nobody))
      assert.strictEqual(health(without), "Healthy")
      assert.lengthOf(without.unfit!, 1)
      assert.match(
        without.unfit![0]!,
        /^authentication is on, and the user inquorate-lab, whom the client certificate names, may not/
      )
      const wrong = yield* ready(yield* open({ ...labSettings(), password: "wrong" }))
      assert.match(wrong.unfit!.join(), /the user inquorate with the configured password is not accepted/)
      const gone = yield* ready(yield* open({ ...labSettings(), password: { file: path.join(state, "none") } }))
      assert.match(gone.unfit!.join(), /file of the password cannot be read: ENOENT/)
    })
  )

  it.live("reads a certificate and a password that were renewed, without being opened again", () =>
    Effect.gen(function* () {
      const { tls, ...rest } = labSettings()
      const place = yield* folder
      const [certificate, key, password] = ["certificate", "key", "password"].map((name) => path.join(place, name))
      const mine = Certificates.make({ name: "inquorate" })
      fs.writeFileSync(certificate!, mine.certificate)
      fs.writeFileSync(key!, mine.key)
      fs.writeFileSync(password!, "not yet\n")
      const target = yield* open({
        ...rest,
        tls: { ca: tls.ca, certificate, key },
        user: "inquorate",
        password: { file: password }
      })
      assert.match((yield* refusalOf(target)).detail, /does not accept the client's certificate/)
      fs.copyFileSync(tls.certificate, certificate!)
      fs.copyFileSync(tls.key, key!)
      assert.match((yield* ready(target)).unfit!.join(), /is not accepted/)
      fs.copyFileSync((labSettings().password as { readonly file: string }).file, password!)
      yield* eventually(
        only(target),
        ({ members, unfit }) => unfit === undefined && members.every(({ process }) => process !== null)
      )
    })
  )
})

/** Users by etcdctl: root, and one named as given with a role that may write `key`. */
const users = Effect.fnUntraced(function* (words: ReadonlyArray<string>, name: string, key: ReadonlyArray<string>) {
  const call = (...more: ReadonlyArray<string>) => etcdctl([...words, ...more])
  yield* call("user", "add", "root:rootpw")
  yield* call("user", "grant-role", "root", "root")
  yield* call("role", "add", "drill")
  if (key.length > 0) yield* call("role", "grant-permission", "drill", ...key)
  yield* call("user", "add", `${name}:secret`)
  yield* call("user", "grant-role", name, "drill")
  yield* call("auth", "enable")
})

const endpoints = (members: ReadonlyArray<{ readonly client: string }>) => [`--endpoints=${members[0]!.client}`]

describe.skipIf(skip !== undefined)(`an etcd cluster with users${reason}`, () => {
  it.live("without the permission on our key is unfit once a probe is wanted, and fit with one, or with a range", () =>
    Effect.gen(function* () {
      const { members } = yield* start()
      const settings = settingsOf(members, { user: "drill", password: "secret" })
      const target = yield* open(settings)
      yield* ready(target)
      yield* users(endpoints(members), "drill", ["readwrite", "inquorate", "inquorate/a"])
      const unfit = yield* eventually(
        Effect.flip(Effect.scoped(target.probe("raft"))),
        ({ reason }) => reason === "Unfit"
      )
      assert.match(unfit.detail, /the user drill may not write inquorate\/probe: etcdctl role grant-permission/)
      // And a plan tells it before that.
      assert.match((yield* only(target)).unfit!.join(), /the user drill may not write inquorate\/probe/)
      const root = [...endpoints(members), "--user=root:rootpw"]
      const keys = [
        ["write", "inquorate/probe"],
        ["readwrite", "inquorate/", "inquorate0"],
        ["readwrite", "--prefix", ""]
      ]
      for (const [index, permission] of keys.entries()) {
        const role = `role${index}`
        yield* etcdctl([...root, "role", "add", role])
        yield* etcdctl([...root, "role", "grant-permission", role, ...permission])
        yield* etcdctl([...root, "user", "grant-role", "drill", role])
        yield* eventually(only(target), ({ unfit }) => unfit === undefined)
        const probe = yield* target.probe("raft")
        // A change of rights makes tokens old, which the probe has to bear.
        yield* written(probe)
        yield* etcdctl([...root, "user", "revoke-role", "drill", role])
        assert.deepInclude(yield* outcomeOf(probe), { _tag: "Refused" })
      }
      // Turned off again it needs nothing.
      yield* etcdctl([...root, "auth", "disable"])
      const probe = yield* target.probe("raft")
      yield* written(probe)
    })
  )

  for (const kind of ["simple", "jwt"] as const) {
    it.live(`goes on with ${kind} tokens that it no longer knows, also when they ended in a hold`, () =>
      Effect.gen(function* () {
        const place = yield* folder
        const [own, shown] = ["own.pem", "shown.pem"].map((name) => path.join(place, name))
        childProcess.execFileSync("openssl", ["genrsa", "-out", own!, "2048"], { stdio: "ignore" })
        childProcess.execFileSync("openssl", ["rsa", "-in", own!, "-pubout", "-out", shown!], { stdio: "ignore" })
        const token = kind === "simple" ? "simple" : `jwt,pub-key=${shown},priv-key=${own},sign-method=RS256,ttl=2s`
        const { members } = yield* start({ flags: { "auth-token": token } })
        const target = yield* open(settingsOf(members, { user: "drill", password: "secret" }))
        yield* ready(target)
        yield* users(endpoints(members), "drill", ["readwrite", "inquorate/probe"])
        const seen = yield* eventually(only(target), ({ unfit }) => unfit === undefined)
        const probe = yield* target.probe("raft")
        const [leader] = probe.endpoints
        yield* written(probe, leader!)
        const leads = ({ name }: { readonly name: string }) =>
          seen.members.some((member) => member.name === name && member.role === "Primary")
        const stopped = members.filter((member) => !leads(member))
        yield* pause(stopped.map(({ child }) => child))
        // Nothing is acknowledged, and nothing is taken for a refusal, until well after the token has ended.
        const end = Date.now() + 4000
        while (Date.now() < end) {
          const outcome = yield* Effect.timeoutOption(probe.write(leader!), 500)
          assert.notStrictEqual(Option.getOrUndefined(outcome)?._tag, "Acknowledged")
          assert.notStrictEqual(Option.getOrUndefined(outcome)?._tag, "Refused")
        }
        for (const { child } of stopped) child.kill("SIGCONT")
        yield* eventually(
          Effect.timeoutOption(
            Effect.suspend(() => probe.write(probe.endpoints[0]!)),
            1000
          ),
          Option.exists(({ _tag }) => _tag === "Acknowledged")
        )
        yield* eventually(only(target), ({ members, unfit }) => unfit === undefined && members.every(({ up }) => up))
      })
    )
  }
})

describe.skipIf(skip !== undefined)(`an etcd cluster that takes a certificate for a user${reason}`, () => {
  it.live("needs no password, and names the certificate's user where that may not write", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const ca = Certificates.make({ name: "authority", authority: true })
      const server = Certificates.make({ name: "server", issuer: ca, alternatives: ["localhost", "127.0.0.1"] })
      const file = (name: string, text: string): string => {
        fs.writeFileSync(path.join(place, name), text)
        return path.join(place, name)
      }
      const caFile = file("ca", ca.certificate)
      const of = (name: string) => {
        const made = Certificates.make({ name, issuer: ca })
        return { certificate: file(`${name}.pem`, made.certificate), key: file(`${name}.key`, made.key) }
      }
      const [drill, guest] = [of("drill"), of("guest")]
      const flags = {
        "cert-file": file("server.pem", server.certificate),
        "key-file": file("server.key", server.key),
        "trusted-ca-file": caFile,
        "client-cert-auth": "true",
        "enable-grpc-gateway": "false"
      }
      const { members } = yield* start({ scheme: "https", flags })
      const target = yield* open(settingsOf(members, { tls: { ca: caFile, ...drill } }))
      yield* ready(target)
      const words = ["--cacert", caFile, "--cert", guest.certificate, "--key", guest.key, ...endpoints(members)]
      yield* users(words, "drill", ["readwrite", "inquorate/probe"])
      yield* eventually(only(target), ({ unfit }) => unfit === undefined)
      const probe = yield* target.probe("raft")
      yield* written(probe)
      // One whose common name is nobody's, and one who has no role.
      yield* etcdctl([...words, "--user=root:rootpw", "user", "add", "guest:secret"])
      const other = yield* open(settingsOf(members, { tls: { ca: caFile, ...guest } }))
      yield* ready(other)
      const unfit = yield* eventually(
        Effect.flip(Effect.scoped(other.probe("raft"))),
        ({ reason }) => reason === "Unfit"
      )
      assert.match(unfit.detail, /the user guest, whom the client certificate names, may not write/)
    })
  )
})
