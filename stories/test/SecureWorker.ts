/**
 * What the stories of a worker that knows its callers are told with: a real PostgreSQL group, the bundled worker over
 * TLS, `inq`, and certificates and tokens that are made for the run.
 */
import * as Certificates from "@inquorate/testkit/Certificates"
import { generateKeyPairSync, sign } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, beforeAll } from "vitest"
import * as Harness from "./Harness.ts"

export const past = Date.now() - 5 * 86_400_000
const issuer = "https://login.example/"
const audience = "inquorate"
const clients = Certificates.make({ name: "clients", authority: true })
export const servers = Certificates.make({ name: "servers", authority: true })
export const alternatives = ["127.0.0.1", "localhost"]
const signing = generateKeyPairSync("ec", { namedCurve: "prime256v1" })

export let world: Harness.World
export let worker: Harness.Worker
export let config: string
const files = new Map<string, string>()

export const write = (name: string, text: string): string => {
  const file = path.join(world.folder, name)
  fs.writeFileSync(file, text, { mode: 0o600 })
  files.set(name, file)
  return file
}
export const file = (name: string): string => files.get(name)!

export const writePair = (name: string, made: Certificates.Made): Certificates.Made => {
  write(`${name}.crt`, made.certificate)
  write(`${name}.key`, made.key)
  return made
}

/** A token as an issuer makes one, signed by hand. */
export const tokenOf = (claims: Readonly<Record<string, unknown>>): string => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const exp = Math.floor(Date.now() / 1000) + 600
  const text = `${part({ alg: "ES256", typ: "JWT" })}.${part({ iss: issuer, aud: audience, exp, ...claims })}`
  const signature = sign("sha256", Buffer.from(text), { key: signing.privateKey, dsaEncoding: "ieee-p1363" })
  return `${text}.${signature.toString("base64url")}`
}

export const security = () => ({
  tls: { certificate: file("worker.crt"), key: file("worker.key") },
  certificates: {
    ca: file("clients.crt"),
    admins: { subjects: [{ name: "admin", issuers: [clients.thumbprint] }] },
    users: { subjects: [{ name: "user" }] }
  },
  tokens: { keys: file("issuer.pem"), issuer, audience }
})

export const as = (name: string): ReadonlyArray<string> => ["--cert", file(`${name}.crt`), "--key", file(`${name}.key`)]
export const inq = (...arguments_: ReadonlyArray<string>): Promise<Harness.Ran> =>
  Harness.inq(...arguments_, "--endpoint", worker.endpoint, "--ca", file("servers.crt"))

export const startAs = (...who: ReadonlyArray<string>) => inq("start", "vault", "--duration", "1s", "--watch", ...who)

/** Starts the lab and the worker before the stories of a file, and ends them after. */
export const onOneLab = (): void => {
  beforeAll(async () => {
    world = await Harness.open("postgres", "vault")
    write("clients.crt", clients.certificate)
    write("servers.crt", servers.certificate)
    write("issuer.pem", signing.publicKey.export({ type: "spki", format: "pem" }).toString())
    writePair("worker", Certificates.make({ name: "worker", issuer: servers, alternatives }))
    writePair("admin", Certificates.make({ name: "admin", issuer: clients }))
    writePair("user", Certificates.make({ name: "user", issuer: clients }))
    writePair("stranger", Certificates.make({ name: "stranger", issuer: clients }))
    writePair("expired", Certificates.make({ name: "admin", issuer: clients, validFrom: past, validTo: past + 60_000 }))
    config = Harness.writeConfig(world, "secure.yaml", {
      security: security(),
      clusters: { vault: world.lab.configuration }
    })
    worker = await Harness.startWorker(world, "secure.db", { config })
  }, Harness.within(120_000))

  afterAll(() => Harness.close(world), Harness.within(60_000))
}
