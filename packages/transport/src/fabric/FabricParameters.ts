/**
 * The parameters of one request of the Service Fabric surface: the keys of its path and its query. It reads them in the
 * order in which the gateway checks them, and the first failure is the answer.
 */
import { type ChaosEventQuery, fromFileTime } from "@inquorate/core/Chaos"
import { type FabricErrorCode, table } from "@inquorate/core/FabricError"
import * as Guid from "@inquorate/core/Guid"
import type { Instant } from "@inquorate/core/Time"
import type { EventWindow, NodeStatusFilter, Paging, ResolveKey, WireError } from "./FabricCall.ts"

// --- models ---

/** The api-versions in which a call exists, both ends included. */
export interface Versions {
  readonly minimum: number
  readonly maximum: number
}

/**
 * The shortest and the longest `StopDurationInSeconds`: the reference's own limits, checked before anything is stored.
 */
const stopDurationLimits = { minimum: 300, maximum: 14_400 } as const

/** The longest name, token or other string of a request, in characters. */
const stringLengthMax = 4096

// --- make ---

/** Reads parameters and remembers the first failure. Whatever it reads after that does not matter. */
export class Reader {
  failure: WireError | undefined = undefined
  private readonly keys: Readonly<Record<string, string>>
  private readonly parameters: ReadonlyMap<string, string>

  constructor(keys: Readonly<Record<string, string>>, parameters: ReadonlyMap<string, string>) {
    this.keys = keys
    this.parameters = parameters
  }

  version({ maximum, minimum }: Versions): number {
    const raw = this.parameters.get("api-version")
    if (raw === undefined) return this.refuse("E_INVALIDARG", "The query parameter api-version is missing.", 0)
    const text = raw.endsWith("-preview") ? raw.slice(0, -"-preview".length) : raw
    const version = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN
    return version >= minimum && version <= maximum
      ? version
      : this.refuse(
          "E_INVALIDARG",
          Number.isFinite(maximum)
            ? `The api-version ${quote(raw)} is not one of ${minimum.toFixed(1)} to ${maximum}.`
            : `The api-version ${quote(raw)} is not a number of at least ${minimum.toFixed(1)}.`,
          0
        )
  }

  timeout(): number {
    const text = this.parameters.get("timeout")
    // Hex does not count here, and text that is not a number counts as absent.
    const value = text !== undefined && /^[0-9]+$/.test(text) ? Number(text) : 60
    if (value === 0) {
      return this.refuse("E_INVALIDARG", "The timeout specified for client APIs must be greater than zero", 60)
    }
    return value <= 4294967295 ? value : 60
  }

  /** A path key that is a `fabric:/` name. */
  name(key: string): string {
    const text = decode(this.keys[key]!)
    const bare = text?.replaceAll("~", "/")
    if (bare === undefined || notInNames.test(bare) || bare.split("/").includes("")) {
      return this.refuse("FABRIC_E_INVALID_NAME_URI", `The ${key} ${quote(this.keys[key]!)} is not a valid name.`, "")
    }
    return bare.length > stringLengthMax ? this.tooLarge(key) : `fabric:/${bare}`
  }

  /** A path key that is plain text. */
  text(key: string): string {
    const text = decode(this.keys[key]!) ?? this.keys[key]!
    return text.length > stringLengthMax ? this.tooLarge(key) : text
  }

  /** A path key that is a GUID. */
  keyGuid(key: string): Guid.Guid {
    return this.toGuid(key, this.keys[key]!)
  }

  /** A path key that is a positive 64-bit number, in decimal without leading zeros. */
  replicaId(key: string): string {
    const text = this.keys[key]!
    const value = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : 0n
    return value > 0n && value <= int64Max
      ? value.toString()
      : this.refuse("E_INVALIDARG", `The ${key} ${quote(text)} is not a replica id.`, "0")
  }

  /** A required query parameter that is a GUID. */
  guid(parameter: string): Guid.Guid {
    const text = this.required(parameter)
    return text === undefined ? Guid.nil : this.toGuid(parameter, text)
  }

  /** A required query parameter that is one of the words, spelt exactly. */
  word<A>(parameter: string, words: Readonly<Record<string, A>>, otherwise: A): A {
    const text = this.required(parameter)
    if (text === undefined) return otherwise
    if (Object.hasOwn(words, text)) return words[text]!
    const known = Object.keys(words).join(", ")
    return this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not one of ${known}.`, otherwise)
  }

  /** A required query parameter that is an unsigned 32-bit number of at most `maximum`. */
  uint32(parameter: string, maximum: number): number {
    const text = this.required(parameter)
    if (text === undefined) return 0
    const value = uint32(text)
    return value !== undefined && value <= maximum
      ? value
      : this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not a number from 0 to ${maximum}.`, 0)
  }

  /** The required instance id of a node, in decimal: an unsigned 64-bit number that is not 0. */
  instanceId(parameter: string): string {
    const text = this.required(parameter)
    if (text === undefined) return "0"
    const value = /^(?:[0-9]{1,20}|0x[0-9a-f]{1,16})$/i.test(text) ? BigInt(text) : -1n
    if (value < 0n || value > uint64Max) {
      return this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not a number of 64 bits.`, "0")
    }
    return value === 0n
      ? this.refuse("FABRIC_E_INVALID_INSTANCE_ID", `The ${parameter} is 0. The node query shows the one to give.`, "0")
      : value.toString()
  }

  /** How long the node stays stopped, in seconds. Required. */
  stopDuration(parameter: string): number {
    const { maximum, minimum } = stopDurationLimits
    const value = this.uint32(parameter, 4294967295)
    return this.failure !== undefined || (value >= minimum && value <= maximum)
      ? value
      : this.refuse(
          "FABRIC_E_INVALID_DURATION",
          `${parameter} is out of range: ${value} is not from ${minimum} to ${maximum}.`,
          minimum
        )
  }

  /** An optional bit mask, 0 if absent. */
  filter(parameter: string): number {
    const text = this.optional(parameter)
    if (text === null) return 0
    return (
      uint32(text) ??
      this.refuse(
        "E_INVALIDARG",
        `The specified filter value is invalid: ${quote(text)}. Please specify a valid number. (${parameter})`,
        0
      )
    )
  }

  /** An optional boolean, false if absent. */
  flag(parameter: string): boolean {
    const text = this.optional(parameter)?.toLowerCase()
    if (text === undefined || text === "false") return false
    return (
      text === "true" || this.refuse("E_INVALIDARG", `The ${parameter} ${quote(text)} is not true or false.`, false)
    )
  }

  optionalText(parameter: string): string | null {
    const text = this.optional(parameter)
    return text !== null && text.length > stringLengthMax ? this.tooLarge(parameter) : text
  }

  /** A required query parameter that is plain text. */
  requiredText(parameter: string): string {
    const text = this.required(parameter)
    if (text === undefined) return ""
    return text.length > stringLengthMax ? this.tooLarge(parameter) : text
  }

  /** An optional query parameter that is a GUID. */
  optionalGuid(parameter: string): Guid.Guid | null {
    const text = this.optional(parameter)
    return text === null ? null : this.toGuid(parameter, text)
  }

  /** The key to find a partition by. The kinds are 1 no key, 2 a number of 64 bits, 3 a name. */
  partitionKey(): ResolveKey | null {
    const kind = this.optional("PartitionKeyType")
    const value = this.optional("PartitionKeyValue")
    if (kind === null || kind === "1") return null
    if (value === null) {
      return this.refuse("E_INVALIDARG", `The PartitionKeyType ${quote(kind)} needs a PartitionKeyValue.`, null)
    }
    if (kind === "3") return { _tag: "Named", value }
    const number = /^-?[0-9]{1,19}$/.test(value) ? BigInt(value) : null
    if (kind !== "2" || number === null || number < -int64Max - 1n || number > int64Max) {
      const problem = kind === "2" ? `PartitionKeyValue ${quote(value)} is not a number of 64 bits` : ""
      return this.refuse(
        "E_INVALIDARG",
        problem === "" ? `The PartitionKeyType ${quote(kind)} is not one of 1, 2, 3.` : `The ${problem}.`,
        null
      )
    }
    return { _tag: "Int64Range", value: number.toString() }
  }

  /** The time and the kinds of the events that the caller asks for. The event store takes its names in any case. */
  eventWindow(): EventWindow {
    const from = this.eventTime("StartTimeUtc")
    const to = this.eventTime("EndTimeUtc")
    const kinds = this.anyCase("EventsTypesFilter")
    if (from > to && this.failure === undefined) {
      this.refuse("E_INVALIDARG", "The StartTimeUtc is after the EndTimeUtc.", 0)
    }
    return { from, to, kinds: kinds === null ? [] : kinds.split(",").filter((kind) => kind !== "") }
  }

  nodeStatus(parameter: string): NodeStatusFilter {
    const text = this.optional(parameter)?.toLowerCase()
    if (text === undefined) return "default"
    return (
      nodeStatuses.find((word) => word === text) ??
      this.refuse(
        "E_INVALIDARG",
        `The ${parameter} ${quote(text)} is not one of ${nodeStatuses.join(", ")}.`,
        "default"
      )
    )
  }

  paging(token: RegExp): Paging {
    const after = this.optionalText("ContinuationToken")
    if (after !== null && !token.test(after)) {
      this.refuse(
        "E_INVALIDARG",
        `The continuation token '${quote(after)}' is not valid. Repeat the one you were given.`,
        0
      )
    }
    return { after, ...this.maxResults() }
  }

  private maxResults(): { readonly limit: number } {
    const text = this.optional("MaxResults")
    const limit = text === null ? 0n : /^[0-9]{1,19}$/.test(text) ? BigInt(text) : -1n
    if (limit < 0n || limit > int64Max) {
      this.refuse("E_INVALIDARG", `The MaxResults ${quote(text ?? "")} is not a number of at least 0.`, 0)
    }
    return { limit: limit > 4294967295n || limit < 0n ? 0 : Number(limit) }
  }

  /** Which chaos events: those from a time to a time, or those after a token, which carries its times. */
  chaosEvents(limitUsual: number): ChaosEventQuery {
    const token = this.optional("ContinuationToken")
    const [start, end] = [this.fileTime("StartTimeUtc"), this.fileTime("EndTimeUtc")]
    const { limit: asked } = this.maxResults()
    const limit = asked === 0 ? limitUsual : asked
    if (token === null) return { after: 0, from: start, to: end, limit }
    if (this.parameters.has("StartTimeUtc") || this.parameters.has("EndTimeUtc")) {
      this.refuse(
        "E_INVALIDARG",
        "Invalid argument combination in GetChaosEvents; use either ChaosEventsFilter or ContinuationToken, but not both.",
        0
      )
    }
    const match = /^([0-9]{1,15})_(n|-?[0-9]{1,15})_(n|-?[0-9]{1,15})$/.exec(token)
    if (match === null) {
      this.refuse(
        "E_INVALIDARG",
        `The continuation token '${quote(token)}' is not valid. Repeat the one you were given.`,
        0
      )
    }
    const [, after = "0", from = "n", to = "n"] = match ?? []
    const time = (text: string): number | null => (text === "n" ? null : Number(text))
    return { after: Number(after), from: time(from), to: time(to), limit }
  }

  private fileTime(parameter: string): number | null {
    const text = this.optional(parameter)
    if (text === null) return null
    return (
      fromFileTime(text) ??
      this.refuse(
        "E_INVALIDARG",
        `The ${parameter} ${quote(text)} is not a Windows file time, the ticks of 100 ns since 1601.`,
        null
      )
    )
  }

  private eventTime(parameter: string): Instant {
    const text = this.anyCase(parameter)
    if (text === null) return this.refuse("E_INVALIDARG", `The query parameter ${parameter} is missing.`, 0)
    const moment = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})$/.test(text)
      ? Date.parse(text)
      : Number.NaN
    if (Number.isNaN(moment)) {
      return this.refuse(
        "E_INVALIDARG",
        `The ${parameter} ${quote(text)} is not a time such as 2026-01-31T12:00:00Z.`,
        0
      )
    }
    return Math.max(0, moment)
  }

  private anyCase(parameter: string): string | null {
    const wanted = parameter.toLowerCase()
    for (const name of this.parameters.keys()) if (name.toLowerCase() === wanted) return this.optional(name)
    return null
  }

  private optional(parameter: string): string | null {
    const text = this.parameters.get(parameter)
    return text === undefined ? null : (decode(text) ?? text)
  }

  private required(parameter: string): string | undefined {
    const text = this.optional(parameter)
    if (text !== null) return text
    const missing = `${table.FABRIC_E_NAME_DOES_NOT_EXIST.message} The query parameter ${parameter} is missing.`
    return this.refuse("FABRIC_E_NAME_DOES_NOT_EXIST", missing, undefined)
  }

  private toGuid(name: string, raw: string): Guid.Guid {
    return (
      Guid.parse(decode(raw) ?? raw) ??
      this.refuse("E_INVALIDARG", `The ${name} ${quote(raw)} is not a GUID of 36 characters.`, Guid.nil)
    )
  }

  private tooLarge(name: string): string {
    return this.refuse("FABRIC_E_VALUE_TOO_LARGE", `The ${name} is longer than ${stringLengthMax} characters.`, "")
  }

  private refuse<A>(code: FabricErrorCode, message: string, otherwise: A): A {
    this.failure ??= { code, message }
    return otherwise
  }
}

/** The parameters of a query string. A piece that is not two non-empty parts counts as absent. */
export const parseQuery = (query: string): ReadonlyMap<string, string> => {
  const parameters = new Map<string, string>()
  if (query === "") return parameters
  for (const piece of query.split("&")) {
    const parts = piece.split("=")
    if (parts.length !== 2 || parts[0] === "" || parts[1] === "" || parameters.has(parts[0]!)) continue
    parameters.set(parts[0]!, parts[1]!)
  }
  return parameters
}

/** A caller's text as we repeat it to them, cut after 200 characters. */
export const quote = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

// --- internal ---

const decode = (text: string): string | undefined => {
  if (!text.includes("%")) return text
  // Every form of decodeURIComponent throws on a broken escape.
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const uint32 = (text: string): number | undefined => {
  const value = /^[0-9]+$/.test(text) ? Number(text) : /^0x[0-9a-f]+$/i.test(text) ? Number.parseInt(text, 16) : NaN
  return value <= 4294967295 ? value : undefined
}

const int64Max = 9223372036854775807n
const uint64Max = 18446744073709551615n

const nodeStatuses: ReadonlyArray<NodeStatusFilter> = [
  "default",
  "all",
  "up",
  "down",
  "enabling",
  "disabling",
  "disabled",
  "unknown",
  "removed"
]

// oxlint-disable-next-line no-control-regex -- a name with a control character is exactly what is looked for
const notInNames = /[?#\u0000-\u001f\u007f]/
