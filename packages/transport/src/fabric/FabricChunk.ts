/**
 * The health chunk: a query whose body says which entities it wants the health of, down to the replicas. One filter
 * decides about an entity: the filter that names it, else the one that names its type, else the one that names neither.
 * If no filter fits, the chunk leaves the entity out.
 */
import * as Schema from "effect/Schema"
import * as Result from "effect/Result"
import * as Health from "./FabricHealth.ts"
import type { HealthState } from "./FabricModel.ts"
import * as Services from "./FabricServices.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

const Bits = Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.Int, Schema.FiniteFromString])))
const Name = Schema.optionalKey(Schema.NullOr(Schema.String))
const list = <S extends Schema.Top>(item: S) => Schema.optionalKey(Schema.NullOr(Schema.Array(item)))

const ReplicaFilter = Schema.Struct({
  ReplicaOrInstanceIdFilter: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Finite]))),
  HealthStateFilter: Bits
})
const PartitionFilter = Schema.Struct({
  PartitionIdFilter: Name,
  HealthStateFilter: Bits,
  ReplicaFilters: list(ReplicaFilter)
})
const ServiceFilter = Schema.Struct({
  ServiceNameFilter: Name,
  HealthStateFilter: Bits,
  PartitionFilters: list(PartitionFilter)
})
const PackageFilter = Schema.Struct({
  ServiceManifestNameFilter: Name,
  ServicePackageActivationIdFilter: Name,
  HealthStateFilter: Bits
})
const DeployedFilter = Schema.Struct({
  NodeNameFilter: Name,
  HealthStateFilter: Bits,
  DeployedServicePackageFilters: list(PackageFilter)
})
const ApplicationFilter = Schema.Struct({
  ApplicationNameFilter: Name,
  ApplicationTypeNameFilter: Name,
  HealthStateFilter: Bits,
  ServiceFilters: list(ServiceFilter),
  DeployedApplicationFilters: list(DeployedFilter)
})
const NodeFilter = Schema.Struct({ NodeNameFilter: Name, HealthStateFilter: Bits })

/** The body of a chunk query. It takes no policies: this worker judges everything by its one policy. */
export class Description extends Schema.Opaque<Description>()(
  Schema.Struct({
    NodeFilters: list(NodeFilter),
    ApplicationFilters: list(ApplicationFilter)
  })
) {}

// --- make ---

/** Reads a description from a body, or fails. An empty body asks for the state of the cluster alone. */
export const read = (body: string): Result.Result<Description, string> => {
  if (body.trim() === "") return Result.succeed({})
  const decoded = decode(body.replace(/^\ufeff/, ""))
  return Result.isSuccess(decoded)
    ? Result.succeed(decoded.success ?? {})
    : Result.fail(`The body is not a description of a health chunk: ${decoded.failure.message}`)
}

/** The chunk of the cluster's health that the description asks for. */
export const chunkOf = (world: World.World, description: Description) => {
  const nodes = world.nodes.map((node) => ({ name: node.name, entity: Health.ofNode(world, node) }))
  const applications = [...world.applications, world.system]
  return {
    HealthState: Health.ofCluster(world).state,
    NodeHealthStateChunks: chunks(nodes, description.NodeFilters, {
      filterName: ({ NodeNameFilter }) => NodeNameFilter,
      name: ({ name }) => name,
      state: ({ entity }) => entity.state,
      info: ({ name }) => ({ NodeName: name })
    }),
    ApplicationHealthStateChunks: chunks(applications, description.ApplicationFilters, {
      filterName: ({ ApplicationNameFilter }) => ApplicationNameFilter,
      filterType: ({ ApplicationTypeNameFilter }) => ApplicationTypeNameFilter,
      name: ({ name }) => name,
      type: Services.applicationType,
      state: (application) => Health.ofApplication(world, application).state,
      info: (application, filter) => ({
        ApplicationName: application.name,
        ApplicationTypeName: Services.applicationType(application),
        ServiceHealthStateChunks: services(world, application, filter?.ServiceFilters),
        DeployedApplicationHealthStateChunks: deployed(world, application, filter?.DeployedApplicationFilters)
      })
    })
  }
}

// --- internal ---

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.NullOr(Description)))

interface Reading<A, F> {
  /** The name in a filter. Null or empty text names nothing. */
  readonly filterName: (filter: F) => string | number | null | undefined
  readonly filterType?: (filter: F) => string | null | undefined
  readonly name: (one: A) => string
  readonly type?: (one: A) => string
  readonly state: (one: A) => HealthState
  readonly info: (one: A, filter: F | undefined) => Readonly<Record<string, unknown>>
}

const chunks = <A, F extends { readonly HealthStateFilter?: number | null }>(
  all: ReadonlyArray<A>,
  filters: ReadonlyArray<F> | null | undefined,
  { filterName, filterType = () => null, info, name, state, type = () => "" }: Reading<A, F>
) => {
  const byName = new Map<string, F>()
  const byType = new Map<string, F>()
  let usual: F | undefined
  for (const filter of filters ?? []) {
    const [named, typed] = [String(filterName(filter) ?? ""), filterType(filter) ?? ""]
    if (named !== "") byName.set(named, filter)
    else if (typed !== "") byType.set(typed, filter)
    else usual = filter
  }
  const items = all.flatMap((one) => {
    const own = byName.get(name(one))
    const filter = own ?? byType.get(type(one)) ?? usual
    if (filter === undefined) return []
    const HealthState = state(one)
    const bits = filter.HealthStateFilter ?? 0
    // A filter without bits takes the entity that it names, and no other.
    const taken = bits === 0 ? own !== undefined : Health.takes(bits, HealthState)
    return taken ? [{ HealthState, ...info(one, filter) }] : []
  })
  // The count is of what the filters take, as the reference counts.
  return { TotalCount: items.length, Items: items }
}

const services = (
  world: World.World,
  application: World.Application,
  filters: ReadonlyArray<typeof ServiceFilter.Type> | null | undefined
) =>
  chunks(World.servicesOf(application), filters, {
    filterName: ({ ServiceNameFilter }) => ServiceNameFilter,
    name: ({ name }) => name,
    state: (service) => Health.ofService(world, service).state,
    info: (service, filter) => ({
      ServiceName: service.name,
      PartitionHealthStateChunks: chunks(service.partitions, filter?.PartitionFilters, {
        filterName: ({ PartitionIdFilter }) => PartitionIdFilter?.toLowerCase(),
        name: ({ partitionId }) => partitionId,
        state: (partition) => Health.ofPartition(world, partition).state,
        info: (partition, below) => ({
          PartitionId: partition.partitionId,
          ReplicaHealthStateChunks: chunks(partition.members.filter(Health.isShown), below?.ReplicaFilters, {
            filterName: ({ ReplicaOrInstanceIdFilter }) => ReplicaOrInstanceIdFilter,
            name: (member) => World.replicaId(partition.partitionId, member),
            state: (member) => Health.ofReplica(world, partition, member).state,
            info: (member) => ({ ReplicaOrInstanceId: World.replicaId(partition.partitionId, member) })
          })
        })
      })
    })
  })

const deployed = (
  world: World.World,
  application: World.Application,
  filters: ReadonlyArray<typeof DeployedFilter.Type> | null | undefined
) =>
  chunks(Health.nodesOf(world, application), filters, {
    filterName: ({ NodeNameFilter }) => NodeNameFilter,
    name: ({ name }) => name,
    state: (node) => Health.ofDeployed(world, application, node).state,
    info: (node, filter) => ({
      NodeName: node.name,
      DeployedServicePackageHealthStateChunks: chunks(
        Health.ofDeployed(world, application, node).below.flatMap(({ entities }) => entities),
        filter?.DeployedServicePackageFilters,
        {
          filterName: ({ ServiceManifestNameFilter }) => ServiceManifestNameFilter,
          name: () => Health.packageOf(application),
          state: (entity) => entity.state,
          info: () => ({ ServiceManifestName: Health.packageOf(application), ServicePackageActivationId: "" })
        }
      )
    })
  })
