/**
 * How members of one host are bitten: from the go, sent over the channel that stands open, to every thread of the cut
 * stopped; and how far the first bite and the last stop lie apart. The host's own record tells when, on the monotonic
 * clock that this process reads too.
 */
import type { FenceOrder } from "@inquorate/core/Injector"
import type { PlannedFence } from "@inquorate/core/Plan"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import * as Pause from "@inquorate/injectors/Pause"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

/**
 * In milliseconds: from the go sent to every thread stopped; from the first thread seized to the last stopped; and to the
 * last look that found one waiting in the kernel, as for a disk, where nothing can stop it (0 where none was found).
 */
export interface Bite {
  readonly stopped: number
  readonly spread: number
  readonly waited: number
}

/** Pauses the members of a plan once, all at one go, and lets them run on at once. Null where that is not of kernel grade. */
export const bite = (fences: ReadonlyArray<PlannedFence>): Promise<Bite | null> => {
  const hosts = new Map(fences.map(({ process: { host } }) => [host, LocalHost.make(host)]))
  const { lift, prepare } = Pause.make(hosts)
  const host = fences[0]!.process.host
  const operationId = randomUUID()
  const orders = fences.map(({ member, process }) => ({
    fence: { operationId, attempt: 1, member },
    process,
    epoch: 1
  }))
  return Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const prepared = yield* prepare!(host, orders, 60_000)
        const sent = microseconds()
        const answers = yield* prepared.go({
          epoch: 1,
          deadline: Date.now() + 20_000,
          startByMonotonic: sent / 1000 + 10_000
        })
        for (const { fence } of orders) yield* lift(host, fence, 1)
        const armed = yield* Effect.forEach(answers, (answer) => Effect.fromResult(answer))
        if (!armed.every(({ grade }) => grade === "Kernel")) return null
        const told = orders.map((order) => recorded(order))
        const first = Math.min(...told.map(({ first }) => first))
        const last = Math.max(...told.map(({ last }) => last))
        const waited = Math.max(first, ...told.map(({ waited }) => waited))
        return { stopped: (last - sent) / 1000, spread: (last - first) / 1000, waited: (waited - first) / 1000 }
      })
    )
  )
}

// --- internal ---

const microseconds = (): number => Number(process.hrtime.bigint() / 1000n)

interface Times {
  readonly first: number
  readonly last: number
  readonly waited: number
}

const recorded = ({ fence }: Pick<FenceOrder, "fence">): Times => {
  const name = `${fence.attempt}.${Buffer.from(fence.member).toString("hex")}`
  const file = path.join(process.env.INQUORATE_STATE!, "fences", fence.operationId, name, "bitten")
  const [, first, last, waited] = fs.readFileSync(file, "utf8").trim().split(" ").map(Number)
  return { first: first!, last: last!, waited: waited! }
}
