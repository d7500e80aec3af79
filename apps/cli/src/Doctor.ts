/**
 * The command that looks at a host without any worker: which fences of ours it carries, until when, and, when told to
 * sweep, the removal of those past their time.
 */
import type { FenceReport } from "@inquorate/core/Injector"
import { formatInstant, type Millis } from "@inquorate/core/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Result from "effect/Result"
import { print } from "./Endpoint.ts"
import { Failure } from "./Failure.ts"
import { table } from "./Table.ts"

const host = "local"

/** What a look at one mechanism's records may take, and what a sweep may, which puts members back. */
const [lookPatience, sweepPatience]: readonly [Millis, Millis] = [20_000, 120_000]

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
    // Each mechanism is asked separately: if one cannot answer, the answers of the others are still shown.
    const answers = yield* Effect.forEach(
      injectors,
      (injector) =>
        Effect.result(
          injector.sweep(host, { clear: sweep }).pipe(
            Effect.timeoutOrElse({
              duration: sweep ? sweepPatience : lookPatience,
              orElse: () => Effect.fail({ reason: "Unknown" as const, detail: "no answer in time" })
            })
          )
        ),
      { concurrency: "unbounded" }
    )
    const reports = answers.flatMap((answer) => (Result.isSuccess(answer) ? answer.success : []))
    const problems = answers.flatMap((answer, index) =>
      Result.isFailure(answer)
        ? [{ injector: injectors[index]!.name, reason: answer.failure.reason, detail: answer.failure.detail }]
        : []
    )
    const now = yield* Clock.currentTimeMillis
    const late = reports.filter((report) => isLate(report, now))
    const found = { fences: reports, late: late.length, ...(problems.length === 0 ? {} : { problems }) }
    yield* print(found, () => [
      ...(reports.length === 0
        ? problems.length === 0
          ? ["This host carries nothing of ours."]
          : []
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
      ...answers.flatMap((answer, index) =>
        problems.length > 0 && Result.isSuccess(answer) && answer.success.length === 0
          ? [`${injectors[index]!.name}: nothing of ours`]
          : []
      ),
      ...(late.length > 0 ? [`${late.length} past the deadline. "inq doctor --sweep" lifts them.`] : [])
    ])
    const [untold, ...more] = [...new Set(problems.map(({ detail }) => detail))].map(
      (said) => `doctor: ${namesOf(problems.filter(({ detail }) => detail === said))} cannot tell: ${said}`
    )
    if (untold !== undefined) {
      return yield* new Failure({
        exit:
          late.length > 0 ? "residue" : problems.some(({ reason }) => reason === "Unreachable") ? "lab" : "internal",
        detail: untold,
        more
      })
    }
    if (late.length > 0) return yield* new Failure({ exit: "residue", detail: "" })
  })
).pipe(Command.withDescription("Show what carries our mark on this host, and sweep what is past its time"))

// --- internal ---

// Evaluated by this command only, so that every other one starts without it.
const drivers = Effect.promise(async () => ({
  LocalHost: await import("@inquorate/injectors/LocalHost"),
  Registry: await import("@inquorate/injectors/Registry")
}))

const namesOf = (problems: ReadonlyArray<{ readonly injector: string }>): string =>
  problems.map(({ injector }) => injector).join(", ")

const isLate = ({ state }: FenceReport, now: number): boolean => state._tag === "Armed" && state.deadline < now

const stateCells = (report: FenceReport, now: number): readonly [string, string] => {
  const { state } = report
  switch (state._tag) {
    case "Armed":
      return [
        [
          isLate(report, now) ? "LATE" : "standing",
          `${state.processes} ${state.processes === 1 ? "process" : "processes"}`,
          `${state.keepers} ${state.keepers === 1 ? "keeper" : "keepers"}`,
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
