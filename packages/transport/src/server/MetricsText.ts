/**
 * The metrics of this process in Prometheus' text format. The metric that must always be zero stands first, where a
 * person who reads the page sees it. The others follow in the order of their names, so that two pages can be compared.
 */
import * as Effect from "effect/Effect"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"

/** The content type of the format. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

/** The metrics as they are now. Those named `first` come before all others. */
export const write = (first: string): Effect.Effect<string> =>
  Effect.map(PrometheusMetrics.format(), (text) => inOrder(text, first))

/** The blocks of a page in their order. Each begins with its HELP or TYPE line. */
export const inOrder = (text: string, first: string): string => {
  const blocks = new Map<string, Array<string>>()
  let name = ""
  for (const line of text.split("\n")) {
    if (line === "") continue
    name = /^# (?:HELP|TYPE) (\S+)/.exec(line)?.[1] ?? name
    blocks.set(name, [...(blocks.get(name) ?? []), line])
  }
  const rank = (of: string): string => (of === first ? "" : of)
  const sorted = [...blocks].sort(([a], [b]) => (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0))
  return sorted.map(([, lines]) => `${lines.join("\n")}\n`).join("")
}
