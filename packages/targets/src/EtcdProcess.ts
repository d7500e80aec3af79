/**
 * Which process an etcd member is. It holds the socket that listens on the member's address, and it has the database of
 * one data directory open for writing, compared by device and inode. Where a data directory is configured, it must be
 * that one. Nobody can hold open a file that he may not open. The process is believed only if its program is called
 * etcd, it runs as the database's user, and it began when the member itself says it did: so no server of another
 * machine is taken for it. What the process was told (flags, environment, a file) proves nothing, so nobody has to know
 * it.
 */
import type { ContainerRef, ProcessRef } from "@inquorate/core/Topology"
import * as Container from "./Container.ts"
import type { HeldFile, Listener, Listening } from "./ListeningProcess.ts"

/** The file that every etcd keeps open for writing below its data directory. */
export const database = "member/snap/db"

/** A process that is the member's, unless the member says that it began at another time. */
export interface Candidate {
  readonly process: ProcessRef
  /** Seconds since 1970 by the host's clock, good to a second. */
  readonly began: number
}

/**
 * The process that a host shows for a member's address, or why there is none. Where the member is said to run in a
 * container, only that container is looked at. `configured` is the configured data directory; empty where there is
 * none.
 */
export const candidate = (
  host: string,
  { address, configured }: { readonly address: string; readonly configured: string },
  listening: Listening,
  container?: ContainerRef
): Candidate | string => {
  const { hidden, listeners } = listening.on(address)
  if (listeners.length === 0) {
    if (container !== undefined)
      return `no process of container ${Container.shown(container)} on host ${host} listens anywhere`
    return hidden
      ? `our user on host ${host} may not see which process listens on ${address}: run as root or as etcd's own user`
      : `nothing listens on ${address} on host ${host}: is the server ${Container.unnamed}, or elsewhere?`
  }
  const expected = configured === "" ? "" : listening.resolved(configured)
  const judged = listeners.map((listener) => judge(host, address, listener, expected))
  const believed = mains(judged.filter((one) => typeof one !== "string"))
  if (believed.length > 1) {
    const pids = believed.map(({ listener }) => listener.pid).join(" and ")
    return `processes ${pids} both serve ${address}: configure the member's data directory`
  }
  const problem = judged.find((one) => typeof one === "string")
  const [one] = believed
  if (one !== undefined && container !== undefined) {
    return { ...one.candidate, process: { ...one.candidate.process, container } }
  }
  return one?.candidate ?? problem ?? `no process of host ${host} serves ${address}`
}

/** True where the process began when the member says it did; `word` is in seconds since 1970. */
export const fits = ({ began }: Candidate, word: number): boolean => Math.abs(began - word) <= grain

// --- internal ---

/** Both times are reckoned from the host's moment of boot, which is rounded to a second each time it is read. */
const grain = 2

interface Believed {
  readonly candidate: Candidate
  readonly listener: Listener
  readonly file: HeldFile
}

const judge = (host: string, address: string, listener: Listener, expected: string): Believed | string => {
  const { began, executable, files, isBeyond, isHeir, isOurs, pid, startTime, user } = listener
  if (!isOurs) return `process ${pid}, which listens on ${address}, has a user namespace of its own`
  if (isHeir) return `process ${pid} listens on ${address} by a socket that another user made`
  if (executable === "") return `process ${pid}, which listens on ${address}, cannot be looked at, or is gone`
  if (!executable.endsWith("/etcd")) {
    return `process ${pid}, which listens on ${address}, runs ${executable}, not etcd`
  }
  const [file, other] = files
  if (file === undefined) {
    return isBeyond
      ? `process ${pid} has a ${database} open that host ${host} does not have under a name of its own: is the server ${Container.unnamed}?`
      : `process ${pid} has no ${database} open for writing: is it an etcd proxy?`
  }
  if (other !== undefined) {
    return `process ${pid} has the databases of ${files.map(({ folder }) => folder).join(" and ")} open`
  }
  const dataDirectory = file.folder
  if (expected !== "" && dataDirectory !== expected) {
    return `the server's data directory is ${dataDirectory}, but ${expected} is configured`
  }
  if (user === null || (user !== file.owner && user !== 0 && file.owner !== 0)) {
    return `process ${pid} runs as user ${user ?? "unknown"}, but the database in ${dataDirectory} belongs to user ${file.owner}`
  }
  const process = { host, pid, startTime, executable, dataDirectory }
  return { candidate: { process, began }, listener, file }
}

// Of several processes that share a database (a server and what it forked share its descriptors), the one that holds
// its lock counts. Where none holds it, the one that the others come from counts.
const mains = (believed: ReadonlyArray<Believed>): ReadonlyArray<Believed> =>
  believed.filter(({ file, listener }) => {
    const sharers = believed.filter((other) => other.file.device === file.device && other.file.inode === file.inode)
    if (sharers.some((other) => other.listener.pid === file.lockedBy)) return listener.pid === file.lockedBy
    return !sharers.some((other) => other.listener.pid === listener.parent)
  })
