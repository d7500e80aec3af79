/**
 * What the start of every lab shares: ports of its own for all members, the wait until the cluster is ready, and the
 * error that says why it did not start.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { freePorts } from "./FreePorts.ts"
import { LabError, type LabMember, type LabSite } from "./LabModule.ts"
import * as ProcessTree from "./ProcessTree.ts"

/** The error of a lab that did not start. */
export const didNotStart = (site: LabSite, detail: string): LabError =>
  new LabError({ lab: site.name, reason: "DidNotStart", detail })

/** Does what may throw. A throw means that the lab did not start. */
export const attempt = <A>(site: LabSite, evaluate: () => A): Effect.Effect<A, LabError> =>
  Effect.try({ try: evaluate, catch: (cause) => didNotStart(site, (cause as Error).message) })

/** Finds so many different free ports. */
export const portsFor = (site: LabSite, count: number): Effect.Effect<ReadonlyArray<number>, LabError> =>
  Effect.mapError(freePorts(count), () => didNotStart(site, "There is no free port between 20000 and 32000."))

/**
 * Waits until `readiness` gives "", for at most 60 s and only while every member runs. A member that ended because
 * somebody else was quicker to take its port is no failure: the lab is then started again with other ports.
 */
export const untilReady = Effect.fnUntraced(function* (
  site: LabSite,
  members: ReadonlyArray<LabMember>,
  readiness: Effect.Effect<string>
): Effect.fn.Return<"Ready" | "PortTaken", LabError> {
  const began = yield* Clock.currentTimeMillis
  while (true) {
    for (const member of members) {
      if (yield* ProcessTree.isRunning(member)) continue
      const log = yield* attempt(site, () => fs.readFileSync(member.log, "utf8"))
      if (/address already in use/i.test(log)) return "PortTaken"
      return yield* didNotStart(site, `${member.name} ended: ${log.trim().split("\n").slice(-5).join(" | ")}`)
    }
    const problem = yield* readiness
    if (problem === "") return "Ready"
    if ((yield* Clock.currentTimeMillis) - began > startTimeout) {
      return yield* didNotStart(site, `The cluster was not ready after ${startTimeout / 1000} s: ${problem}.`)
    }
    yield* Effect.sleep(50)
  }
})

// --- internal ---

const startTimeout = 60_000
