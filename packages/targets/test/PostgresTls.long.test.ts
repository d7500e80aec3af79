/** TLS to the servers of a lab in each mode that libpq knows, with certificates that are renewed meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  as,
  errorOf,
  eventually,
  healthy,
  lab,
  labSettings,
  noOpenssl,
  open,
  seen,
  type Settings,
  skip,
  sql,
  state
} from "./PostgresLab.ts"
import { admit, encrypted, tls } from "./PostgresTlsLab.ts"

describe.skipIf(skip || noOpenssl)("TLS", () => {
  const folder = path.join(state, "tls")
  const openssl = (...words: ReadonlyArray<string>) => childProcess.execFileSync("openssl", words, { stdio: "pipe" })
  const at = (file: string) => path.join(folder, file)
  const authority = (name: string) =>
    openssl(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      at(`${name}.key`),
      "-out",
      at(`${name}.crt`)
    )
  const certificate = (file: string, subject: string, names: string) => {
    fs.writeFileSync(at("extensions"), `subjectAltName=${names}\n`)
    openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-subj",
      `/CN=${subject}`,
      "-keyout",
      at(`${file}.key`),
      "-out",
      at(`${file}.csr`)
    )
    openssl(
      "x509",
      "-req",
      "-in",
      at(`${file}.csr`),
      "-CA",
      at("ours.crt"),
      "-CAkey",
      at("ours.key"),
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      at("extensions"),
      "-out",
      at(`${file}.crt`)
    )
  }
  const serve = (file: string) =>
    Effect.gen(function* () {
      for (const [index, { dataDirectory }] of lab.members.entries()) {
        const { gid, uid } = fs.statSync(dataDirectory)
        for (const [from, to] of [
          [`${file}.crt`, "tls.crt"],
          [`${file}.key`, "tls.key"],
          ["ours.crt", "tls.ca"]
        ] as const) {
          fs.copyFileSync(at(from), path.join(dataDirectory, to))
          fs.chmodSync(path.join(dataDirectory, to), 0o600)
          fs.chownSync(path.join(dataDirectory, to), uid, gid)
        }
        const set = ["ssl = on", "ssl_cert_file = 'tls.crt'", "ssl_key_file = 'tls.key'", "ssl_ca_file = 'tls.ca'"]
        yield* sql([...set.map((each) => `alter system set ${each}`), "select pg_reload_conf()"], index)
      }
    })

  it.live("is used and checked as each mode says, with certificates that are renewed meanwhile", () =>
    Effect.gen(function* () {
      fs.mkdirSync(folder)
      authority("ours")
      authority("theirs")
      certificate("named", "localhost", "DNS:localhost")
      certificate("numbered", "server", "IP:127.0.0.1")
      yield* Effect.addFinalizer(() =>
        Effect.forEach(
          lab.members,
          (_, index) => sql(["alter system set ssl = off", "select pg_reload_conf()"], index),
          { discard: true }
        )
      )
      yield* serve("named")
      const ca = at("ours.crt")
      yield* eventually(encrypted(tls("prefer")), ([ssl]) => ssl === true)
      for (const mode of ["disable", "allow"] as const) assert.deepStrictEqual(yield* encrypted(tls(mode)), [false])
      for (const settings of [tls("require"), tls("verify-ca", { ca }), labSettings()]) {
        assert.deepStrictEqual(yield* encrypted(settings), [true])
      }
      for (const mode of ["require", "verify-ca", "verify-full"] as const) {
        assert.include(
          (yield* errorOf(tls(mode, { ca: at("theirs.crt") }))).detail,
          "comes from nobody that tls.ca names"
        )
      }
      assert.include((yield* errorOf(tls("verify-full", { ca }))).detail, "not made out to this address")
      assert.include((yield* errorOf(tls("verify-full", { ca: at("nothing") }))).detail, "tls.ca cannot be read")
      const home = process.env["HOME"]
      yield* Effect.addFinalizer(() => Effect.sync(() => (process.env["HOME"] = home)))
      process.env["HOME"] = folder
      const served = (...lines: ReadonlyArray<string>) => {
        const { tls: _, ...rest } = labSettings()
        fs.writeFileSync(at("service"), ["[orders]", ...lines].join("\n"))
        return { ...rest, service: { name: "orders", file: at("service") } } as Settings
      }
      // A service that wants a check and names no authorities has those of the user's home, and is not left unchecked.
      for (const mode of ["verify-ca", "verify-full"])
        assert.include((yield* errorOf(served(`sslmode=${mode}`))).detail, ".postgresql/root.crt")
      fs.mkdirSync(at(".postgresql"))
      fs.copyFileSync(at("theirs.crt"), at(".postgresql/root.crt"))
      for (const mode of ["require", "verify-ca"])
        assert.include((yield* errorOf(served(`sslmode=${mode}`))).detail, "comes from nobody that tls.ca names")
      fs.copyFileSync(ca, at(".postgresql/root.crt"))
      assert.deepStrictEqual(yield* encrypted(served("sslmode=verify-ca")), [true])
      assert.include((yield* errorOf(served("sslmode=verify-full"))).detail, "not made out to this address")
      assert.include((yield* errorOf(served("sslrootcert=system"))).detail, "comes from nobody that tls.ca names")
      assert.include((yield* errorOf(served("sslmode=require", "sslrootcert=system"))).detail, "verify-full alone")
      assert.include((yield* errorOf(served("sslcert=client.crt"))).detail, "name both or none")
      // The certificate is made out to the host of a service, and its hostaddr is only where to connect.
      const services = (...parts: ReadonlyArray<string>) => {
        const { members = [], tls: _, ...rest } = labSettings()
        const of = members.map(({ address, name }) =>
          [`[${name}]`, `port=${String(address).split(":")[1]}`, "hostaddr=127.0.0.1", ...parts, ""].join("\n")
        )
        fs.writeFileSync(at("service"), ["[orders]", "sslmode=verify-full", ...of].join("\n"))
        const own = members.map((member) => {
          const { address: _, ...placed } = member
          return { ...placed, service: { name: member.name, file: at("service") } }
        })
        return { ...rest, members: own, service: { name: "orders", file: at("service") } } as unknown as Settings
      }
      assert.deepStrictEqual(yield* encrypted(services("host=localhost")), [true])
      assert.include((yield* errorOf(services("host=db.example.org"))).detail, "not made out to this address")
      assert.include((yield* errorOf(services())).detail, "only its hostaddr 127.0.0.1: name its host as well")
      assert.include((yield* errorOf(services("host=a,b"))).detail, "2 in host and 1 in hostaddr: name as many in each")
      // The file of authorities is read for each connection: what was wrong is mended without another target.
      const file = at("rotating.crt")
      fs.copyFileSync(at("theirs.crt"), file)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const target = yield* open(tls("verify-ca", { ca: file }))
          assert.isNull(yield* seen(target))
          fs.copyFileSync(ca, file)
          yield* healthy(target)
        })
      )
      yield* serve("numbered")
      yield* eventually(
        Effect.result(Effect.scoped(Effect.flatMap(open(tls("verify-full", { ca })), ({ discover }) => discover))),
        Result.isSuccess
      )
      // So may an address be, where it is what the server is called.
      assert.deepStrictEqual(yield* encrypted(services("host=127.0.0.1")), [true])
      assert.include((yield* errorOf(services("host=localhost"))).detail, "not made out to this address")

      yield* sql([
        "create role tls_wanted login password 'tls_wanted' in role pg_monitor",
        "create role by_certificate login in role pg_monitor"
      ])
      yield* admit(
        "hostssl all tls_wanted all scram-sha-256\nhost all tls_wanted all reject\nhostssl all by_certificate all cert\nhost all by_certificate all reject"
      )
      const refused = yield* errorOf(as("tls_wanted", { tls: { mode: "disable" } }))
      assert.include(refused.detail, "tls: { mode: require }")
      for (const mode of ["allow", "prefer", "require"] as const) {
        assert.deepStrictEqual(yield* encrypted(as("tls_wanted", { tls: { mode } })), [true])
      }
      const { password: _, ...bare } = labSettings()
      const own = { certificate: at("client.crt"), key: at("client.key") }
      certificate("client", "by_certificate", "DNS:client")
      assert.deepStrictEqual(
        yield* encrypted({ ...bare, user: "by_certificate", tls: { mode: "verify-full", ca, ...own } }),
        [true]
      )
      assert.include(
        (yield* errorOf({ ...bare, user: "by_certificate", tls: { mode: "require" } })).detail,
        "certificate"
      )
    })
  )
})
