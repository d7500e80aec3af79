/**
 * The JSON Schema of a worker's configuration file, for editors and for programs that write one. It is made from the
 * schemas in `WorkerFile.ts`, by which the worker reads the file. `docs/schema/worker.schema.json` is this value, written
 * down.
 */
import { LayoutFile } from "@inquorate/emulator/LayoutFile"
import { Looked } from "@inquorate/targets/Command"
import { modules } from "@inquorate/targets/Registry"
import type * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import { ClusterCommon, clusterName, WorkerFile } from "./WorkerFile.ts"

/** Where the published schema stands, so that a configuration file can name it. */
export const location = "https://raw.githubusercontent.com/inquorate/inquorate/main/docs/schema/worker.schema.json"

/** The JSON Schema (draft 2020-12) of a worker's configuration file. */
export const workerSchema = (): JsonSchema.JsonSchema => {
  const file = read(WorkerFile)
  const systems = modules.map(({ config, system }) => ({ system, ...clusterOf(system, read(config)) }))
  const clusters = {
    ...file.properties["clusters"],
    propertyNames: { pattern: clusterName.source },
    additionalProperties: { anyOf: systems.map(({ system }) => ({ $ref: `#/$defs/${system}` })) }
  }
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: location,
    title: "The configuration of an Inquorate worker",
    type: "object",
    properties: { ...file.properties, clusters },
    additionalProperties: false,
    $defs: Object.assign(
      { ...file.definitions },
      ...systems.map(({ definitions, schema, system }) => ({ ...definitions, [system]: schema }))
    )
  }
}

/** The JSON Schema (draft 2020-12) of what the look command of a `system: command` cluster prints. */
export const lookSchema = (): JsonSchema.JsonSchema =>
  published("command-look", "What the look command of a cluster prints", Looked)

/** The JSON Schema (draft 2020-12) of the layout of a simulated cluster. */
export const layoutSchema = (): JsonSchema.JsonSchema =>
  published("emulator-layout", "What a simulated cluster is made of", LayoutFile)

// --- internal ---

const published = (name: string, title: string, schema: Schema.Constraint): JsonSchema.JsonSchema => {
  const { definitions, properties, required } = read(schema)
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: location.replace("worker.schema", `${name}.schema`),
    title,
    type: "object",
    properties,
    required,
    additionalProperties: false,
    ...(Object.keys(definitions).length === 0 ? {} : { $defs: definitions })
  }
}

interface ObjectSchema {
  readonly properties: Readonly<Record<string, JsonSchema.JsonSchema>>
  readonly required: ReadonlyArray<string>
  readonly definitions: JsonSchema.Definitions
}

// Effect writes a schema with an identifier as a reference to its definition.
const read = (schema: Schema.Constraint): ObjectSchema => {
  const { definitions, schema: told } = Schema.toJsonSchemaDocument(schema, {
    onExcessProperty: "error",
    generateDescriptions: true
  })
  const reference = typeof told["$ref"] === "string" ? told["$ref"].replace("#/$defs/", "") : undefined
  const { properties, required } = reference === undefined ? told : definitions[reference]!
  return {
    properties: plain(properties ?? {}) as ObjectSchema["properties"],
    required: (required ?? []) as ObjectSchema["required"],
    definitions: plain(
      Object.fromEntries(Object.entries(definitions).filter(([key]) => key !== reference))
    ) as JsonSchema.Definitions
  }
}

/**
 * The same schema as a person would write it. Editors show what stands beside a keyword, but not what stands in an
 * `allOf`. So checks and annotations are pulled up, and the later one counts. Bounds that every integer of JavaScript
 * has are left out.
 */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value
  const told: Record<string, unknown> = {}
  const { allOf = [], anyOf, ...rest } = value as JsonSchema.JsonSchema
  const single = Array.isArray(anyOf) && anyOf.length === 1
  const parts = [
    ...(single ? anyOf : [anyOf === undefined ? {} : { anyOf }]),
    rest,
    ...(allOf as ReadonlyArray<object>)
  ]
  for (const [key, part] of parts.flatMap((part) => Object.entries(part))) told[key] = plain(part)
  if (told["minimum"] === Number.MIN_SAFE_INTEGER) delete told["minimum"]
  if (told["maximum"] === Number.MAX_SAFE_INTEGER) delete told["maximum"]
  if (told["description"] === "an integer") delete told["description"]
  if (told["minItems"] === 1) delete told["prefixItems"]
  return told
}

/** A cluster of one system holds the common keys and its target module's own. */
const clusterOf = (system: string, own: ObjectSchema) => {
  const common = read(ClusterCommon)
  const schema = {
    type: "object",
    description: `A cluster of ${system}.`,
    properties: { ...common.properties, system: { ...common.properties["system"], enum: [system] }, ...own.properties },
    required: [...common.required, ...own.required],
    additionalProperties: false
  }
  return { schema, definitions: { ...common.definitions, ...own.definitions } }
}
