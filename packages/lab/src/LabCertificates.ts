/**
 * Certificates for a lab whose servers speak TLS, made by the machine's openssl: an authority of the lab's own, one
 * certificate for all its servers, and one for whoever speaks to them. The key of the authority is removed when the
 * call ends.
 */
import type * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { attempt } from "./LabStart.ts"
import type { LabError, LabSite } from "./LabModule.ts"

/** The files of one side, PEM each. */
export interface CertificateFiles {
  readonly ca: string
  readonly certificate: string
  readonly key: string
}

/** The two sides. */
export interface LabCertificates {
  /** Readable by the identity that the servers run under. */
  readonly server: CertificateFiles
  /** Readable by whoever made the lab. */
  readonly client: CertificateFiles
}

/** Makes the certificates of a lab for servers at these addresses (numbers). `client` is the client's common name. */
export const make = (
  site: LabSite,
  addresses: ReadonlyArray<string>,
  client: string
): Effect.Effect<LabCertificates, LabError> =>
  attempt(site, () => {
    const forServers = path.join(site.folder, "tls")
    const forClients = path.join(site.directory, "tls")
    for (const folder of [forServers, forClients]) fs.mkdirSync(folder, { mode: 0o755, recursive: true })
    const caKey = path.join(forClients, "ca.key")
    const ca = path.join(forClients, "ca.pem")
    const names = [...new Set(["127.0.0.1", ...addresses])].map((address) => `IP:${address}`)
    try {
      openssl(["req", "-x509", ...newKey(caKey), "-days", validDays, "-subj", "/CN=inquorate lab", "-out", ca])
      const server = signed(forServers, "server", site.name, { ca, caKey }, [
        `subjectAltName=DNS:localhost,${names.join(",")}`,
        "extendedKeyUsage=serverAuth,clientAuth"
      ])
      const own = signed(forClients, "client", client, { ca, caKey }, ["extendedKeyUsage=clientAuth"])
      const beside = path.join(forServers, "ca.pem")
      fs.copyFileSync(ca, beside)
      if (site.runAs !== null) {
        for (const file of [forServers, beside, server.certificate, server.key]) {
          fs.chownSync(file, site.runAs.uid, site.runAs.gid)
        }
      }
      return { server: { ...server, ca: beside }, client: { ...own, ca } }
    } finally {
      fs.rmSync(caKey, { force: true })
    }
  })

// --- internal ---

const validDays = "30"

const serial = (): string => `0x${crypto.randomBytes(8).toString("hex")}`

const newKey = (file: string): ReadonlyArray<string> => [
  ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
  ...["-keyout", file]
]

const signed = (
  folder: string,
  name: string,
  commonName: string,
  { ca, caKey }: { readonly ca: string; readonly caKey: string },
  extensions: ReadonlyArray<string>
): Omit<CertificateFiles, "ca"> => {
  const [certificate, key, request, file] = ["pem", "key", "csr", "ext"].map((end) =>
    path.join(folder, `${name}.${end}`)
  )
  fs.writeFileSync(file!, `${extensions.join("\n")}\n`)
  openssl(["req", "-new", ...newKey(key!), "-subj", `/CN=${commonName}`, "-out", request!])
  openssl([
    ...["x509", "-req", "-in", request!, "-CA", ca, "-CAkey", caKey, "-set_serial", serial()],
    ...["-days", validDays, "-extfile", file!, "-out", certificate!]
  ])
  for (const left of [request!, file!]) fs.rmSync(left)
  return { certificate: certificate!, key: key! }
}

const openssl = (words: ReadonlyArray<string>): void => {
  const { error, status, stderr } = childProcess.spawnSync("openssl", words, { encoding: "utf8" })
  if (error !== undefined) throw new Error(`A lab with TLS needs openssl (apt-get install openssl): ${error.message}.`)
  if (status !== 0) throw new Error(`openssl ${words[0]} failed: ${stderr.trim().slice(-300)}`)
}
