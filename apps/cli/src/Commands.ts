/**
 * All commands by their names. A command line that names one gets that one alone, so that only its module is evaluated;
 * any other gets all, for help, for completion, and for what a wrong one may have meant.
 */
import type * as Command from "effect/cli/Command"
import { flagsOfAll } from "./Endpoint.ts"
import * as Complete from "./Complete.ts"

// --- models ---

type Group = { readonly [name: string]: () => Promise<Command.Command.Any> }

/** The groups of the help, each with what gives its commands. */
export const groups = {
  Look: {
    partitions: async () => (await import("./Browse.ts")).partitions,
    clusters: async () => (await import("./Browse.ts")).clusters,
    health: async () => (await import("./Browse.ts")).healthCommand,
    list: async () => (await import("./List.ts")).list,
    show: async () => (await import("./Operations.ts")).show,
    watch: async () => (await import("./Operations.ts")).watch,
    logs: async () => (await import("./Operations.ts")).logs
  },
  Break: {
    plan: async () => (await import("./QuorumLoss.ts")).plan,
    start: async () => (await import("./QuorumLoss.ts")).start,
    restart: async () => (await import("./Restart.ts")).restart,
    "data-loss": async () => (await import("./DataLoss.ts")).dataLoss,
    node: async () => (await import("./Nodes.ts")).node,
    chaos: async () => (await import("./Chaos.ts")).chaos
  },
  End: {
    cancel: async () => (await import("./Operations.ts")).cancel,
    recover: async () => (await import("./Recover.ts")).recover
  },
  "Set up": {
    init: async () => (await import("./Init.ts")).init,
    target: async () => (await import("./TargetCheck.ts")).target,
    lab: async () => (await import("./Labs.ts")).lab,
    doctor: async () => (await import("./Doctor.ts")).doctor
  }
}

// --- make ---

/** The commands that these arguments need. */
export const load = async (typed: ReadonlyArray<string>) => {
  const word = commandIn(typed)
  const those = <All extends Group>(all: All) =>
    Promise.all(
      Object.entries(all)
        .filter(([name]) => word === undefined || name === word)
        .map(([, command]) => command() as ReturnType<All[keyof All]>)
    )
  return [
    { group: "Look", commands: await those(groups.Look) },
    { group: "Break", commands: await those(groups.Break) },
    { group: "End", commands: await those(groups.End) },
    { group: "Set up", commands: await those(groups["Set up"]) },
    Complete.names
  ] as const
}

/** True if there is a command of this name. */
export const isCommand = (name: string): boolean => names.has(name)

/**
 * The command that these arguments name beyond doubt: before it stand flags that every command takes, each with its value.
 * Undefined for anything else, and for a completion script, which tells of all commands.
 */
export const commandIn = (typed: ReadonlyArray<string>): string | undefined => {
  if (typed.some((word) => word.startsWith("--completions"))) return undefined
  const [word = "", next = "", ...rest] = typed
  if (isCommand(word)) return word
  const [flag = "", value] = word.split("=")
  if (!flagsOfAll.has(flag)) return undefined
  if (value !== undefined) return commandIn(typed.slice(1))
  return next.startsWith("-") ? undefined : commandIn(rest)
}

// --- internal ---

const names = new Set([...Object.values(groups).flatMap((group) => Object.keys(group)), Complete.namesCommand])
