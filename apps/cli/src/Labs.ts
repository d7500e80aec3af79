/**
 * The commands that make and remove throwaway clusters to practise on.
 */
import type { LabError, LabMember } from "@inquorate/lab/LabModule"
import { labModules } from "@inquorate/lab/Registry"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { table } from "./Table.ts"

// --- make ---

const systems = labModules.map((module) => module.system)

const settings = labModules
  .flatMap(({ options = {}, system }) =>
    Object.entries(options).map(([key, meaning]) => `${key} of ${system}, ${meaning}`)
  )
  .join("; ")

const name = Argument.String("name").pipe(Argument.withDescription("The name of a lab"))

const up = Command.make(
  "up",
  {
    system: Argument.Literals("system", systems).pipe(Argument.withDescription("The system to make a lab of")),
    name: Flag.String("name").pipe(Flag.withDescription("The lab's name; the system's where left out"), Flag.optional),
    members: Flag.Int("members").pipe(Flag.withDescription("How many members"), Flag.optional),
    bin: Flag.String("bin").pipe(Flag.withDescription("The folder of the system's executables"), Flag.optional),
    namespaces: Flag.Boolean("namespaces").pipe(
      Flag.withDescription(
        "Give each member a network namespace with an address of its own, to be cut off by netfilter (etcd; needs root)"
      ),
      Flag.withDefault(false)
    ),
    tls: Flag.Boolean("tls").pipe(
      Flag.withDescription("Have its servers speak TLS, with certificates on both sides"),
      Flag.withDefault(false)
    ),
    auth: Flag.Boolean("auth").pipe(
      Flag.withDescription("Turn its authentication on, with a user for the worker (etcd)"),
      Flag.withDefault(false)
    ),
    set: Flag.KeyValuePair("set").pipe(
      Flag.withDescription(`A setting of the system's own: ${settings}`),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (input) {
    const Lab = yield* labs
    const lab = yield* Lab.up({
      system: input.system,
      name: Option.getOrElse(input.name, () => input.system),
      members: Option.getOrUndefined(input.members),
      bin: Option.getOrUndefined(input.bin),
      options: {
        ...Option.getOrElse(input.set, () => ({})),
        ...(input.tls ? { tls: "true" } : {}),
        ...(input.auth ? { auth: "true" } : {})
      },
      namespaces: input.namespaces
    }).pipe(Effect.mapError(toFailure))
    const config = Lab.configurationFile(lab.name)
    yield* print({ name: lab.name, system: lab.system, config, members: lab.members }, () => [
      `The lab ${lab.name} is up: ${lab.members.length} members of ${lab.system}.`,
      ...memberLines(lab.members),
      `Break it: inquorate-worker --config ${config}`,
      `Remove it: inq lab down ${lab.name}`
    ])
  })
).pipe(Command.withDescription("Start a throwaway cluster on this machine"))

const down = Command.make(
  "down",
  { name },
  Effect.fnUntraced(function* (input) {
    const Lab = yield* labs
    const report = yield* Lab.down(input.name).pipe(Effect.mapError(toFailure))
    yield* print(report, () => [
      report.found
        ? `The lab ${input.name} is gone: ${report.stopped} processes stopped${report.killed > 0 ? `, ${report.killed} of them killed` : ""}.`
        : `There is no lab ${input.name}; nothing to do.`
    ])
  })
).pipe(Command.withDescription("Stop a lab and remove all of it"))

const list = Command.make(
  "list",
  {},
  Effect.fnUntraced(function* () {
    const Lab = yield* labs
    const found = yield* Lab.list.pipe(Effect.mapError(toFailure))
    yield* print(found, () =>
      found.length === 0
        ? ['There are no labs. "inq lab up postgres" makes one.']
        : table(
            ["LAB", "SYSTEM", "STATE", "RUNNING", "CONFIGURATION"],
            found.map(({ lab, name, running, state }) => [
              name,
              lab?.system ?? "",
              state,
              running.join(" "),
              state === "Up" || state === "Partly" ? Lab.configurationFile(name) : ""
            ])
          )
    )
  })
).pipe(Command.withDescription("List the labs on this machine"))

const config = Command.make(
  "config",
  { name },
  Effect.fnUntraced(function* (input) {
    const Lab = yield* labs
    const listed = yield* Lab.list.pipe(Effect.mapError(toFailure))
    const found = listed.find((lab) => lab.name === input.name && lab.lab?.state === "Up")
    if (found === undefined) {
      return yield* new Failure({
        exit: "lab",
        detail: `There is no lab ${input.name} that is up. "inq lab list" shows the ones there are.`
      })
    }
    const file = Lab.configurationFile(input.name)
    yield* print({ name: input.name, config: file }, () => [file])
  })
).pipe(Command.withDescription("Print the path of a lab's worker configuration"))

/** `inq lab`: throwaway clusters on this machine. */
export const lab = Command.make("lab").pipe(
  Command.withDescription("Throwaway clusters on this machine, to practise on"),
  Command.withSubcommands([up, down, list, config])
)

// --- internal ---

// Evaluated by these commands only, so that every other one starts without it.
const labs = Effect.promise(() => import("@inquorate/lab/Lab"))

const toFailure = (error: LabError): Failure =>
  new Failure({
    exit: ["UnknownSystem", "BadName", "BadOption"].includes(error.reason) ? "usage" : "lab",
    detail: error.detail
  })

const memberLines = (members: ReadonlyArray<LabMember>): ReadonlyArray<string> =>
  table(
    ["MEMBER", "ADDRESS", "PID", "DATA DIRECTORY"],
    members.map((member) => [member.name, member.address, String(member.pid), member.dataDirectory])
  )
