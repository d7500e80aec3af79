/**
 * A folder of pages, such as a build of Service Fabric Explorer, served below `/Explorer/` as the reference's gateway
 * does it. The server reads the files once, when it starts. It never looks up the path of a request on a disk. A page
 * may load only files of the same folder, and may ask only this server.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as FileSystem from "node:fs/promises"
import * as Path from "node:path"

// --- models ---

/** The pages of one folder. */
export interface Pages {
  /** The answer to a request target below the prefix. */
  readonly answer: (method: string, target: string) => PageReply
}

/** A complete reply. The server leaves out the body of a HEAD. */
export interface PageReply {
  readonly status: 200 | 301 | 404 | 405
  readonly headers: ReadonlyArray<string>
  readonly body: Uint8Array | string
}

// --- errors ---

/** The folder cannot be served. */
export class PagesError extends Schema.TaggedError<PagesError>()("PagesError", {
  folder: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.folder}: ${this.problem}`
  }
}

// --- make ---

/** The path below which the server serves pages, in upper or lower case. */
export const prefix = "/Explorer"

/** The most files that a folder may have, and the most bytes in all of them. */
export const limits = { files: 5000, bytes: 256 * 1024 * 1024 } as const

/** True for a request target that belongs to the pages. */
export const isPage = (target: string): boolean => /^\/explorer(?:[/?#]|$)/i.test(pathOf(target))

/** Reads a folder with an `index.html`. It follows no links. The pages may fetch a token from `login`. */
export const load = Effect.fn("Pages.load")(function* (folder: string, login?: string) {
  const refuse = (problem: string) => new PagesError({ folder, problem })
  const files = yield* Effect.tryPromise({
    try: () => read(folder),
    catch: (error) => refuse(error instanceof Error ? error.message : String(error))
  })
  const index = files.get("index.html")
  if (index === undefined)
    return yield* refuse("there is no index.html in it; name the folder that a build has written")
  return make(files, policyOf(Buffer.from(index).toString(), login))
})

// --- internal ---

type Files = ReadonlyMap<string, Uint8Array>

const read = async (folder: string): Promise<Files> => {
  const files = new Map<string, Uint8Array>()
  let bytes = 0
  for (const entry of await FileSystem.readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const at = Path.join(entry.parentPath, entry.name)
    const content = await contentOf(at, limits.bytes - bytes)
    bytes += content?.length ?? Number.POSITIVE_INFINITY
    if (content === null || files.size >= limits.files || bytes > limits.bytes) {
      throw new Error(`it has more than ${limits.files} files or ${limits.bytes} bytes; name the folder of one build`)
    }
    files.set(Path.relative(folder, at).split(Path.sep).join("/"), content)
  }
  return files
}

// Null for a file with more than so many bytes, which is not read. What was a file a moment ago may be a link or a pipe now.
const contentOf = async (at: string, most: number): Promise<Uint8Array | null> => {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = FileSystem.constants
  const file = await FileSystem.open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw new Error(`${at} is no file any more`)
    return stat.size > most ? null : await file.readFile()
  } finally {
    await file.close()
  }
}

const types: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  gif: "image/gif",
  html: "text/html; charset=utf-8",
  ico: "image/x-icon",
  jpg: "image/jpeg",
  js: "text/javascript; charset=utf-8",
  json: "application/json; charset=utf-8",
  map: "application/json; charset=utf-8",
  mjs: "text/javascript; charset=utf-8",
  png: "image/png",
  svg: "image/svg+xml",
  ttf: "font/ttf",
  txt: "text/plain; charset=utf-8",
  webp: "image/webp",
  woff: "font/woff",
  woff2: "font/woff2",
  xml: "text/xml; charset=utf-8"
}

const make = (files: Files, policy: string): Pages => ({
  answer: (method, target) => {
    if (method !== "GET" && method !== "HEAD") return plain(405, "These pages are only read.", ["Allow", "GET, HEAD"])
    const name = nameOf(pathOf(target))
    if (name === null) return plain(301, "", ["Location", `${prefix}/`])
    const found = files.get(name)
    if (found === undefined) return plain(404, "There is no such page.")
    const type = types[/\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ""] ?? "application/octet-stream"
    return {
      status: 200,
      // A new build gives new names to all files but the first page. So a browser asks for the first page again each
      // time.
      headers: [...headersOf(type, policy), "Cache-Control", name === "index.html" ? "no-cache" : "max-age=3600"],
      body: found
    }
  }
})

const pathOf = (target: string): string =>
  (target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/?#]*/i, "")).replace(/[?#].*$/s, "")

// Null for the prefix without its slash: a page at that address could not find its own files. A badly escaped path
// becomes a name that no file has.
const nameOf = (path: string): string | null => {
  const rest = path.slice(prefix.length)
  if (rest === "") return null
  try {
    const name = decodeURIComponent(rest.slice(1))
    return name === "" ? "index.html" : name
  } catch {
    return ""
  }
}

const plain = (status: 301 | 404 | 405, text: string, more: ReadonlyArray<string> = []): PageReply => ({
  status,
  headers: [...headersOf(types["txt"]!, "default-src 'none'"), ...more],
  body: text
})

const headersOf = (type: string, policy: string): ReadonlyArray<string> => [
  "Content-Type",
  type,
  "X-Content-Type-Options",
  "nosniff",
  "Content-Security-Policy",
  policy,
  "Referrer-Policy",
  "no-referrer"
]

// The policy allows the inline text of the first page word by word. (The builder lets a handler switch its style sheet
// on.)
const policyOf = (index: string, login: string | undefined): string => {
  const scripts = [...index.matchAll(/<script(?![^>]*\bsrc=)[^>]*>(.*?)<\/script>/gis)].map(([, text]) => text!)
  const handlers = [...index.matchAll(/\son[a-z]+="([^"]*)"/gi)].map(([, text]) => text!)
  const hashes = [...new Set([...scripts, ...handlers])].map(
    (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`
  )
  const elsewhere = login === undefined || !URL.canParse(login) ? [] : [new URL(login).origin]
  const inline = handlers.length === 0 ? hashes : ["'unsafe-hashes'", ...hashes]
  return [
    "default-src 'self'",
    ["script-src 'self'", ...inline].join(" "),
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self' data:",
    ["connect-src 'self'", ...elsewhere].join(" "),
    ["frame-src 'self'", ...elsewhere].join(" "),
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'"
  ].join("; ")
}
