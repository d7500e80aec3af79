/**
 * The campaign's own eyes: again and again, by /proc or by the packet filter's own list, whether each member of a lab is
 * out. They know nothing of operations; what they saw is compared with the evidence afterwards. A member counts as out
 * from the first look that saw it so to the first that did not, so a busy machine can make a time longer, never hide one
 * that lasts longer than the gap between two looks, which is kept.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { promisify } from "node:util"
import type { World } from "../test/Harness.ts"

/** How to tell that a member is out, by the pid of its server. */
export type Eye = (pid: number) => boolean | Promise<boolean>

/**
 * One time that a member was seen out, in UTC milliseconds: `seen` is when the last look that saw it out began, and `until`
 * when the first that saw it in again had its answer. It came in between the two.
 */
export interface Out {
  readonly member: string
  readonly from: number
  readonly seen: number
  readonly until: number | null
}

/** An observer that looks until it is ended. */
export interface Observer {
  readonly outs: () => ReadonlyArray<Out>
  /** The longest time between two looks: nothing shorter can be told from these figures. */
  readonly longestGap: () => number
  readonly end: () => Promise<void>
}

/**
 * Sees a member whose main process is stopped. It is stopped first and let go first; whether its children were too is the
 * keepers' own check.
 */
export const stopped: Eye = (pid) => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const state = stat[stat.lastIndexOf(")") + 2]
    return state === "T" || state === "t"
  } catch {
    return false
  }
}

/** Sees a member in whose network namespace a set of ours has an element: the kernel lists those that still count. */
export const cutOff: Eye = async (pid) => {
  const inside = [`--net=/proc/${pid}/ns/net`, "nft", "list", "ruleset"]
  const { stdout } = await run("nsenter", inside).catch(() => ({ stdout: "" }))
  return /table \S+ inq_/.test(stdout) && /elements = \{/.test(stdout)
}

/** Looks at the members of a lab from now on. */
export const watch = ({ lab }: World, eye: Eye): Observer => {
  type Writable<A> = { -readonly [Key in keyof A]: A[Key] }
  const outs: Array<Writable<Out>> = []
  const open = new Map<string, Writable<Out>>()
  const going = { on: true }
  let last = Date.now()
  let longestGap = 0
  const look = async (): Promise<void> => {
    for (const { name, pid } of lab.members) {
      const asked = Date.now()
      const out = await eye(pid)
      const now = Date.now()
      const known = open.get(name)
      if (out && known === undefined) {
        const began = { member: name, from: now, seen: asked, until: null }
        outs.push(began)
        open.set(name, began)
      } else if (out && known !== undefined) {
        known.seen = asked
      } else if (!out && known !== undefined) {
        known.until = now
        open.delete(name)
      }
    }
    const now = Date.now()
    longestGap = Math.max(longestGap, now - last)
    last = now
  }
  const looking = (async () => {
    while (going.on) {
      await look()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  return {
    outs: () => outs,
    longestGap: () => longestGap,
    end: () => {
      going.on = false
      return looking
    }
  }
}

// --- internal ---

const run = promisify(execFile)
