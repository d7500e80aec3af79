/**
 * What a worker sees of a cluster, in one sentence. The worker tells it at its start and when it checks a
 * configuration.
 */
import type { ClusterView } from "@inquorate/core/Operations"
import { health, type Member, type Topology } from "@inquorate/core/Topology"

/** What is seen, or why nothing is. */
export const sentence = ({
  groups,
  name,
  problem,
  system
}: Pick<ClusterView, "name" | "system" | "groups" | "problem">): string => {
  const seen = groups.map((topology) => {
    const { counting, up } = count(topology)
    return `${topology.group} ${up}/${counting} ${health(topology).toLowerCase()}`
  })
  return `cluster ${name} (${system}): ${problem !== "" ? problem : seen.length === 0 ? "it has no group" : seen.join(", ")}`
}

/** How many members count for the quorum, and how many of those are up. */
export const count = ({ members }: Topology): { readonly counting: number; readonly up: number } => {
  const counting = members.filter(({ counts }) => counts)
  return { counting: counting.length, up: counting.filter(({ up }) => up).length }
}

/** What stands in the way of a fault on these members and of its proof, each in words for a person. */
export const obstacles = (topology: Topology, isToBreak: (member: Member) => boolean): ReadonlyArray<string> => [
  ...(topology.unfit ?? []),
  ...topology.members.flatMap(({ downBecause, name, up }) =>
    up ? [] : [`${name} is not up: ${downBecause ?? "no reason is told"}`]
  ),
  ...topology.members
    .filter((member) => member.process === null && member.cuttable !== "Never" && isToBreak(member))
    .map(({ name, processProblem }) => `${name} cannot be taken out: ${processProblem}`),
  ...(topology.members.some(({ role }) => role === "Primary") ? [] : ["no member is the leader"])
]
