/**
 * Which process a PostgreSQL member is: the one that `postmaster.pid` of its data directory names. Nobody but the
 * directory's user can have written that file. The process is believed only if everything agrees. It runs as that user
 * and is postgres. It works in that directory. It holds the socket that answers on the member's address. It is the
 * parent of the very process that answers us, so no server of another machine is taken for it.
 */
import type { Host } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"
import * as Container from "./Container.ts"
import * as ListeningProcess from "./ListeningProcess.ts"
import { type Located, unseen } from "./Located.ts"
import * as PostgresAddress from "./PostgresAddress.ts"

/** What is known of a member before its process is looked for. */
export interface Sought {
  /** The data directory as the server tells it; empty where our user may not see it. */
  readonly dataDirectory: string
  /** The data directory as the configuration tells it; empty where it names none. */
  readonly configured: string
  /** Where the member takes connections, the address that answered included. */
  readonly addresses: ReadonlyArray<string>
  /** The process number of the server's process that serves our connection. */
  readonly backend: number
  /** The address from which that process sees our connection come, `address:port`; empty over a Unix socket. */
  readonly client?: string
  /** The container that it runs in, where it runs in one. */
  readonly place?: Container.Place | null
}

/** Looks for the process on the host; bounded by `timeout` ms. */
export const locate = (host: Host, sought: Sought, timeout: number): Effect.Effect<Located> => {
  const directory = sought.dataDirectory === "" ? sought.configured : sought.dataDirectory
  const ends = sought.addresses.map(PostgresAddress.endpoint)
  const places = ends
    .filter((end) => !PostgresAddress.isSocket(end))
    .map((end) => ListeningProcess.placeInHex(PostgresAddress.print(end)))
  const sockets = ends.filter(PostgresAddress.isSocket).map((end) => `${end.host}/.s.PGSQL.${end.port}`)
  const words = [
    directory,
    sought.configured,
    String(sought.backend),
    sought.client ?? "",
    places.join("|"),
    ...sockets
  ]
  const { place = null } = sought
  return ListeningProcess.look(host, "postmaster", words, timeout, place).pipe(
    Effect.map((facts) => judge(host.label, sought, facts)),
    Effect.catch((error) =>
      Effect.succeed({
        process: null,
        ...(place === null ? unseen(error) : ListeningProcess.unseenIn(place, error))
      })
    )
  )
}

/** Judges what the host told. */
const judge = (host: string, sought: Sought, facts: ListeningProcess.Facts): Located => {
  const all = (name: string) => facts.flatMap(([word, ...words]) => (word === name ? [words] : []))
  const fact = (name: string): ReadonlyArray<string> | undefined => all(name)[0]
  const { place = null } = sought
  const container = place === null ? undefined : Container.found(place, facts)
  if (typeof container === "string") return problem(container)
  const ports = [...new Set(sought.addresses.map((address) => String(PostgresAddress.endpoint(address).port)))]
  if (sought.dataDirectory === "" && sought.configured === "") {
    return problem("the user may not see data_directory: grant it pg_read_all_settings, or configure dataDirectory")
  }
  const [word, owner, folderMode] = fact("directory") ?? []
  if (word === undefined) {
    return problem(
      place === null
        ? `${sought.dataDirectory || sought.configured} is not to be seen on host ${host}: our user may not look there (then run the worker as root or as the server's own user), or the server is ${Container.unnamed}, or it is elsewhere`
        : `${sought.dataDirectory || sought.configured} is no folder in ${place.called}`
    )
  }
  const directory = ListeningProcess.textOf(word)
  if (directory === undefined) {
    return problem("the data directory's name holds a line end or what is no text, which an order cannot carry")
  }
  const configured = ListeningProcess.textOf(fact("configured")?.[0])
  if (sought.configured !== "" && sought.dataDirectory !== "" && configured !== directory) {
    return problem(`the server's data directory is ${directory}, but ${sought.configured} is configured`)
  }
  const [pid, told, writer, fileMode] = fact("postmaster") ?? []
  if (pid === undefined) return problem(`${directory}/postmaster.pid cannot be read on host ${host}`)
  // A container's port may be published under another number.
  if (told === undefined || (place === null && !ports.includes(told))) {
    return problem(`the server in ${directory} listens on port ${told}, not ${ports.join(" or ")}`)
  }
  if (writer !== owner || isOpen(folderMode) || isOpen(fileMode)) {
    return problem(
      `others than its user could have written ${directory}/postmaster.pid: PostgreSQL wants mode 700 or 750`
    )
  }
  const words = fact("process")
  const server = words === undefined ? undefined : ListeningProcess.processOf(words, 0)
  if (server === undefined || server.executable === "") {
    return problem(`process ${pid} of ${directory} cannot be looked at, or is gone`)
  }
  const { executable, isOurs, startTime, user } = server
  if (!/\/(postgres|postmaster)$/.test(executable)) return problem(`process ${pid} runs ${executable}, not postgres`)
  if (!isOurs) return problem(`process ${pid} has a user namespace of its own`)
  if (user === null || String(user) !== owner) {
    return problem(`process ${pid} runs as user ${user ?? "unknown"}, but ${directory} belongs to user ${owner}`)
  }
  if (fact("stands") === undefined) return problem(`process ${pid} does not work in ${directory}`)
  const holds = (inode: string): boolean => all("holds").some(([holder, held]) => holder === pid && held === inode)
  // The backend's own socket is the other end of our connection, whatever proxy the connection came by.
  const answers =
    place === null
      ? sought.addresses.some((address) =>
          servingIn(all("listen"), all("apart"), address).some(({ inode }) => holds(inode))
        ) || fact("socket") !== undefined
      : fact("client") !== undefined && [...all("listen"), ...all("apart")].some(([, inode = ""]) => holds(inode))
  if (fact("backend")?.[0] !== pid || !answers) {
    return problem(`process ${pid} of ${directory} is not the server that answers on port ${told}`)
  }
  const ref = {
    host,
    pid: Number(pid),
    startTime,
    executable,
    dataDirectory: directory,
    ...(container === undefined ? {} : { container })
  }
  return { process: ref, problem: "" }
}

// --- internal ---

const problem = (text: string): Located => ({ process: null, problem: text })

// True where the group or everybody may write.
const isOpen = (mode: string | undefined): boolean => mode === undefined || (Number(mode) & 0o022) !== 0

// In a network namespace of its own, the server is known by its file, so it may listen there on all addresses. An
// address of loopback means another place there.
const servingIn = (
  here: ReadonlyArray<ReadonlyArray<string>>,
  apart: ReadonlyArray<ReadonlyArray<string>>,
  address: string
): ReadonlyArray<ListeningProcess.ListeningSocket> =>
  ListeningProcess.answering(
    [...here, ...(address.startsWith("127.") ? [] : apart)].map(ListeningProcess.socketOf),
    address
  )
