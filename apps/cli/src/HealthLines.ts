/**
 * The health of one thing in lines: how it stands, the reports that say so, and how each thing directly below it stands.
 */
import type { HealthView } from "@inquorate/transport/Api"
import { indent, table } from "./Table.ts"

/** What is shown of a health, from a worker or a gateway. */
export type Shown = Pick<HealthView, "kind"> & {
  readonly state: string
  readonly reports: ReadonlyArray<Readonly<Record<"source" | "property" | "state" | "description", string>>>
  readonly below: ReadonlyArray<Readonly<Record<"kind" | "name" | "state", string>>>
}

/** The lines of a health. */
export const healthLines = ({ below, kind, reports, state }: Shown): ReadonlyArray<string> => [
  kind === "Cluster" ? `The cluster is ${state}.` : state,
  ...(reports.length === 0
    ? []
    : indent(
        table(
          ["SOURCE", "PROPERTY", "STATE", "DESCRIPTION"],
          reports.map((report) => [report.source, report.property, report.state, report.description])
        )
      )),
  ...(below.length === 0
    ? []
    : indent(
        table(
          ["KIND", "NAME", "HEALTH"],
          below.map((one) => [one.kind.toLowerCase(), one.name, one.state])
        )
      ))
]
