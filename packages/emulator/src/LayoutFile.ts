/**
 * The layout of a simulated cluster as a person writes it in a file: names, and what is unusual about them. Whatever
 * the file leaves out is as in the standard cluster.
 */
import * as Schema from "effect/Schema"
import {
  type ApplicationLayout,
  type Layout,
  type NodeLayout,
  nodesOf,
  type Scheme,
  type ServiceLayout
} from "./Layout.ts"

// --- models ---

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).annotateKey({ description })

const Name = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_-][A-Za-z0-9_. -]*$/, {
    expected: 'a name of letters, digits, "_", "-", "." and blanks'
  })
)

const count = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))

/** A key of 64 bits: a number, or text for a number that is too large. */
const Key = Schema.Union([
  Schema.Int,
  Schema.String.check(Schema.isPattern(/^-?[0-9]{1,19}$/, { expected: "a whole number of 64 bits" }))
])

/** A node. */
const NodeEntry = Schema.Struct({
  name: Name.annotateKey({ description: "The node's name." }),
  address: described(Schema.NonEmptyString, "Its address; one of 10.0.0.0/8 unless given."),
  type: described(Schema.NonEmptyString, "Its node type; NodeType0 unless given."),
  upgradeDomain: described(Schema.NonEmptyString, "Its upgrade domain; one of five in turn unless given."),
  faultDomain: described(
    Schema.String.check(Schema.isPattern(/^fd:\/.+$/, { expected: "a fault domain such as fd:/0" })),
    "Its fault domain; one of five in turn unless given."
  ),
  seed: described(Schema.Boolean, "Whether it is a seed node; the first three are unless told.")
}).annotate({ identifier: "LayoutNode" })

/** A service. */
const ServiceEntry = Schema.Struct({
  type: described(Schema.NonEmptyString, "The name of the service's type; its own with Type after it unless given."),
  kind: described(
    Schema.Literals(["persisted", "volatile", "stateless"]),
    "What it keeps: state on disk, state in memory, or none; persisted unless given."
  ),
  replicas: described(count(1000), "Replicas, or instances of a stateless service, of each partition; 3 unless given."),
  minimum: described(
    count(1000),
    "How many of them it needs to be Ready; a majority unless given, 1 of a stateless service."
  ),
  partitions: described(
    Schema.Union([
      count(1000),
      Schema.NonEmptyArray(Schema.NonEmptyString),
      Schema.Struct({
        count: count(1000),
        low: described(Key, "The lowest key; the lowest of 64 bits unless given."),
        high: described(Key, "The highest key; the highest of 64 bits unless given.")
      })
    ]),
    "One without keys unless given; a number or a range shares out 64-bit keys, a list names each partition."
  )
}).annotate({ identifier: "LayoutService" })

/** An application. */
const ApplicationEntry = Schema.Struct({
  type: described(
    Schema.NonEmptyString,
    "The name of the application's type; its own with Type after it unless given."
  ),
  version: described(Schema.NonEmptyString, "The version of the type; 1.0.0 unless given."),
  parameters: described(Schema.Record(Schema.String, Schema.String), "The application's parameters."),
  services: Schema.Record(Name, ServiceEntry).annotateKey({ description: "The services by name." })
}).annotate({ identifier: "LayoutApplication" })

/** A whole file. */
export const LayoutFile = Schema.Struct({
  nodes: described(
    Schema.Union([count(1000), Schema.NonEmptyArray(NodeEntry)]),
    "How many nodes there are, or each of them; 5 unless given."
  ),
  applications: Schema.Record(Name, ApplicationEntry).annotateKey({ description: "The applications by name." })
})
export type LayoutFile = typeof LayoutFile.Type

// --- make ---

/** The layout that a file describes. `Layout.place` says whether there can be such a layout. */
export const toLayout = ({ applications, nodes = 5 }: LayoutFile): Layout => ({
  nodes: typeof nodes === "number" ? nodesOf(nodes) : nodes.map(nodeOf),
  applications: Object.entries(applications).map(([name, entry]) => applicationOf(name, entry))
})

// --- internal ---

const nodeOf = (
  entry: typeof NodeEntry.Type,
  index: number,
  all: ReadonlyArray<typeof NodeEntry.Type>
): NodeLayout => ({
  ...nodesOf(all.length)[index]!,
  type: "NodeType0",
  ...entry
})

const applicationOf = (name: string, entry: typeof ApplicationEntry.Type): ApplicationLayout => ({
  name,
  typeName: entry.type ?? `${name}Type`,
  typeVersion: entry.version ?? "1.0.0",
  parameters: entry.parameters ?? {},
  services: Object.entries(entry.services).map(([service, one]) => serviceOf(service, one))
})

const keeps = { persisted: "Persisted", volatile: "Volatile", stateless: "Nothing" } as const

const serviceOf = (name: string, entry: typeof ServiceEntry.Type): ServiceLayout => {
  const kind = entry.kind ?? "persisted"
  const size = entry.replicas ?? 3
  return {
    name,
    typeName: entry.type ?? `${name}Type`,
    keeps: keeps[kind],
    size,
    minSize: entry.minimum ?? (kind === "stateless" ? 1 : Math.floor(size / 2) + 1),
    scheme: schemeOf(entry.partitions)
  }
}

const schemeOf = (partitions: (typeof ServiceEntry.Type)["partitions"]): Scheme => {
  if (partitions === undefined) return { _tag: "Singleton" }
  if (typeof partitions === "number") return rangeOf({ count: partitions })
  return "count" in partitions ? rangeOf(partitions) : { _tag: "Named", names: partitions }
}

const rangeOf = (range: {
  readonly count: number
  readonly low?: number | string
  readonly high?: number | string
}): Scheme => ({
  _tag: "UniformInt64Range",
  count: range.count,
  low: BigInt(range.low ?? -(2n ** 63n)),
  high: BigInt(range.high ?? 2n ** 63n - 1n)
})
