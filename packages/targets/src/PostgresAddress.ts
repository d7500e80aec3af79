/**
 * Where a PostgreSQL member takes connections: `host:port` with an IPv6 address in brackets, or the folder of its Unix
 * socket, with a port or without (5432). A member may have several addresses. They are tried in their order, as libpq
 * does.
 */
import * as Schema from "effect/Schema"
import * as MemberAddress from "./MemberAddress.ts"

/** One place to connect to. A `host` that begins with `/` is the folder of a Unix socket. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  /**
   * What the server is called where `host` is a number that stands for it, as libpq's `hostaddr` beside `host`: its
   * certificate and a password file are judged by this name. Empty where it has none.
   */
  readonly name?: string
}

/** PostgreSQL's own port. */
export const defaultPort = 5432

const One = Schema.String.check(
  Schema.isPattern(/^(([^:\s[\]/]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}|\/[^:\n]*(:\d{1,5})?)$/, {
    expected: "an address such as 127.0.0.1:5432, or the folder of a Unix socket such as /run/postgresql:5432"
  }),
  Schema.makeFilter(
    (address) => {
      const { port } = MemberAddress.split(withPort(address))
      return (port >= 1 && port <= 65_535) || "Expected a port from 1 to 65535"
    },
    { toJsonSchema: () => ({}) }
  )
)

/** The address of a member, or several. */
export const Address = Schema.Union([One, Schema.NonEmptyArray(One)]).annotate({
  expected: "an address such as 127.0.0.1:5432 or /run/postgresql:5432, or a list of such"
})
export type Address = typeof Address.Type

/** All addresses of a member, each with its port. */
export const all = (address: Address): readonly [string, ...ReadonlyArray<string>] => {
  const [first, ...rest] = typeof address === "string" ? ([address] as const) : address
  return [withPort(first), ...rest.map(withPort)]
}

/** The two parts of an address. */
export const endpoint = (address: string): Endpoint => MemberAddress.split(withPort(address))

/** An endpoint as a person writes it. */
export const print = ({ host, port }: Endpoint): string => `${host.includes(":") ? `[${host}]` : host}:${port}`

/** True for the folder of a Unix socket. */
export const isSocket = ({ host }: Endpoint): boolean => host.startsWith("/")

// --- internal ---

function withPort(address: string): string {
  return address.startsWith("/") && !/:\d{1,5}$/.test(address)
    ? `${address.replace(/(?<=.)\/+$/, "")}:${defaultPort}`
    : address
}
