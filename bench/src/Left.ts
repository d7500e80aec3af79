/**
 * What an operation left on this machine, seen from outside as well as by its own record: members that stand still or are
 * traced, processes of ours, and tables of the packet filter.
 */
import type { OperationDetail } from "@inquorate/core/Operations"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as BareGroup from "./BareGroup.ts"
import * as Front from "./Front.ts"

/** What an operation that has ended left behind, in words; none where it left nothing. */
export const by = ({ evidence, operation }: OperationDetail, lab: LabRecord): ReadonlyArray<string> => [
  ...evidence.fences
    .filter(({ armedAt, liftedBy }) => armedAt !== undefined && liftedBy === null)
    .map(({ host, member }) => `the fence of ${member} on ${host} is not on record as off`),
  ...(operation.stage._tag === "Failed" && operation.stage.residue._tag !== "None"
    ? ["the operation says that something may stand"]
    : []),
  ...lab.members
    .filter(({ name }) => BareGroup.processesOf(lab, [name]).some(isPaused))
    .map(({ name }) => `${name} is paused`)
]

/** What is left of these operations in the end, once their keepers had half a minute to go. */
export const inTheEnd = async (ids: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  for (const until = Date.now() + 30_000; keepersOf(ids).length > 0 && Date.now() < until;) await Front.pause(50)
  return [
    ...keepersOf(ids).map((pid) => `process ${pid} is a keeper still`),
    ...tables().filter((table) => ids.some((id) => table.includes(`inq_${id.replaceAll("-", "")}_`)))
  ]
}

// --- internal ---

const isPaused = (pid: number): boolean => {
  const status = read(`/proc/${pid}/status`)
  return /^State:\s+[tT]/m.test(status) || /^TracerPid:\s+[1-9]/m.test(status)
}

/** The keepers and holders of these operations, whose command lines name them. */
const keepersOf = (ids: ReadonlyArray<string>): ReadonlyArray<number> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const command = read(`/proc/${name}/cmdline`)
      return command.includes("inquorate-") && ids.some((id) => command.includes(id))
    })
    .map(Number)

const tables = (): ReadonlyArray<string> => {
  const { status, stdout } = spawnSync("nft", ["list", "tables"], { encoding: "utf8" })
  return status === 0 ? stdout.trim().split("\n") : []
}

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    // The process ended, or is another user's.
    return ""
  }
}
