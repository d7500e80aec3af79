/**
 * The defence against web pages. A start is a POST without a body, which any page could send. So a request is taken
 * only if its `Host` is ours (against DNS rebinding), its `Origin`, if there is one, is ours, and the browser does not
 * call it cross-site. Pure. Every surface asks the defences first.
 */

/**
 * The headers that the defences look at, as Node gives them: names in lower case, and the first of a repeated header.
 */
export interface DefendedHeaders {
  readonly host?: string | undefined
  readonly origin?: string | undefined
  readonly "sec-fetch-site"?: string | ReadonlyArray<string> | undefined
}

/** The check of one server: the sentence that says why it refuses a request, or `undefined` if it takes it. */
export type Defences = (headers: DefendedHeaders) => string | undefined

/**
 * The defences of a server on `port`. `names` are further host names of ours: `db-tools.example`, or with a port
 * `db-tools.example:8443`. A name without a port is taken with any port, because a proxy may listen on another one.
 */
export const make = (options: {
  readonly port: number
  readonly names: ReadonlyArray<string>
  /** Whole origins, such as `http://localhost:4200`. Their pages may ask although they come from another server. */
  readonly origins?: ReadonlyArray<string>
}): Defences => {
  const exact = new Set<string>()
  const anyPort = new Set<string>()
  for (const name of loopbackNames) {
    exact.add(`${name}:${options.port}`)
    if (options.port === 80 || options.port === 443) exact.add(name)
  }
  for (const name of options.names) (hasPort(name) ? exact : anyPort).add(name.toLowerCase())
  const ours = (authority: string): boolean => {
    const lower = authority.toLowerCase()
    return exact.has(lower) || anyPort.has(lower.replace(/:[0-9]+$/, ""))
  }
  const origins = new Set((options.origins ?? []).map((origin) => origin.toLowerCase()))
  return (headers) => {
    const { host, origin } = headers
    if (host === undefined || !ours(host)) {
      return `The Host ${shown(host)} is not one of this server's names. ${remedy("security.names")}`
    }
    if (origin !== undefined) {
      if (origins.has(origin.toLowerCase())) return undefined
      const match = /^https?:\/\/([^/]+)$/i.exec(origin)
      if (match === null || !ours(match[1]!)) {
        return `Requests from the origin ${shown(origin)} are not taken. ${remedy("security.origins")}`
      }
    }
    const site = headers["sec-fetch-site"]
    if (site !== undefined && site !== "none" && site !== "same-origin") {
      return `Requests that a page of another site sends are not taken (Sec-Fetch-Site). ${remedy("security.origins")}`
    }
    return undefined
  }
}

/** The defences of a server with nothing real behind it: any name and any page may ask. */
export const none: Defences = () => undefined

// --- internal ---

const remedy = (key: string): string =>
  `Add it to ${key} in the worker's configuration; an emulator takes every name with --any-host.`

const loopbackNames = ["127.0.0.1", "localhost", "[::1]"]

const hasPort = (name: string): boolean => /:[0-9]+$/.test(name) && !/^\[[^\]]*$/.test(name)

const shown = (value: string | undefined): string =>
  value === undefined ? "(none)" : value.length > 200 ? `${value.slice(0, 200)}…` : value
