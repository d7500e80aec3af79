/**
 * What a simulated cluster is made of: its nodes, applications and services, and the places of the replicas of each
 * partition. Placement, ids and instance ids are not written down. They follow from the seed.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Guid from "@inquorate/core/Guid"
import type { PartitionKey } from "@inquorate/core/Topology"
import type { Keeps } from "./PartitionState.ts"

// --- models ---

/** How the partitions of a service share its keys. */
export type Scheme =
  | { readonly _tag: "Singleton" }
  | { readonly _tag: "UniformInt64Range"; readonly count: number; readonly low: bigint; readonly high: bigint }
  | { readonly _tag: "Named"; readonly names: ReadonlyArray<string> }

/** A service. It has `size` replicas, or instances if it keeps nothing, and is Ready with `minSize` of them. */
export interface ServiceLayout {
  readonly name: string
  readonly typeName: string
  readonly keeps: Keeps
  readonly size: number
  readonly minSize: number
  readonly scheme: Scheme
}

/** An application, `fabric:/<name>`. */
export interface ApplicationLayout {
  readonly name: string
  readonly typeName: string
  readonly typeVersion: string
  readonly parameters: Readonly<Record<string, string>>
  readonly services: ReadonlyArray<ServiceLayout>
}

/** A node. */
export interface NodeLayout {
  readonly name: string
  readonly address: string
  readonly type: string
  readonly upgradeDomain: string
  readonly faultDomain: string
  readonly seed: boolean
}

/** A whole cluster. */
export interface Layout {
  readonly nodes: ReadonlyArray<NodeLayout>
  readonly applications: ReadonlyArray<ApplicationLayout>
}

/** A partition with the nodes of its replicas. The primary's node comes first. */
export interface PlacedPartition {
  readonly application: string
  readonly service: ServiceLayout
  /**
   * The name of the group. It is the service's name, and one of several partitions adds which: `Ledger.0`,
   * `Regions.north`.
   */
  readonly group: string
  readonly key: PartitionKey
  readonly partitionId: Guid.Guid
  readonly nodes: ReadonlyArray<string>
}

// --- errors ---

/** There can be no such layout: a name is there twice, or a service has more replicas than there are nodes. */
export class LayoutError extends Schema.TaggedError<LayoutError>()("LayoutError", {
  where: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.where}: ${this.problem}`
  }
}

// --- make ---

/** As many nodes as `count`, from `_Node_0` on. The first three are seeds, the last two are of another type. */
export const nodesOf = (count: number): ReadonlyArray<NodeLayout> =>
  Array.from({ length: count }, (_, index) => ({
    name: `_Node_${index}`,
    address: `10.0.${Math.floor((index + 4) / 250)}.${(index + 4) % 250}`,
    type: index < Math.max(1, count - 2) ? "NodeType0" : "NodeType1",
    upgradeDomain: String(index % 5),
    faultDomain: `fd:/${index % 5}`,
    seed: index < 3
  }))

/** The cluster that you get if you give no layout: five nodes, and one service of every kind in two applications. */
export const standard: Layout = {
  nodes: nodesOf(5),
  applications: [
    {
      name: "Shop",
      typeName: "ShopType",
      typeVersion: "1.0.0",
      parameters: { Orders_TargetReplicaSetSize: "3", Web_InstanceCount: "3" },
      services: [
        service("Orders", "Persisted", 3),
        service("Ledger", "Persisted", 5, {
          _tag: "UniformInt64Range",
          count: 4,
          low: -(2n ** 63n),
          high: 2n ** 63n - 1n
        }),
        service("Carts", "Volatile", 3),
        service("Regions", "Persisted", 3, { _tag: "Named", names: ["north", "south"] }),
        service("Web", "Nothing", 3)
      ]
    },
    {
      name: "Bank",
      typeName: "BankType",
      typeVersion: "2.1.0",
      parameters: {},
      services: [service("Accounts", "Persisted", 3)]
    }
  ]
}

/** Places every partition of the layout, or says what is wrong with the layout. The same seed gives the same places. */
export const place = (layout: Layout, seed: number): Result.Result<ReadonlyArray<PlacedPartition>, LayoutError> => {
  const wrong = problemOf(layout)
  if (wrong !== null) return Result.fail(wrong)
  return Result.succeed(
    layout.applications.flatMap((application) =>
      application.services.flatMap((one) =>
        keysOf(one.scheme).map(({ key, suffix }): PlacedPartition => {
          const group = `${one.name}${suffix}`
          const named = `${application.name}/${group}`
          return {
            application: application.name,
            service: one,
            group,
            key,
            partitionId: Guid.v5(namespaceOf(seed), `partition/${named}`),
            nodes: shuffled(
              layout.nodes.map(({ name }) => name),
              seed,
              named
            ).slice(0, one.size)
          }
        })
      )
    )
  )
}

/**
 * A number in decimal for a replica or for the instance of a node. It has 18 digits, as Service Fabric's numbers have,
 * and it is larger for a later `generation` of the same thing.
 */
export const numberOf = (seed: number, name: string, generation: number): string => {
  const drawn = BigInt(Guid.number63(namespaceOf(seed), name)) % 1_000_000_000_000_000n
  return (133_000_000_000_000_000n + drawn + BigInt(generation) * 10_000_000n).toString()
}

// --- internal ---

/** Drawn once for Inquorate. Another value would give every simulated cluster new ids. */
const root: Guid.Guid = "b7d0f5b4-9a0c-4d0e-8f0b-5b1f6f0e7a41"

const namespaceOf = (seed: number): Guid.Guid => Guid.v5(root, `seed/${seed}`)

function service(name: string, keeps: Keeps, size: number, scheme: Scheme = { _tag: "Singleton" }): ServiceLayout {
  const minSize = keeps === "Nothing" ? 1 : Math.floor(size / 2) + 1
  return { name, typeName: `${name}Type`, keeps, size, minSize, scheme }
}

interface Key {
  readonly key: PartitionKey
  readonly suffix: string
}

const keysOf = (scheme: Scheme): ReadonlyArray<Key> => {
  switch (scheme._tag) {
    case "Singleton":
      return [{ key: { _tag: "Singleton" }, suffix: "" }]
    case "Named":
      return scheme.names.map((name) => ({ key: { _tag: "Named", name }, suffix: `.${name}` }))
    case "UniformInt64Range": {
      const count = BigInt(scheme.count)
      const width = scheme.high - scheme.low + 1n
      const from = (index: bigint) => scheme.low + (width * index) / count
      return Array.from({ length: scheme.count }, (_, index) => ({
        key: {
          _tag: "Int64Range",
          low: from(BigInt(index)).toString(),
          high: (from(BigInt(index) + 1n) - 1n).toString()
        },
        suffix: `.${index}`
      }))
    }
  }
}

const shuffled = (names: ReadonlyArray<string>, seed: number, salt: string): ReadonlyArray<string> =>
  names
    .map((name) => ({ name, rank: Guid.v5(namespaceOf(seed), `place/${salt}/${name}`) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ name }) => name)

const twice = (names: ReadonlyArray<string>): string | undefined =>
  names.find((name, index) => names.indexOf(name) !== index)

const wellFormed = /^[A-Za-z0-9_-][A-Za-z0-9_. -]*$/

const problemOf = ({ applications, nodes }: Layout): LayoutError | null => {
  const wrong = (where: string, problem: string) => new LayoutError({ where, problem })
  if (nodes.length === 0) return wrong("nodes", "there is none; give at least one")
  for (const [where, names] of [
    ["nodes", nodes.map(({ name }) => name)],
    ["applications", applications.map(({ name }) => name)],
    ...applications.map(({ name, services }) => [name, services.map((one) => one.name)] as const)
  ] as ReadonlyArray<readonly [string, ReadonlyArray<string>]>) {
    const double = twice(names)
    if (double !== undefined) return wrong(where, `${double} is there twice; give each a name of its own`)
    const odd = names.find((name) => !wellFormed.test(name))
    if (odd !== undefined)
      return wrong(where, `${JSON.stringify(odd)} is no name; use letters, digits, "_", "-" and "."`)
  }
  for (const application of applications) {
    for (const { minSize, name, scheme, size } of application.services) {
      const where = `${application.name}/${name}`
      if (!(size >= 1 && size <= nodes.length)) {
        return wrong(
          where,
          `${size} replicas do not fit on ${nodes.length} nodes, one on each; give 1 to ${nodes.length}`
        )
      }
      if (!(minSize >= 1 && minSize <= size)) return wrong(where, `a minimum of ${minSize} is not one of 1 to ${size}`)
      if (scheme._tag === "UniformInt64Range" && !(scheme.count >= 1 && scheme.low <= scheme.high)) {
        return wrong(where, "the range needs at least one partition, and a low key that is not above the high one")
      }
      if (scheme._tag === "UniformInt64Range" && (scheme.low < -(2n ** 63n) || scheme.high >= 2n ** 63n)) {
        return wrong(where, "keys are numbers of 64 bits, from -9223372036854775808 to 9223372036854775807")
      }
      if (scheme._tag === "UniformInt64Range" && BigInt(scheme.count) > scheme.high - scheme.low + 1n) {
        return wrong(where, `${scheme.count} partitions need at least as many keys`)
      }
      if (scheme._tag === "Named" && (scheme.names.length === 0 || twice(scheme.names) !== undefined)) {
        return wrong(where, "named partitions need at least one name, and each its own")
      }
    }
  }
  return null
}
