/**
 * A member that runs in a container. The configuration names the container by its name, or as a service of a compose
 * project. The engine on the member's host says which process is the container's first one and what the container's id
 * is. The kernel proves the rest: by a process's control group, by what it holds open and by where it listens. A
 * published port proves nothing, since it is a proxy's.
 */
import type { Host } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import type { ContainerRef, ProcessRef } from "@inquorate/core/Topology"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const name = (expected: string) => Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, { expected }))

/** The fields of a member that may run in a container. */
export const fields = {
  /** The container that it runs in, by name or id. */
  container: Schema.optionalKey(name("a container's name")).annotateKey({
    description: "The container that it runs in, by name or id."
  }),
  /** The container as a service of a compose project; the service has one container. */
  compose: Schema.optionalKey(
    Schema.Struct({ project: name("a compose project's name"), service: name("a compose service's name") })
  ).annotateKey({ description: "The container that it runs in, as a compose project's service of one container." }),
  /** The engine that has the container; docker unless given. */
  engine: Schema.optionalKey(Schema.Literals(["docker", "podman", "nerdctl"])).annotateKey({
    description: "The engine that has the container; docker unless given."
  })
}

/** Where a server may be that its host does not have as a process of its own, and how it is named then. */
export const unnamed =
  "in a container of docker, podman or nerdctl (then name it as its member's container), or in a pod (then name the pods as the members)"

/** What a member says of its container. */
export interface Fields {
  readonly container?: string
  readonly compose?: { readonly project: string; readonly service: string }
  readonly engine?: ContainerRef["engine"]
  /** For a member that is a pod: where its container is to be found at the moment. */
  readonly pod?: () => Place
}

/** Refuses a member that names its container twice, or an engine and no container, or no host. */
export const isWhole = Schema.makeFilter(
  ({ compose, container, engine, host }: Fields & { readonly host?: string }) => {
    if (container !== undefined && compose !== undefined) return "Expected container or compose, not both"
    const isContained = container !== undefined || compose !== undefined
    if (engine !== undefined && !isContained) return "Expected container or compose beside engine"
    return !isContained || host !== undefined || "Expected the host that the container runs on"
  }
)

/** Where a container is to be found. */
export interface Place {
  readonly engine: ContainerRef["engine"]
  /** What it is called, for a person. */
  readonly called: string
  /** The words by which the program on the host asks for it. */
  readonly words: ReadonlyArray<string>
}

/** The container that a member names; null where it runs in none. */
export const placeOf = ({ compose, container, engine = "docker", pod }: Fields): Place | null => {
  if (pod !== undefined) return pod()
  if (container !== undefined) {
    return { engine, called: `container ${container}`, words: ["in", engine, container, "", ""] }
  }
  if (compose === undefined) return null
  const { project, service } = compose
  return {
    engine,
    called: `service ${service} of compose project ${project}`,
    words: ["in", engine, "", project, service]
  }
}

/** The container that the host found, or, in words for a person, why there is none. */
export const found = (place: Place, facts: ReadonlyArray<ReadonlyArray<string>>): ContainerRef | string => {
  const [, id = "", isOurs] = facts.find(([word]) => word === "container") ?? []
  if (!/^[0-9a-f]{64}$/.test(id)) return `${place.called}: ${place.engine} did not name its id`
  if (isOurs !== "1" && place.engine === "cri") return `${place.called}: no process of it runs on its node`
  if (isOurs !== "1") return `${place.called}: the process that ${place.engine} names is in another control group`
  return { engine: place.engine, id }
}

/** Whether a process still is the one that it was; `Unknown` where that cannot be seen. */
export const standing = (
  host: Host,
  { pid, startTime }: ProcessRef,
  timeout: Millis
): Effect.Effect<"Lives" | "Gone" | "Unknown"> =>
  host.run('cat "/proc/$1/stat"', [String(pid)], { timeout }).pipe(
    Effect.map(({ stdout }) => {
      // The name in parentheses may hold anything. Behind it the state is the first field and the start time the
      // twentieth.
      const fields = stdout.slice(stdout.lastIndexOf(")") + 2).split(" ")
      return fields[19] === startTime && !/^[ZXx]$/.test(fields[0] ?? "") ? "Lives" : "Gone"
    }),
    Effect.orElseSucceed(() => "Unknown" as const)
  )
