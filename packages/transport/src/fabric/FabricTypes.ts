/**
 * Application types and service types as the wire shows them, with their manifests. They follow from the applications
 * that there are, because nobody ever provisions a type here.
 */
import * as Services from "./FabricServices.ts"
import { xml } from "./FabricNodes.ts"
import { packageOf } from "./FabricHealth.ts"
import * as World from "./FabricWorld.ts"

// --- models ---

/** A type of application with its applications, of which there is at least one. */
export interface ApplicationType {
  readonly name: string
  readonly version: string
  readonly applications: ReadonlyArray<World.Application>
}

// --- make ---

/** The types of all applications in the order of their names and versions. */
export const all = (world: World.World): ReadonlyArray<ApplicationType> => {
  const found = new Map<string, { name: string; version: string; applications: Array<World.Application> }>()
  for (const application of world.applications) {
    const [name, version] = [Services.applicationType(application), Services.applicationVersion(application)]
    const type = found.get(keyOf({ name, version }))
    if (type === undefined) found.set(keyOf({ name, version }), { name, version, applications: [application] })
    else type.applications.push(application)
  }
  return [...found.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
}

/** The key that tells one type from another. It is also the continuation token of the type. */
export const keyOf = ({ name, version }: Pick<ApplicationType, "name" | "version">): string => `${name}:${version}`

/** A type of application as the wire shows it. */
export const applicationTypeInfo = (
  { applications, name, version }: ApplicationType,
  options: { readonly excludeParameters: boolean }
) => ({
  Name: name,
  Version: version,
  DefaultParameterList: options.excludeParameters ? [] : Services.parametersOf(applications[0]!),
  Status: "Available",
  StatusDetails: "",
  ApplicationTypeDefinitionKind: "ServiceFabricApplicationPackage"
})

/** The service types of a type of application, each once, in the order of their names. */
export const serviceTypes = ({ applications, version }: ApplicationType) =>
  factsOf(applications).map(({ kind, persisted, typeName }) => ({
    ServiceTypeDescription: {
      Kind: kind,
      IsStateful: kind === "Stateful",
      ServiceTypeName: typeName,
      PlacementConstraints: "",
      ...(kind === "Stateful" ? { HasPersistedState: persisted } : { UseImplicitHost: false }),
      LoadMetrics: [],
      ServicePlacementPolicies: [],
      Extensions: []
    },
    ServiceManifestName: packageOf(applications[0]!),
    ServiceManifestVersion: version,
    IsServiceGroup: false
  }))

/** The manifest of a type of application. */
export const applicationManifest = ({ applications, name, version }: ApplicationType): string =>
  '<?xml version="1.0" encoding="utf-8"?>' +
  `<ApplicationManifest xmlns="${schema}" ApplicationTypeName="${xml(name)}" ApplicationTypeVersion="${xml(version)}">` +
  `<Parameters>${Services.parametersOf(applications[0]!)
    .map(({ Key, Value }) => `<Parameter Name="${xml(Key)}" DefaultValue="${xml(Value)}" />`)
    .join("")}</Parameters>` +
  `<ServiceManifestImport><ServiceManifestRef ServiceManifestName="${xml(packageOf(applications[0]!))}" ` +
  `ServiceManifestVersion="${xml(version)}" /></ServiceManifestImport>` +
  "</ApplicationManifest>"

/** The manifest of the one package of a type of application. */
export const serviceManifest = ({ applications, version }: ApplicationType): string =>
  '<?xml version="1.0" encoding="utf-8"?>' +
  `<ServiceManifest xmlns="${schema}" Name="${xml(packageOf(applications[0]!))}" Version="${xml(version)}">` +
  `<ServiceTypes>${factsOf(applications)
    .map(({ kind, persisted, typeName }) =>
      kind === "Stateful"
        ? `<StatefulServiceType ServiceTypeName="${xml(typeName)}" HasPersistedState="${persisted}" />`
        : `<StatelessServiceType ServiceTypeName="${xml(typeName)}" />`
    )
    .join("")}</ServiceTypes>` +
  `<CodePackage Name="${codePackage}" Version="${xml(version)}" />` +
  "</ServiceManifest>"

/** The name of the one code package that every service package has. */
export const codePackage = "Code"

// --- internal ---

const schema = "http://schemas.microsoft.com/2011/01/fabric"

const factsOf = (applications: ReadonlyArray<World.Application>) => {
  const found = new Map(applications.flatMap(World.servicesOf).map(({ facts }) => [facts.typeName, facts] as const))
  return [...found.values()].sort((a, b) => (a.typeName < b.typeName ? -1 : 1))
}
