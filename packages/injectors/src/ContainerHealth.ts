/**
 * Health checks of containers as supervisors. An engine only marks a container whose check fails. Others act on the
 * mark: podman itself where it was told to (`--health-on-failure`), Docker's swarm, or a container such as autoheal. A
 * check runs in the container, so it fails for a member that is held. For many systems (etcd's `/health`) it fails for
 * a member that is left alone too. Checks are only read, never changed. An engine that cannot be asked adds no
 * supervisor, nor does containerd itself, which has no health checks.
 */
import type { Host } from "@inquorate/core/Host"
import type { Supervisor } from "@inquorate/core/Supervision"
import type { Millis } from "@inquorate/core/Time"
import type { Member, Topology } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Programs from "./Programs.ts"

/**
 * The supervisors of all members of a group that run in containers. Members that would be left alone are among them.
 */
export const supervisors = (
  hosts: ReadonlyMap<string, Host>,
  { members }: Pick<Topology, "members">
): Effect.Effect<ReadonlyArray<Supervisor>> =>
  Effect.map(
    Effect.forEach(members, (member) => ofMember(hosts, member), { concurrency: "unbounded" }),
    (found) => found.flat()
  )

/** Reads what the program printed about the container of a member. */
export const parse = (member: string, engine: string, text: string): ReadonlyArray<Supervisor> => {
  const lines = text.split("\n").map((line) => line.split(/ (.*)/s))
  const told = (word: string): string => lines.find(([first]) => first === word)?.[1] ?? ""
  const check = Result.getOrUndefined(Schema.decodeResult(Check)(told("check")))
  if (check === undefined || !isOn(check)) return []
  const labels = Result.getOrUndefined(Schema.decodeResult(Labels)(told("labels"))) ?? {}
  const every = millisOf(check.Interval, 30_000)
  const retries = check.Retries === undefined || check.Retries < 1 ? 3 : check.Retries
  const failed = Math.min(Number(/^\d{1,6}$/.exec(told("streak"))?.[0] ?? 0), retries)
  // The first failure may come at once, and each further one when the next check is due.
  const patience = Math.max(0, retries - failed - 1) * every
  const rule = `${retries} failed checks, one every ${every} ms${failed === 0 ? "" : `, ${failed} failed already`}`
  const acts = (who: string, ends = false): Supervisor => ({
    watches: member,
    source: `${who} by the health check of its container (${rule})`,
    patience,
    reaction: ends ? "EndsMember" : "RestartsMember"
  })
  const action = told("action")
  const comesBack = /^(always|unless-stopped|on-failure)$/.test(told("restart"))
  const service = labels["com.docker.swarm.service.name"]
  const heals = lines.some(([word, label = ""]) => word === "autoheal" && (label === "all" || labels[label] === "true"))
  return [
    ...(engine === "podman" && action === "restart" ? [acts("podman's health-on-failure=restart")] : []),
    ...(engine === "podman" && /^(kill|stop)$/.test(action)
      ? [acts(`podman's health-on-failure=${action}`, action === "stop" || !comesBack)]
      : []),
    ...(service === undefined ? [] : [acts("Docker's swarm")]),
    ...(heals ? [acts("autoheal")] : [])
  ]
}

// --- internal ---

const Check = Schema.fromJsonString(
  Schema.Struct({
    Test: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
    /** In nanoseconds, as every length that an engine gives. 0 stands for the engine's own default. */
    Interval: Schema.optionalKey(Schema.Finite),
    Retries: Schema.optionalKey(Schema.Finite)
  })
)
const Labels = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

const isOn = ({ Test: test }: { readonly Test?: ReadonlyArray<string> | null }): boolean =>
  test !== undefined && test !== null && test.length > 0 && test[0] !== "NONE"

const millisOf = (nanoseconds: number | undefined, otherwise: Millis): Millis =>
  nanoseconds === undefined || nanoseconds <= 0 ? otherwise : Math.max(1, Math.floor(nanoseconds / 1e6))

const engines: ReadonlySet<string> = new Set(["docker", "podman", "nerdctl"])
const askTimeout: Millis = 8000

const ofMember = (
  hosts: ReadonlyMap<string, Host>,
  { name, process }: Member
): Effect.Effect<ReadonlyArray<Supervisor>> => {
  const container = process?.container
  const host = process === null ? undefined : hosts.get(process.host)
  if (container === undefined || host === undefined || !engines.has(container.engine)) return Effect.succeed([])
  return host.run(Programs.health, [container.engine, container.id], { timeout: askTimeout }).pipe(
    Effect.map(({ exitCode, stdout }) => (exitCode === 0 ? parse(name, container.engine, stdout) : [])),
    Effect.catchTag("HostError", () => Effect.succeed([]))
  )
}
