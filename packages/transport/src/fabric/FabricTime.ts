/**
 * Times and durations in the spelling of Service Fabric's gateway.
 */
import { formatInstant, type Instant, type Millis } from "@inquorate/core/Time"

/** A moment as ISO 8601 in UTC. Null becomes the wire's "never". */
export const formatTime = (instant: Instant | null): string =>
  instant === null ? "0001-01-01T00:00:00.000Z" : formatInstant(instant)

/** A length of time as an ISO 8601 duration: `PT0H1M0S`, `P1DT2H3M4.5S`. */
export const formatDuration = (millis: Millis): string => {
  const days = Math.floor(millis / 86_400_000)
  const hours = Math.floor(millis / 3_600_000) % 24
  const minutes = Math.floor(millis / 60_000) % 60
  return `P${days > 0 ? `${days}D` : ""}T${hours}H${minutes}M${(millis % 60_000) / 1000}S`
}
