/**
 * A lane of the campaign: one lab to break, one PostgreSQL to store in, two workers on it, and one run after the other.
 * What is random comes from the seed, so that the same command strikes in the same order; what the machine makes of it
 * is its own.
 */
import * as Seed from "@inquorate/testkit/Seed"
import * as Lab from "@inquorate/lab/Lab"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Harness from "../test/Harness.ts"
import { cutOff, stopped } from "./Observer.ts"
import { type Blow, blows, carryOut, type Grade, type Plan, type Seen, type Workers } from "./Run.ts"

/** What lanes there are: a system, or one in network namespaces whose members the packet filter cuts off. */
export const lanes = ["postgres", "etcd", "namespaces"] as const
/** The name of a lane. */
export type LaneName = (typeof lanes)[number]

/** What a lane is about. */
export interface LaneOptions {
  readonly system: LaneName
  readonly runs: number
  readonly seed: number
  readonly told: (seen: Seen) => void
}

/** Carries all runs of a lane out, and ends everything that it started. */
export const run = async ({ runs, seed, system, told }: LaneOptions): Promise<void> => {
  const apart = system === "namespaces"
  const world = await Harness.open(apart ? "etcd" : system, `campaign-${system}`, undefined, { namespaces: apart })
  const storeLab = await Effect.runPromise(Lab.up({ system: "postgres", name: `store-${system}` }))
  try {
    const random = Seed.make(seed)
    // One grade after the other: the workers are told at their start whether they may trace.
    for (const grade of apart ? (["Kernel"] as const) : (["Kernel", "Keeper"] as const)) {
      const share = apart ? runs : grade === "Kernel" ? Math.ceil(runs / 2) : Math.floor(runs / 2)
      const workers = await startWorkers(world, storeLab, grade)
      const partition = await Harness.partitionOf([...workers.all.values()][0]!, world)
      for (let index = 0; index < share; index++) {
        const plan = draw(random, system, grade, index + seed)
        told(await carryOut(world, workers, partition, plan, apart ? cutOff : stopped))
      }
      for (const worker of workers.all.values()) {
        worker.kill("SIGTERM")
        await worker.ended
      }
    }
  } finally {
    await Effect.runPromise(Lab.down(`store-${system}`))
    await Harness.close(world)
  }
}

// --- internal ---

const draw = (random: Seed.Seed, system: LaneName, grade: Grade, turn: number): Plan => {
  // Every blow in turn, so that a short campaign strikes each way too. Nobody keeps a cut but the kernel.
  const possible = blows.filter((blow) => system !== "namespaces" || !["keeper", "holder", "keepers"].includes(blow))
  const blow: Blow = possible[turn % possible.length]!
  const hold = random.between(800, 2999)
  return { system, grade, blow, hold, after: random.below(hold + 900), asks: random.below(2) }
}

const blindPerl = `#!/bin/sh
case "$*" in '- try '* | *inquorate-holder*) exit 1 ;; esac
PATH=\${PATH#*:}
export PATH
exec perl "$@"
`

const startWorkers = async (world: Harness.World, storeLab: LabRecord, grade: Grade): Promise<Workers> => {
  const { database, password, user } = storeLab.configuration as {
    readonly database: string
    readonly user: string
    readonly password: unknown
  }
  const [host, port] = storeLab.members[0]!.address.split(":")
  const store = { postgres: { host, port: Number(port), database, user, password, schema: "faults" } }
  const config = path.join(world.folder, "workers.yaml")
  fs.writeFileSync(config, `${fs.readFileSync(world.config, "utf8")}\nstore: ${JSON.stringify(store)}\n`)
  // A perl that does not trace makes the pause one of keeper grade; by perl servers are found, too.
  const without = path.join(world.folder, "without-tracer")
  fs.mkdirSync(without, { recursive: true })
  fs.writeFileSync(path.join(without, "perl"), blindPerl, { mode: 0o755 })
  const environment = grade === "Keeper" ? { PATH: `${without}:${process.env.PATH}` } : {}
  const start = (name: string) =>
    Harness.startWorker(world, null, { config, environment, arguments: ["--worker-id", name] })
  const all = new Map<string, Harness.Worker>()
  for (const name of ["one", "two"]) all.set(name, await start(name))
  return {
    all,
    start,
    stopStore: () => {
      const pid = storeLab.members[0]!.pid
      Harness.signalMember(pid, "SIGSTOP")
      return () => Harness.signalMember(pid, "SIGCONT")
    }
  }
}
