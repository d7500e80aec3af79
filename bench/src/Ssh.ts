/**
 * Losses on hosts that are far away: the members of a real system's lab are reached by ssh, through a proxy that delays each
 * way. The sshd is the benchmark's own.
 */
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { stands, startWorker } from "./Child.ts"
import type { Figure } from "./Figures.ts"
import { withLab } from "./Labs.ts"
import * as SlowWay from "./SlowWay.ts"
import * as Tally from "./Tally.ts"

/** What to measure: so many losses of a system, with so many milliseconds of delay each way. */
export interface Trial {
  readonly system: string
  readonly delay: number
  readonly count: number
  readonly hold: number
}

/** The figures of one system over one such way. */
export const measure = async (folder: string, trial: Trial): Promise<ReadonlyArray<Figure>> => {
  if (Sshd.missing !== "") throw new Error(`losses over ssh cannot be measured: ${Sshd.missing}`)
  const { count, delay, hold, system } = trial
  const name = `bench-far-${system}-${delay}`
  return withLab({ system, name }, (lab) =>
    withSshd(async (sshd) => {
      const way = await SlowWay.open(sshd.port, delay)
      const worker = await startWorker(configure(folder, lab, sshd, way), path.join(folder, `${name}.db`))
      try {
        const figures = await Tally.measure({ worker, lab, count, hold })
        if (way.connections() === 0) throw new Error("nothing went through the proxy")
        return figures
      } finally {
        await worker.end()
        way.close()
      }
    })
  )
}

// --- internal ---

const withSshd = <A>(use: (sshd: Sshd.Sshd) => Promise<A>): Promise<A> =>
  stands(Effect.scoped(Effect.flatMap(Sshd.start, (sshd) => Effect.promise(() => use(sshd)))))

/** Writes the lab's configuration anew, with a host of its own for each member. */
const configure = (folder: string, lab: LabRecord, sshd: Sshd.Sshd, { port }: SlowWay.SlowWay): string => {
  const cluster = lab.configuration as { readonly members: ReadonlyArray<{ readonly name: string }> }
  const hostOf = (name: string): string => `host-of-${name}`
  const { destination, options } = sshd.target("far")
  const knownHosts = path.join(sshd.folder, "known_hosts_of_the_way")
  fs.writeFileSync(knownHosts, fs.readFileSync(options.knownHosts, "utf8").replace(`:${sshd.port} `, `:${port} `))
  const far = { ssh: destination, ...options, port, knownHosts }
  const file = path.join(folder, `${lab.name}.yaml`)
  fs.writeFileSync(
    file,
    JSON.stringify({
      hosts: Object.fromEntries(cluster.members.map(({ name }) => [hostOf(name), far])),
      clusters: {
        [lab.name]: { ...cluster, members: cluster.members.map((member) => ({ ...member, host: hostOf(member.name) })) }
      }
    })
  )
  return file
}
