/**
 * How `/v1` is documented: the OpenAPI document and the page that shows it. The document has what the schemas and the
 * table of roles know besides: ready-made requests, who may ask, what a parameter means. Nothing here is loaded from
 * elsewhere.
 */
import type { ScalarConfig } from "effect/http-api/HttpApiScalar"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Access from "../server/Access.ts"
import { Api } from "./Api.ts"

// --- make ---

/**
 * The settings of the viewer: the reader's own fonts, and none of its maker's tools, which would send the document
 * away.
 */
export const viewer: ScalarConfig = {
  theme: "default",
  withDefaultFonts: false,
  defaultOpenAllTags: true,
  favicon: "data:,",
  authentication: { preferredSecurityScheme: "token" },
  customCss:
    ":root { --scalar-font: system-ui, sans-serif; --scalar-font-code: ui-monospace, monospace; } .scalar-mcp-layer, .ask-agent-scalar { display: none }",
  ...{
    showDeveloperTools: "never",
    hideClientButton: true,
    telemetry: false,
    documentDownloadType: "none",
    defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
    agent: { disabled: true },
    mcp: { disabled: true }
  }
}

/** The surface with its documentation. */
export const Documented = Api.annotateMerge(
  OpenApi.annotations({ transform: (document: Readonly<Record<string, unknown>>) => transform(document) })
)

/** The OpenAPI document. */
export const document = (): OpenApi.OpenAPISpec => OpenApi.fromApi(Documented)

// --- internal ---

type Json = Readonly<Record<string, unknown>>

/** A part of the document, as far as we read it here. */
interface Operation {
  readonly description?: string
  readonly parameters?: ReadonlyArray<Json>
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Json }>> }
}

const schemes = {
  token: { type: "http", scheme: "bearer", description: "A bearer token, where the worker takes tokens" },
  certificate: { type: "mutualTLS", description: "A client certificate, where the worker takes certificates" }
}

/** The definition that a schema refers to. A schema that is no reference is its own definition. */
const resolve = (schemas: Readonly<Record<string, Json>>, schema: Json): Json => {
  const reference = schema["$ref"]
  return typeof reference === "string" ? (schemas[reference.slice(reference.lastIndexOf("/") + 1)] ?? schema) : schema
}

/** A ready-made request for each form of a body, in the order of the forms. */
const examplesOf = (schemas: Readonly<Record<string, Json>>, body: Json): Readonly<Record<string, Json>> => {
  const whole = resolve(schemas, body)
  const forms = Array.isArray(whole["anyOf"]) ? (whole["anyOf"] as ReadonlyArray<Json>) : [whole]
  return Object.fromEntries(
    forms.flatMap((form) => {
      const { description, examples, title } = resolve(schemas, form)
      return Array.isArray(examples) && typeof title === "string"
        ? [[title, { summary: title, ...(description === undefined ? {} : { description }), value: examples[0] }]]
        : []
    })
  )
}

const words = new Set(["title", "description", "examples"])

/**
 * Merges the words of a property into its schema. The generator puts them into an `allOf`, and there a reader would
 * find the words of the type first.
 */
const merged = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(merged)
  if (typeof value !== "object" || value === null) return value
  const { allOf, ...rest } = Object.fromEntries(Object.entries(value).map(([key, part]) => [key, merged(part)]))
  if (!Array.isArray(allOf)) return allOf === undefined ? rest : { ...rest, allOf }
  const parts = [rest, ...(allOf as ReadonlyArray<Json>)]
  const keys = parts.flatMap((part) => Object.keys(part).filter((key) => !words.has(key)))
  return new Set(keys).size === keys.length ? Object.assign({}, ...parts) : { ...rest, allOf }
}

/** The words of a schema: its own, or else those of the schema that it refers to. */
const wordsOf = (schemas: Readonly<Record<string, Json>>, schema: Json): unknown =>
  schema["description"] ?? resolve(schemas, schema)["description"]

const documentOperation = (
  schemas: Readonly<Record<string, Json>>,
  method: string,
  path: string,
  operation: Operation
): Json => {
  const access = Access.ofApi(method.toUpperCase(), path)
  const role =
    access === "Anonymous" ? "Everybody may ask." : `Asks for the role ${access}, where callers are known by roles.`
  const { description, parameters = [], requestBody } = operation
  return {
    ...operation,
    description: description === undefined ? role : `${description} ${role}`,
    security: access === "Anonymous" ? [] : Object.keys(schemes).map((name) => ({ [name]: [] })),
    parameters: parameters.map((parameter) => {
      const words = wordsOf(schemas, parameter["schema"] as Json)
      return words === undefined ? parameter : { ...parameter, description: words }
    }),
    ...(requestBody === undefined
      ? {}
      : {
          requestBody: {
            ...requestBody,
            content: Object.fromEntries(
              Object.entries(requestBody.content).map(([type, content]) => [
                type,
                { ...content, examples: examplesOf(schemas, content.schema) }
              ])
            )
          }
        })
  }
}

const transform = (document: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const { components, paths } = merged(document) as {
    readonly components: { readonly schemas: Readonly<Record<string, Json>> }
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  }
  return {
    ...document,
    components: { ...components, securitySchemes: schemes },
    paths: Object.fromEntries(
      Object.entries(paths).map(([path, methods]) => [
        path,
        Object.fromEntries(
          Object.entries(methods).map(([method, operation]) => [
            method,
            documentOperation(components.schemas, method, path, operation)
          ])
        )
      ])
    )
  }
}
