/**
 * Applications and services as the wire shows them.
 */
import type { PartitionKey } from "@inquorate/core/Topology"
import * as Health from "./FabricHealth.ts"
import type * as Model from "./FabricModel.ts"
import { idOf } from "./FabricPath.ts"
import * as World from "./FabricWorld.ts"

// --- make ---

/** The type of an application: its own, or else its system. */
export const applicationType = ({ view }: World.Application): string => view.application?.typeName ?? view.system

/** The version of the type of an application. */
export const applicationVersion = ({ view }: World.Application): string => view.application?.typeVersion ?? "1.0"

/** The parameters of an application: its own, or else the configuration of its cluster. */
export const parametersOf = ({ view }: World.Application) =>
  view.application?.parameters.map(({ key, value }) => ({ Key: key, Value: value })) ?? [
    { Key: "Injector", Value: view.injector },
    { Key: "Protected", Value: String(view.protected) }
  ]

/** An application. */
export const applicationInfo = (
  world: World.World,
  application: World.Application,
  options: { readonly excludeParameters: boolean }
): Model.ApplicationInfo => {
  return {
    ...nameInfo(application.name, world.version),
    TypeName: applicationType(application),
    TypeVersion: applicationVersion(application),
    Status: "Ready",
    Parameters: options.excludeParameters ? [] : parametersOf(application),
    HealthState: Health.ofApplication(world, application).state,
    ApplicationDefinitionKind: "ServiceFabricApplicationDescription"
  }
}

/** A name with its id, spelt as the api-version wants it. */
export const nameInfo = (name: string, version: number): Model.NameInfo => ({ Id: idOf(name, version), Name: name })

/** A service. */
export const serviceInfo = (world: World.World, service: World.Service): Model.ServiceInfo => ({
  ...nameInfo(service.name, world.version),
  ServiceKind: service.facts.kind,
  TypeName: service.facts.typeName,
  ManifestVersion: applicationVersion(service.application),
  HealthState: Health.ofService(world, service).state,
  ServiceStatus: "Active",
  IsServiceGroup: false,
  ...(service.facts.kind === "Stateful" ? { HasPersistedState: service.facts.persisted } : {})
})

/** The description of a service, with its partition scheme. */
export const serviceDescription = ({
  application,
  facts,
  name,
  partitions
}: World.Service): Model.ServiceDescription => ({
  ServiceKind: facts.kind,
  ApplicationName: application.name,
  ServiceName: name,
  ServiceTypeName: facts.typeName,
  PartitionDescription: scheme(partitions.map((partition) => World.factsOf(partition).key)),
  ...(facts.kind === "Stateful"
    ? {
        TargetReplicaSetSize: facts.targetSize,
        MinReplicaSetSize: facts.minSize,
        HasPersistedState: facts.persisted
      }
    : { InstanceCount: facts.targetSize })
})

// --- internal ---

const scheme = (keys: ReadonlyArray<PartitionKey>): Model.ServiceDescription["PartitionDescription"] => {
  const names = keys.flatMap((key) => (key._tag === "Named" ? [key.name] : []))
  if (names.length > 0) return { PartitionScheme: "Named", Count: names.length, Names: names.sort() }
  const ranges = keys.flatMap((key) => (key._tag === "Int64Range" ? [key] : []))
  if (ranges.length === 0) return { PartitionScheme: "Singleton" }
  const least = (a: string, b: string): string => (BigInt(a) < BigInt(b) ? a : b)
  const most = (a: string, b: string): string => (BigInt(a) > BigInt(b) ? a : b)
  return {
    PartitionScheme: "UniformInt64Range",
    Count: ranges.length,
    LowKey: ranges.map(({ low }) => low).reduce(least),
    HighKey: ranges.map(({ high }) => high).reduce(most)
  }
}
