/**
 * Clusters of real etcd for tests, each as its test wants it: any flags, URLs of any kind, members added or removed while
 * they run. All processes are ended by their number with the scope, and their folders go with them.
 */
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { findBinary } from "@inquorate/lab/Etcd"
import type { ProbeOutcome } from "@inquorate/core/Evidence"
import type { Probe, Target, TargetError } from "@inquorate/core/Target"
import type { Member, Topology } from "@inquorate/core/Topology"
import { within } from "@inquorate/testkit/Pace"
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { etcd, EtcdSettings } from "../src/Etcd.ts"

/** Why nothing of this can run here, or undefined. */
export const skip = findBinary(null) === null ? "no etcd on the PATH; apt-get install etcd-server" : undefined

/** One member, started or not. */
export interface ClusterMember {
  readonly name: string
  readonly client: string
  readonly peer: string
  readonly folder: string
  child: childProcess.ChildProcess
}

/** What a cluster is made with. */
export interface Wanted {
  readonly members?: number
  /** Further flags of every member, without dashes. */
  readonly flags?: Readonly<Record<string, string>>
  /** The same of one member, by its index. */
  readonly flagsOf?: (index: number, member: Omit<ClusterMember, "child">) => Readonly<Record<string, string>>
  readonly scheme?: "http" | "https"
  readonly host?: string
  /** What `--initial-cluster` says beside the members' own. */
  readonly environment?: Readonly<Record<string, string>>
}

/**
 * A free port of this host, and no port twice: an even one, so that the odd one after it is free for metrics, below those
 * that the kernel gives to connections, which another test's connection would take before the server has.
 */
export const freePort = (host = "127.0.0.1"): Effect.Effect<number> =>
  Effect.suspend(() => {
    const port = 20_000 + 2 * Math.floor(Math.random() * 6000)
    if (given.has(port)) return freePort(host)
    given.add(port)
    return Effect.callback<boolean>((resume) => {
      const server = net.createServer()
      server.once("error", () => resume(Effect.succeed(false)))
      server.listen(port, host.replace(/[[\]]/g, ""), () => server.close(() => resume(Effect.succeed(true))))
    }).pipe(Effect.flatMap((isFree) => (isFree ? Effect.succeed(port) : freePort(host))))
  })
const given = new Set<number>()

/** So many of them, for tests without Effect. */
export const freePorts = (count: number): Promise<ReadonlyArray<number>> =>
  Effect.runPromise(Effect.replicateEffect(freePort(), count))

/** A folder that goes with the scope. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-etcd-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true, maxRetries: 10 }))
)

/** Runs etcdctl to its end and gives what it printed. */
export const etcdctl = (words: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const env = { ...process.env, ETCDCTL_API: "3" }
    childProcess.execFile("etcdctl", words, { env }, (cause, stdout, stderr) =>
      resume(cause === null ? Effect.succeed(stdout) : Effect.die(new Error(`${stdout}${stderr}`)))
    )
  })

/**
 * The same of one member, again and again: etcd changes its members only when all have been connected for five seconds.
 * A change whose answer was lost is refused when it is asked for again, because it was made: that is success as well.
 */
export const etcdctlOnceHealthy = (
  { client }: Pick<ClusterMember, "client">,
  ...words: ReadonlyArray<string>
): Effect.Effect<unknown> => {
  const made = /can only promote a learner member|member not found|Peer URLs already exists/
  return eventually(
    Effect.exit(etcdctl([`--endpoints=${client}`, ...words])),
    (exit) => exit._tag === "Success" || made.test(Cause.pretty(exit.cause))
  )
}

/** Starts one process of etcd, which ends with the scope. */
export const run = (
  place: string,
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {}
): Effect.Effect<childProcess.ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const log = fs.openSync(path.join(place, `${flags["name"]}.log`), "a")
      const words = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)
      const child = childProcess.spawn(findBinary(null)!, words, {
        cwd: place,
        stdio: ["ignore", log, log],
        env: { ...process.env, ...environment }
      })
      fs.closeSync(log)
      return child
    }),
    kill
  )

/** Stops processes and waits until all their threads stand. What is stopped is killed with its scope all the same. */
export const pause = (children: ReadonlyArray<childProcess.ChildProcess>): Effect.Effect<void> =>
  Effect.forEach(
    children,
    (child) => {
      const stands = () => {
        try {
          return fs
            .readdirSync(`/proc/${child.pid}/task`)
            .every((thread) => /\) [Tt] /.test(fs.readFileSync(`/proc/${child.pid}/task/${thread}/stat`, "utf8")))
        } catch {
          // A thread ended before it was read.
          return false
        }
      }
      child.kill("SIGSTOP")
      return Effect.repeat(Effect.sync(stands), { until: (all) => all, schedule: Schedule.spaced(5) })
    },
    { discard: true }
  )

/** Ends a process and waits for its end. */
export const kill = (child: childProcess.ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

/** Starts a cluster; it is ready for nothing yet. */
export const start = Effect.fnUntraced(function* (
  wanted: Wanted = {}
): Effect.fn.Return<
  { readonly members: ReadonlyArray<ClusterMember>; readonly folder: string; readonly initial: string },
  never,
  Scope.Scope
> {
  const { environment = {}, flags = {}, flagsOf = () => ({}), host = "127.0.0.1", scheme = "http" } = wanted
  const place = yield* folder
  const planned = yield* Effect.forEach(Array.from({ length: wanted.members ?? 3 }), (_, index) =>
    Effect.gen(function* () {
      const name = `m${index}`
      const [client, peer] = [`${host}:${yield* freePort(host)}`, `${host}:${yield* freePort(host)}`]
      return { name, client, peer, folder: path.join(place, name) }
    })
  )
  const initial = planned.map(({ name, peer }) => `${name}=http://${peer}`).join(",")
  const members = yield* Effect.forEach(planned, (member, index) =>
    Effect.map(
      run(
        place,
        {
          name: member.name,
          "data-dir": member.folder,
          "listen-client-urls": `${scheme}://${member.client}`,
          "advertise-client-urls": `${scheme}://${member.client}`,
          "listen-peer-urls": `http://${member.peer}`,
          "initial-advertise-peer-urls": `http://${member.peer}`,
          "initial-cluster": initial,
          "initial-cluster-state": "new",
          "initial-cluster-token": place,
          "election-timeout": "300",
          "heartbeat-interval": "30",
          "unsafe-no-fsync": "true",
          logger: "zap",
          ...flags,
          ...flagsOf(index, member)
        },
        environment
      ),
      (child): ClusterMember => ({ ...member, child })
    )
  )
  return { members, folder: place, initial }
})

/** The settings of a cluster, its members under their own names on this host. */
export const settingsOf = (
  members: ReadonlyArray<ClusterMember>,
  more: Partial<typeof EtcdSettings.Encoded> = {}
): typeof EtcdSettings.Encoded => ({
  ...more,
  members: members.map(({ client, name }) => ({ name, address: client, host: "local" })) as never
})

/** Opens a target on these settings. */
export const open = (settings: unknown): Effect.Effect<Target, TargetError, Scope.Scope> =>
  Effect.flatMap(Effect.orDie(Schema.decodeUnknownEffect(EtcdSettings)(settings)), (decoded) =>
    etcd.make("locks", decoded, new Map([["local", LocalHost.make("local")]]))
  )

/** The one group of a target. */
export const only = (target: Target): Effect.Effect<Topology, TargetError> =>
  Effect.map(target.discover, ([topology, ...others]) => {
    assert.lengthOf(others, 0)
    return topology!
  })

/** Repeats a look at the world until it shows what is expected; a look that fails is repeated too. */
export const eventually = <A, E>(look: Effect.Effect<A, E>, until: (value: A) => boolean): Effect.Effect<A, E> =>
  Effect.result(look).pipe(
    Effect.repeat({
      until: (seen) => seen._tag === "Success" && until(seen.success),
      schedule: Schedule.spaced(50)
    }),
    Effect.timeoutOrElse({
      duration: within(30_000),
      orElse: () =>
        Effect.flatMap(Effect.result(look), (last) =>
          Effect.die(
            new Error(
              `still ${JSON.stringify(last, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))}`
            )
          )
        )
    }),
    Effect.flatMap(Effect.fromResult)
  )

/** Writes until it is known what came of it: a group that has just begun may elect another leader once more. */
export const outcomeOf = (probe: Probe, endpoint = probe.endpoints[0]!): Effect.Effect<ProbeOutcome> =>
  eventually(probe.write(endpoint), ({ _tag }) => _tag !== "Unknown")

/** The same of a write that is acknowledged. */
export const written = (probe: Probe, endpoint?: string): Effect.Effect<void> =>
  Effect.map(outcomeOf(probe, endpoint), (outcome) => assert.deepStrictEqual(outcome, { _tag: "Acknowledged" }))

/** True for a member that a busy machine has kept from answering in time. */
export const isLate = ({ downBecause = "" }: Member): boolean => /within \d+ ms/.test(downBecause)

/** Waits until all are up and one of them leads. */
export const ready = (target: Target): Effect.Effect<Topology, TargetError> =>
  eventually(
    only(target),
    ({ members }) => members.every(({ up }) => up) && members.some(({ role }) => role === "Primary")
  )
