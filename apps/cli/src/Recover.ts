/**
 * The commands that recover partitions. They lift no fault of ours.
 */
import type { PartitionRecovery } from "@inquorate/core/Operations"
import type { Recover } from "@inquorate/transport/FabricClient"
import type { RecoverRequest } from "@inquorate/transport/Api"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { type Answering, findPartition, first } from "./Answering.ts"
import type { Asked } from "./Operator.ts"
import { explain, print } from "./Endpoint.ts"
import { confirm, yes } from "./Question.ts"

// --- make ---

const recoverPartition = Command.make(
  "partition",
  {
    partition: Argument.String("service").pipe(
      Argument.withDescription("A partition id, cluster/group, or a cluster that has one group")
    ),
    yes
  },
  Effect.fnUntraced(function* (input) {
    const { about, answering } = yield* findPartition("recover", input.partition)
    const { partitionId, serviceName } = about
    yield* confirm(`Give up what ${serviceName} waits for? Data may be lost.`, input.yes)
    const recovered = yield* recoverAt(answering, { scope: "Partition", partitionId }, { partitionId })
    yield* tell(`partition ${partitionId}`, recovered)
  })
).pipe(Command.withDescription("Recover one partition"))

const recoverService = Command.make(
  "service",
  { service: Argument.String("service").pipe(Argument.withDescription("cluster/group, or a service's name")), yes },
  Effect.fnUntraced(function* (input) {
    yield* confirm(`Give up what ${input.service} waits for? Data may be lost.`, input.yes)
    const bare = input.service.replace(/^fabric:\//, "")
    const recovered = yield* recoverFirst(
      { scope: "Service", serviceName: `fabric:/${bare.replaceAll("~", "/")}` },
      { serviceId: bare.replaceAll("/", "~") }
    )
    yield* tell(`service ${input.service}`, recovered)
  })
).pipe(Command.withDescription("Recover every partition of a service"))

const recoverMany = (name: "system" | "all", scope: "System" | "All", what: string) =>
  Command.make(
    name,
    { yes },
    Effect.fnUntraced(function* (input) {
      yield* confirm(`Give up what ${what} wait for? Data may be lost.`, input.yes)
      yield* tell(what, yield* recoverFirst({ scope }, `${scope}Partitions`))
    })
  ).pipe(Command.withDescription(`Recover ${what}`))

/** `inq recover`: gives up what partitions in quorum loss wait for. */
export const recover = Command.make("recover").pipe(
  Command.withSubcommands([
    recoverPartition,
    recoverService,
    recoverMany("system", "System", "the partitions of the system services"),
    recoverMany("all", "All", "all partitions")
  ]),
  Command.withDescription("Give up what partitions in quorum loss wait for; it lifts no fault of ours")
)

// --- internal ---

/** What a worker tells of each partition; a gateway tells nothing. */
type Told = ReadonlyArray<PartitionRecovery> | undefined

const recoverFirst = (request: RecoverRequest, ofGateway: Recover): Asked<Told> =>
  Effect.gen(function* () {
    const answering = yield* first("recover", (client) => client.recover(request))
    return answering.surface === "fabric" ? yield* byGateway(answering, ofGateway) : answering.answer
  })

const recoverAt = (answering: Answering<unknown>, request: RecoverRequest, ofGateway: Recover): Asked<Told> =>
  answering.surface === "fabric"
    ? byGateway(answering, ofGateway)
    : answering.client.recover(request).pipe(explain("recover"))

const byGateway = (
  { gateway }: Extract<Answering<unknown>, { readonly surface: "fabric" }>,
  scope: Recover
): Asked<undefined> => Effect.as(gateway.fabric.recover(scope).pipe(gateway.explain("recover")), undefined)

// Of a system that recovers by itself a person wants to know that nothing was done.
const tell = (what: string, told: Told) => {
  const systems = [...new Set((told ?? []).map(({ system }) => system))]
  const idle = told !== undefined && told.length > 0 && told.every(({ recovery }) => recovery === "ByItself")
  return print({ recover: what, ...(told === undefined ? {} : { partitions: told }) }, () => [
    idle
      ? `${systems.join(" and ")} ${systems.length === 1 ? "recovers by itself" : "recover by themselves"}: nothing had to be done. "inq partitions" shows how it stands, and "inq cancel" lifts a fault of ours.`
      : `Recovery of ${what} was asked for.`
  ])
}
