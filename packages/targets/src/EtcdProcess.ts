/**
 * Which process an etcd member is: the one that listens on its address on its host, believed only if its executable is
 * etcd, it has the database of one data directory open (the configured one, where one is configured), and it began when
 * the member itself says it did, so that no server of another machine is taken for it.
 */
import type { ProcessRef } from "@inquorate/core/Topology"
import type { Listener, Listening } from "./ListeningProcess.ts"

/** The file that every etcd keeps open below its data directory. */
export const database = "member/snap/db"

/** The process, or in words for a person why it was not found or not believed. */
export type Located =
  | { readonly process: ProcessRef; readonly problem: "" }
  | { readonly process: null; readonly problem: string }

/** A process that is the member's unless it began at another time than the member says. */
export interface Candidate {
  readonly process: ProcessRef
  /** Seconds since 1970 by the host's clock, good to a second. */
  readonly began: number
}

/** The process that a host shows for a member's address, or why there is none. `configured` is empty where nothing is. */
export const candidate = (
  host: string,
  { address, configured }: { readonly address: string; readonly configured: string },
  listening: Listening
): Candidate | string => {
  const { hidden, listeners } = listening.on(address)
  if (listeners.length === 0) {
    return hidden
      ? `our user on host ${host} may not see which process listens on ${address}: run as root or as etcd's own user`
      : `nothing listens on ${address} on host ${host}: is the server in a container, or elsewhere?`
  }
  const expected = configured === "" ? "" : listening.resolved(configured)
  const judged = listeners.map((listener) => judge(host, address, listener, expected))
  const believed = judged.filter((one) => typeof one !== "string")
  if (believed.length > 1) {
    const pids = believed.map(({ process }) => process.pid).join(" and ")
    return `processes ${pids} both serve ${address}: configure the member's data directory`
  }
  return believed[0] ?? judged[0]!
}

/** True where the member's own word of when it began, in seconds since 1970, fits the process. */
export const fits = ({ began }: Candidate, word: number): boolean => Math.abs(began - word) <= grain

// --- internal ---

/** Both times stand on the host's moment of boot, which is rounded to a second each time it is read. */
const grain = 2

const judge = (
  host: string,
  address: string,
  { began, directories, executable, pid, startTime }: Listener,
  expected: string
): Candidate | string => {
  if (executable === "") return `process ${pid}, which listens on ${address}, cannot be looked at, or is gone`
  if (!/\/etcd( \(deleted\))?$/.test(executable)) {
    return `process ${pid}, which listens on ${address}, runs ${executable}, not etcd`
  }
  const [dataDirectory, other] = directories
  if (dataDirectory === undefined) return `process ${pid} has no ${database} open: is it an etcd proxy?`
  if (other !== undefined) return `process ${pid} has the databases of ${directories.join(" and ")} open`
  if (expected !== "" && dataDirectory !== expected) {
    return `the server's data directory is ${dataDirectory}, but ${expected} is configured`
  }
  return { process: { host, pid, startTime, executable, dataDirectory }, began }
}
