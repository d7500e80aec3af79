/**
 * One run of the campaign: an operation of random length on a lab, one blow at a random moment of it, and what was seen
 * from outside until everything was whole again. Nothing is asserted here; `broken` names every promise that this run
 * saw broken, and a campaign that has any has failed.
 */
import type { OperationDetail } from "@inquorate/core/Operations"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as Harness from "../test/Harness.ts"
import * as Observer from "./Observer.ts"
import * as Writer from "./Writer.ts"

// --- models ---

/**
 * What is done to us. `owner` and `both` are killed, `freeze` stops the owner for longer than its lease, `keeper` kills
 * one keeper of each fence, `holder` what traces the members, `keepers` all of these, `everything` the workers too;
 * `store` stops the workers' store for a while.
 */
export const blows = ["none", "owner", "both", "freeze", "keeper", "holder", "keepers", "everything", "store"] as const
/** What is done to us. */
export type Blow = (typeof blows)[number]

/** What ends a fence without us. */
export type Grade = "Kernel" | "Keeper"

/** What one run is about. */
export interface Plan {
  readonly system: string
  readonly grade: Grade
  readonly blow: Blow
  /** Milliseconds. */
  readonly hold: number
  /** Milliseconds after the start was accepted. */
  readonly after: number
  /** Which of the workers is asked to start the operation. */
  readonly asks: number
}

/** What one run saw. Times are milliseconds; null where there was nothing to see. */
export interface Seen extends Plan {
  readonly id: string
  readonly state: string
  /** Why it ended Faulted, in the words that a person reads; null where it did not. */
  readonly failure: string | null
  /** How long after its tightest stored deadline a member was first seen in again: the most that it can have been out. */
  readonly overrun: number | null
  /** How long after that deadline the last look that saw a member out began: it was out for so long at least. */
  readonly overrunSeen: number | null
  /** True where a member was seen stopped past its deadline and the grace of 2 s. */
  readonly leaked: boolean
  /** True where every keeper of the fence was killed while it stood, so that nothing but a sweep was left to end it. */
  readonly unkept: boolean
  readonly takeover: number | null
  /** From the last member let go to the first acknowledged write. */
  readonly recovery: number | null
  readonly gap: number
  readonly broken: ReadonlyArray<string>
}

/** The workers of a lane, which a run may kill and starts again. */
export interface Workers {
  readonly all: Map<string, Harness.Worker>
  readonly start: (name: string) => Promise<Harness.Worker>
  /** Stops the store until the returned function is called. */
  readonly stopStore: () => () => void
}

/** The longest that a fence may stand past its deadline. */
const grace = 2000

// --- make ---

/** Carries one run out, and leaves lab and workers whole. */
export const carryOut = async (
  world: Harness.World,
  workers: Workers,
  partition: string,
  plan: Plan,
  eye: Observer.Eye
): Promise<Seen> => {
  const writer = await Writer.start(world)
  const observer = Observer.watch(world, eye)
  const broken: Array<string> = []
  const id = randomUUID()
  try {
    await start(workers, world, partition, id, plan)
    await pause(plan.after)
    const struck = await strike(world, workers, id, plan)
    await settle(world, workers, id, struck, broken, eye)
    const told = await Harness.detail([...workers.all.values()][0]!, id)
    await Harness.until("writes to be acknowledged again", 60_000, () => Harness.writeCommits(world, 1000))
    // A thawed worker has the time to do harm before the observer closes its eyes.
    await pause(plan.blow === "freeze" ? 1500 : 200)
    const lost = await writer.lost()
    if (lost > 0) broken.push(`${lost} acknowledged writes are lost`)
    await observer.end()
    return judge(plan, told, struck, observer, writer, broken)
  } finally {
    await observer.end()
  }
}

// --- internal ---

interface Struck {
  readonly at: number
  readonly owner: string | null
  /** True where all keepers were killed while a member was stopped. */
  readonly unkept: boolean
  /** Puts right what is still wrong on purpose. */
  readonly mend: () => void
}

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

const start = async (
  workers: Workers,
  world: Harness.World,
  partition: string,
  id: string,
  { asks, hold }: Plan
): Promise<void> => {
  const all = [...workers.all.values()]
  const worker = all[asks % all.length]!
  // A guard may say no for a moment after a blow, while a member is still coming back or a busy host answers late.
  let refused = ""
  for (let attempt = 0; attempt < 5; attempt++) {
    const response = await fetch(`${worker.endpoint}/v1/operations/${id}`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        serviceName: `fabric:/${world.lab.name}/${Harness.groupOf(world)}`,
        partitionId: partition,
        mode: "QuorumReplicas",
        hold
      })
    })
    if (response.ok) return
    refused = `${response.status} ${await response.text()}`
    await pause(1000)
  }
  throw new Error(`the start was refused: ${refused}`)
}

const ownerOf = async (workers: Workers, id: string): Promise<string | null> => {
  const told = await Harness.detail([...workers.all.values()][0]!, id)
  return told.evidence.owners.at(-1)?.worker ?? null
}

const strike = async (world: Harness.World, workers: Workers, id: string, { blow }: Plan): Promise<Struck> => {
  const owner = await ownerOf(workers, id)
  const struck = (more: Partial<Struck> = {}): Struck => ({
    at: Date.now(),
    owner,
    unkept: false,
    mend: () => undefined,
    ...more
  })
  const kill = (names: Iterable<string>) => {
    for (const name of [...names]) {
      workers.all.get(name)?.kill("SIGKILL")
      workers.all.delete(name)
    }
  }
  switch (blow) {
    case "none":
      return struck()
    case "owner":
      kill(owner === null ? [] : [owner])
      return struck()
    case "both":
      kill(workers.all.keys())
      return struck()
    case "freeze": {
      const frozen = owner === null ? undefined : workers.all.get(owner)
      if (owner !== null) workers.all.delete(owner)
      frozen?.kill("SIGSTOP")
      return struck({
        mend: () => {
          if (frozen === undefined) return
          frozen.kill("SIGCONT")
          workers.all.set(owner!, frozen)
        }
      })
    }
    case "keeper":
      killAll(firstOfEach(Harness.keepers(world).filter((pid) => !isHolder(pid))))
      return struck()
    case "holder":
      killAll(Harness.keepers(world).filter(isHolder))
      return struck()
    case "keepers":
      return struck({ unkept: killKeepers(world) })
    case "everything": {
      kill(workers.all.keys())
      return struck({ unkept: killKeepers(world) })
    }
    case "store":
      return struck({ mend: workers.stopStore() })
  }
}

const killAll = (pids: ReadonlyArray<number>): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It ended while we looked.
    }
  }
}

// Keepers come in pairs, one started right after the other: every second one is one of each.
const firstOfEach = (pids: ReadonlyArray<number>): ReadonlyArray<number> => pids.filter((_, index) => index % 2 === 0)

const isHolder = (pid: number): boolean => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("perl")
  } catch {
    return false
  }
}

const killKeepers = (world: Harness.World): boolean => {
  // Whoever is killed may just be starting the next one, so it is looked until a look finds nobody.
  let found = false
  for (let pids = Harness.hostPrograms(world); pids.length > 0; pids = Harness.hostPrograms(world)) {
    found = true
    killAll(pids)
  }
  return found && !Harness.nothingStopped(world)
}

const settle = async (
  world: Harness.World,
  workers: Workers,
  id: string,
  struck: Struck,
  broken: Array<string>,
  eye: Observer.Eye
): Promise<void> => {
  // What was stopped goes on only when its lease is over and another has taken over; what was killed is started again.
  await pause(4000)
  struck.mend()
  for (const name of ["one", "two"]) if (!workers.all.has(name)) workers.all.set(name, await workers.start(name))
  const worker = [...workers.all.values()][0]!
  await Harness.until(`the end of ${id}`, 90_000, async () => {
    try {
      const { State } = await Harness.progress(worker, id)
      return State !== "Running" && State !== "RollingBack"
    } catch (error) {
      if (/KEY_NOT_FOUND/.test(String(error))) {
        broken.push("an accepted operation is lost")
        return true
      }
      return false
    }
  })
  await Harness.until("every member to be in", 60_000, async () => {
    const out = await Promise.all(world.lab.members.map(({ pid }) => eye(pid)))
    return out.every((one) => !one) && Harness.nothingStopped(world)
  })
  await Harness.until("every keeper to end", 60_000, () => Harness.keepers(world).length === 0)
}

const judge = (
  plan: Plan,
  told: OperationDetail,
  struck: Struck,
  observer: Observer.Observer,
  writer: Writer.Writer,
  broken: Array<string>
): Seen => {
  const { evidence } = told
  const stops = observer.outs()
  const attempts = new Set(evidence.fences.map(({ attempt }) => attempt)).size
  for (const { name } of told.evidence.topology?.members ?? []) {
    const times = stops.filter(({ member }) => member === name).length
    if (times > attempts) broken.push(`${name} was taken out ${times} times by ${attempts} attempts`)
  }
  const overruns = stops.flatMap(({ from, member, seen, until }) => {
    const fence = evidence.fences.find((one) => one.member === member && one.deadline > from)
    if (fence === undefined) {
      broken.push(`${member} was taken out by no order on record`)
      return []
    }
    const past = (at: number): number => Math.max(0, at - fence.deadline)
    return [{ least: past(seen), most: past(until ?? Date.now()) }]
  })
  const longest = (which: "least" | "most"): number | null =>
    overruns.length === 0 ? null : Math.max(...overruns.map((one) => one[which]))
  const overrunSeen = longest("least")
  const leaked = overrunSeen !== null && overrunSeen > grace
  // Only where both keepers are dead and the kernel has no part in it may a fence wait for the sweep.
  const excused = plan.grade === "Keeper" && struck.unkept
  if (leaked && !excused) broken.push(`a member was seen out ${overrunSeen} ms past its deadline`)
  const freed = Math.max(0, ...stops.map(({ until }) => until ?? 0))
  const first = writer.acknowledged().find((at) => at >= freed)
  const next = evidence.owners.find(({ at, worker }) => at > struck.at && worker !== struck.owner)
  const takes = ["owner", "freeze"].includes(plan.blow) && struck.owner !== null
  return {
    ...plan,
    id: told.operation.id,
    state: told.state,
    failure: told.state === "Faulted" ? (told.summary ?? null) : null,
    overrun: longest("most"),
    overrunSeen,
    leaked,
    unkept: struck.unkept,
    takeover: takes && next !== undefined ? next.at - struck.at : null,
    recovery: freed > 0 && first !== undefined ? first - freed : null,
    gap: observer.longestGap(),
    broken
  }
}
