/**
 * The mechanism that takes out replicas of the simulated cluster. A fence keeps the replica's process from running, and
 * its lift or its deadline starts the process again. The mechanism keeps the records of a host (epochs, ended fences,
 * refused late orders) as long as this process lives. The fences of an earlier life have left neither a record nor a
 * trace.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type FenceId, type FenceOrder, type FenceState, type Injector, InjectorError } from "@inquorate/core/Injector"
import type { Instant } from "@inquorate/core/Time"
import type { ProcessRef } from "@inquorate/core/Topology"
import { type FenceRecord, keyOf, type Simulation } from "./Simulation.ts"

/** The one injector of all applications of a simulated cluster. They share it because they share the nodes. */
export const make = (simulation: Simulation): Injector => {
  const hosts = makeHosts(simulation)
  return {
    name: "simulated",
    restarts: true,
    preflight: (process) =>
      Effect.sync(() => {
        const problem = hosts.mistaken(process)
        // Whoever kills this process ends the cluster with everything in it. So no fence outlives the process that ends
        // it.
        return problem === null ? { _tag: "Ready", grade: "Kernel", skew: 0 } : { _tag: "Mistaken", problem }
      }),
    arm: (order) =>
      Effect.gen(function* () {
        const monotonic = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
        const remaining = order.deadline - Math.floor(yield* Clock.currentTimeMillis)
        return yield* hosts.arm(order, { late: monotonic > order.startByMonotonic, remaining })
      }),
    tighten: (host, fence, epoch, deadline) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => hosts.tighten(host, fence, epoch, deadline - Math.floor(now))),
    lift: hosts.lift,
    inspect: (_host, fence, epoch) =>
      Effect.sync(() => {
        simulation.settle()
        hosts.raise(fence, epoch)
        return simulation.records.get(keyOf(fence))?.state ?? { _tag: "Absent" }
      }),
    sweep: (host, { clear }) =>
      Effect.sync(() => {
        simulation.settle()
        const found = [...simulation.records.values()].filter(({ node }) => node === host)
        const reports = found.map(({ fence, state }) => ({ fence, host, injector: "simulated", state }))
        if (clear) {
          const old = simulation.now() - keptFor
          for (const { fence, state } of found) {
            if (state._tag === "Lifted" && state.offAt < old) simulation.records.delete(keyOf(fence))
          }
        }
        return reports
      })
  }
}

// --- internal ---

/** How long the record of an ended fence is kept: far longer than an order for it can be on its way. */
const keptFor = 60 * 60 * 1000

const makeHosts = (simulation: Simulation) => {
  const least = new Map<string, number>()
  const leastOf = (fence: FenceId): number => least.get(fence.operationId) ?? 0
  const raise = (fence: FenceId, epoch: number): void =>
    void least.set(fence.operationId, Math.max(leastOf(fence), epoch))
  const refuse = (host: string, fence: FenceId, detail: string, reason: InjectorError["reason"] = "OrderRefused") =>
    Effect.fail(new InjectorError({ host, member: fence.member, reason, detail }))
  const outranked = (fence: FenceId, epoch: number): boolean => epoch < leastOf(fence)

  const mistaken = (process: ProcessRef): string | null => {
    simulation.settle()
    const place = [...simulation.places.values()].find(({ node, pid }) => node === process.host && pid === process.pid)
    if (place === undefined) return `there is no process ${process.pid} on the node ${process.host}`
    return simulation.processOf(place).startTime === process.startTime
      ? null
      : `the node ${process.host} was started anew since it was looked at`
  }

  const arm = (order: FenceOrder, { late, remaining }: { readonly late: boolean; readonly remaining: number }) =>
    Effect.suspend((): Effect.Effect<typeof FenceState.cases.Armed.Type, InjectorError> => {
      const { epoch, fence, process } = order
      const problem =
        mistaken(process) ??
        (simulation.places.get(fence.member)?.pid === process.pid ? null : `${fence.member} is another process`) ??
        (simulation.records.has(keyOf(fence)) ? "it was ordered before" : null) ??
        (outranked(fence, epoch) ? "an order of an earlier owner" : null) ??
        (remaining <= 0 ? "its deadline had passed" : null)
      raise(fence, epoch)
      if (problem !== null) return refuse(process.host, fence, problem)
      if (late) return refuse(process.host, fence, "it came too late", "Late")
      const armedAt = simulation.now()
      const deadline: Instant = armedAt + remaining
      const state = { _tag: "Armed", processes: 1, armedAt, deadline, keepers: 0, broken: false } as const
      simulation.change(() => simulation.records.set(keyOf(fence), { fence, node: process.host, deadline, state }))
      return Effect.succeed(state)
    })

  const tighten = (host: string, fence: FenceId, epoch: number, remaining: number) =>
    Effect.suspend(() => {
      simulation.settle()
      const deadline = simulation.now() + remaining
      const record = simulation.records.get(keyOf(fence))
      if (outranked(fence, epoch)) return refuse(host, fence, "an order of an earlier owner")
      if (record?.state._tag !== "Armed" || deadline > record.deadline) {
        return refuse(host, fence, "no fence stands that ends later")
      }
      raise(fence, epoch)
      const { state } = record
      simulation.change(() => {
        record.deadline = deadline
        record.state = { ...state, deadline }
      })
      return Effect.void
    })

  const lift: Injector["lift"] = (host, fence, epoch) =>
    Effect.suspend(() => {
      simulation.settle()
      if (outranked(fence, epoch)) return refuse(host, fence, "an order of an earlier owner")
      raise(fence, epoch)
      const record: FenceRecord = simulation.records.get(keyOf(fence)) ?? {
        fence,
        node: host,
        deadline: simulation.now(),
        state: { _tag: "Absent" }
      }
      simulation.change((at) => {
        simulation.records.set(keyOf(fence), record)
        if (record.state._tag !== "Lifted") simulation.lift(record, "Worker", at)
      })
      return Effect.succeed(record.state as typeof FenceState.cases.Lifted.Type)
    })

  return { raise, mistaken, arm, tighten, lift }
}
