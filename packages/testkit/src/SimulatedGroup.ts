/**
 * A replicated group in simulated time. Its servers run on hosts, a majority must run for a write to be acknowledged,
 * and it holds an election before it serves again. A worker sees it through a `Target`. An observer hears what was
 * truly so.
 */
import * as Effect from "effect/Effect"
import type { ProbeOutcome, SurvivorsWord } from "@inquorate/core/Evidence"
import { forPartition, type Guid } from "@inquorate/core/Guid"
import { type Target, TargetError } from "@inquorate/core/Target"
import type { Millis } from "@inquorate/core/Time"
import { type Member, serviceName, type Topology } from "@inquorate/core/Topology"
import type { Server, SimulatedHost } from "./SimulatedHost.ts"
import type { Process, Time } from "./SimulatedTime.ts"

/** How a group is made. Its members are `m0`, `m1`, … on these hosts, the first of them the primary. */
export interface SimulatedGroupOptions {
  readonly cluster: string
  readonly time: Time
  readonly hosts: ReadonlyArray<SimulatedHost>
  /** True where a write can be sent to every member; otherwise to one address that follows the primary. */
  readonly everyEndpoint: boolean
  /** How long a write takes, one way. */
  readonly latency: Millis
  /** How long after the return of its quorum the group serves. */
  readonly election: Millis
  readonly recoveryBudget: Millis
  /** Called whenever the group stops taking writes, and whenever it takes them again. */
  readonly observe: (serves: boolean) => void
}

/** What goes wrong with a group. */
export interface Trouble {
  /** It does not answer who is in it, and no probe of it can be opened. */
  readonly unreachable: boolean
  /** It refuses a write where the quorum is lost; otherwise the write hangs. */
  readonly refuses: boolean
  /** The survivors say nothing. */
  readonly silent: boolean
  /** It takes no write although it has its quorum. */
  readonly stuck: boolean
}

/** A replicated group in simulated time. */
export interface SimulatedGroup {
  readonly cluster: string
  readonly serviceName: string
  readonly partitionId: Guid
  readonly hosts: ReadonlyArray<SimulatedHost>
  readonly servers: ReadonlyArray<Server>
  /** True while a write would be acknowledged. */
  readonly available: () => boolean
  readonly hasQuorum: () => boolean
  /** How many writes were acknowledged. */
  readonly acknowledged: () => number
  readonly trouble: () => Trouble
  readonly set: (trouble: Partial<Trouble>) => void
  /** The group as one process sees it. */
  readonly target: (asker: Process) => Target
}

/** Nothing goes wrong. */
export const noTrouble: Trouble = { unreachable: false, refuses: false, silent: false, stuck: false }

/** Makes a group on its hosts. */
export const make = (options: SimulatedGroupOptions): SimulatedGroup => {
  const { cluster, election, everyEndpoint, hosts, latency, time } = options
  const needed = Math.floor(hosts.length / 2) + 1
  const own = time.process(cluster)
  const partitionId = forPartition(cluster, groupName)
  const waiting = new Set<Waiter>()
  let trouble = noTrouble
  let acknowledged = 0
  let servesFrom = 0
  let hadQuorum = true
  let served = true

  const hasQuorum = (): boolean => servers.filter((server) => server.runs()).length >= needed
  const available = (): boolean => hadQuorum && !trouble.stuck && time.now() >= servesFrom
  const serveWaiting = (): void => {
    if (!available()) return
    for (const waiter of [...waiting]) {
      waiting.delete(waiter)
      time.after(latency, own, () => tryWrite(waiter))
    }
  }
  const changed = (): void => {
    const has = hasQuorum()
    if (has !== hadQuorum) {
      hadQuorum = has
      servesFrom = time.now() + election
    }
    if (has && !trouble.stuck) time.after(Math.max(0, servesFrom - time.now()), own, begin)
    else if (served) options.observe((served = false))
  }
  const begin = (): void => {
    if (!available()) return
    if (!served) options.observe((served = true))
    serveWaiting()
  }
  const tryWrite = (waiter: Waiter): void => {
    if (waiter.over || waiter.asker.state() === "Dead") return
    if (available() && (!everyEndpoint || servers[waiter.member]!.runs())) {
      acknowledged++
      return waiter.answer({ _tag: "Acknowledged" })
    }
    if (trouble.refuses && !available()) return waiter.answer({ _tag: "Refused", detail: "no quorum" })
    waiting.add(waiter)
  }
  const servers = hosts.map((host, index) => host.addServer(`/data/${cluster}/m${index}`, () => changed()))

  const target = (asker: Process): Target => {
    const write = (endpoint: string): Effect.Effect<ProbeOutcome> =>
      Effect.callback<ProbeOutcome>((resume) => {
        const waiter: Waiter = {
          asker,
          member: Number(endpoint.slice(1, endpoint.indexOf(":"))),
          over: false,
          answer: (outcome) => time.after(latency, asker, () => resume(Effect.succeed(outcome)))
        }
        time.after(latency, own, () => tryWrite(waiter))
        return Effect.sync(() => {
          waiter.over = true
          waiting.delete(waiter)
        })
      })
    const seen = Effect.suspend(() =>
      trouble.unreachable
        ? Effect.fail(
            new TargetError({ cluster, endpoint: "m0:1", reason: "Unreachable", detail: "no member answered" })
          )
        : Effect.succeed(topology(options, partitionId, needed, servers, asker))
    )
    const survivors = Effect.sync((): SurvivorsWord =>
      trouble.silent || !servers.some((server) => server.runs())
        ? { word: "Silent", detail: "no survivor answered" }
        : hadQuorum
          ? { word: "QuorumHeld", detail: "a leader is known" }
          : { word: "QuorumLost", detail: "no leader" }
    )
    return {
      system: "simulated",
      cluster,
      discover: Effect.andThen(
        Effect.sleep(2 * latency),
        Effect.map(seen, (one) => [one])
      ),
      probe: () =>
        Effect.as(seen, {
          endpoints: (everyEndpoint ? servers : servers.slice(0, 1)).map((_, index) => `m${index}:1`),
          write,
          survivors: Effect.andThen(Effect.sleep(2 * latency), survivors)
        }),
      survivorsSpeak: true,
      survivorsSpeakAfter: 2000,
      recoveryBudget: options.recoveryBudget,
      recoveryWriteTimeout: 1000
    }
  }

  return {
    cluster,
    serviceName: serviceName(cluster, groupName),
    partitionId,
    hosts,
    servers,
    available,
    hasQuorum: () => hadQuorum,
    acknowledged: () => acknowledged,
    trouble: () => trouble,
    set: (change) => {
      trouble = { ...trouble, ...change }
      changed()
    },
    target
  }
}

// --- internal ---

const groupName = "quorum"

interface Waiter {
  readonly asker: Process
  readonly member: number
  readonly answer: (outcome: ProbeOutcome) => void
  over: boolean
}

const topology = (
  { cluster, hosts }: SimulatedGroupOptions,
  partitionId: Guid,
  needed: number,
  servers: ReadonlyArray<Server>,
  asker: Process
): Topology => ({
  cluster,
  system: "simulated",
  group: groupName,
  partitionId,
  observedAt: asker.clock.currentTimeMillisUnsafe(),
  needed,
  rule: `majority of ${servers.length}`,
  members: servers.map((server, index): Member => ({
    name: `m${index}`,
    node: hosts[index]!.label,
    address: `m${index}:1`,
    role: index === 0 ? "Primary" : "ActiveSecondary",
    counts: true,
    up: server.runs(),
    cuttable: "Always",
    process: server.ref(),
    processProblem: ""
  }))
})
