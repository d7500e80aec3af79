/**
 * The two ways Inquorate writes time down: an `Instant` is a moment in UTC, a `Millis` is a length.
 * Both are whole non-negative milliseconds, so that they survive JSON and compare as numbers.
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** A moment as whole milliseconds since 1970-01-01T00:00:00Z. */
export const Instant = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).annotate({
  identifier: "Instant",
  title: "A moment",
  description: "Whole milliseconds since 1970-01-01T00:00:00Z",
  examples: [1_795_334_400_000]
})
/** A moment as whole milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number

/** A length of time in whole milliseconds. */
export const Millis = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).annotate({
  identifier: "Millis",
  title: "A length",
  description: "Whole milliseconds",
  examples: [10_000]
})
/** A length of time in whole milliseconds. */
export type Millis = number

/** The moment as ISO 8601 in UTC with milliseconds, the form the Service Fabric wire uses. */
export const formatInstant = (instant: Instant): string => new Date(instant).toISOString()

/** The length in the unit a person would choose: `340 ms`, `5.0 s`, `2 min 3 s`, `2 h 5 min 0 s`. */
export const formatMillis = (millis: number): string => {
  if (Math.abs(millis) < 1000) return `${Math.round(millis)} ms`
  if (Math.abs(millis) < 120_000) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(Math.abs(millis) / 1000)
  const hours = seconds < 7200 ? 0 : Math.trunc(seconds / 3600)
  const minutes = Math.trunc(seconds / 60) - hours * 60
  return `${millis < 0 ? "-" : ""}${hours === 0 ? "" : `${hours} h `}${minutes} min ${seconds % 60} s`
}

/**
 * The length that `5s`, `1.5 s`, `250ms`, `15m`, `2h`, several of them in falling order such as `10m30s` or `2 min 3 s`, or a
 * bare number of seconds means, or `undefined` for anything else. It reads whatever `formatMillis` writes.
 */
export const parseMillis = (text: string): Millis | undefined => {
  const bare = /^\s*(\d+(?:\.\d+)?)\s*$/.exec(text)
  const words = bare === null ? [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)\s*/gy)] : []
  if (bare === null && (words.length === 0 || words.map(([word]) => word).join("") !== text.trimStart()))
    return undefined
  let last = Infinity
  let millis = bare === null ? 0 : Number(bare[1]) * 1000
  for (const [, number, name] of words) {
    const unit = units[name!]!
    if (unit >= last) return undefined
    last = unit
    millis += Number(number) * unit
  }
  const whole = Math.round(millis)
  return Number.isSafeInteger(whole) ? whole : undefined
}

/** A length such as `5s`, `15m` or a bare number of seconds, as milliseconds, with the words that describe it. */
export const lengthOf = (description: string) =>
  Schema.Union([Schema.String, Schema.Int])
    .annotate({ description })
    .check(
      Schema.makeFilter(
        (value) => {
          const millis = parseMillis(String(value))
          if (millis === undefined) return "Expected a length such as 30s, 15m or 1h"
          return millis > 0 || "Expected more than 0, such as 30s"
        },
        {
          toJsonSchema: () => ({
            pattern: "^\\s*(\\d+(\\.\\d+)?\\s*|(\\d+(\\.\\d+)?\\s*(ms|s|min|m|h)\\s*)+)$",
            minimum: 1
          })
        }
      )
    )
    .pipe(
      Schema.decodeTo(
        Schema.Int,
        SchemaTransformation.transform({
          decode: (value) => parseMillis(String(value)) ?? 0,
          encode: (millis) => `${millis}ms`
        })
      )
    )

// --- internal ---

const units: Readonly<Record<string, Millis>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 }
