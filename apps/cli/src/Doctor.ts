/**
 * The command that looks at a host without any worker: which fences of ours it carries, until when, and, when told to
 * sweep, the removal of those past their time.
 */
import type { FenceReport } from "@inquorate/core/Injector"
import { formatInstant } from "@inquorate/core/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { table } from "./Table.ts"

const host = "local"

/** `inq doctor`: what carries our mark on this host. */
export const doctor = Command.make(
  "doctor",
  {
    sweep: Flag.Boolean("sweep").pipe(
      Flag.withDescription("Lift every fence that is past its deadline, and forget those long off"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ sweep }) {
    const { LocalHost, Registry } = yield* drivers
    const injectors = Registry.sweepers(new Map([[host, LocalHost.make(host)]]))
    const reports = yield* Effect.forEach(injectors, (injector) => injector.sweep(host, { clear: sweep })).pipe(
      Effect.map((found) => found.flat()),
      Effect.mapError(
        (error) =>
          new Failure({
            exit: error.reason === "Unreachable" ? "lab" : "internal",
            detail: `doctor: ${error.detail}`
          })
      )
    )
    const now = yield* Clock.currentTimeMillis
    const late = reports.filter((report) => isLate(report, now))
    yield* print({ fences: reports, late: late.length }, () => [
      ...(reports.length === 0
        ? ["This host carries nothing of ours."]
        : table(
            ["OPERATION", "MEMBER", "ATTEMPT", "BY", "STATE", "UNTIL"],
            reports.map((report) => [
              report.fence.operationId,
              report.fence.member,
              String(report.fence.attempt),
              report.injector,
              ...stateCells(report, now)
            ])
          )),
      ...(late.length > 0 ? [`${late.length} past the deadline. "inq doctor --sweep" lifts them.`] : [])
    ])
    if (late.length > 0) return yield* new Failure({ exit: "residue", detail: "" })
  })
).pipe(Command.withDescription("Show what carries our mark on this host, and sweep what is past its time"))

// --- internal ---

// Evaluated by this command only, so that every other one starts without it.
const drivers = Effect.promise(async () => ({
  LocalHost: await import("@inquorate/injectors/LocalHost"),
  Registry: await import("@inquorate/injectors/Registry")
}))

const isLate = ({ state }: FenceReport, now: number): boolean => state._tag === "Armed" && state.deadline < now

const stateCells = (report: FenceReport, now: number): readonly [string, string] => {
  const { state } = report
  switch (state._tag) {
    case "Armed":
      return [
        [
          isLate(report, now) ? "LATE" : "standing",
          `${state.processes} processes`,
          `${state.keepers} keepers`,
          ...(state.grade === "Kernel" ? ["kernel grade"] : [])
        ].join(", "),
        formatInstant(state.deadline)
      ]
    case "Lifted":
      return [`off, by the ${state.by.toLowerCase()}`, formatInstant(state.offAt)]
    case "Refused":
      return [`refused: ${state.problem}`, ""]
    default:
      return [state._tag.toLowerCase(), ""]
  }
}
