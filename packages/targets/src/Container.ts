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

/** How containerd names its namespaces and, in each, its containers. */
const containerdName = /^(?=.{1,76}$)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/

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
  engine: Schema.optionalKey(Schema.Literals(["docker", "podman", "nerdctl", "containerd"])).annotateKey({
    description: "The engine that has the container; docker unless given. containerd is asked by ctr."
  }),
  /** Of the engine containerd: its namespace that has the container; `default` unless given. */
  namespace: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(containerdName, { expected: "a name of a containerd namespace" }))
  ).annotateKey({
    description: "Of the engine containerd: its namespace that has the container; default unless given."
  })
}

/** Where a server may be that its host does not have as a process of its own, and how it is named then. */
export const unnamed =
  "in a container of docker, podman, nerdctl or containerd (then name it as its member's container), or in a pod (then name the pods as the members)"

/** What a member says of its container. */
export interface Fields {
  readonly container?: string
  readonly compose?: { readonly project: string; readonly service: string }
  readonly engine?: ContainerRef["engine"]
  readonly namespace?: string
  /** For a member that is a pod: where its container is to be found at the moment. */
  readonly pod?: () => Place
}

/** Refuses a member that names its container twice, or an engine and no container, or no host. */
export const isWhole = Schema.makeFilter((member: Fields & { readonly host?: string }) => {
  const { compose, container, engine, host } = member
  if (container !== undefined && compose !== undefined) return "Expected container or compose, not both"
  const isContained = container !== undefined || compose !== undefined
  if (engine !== undefined && !isContained) return "Expected container or compose beside engine"
  if (isContained && host === undefined) return "Expected the host that the container runs on"
  return problemOfContainerd(member) ?? true
})

const problemOfContainerd = ({ compose, container = "", engine, namespace }: Fields): string | undefined => {
  if (engine !== "containerd") {
    return namespace === undefined ? undefined : "Expected engine: containerd beside namespace, which is one of its own"
  }
  if (compose !== undefined) return "Expected container beside engine: containerd, which knows no compose project"
  if (!containerdName.test(container)) {
    return "Expected a container's name as containerd has it: letters and digits with single . _ or - between, 76 at most"
  }
  if (namespace === "moby") return "Expected engine: docker, whose containers are in containerd's namespace moby"
  if (namespace === "k8s.io") {
    return "Expected pods as the members, since containerd's namespace k8s.io has a kubelet's containers (docs/systems/kubernetes.md)"
  }
  return undefined
}

/** Where a container is to be found. */
export interface Place {
  readonly engine: ContainerRef["engine"]
  /** What it is called, for a person. */
  readonly called: string
  /** The words by which the program on the host asks for it. */
  readonly words: ReadonlyArray<string>
}

/** The container that a member names; null where it runs in none. */
export const placeOf = (member: Fields): Place | null => {
  const { compose, container, engine = "docker", namespace = "default", pod } = member
  if (pod !== undefined) return pod()
  if (container !== undefined && engine === "containerd") {
    const called = `container ${container} in containerd's namespace ${namespace}`
    return { engine, called, words: ["in", engine, `${namespace}/${container}`, "", ""] }
  }
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
  if (place.engine === "containerd") {
    if (id !== place.words[2]) return `${place.called}: containerd did not name it`
    if (isOurs === "1") return { engine: place.engine, id }
    return `${place.called}: its control group is not /${id}, by which its processes are known: was it made with --cgroup?`
  }
  if (!/^[0-9a-f]{64}$/.test(id)) return `${place.called}: ${place.engine} did not name its id`
  if (isOurs !== "1" && place.engine === "cri") return `${place.called}: no process of it runs on its node`
  if (isOurs !== "1") return `${place.called}: the process that ${place.engine} names is in another control group`
  return { engine: place.engine, id }
}

/** What a container is called, for a person. */
export const shown = ({ engine, id }: ContainerRef): string => (engine === "containerd" ? id : id.slice(0, 12))

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
