// Writes docs/v1.md, the reference of /v1, from the OpenAPI document that a worker serves.
// Usage: node scripts/v1-reference.mjs [--check], which writes nothing and fails where the file is stale.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { document } from "../packages/transport/src/v1/Documentation.ts"
import { root } from "./process.mjs"

const { components, info, paths, tags } = document()
const file = join(root, "docs/v1.md")

const nameOf = (schema) => schema.$ref?.slice(schema.$ref.lastIndexOf("/") + 1)
const anchorOf = (name) => `[${name}](#${name.toLowerCase()})`
const cell = (text) => String(text ?? "").replaceAll("|", "\\|")

const isTagged = (schema) => schema.properties?._tag?.enum !== undefined

/** Objects that their `_tag` tells apart, by that word and their other fields. */
const tagsOf = (schemas) =>
  schemas.filter(isTagged).map(({ properties }) => {
    const [word] = properties._tag.enum
    const more = Object.keys(properties).filter((name) => name !== "_tag")
    return more.length === 0 ? `\`${word}\`` : `\`${word}\` (${more.map((name) => `\`${name}\``).join(", ")})`
  })

/** The type of a value in a few words. */
const typeOf = (schema) => {
  if (schema.$ref !== undefined) return anchorOf(nameOf(schema))
  if (schema.anyOf !== undefined)
    return [...new Set([...tagsOf(schema.anyOf), ...schema.anyOf.filter((one) => !isTagged(one)).map(typeOf)])].join(
      " or "
    )
  if (schema.enum !== undefined) return schema.enum.map((word) => `\`${JSON.stringify(word)}\``).join(", ")
  if (schema.type === "array") return schema.items === undefined ? "list" : `list of ${typeOf(schema.items)}`
  if (schema.type === "object") {
    const fields = Object.keys(schema.properties ?? {})
    return fields.length === 0 ? "object" : `object of ${fields.map((name) => `\`${name}\``).join(", ")}`
  }
  return schema.type ?? "anything"
}

const meaningOf = ({ description, title }) =>
  description === undefined ? (title ?? "") : title === undefined ? description : `${title}. ${description}`

const table = (heads, rows) =>
  rows.length === 0
    ? []
    : [
        `| ${heads.join(" | ")} |`,
        `|${heads.map(() => "---").join("|")}|`,
        ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
        ""
      ]

const contentOf = (content = {}) =>
  Object.entries(content).map(
    ([type, { schema }]) => `${typeOf(schema)}${type === "application/json" ? "" : ` as \`${type}\``}`
  )

const operationLines = (path, method, operation) => {
  const { description, parameters = [], requestBody, responses, summary } = operation
  const json = requestBody?.content["application/json"]
  return [
    `### \`${method.toUpperCase()} ${path}\``,
    "",
    `${summary}. ${description}`,
    "",
    ...table(
      ["parameter", "in", "meaning"],
      parameters.map((one) => [`\`${one.name}\`${one.required ? "" : " (optional)"}`, one.in, one.description])
    ),
    ...(json === undefined ? [] : [`Body: ${typeOf(json.schema)}.`, ""]),
    `Answer: ${contentOf(responses[200]?.content).join(", ") || "nothing"}.`,
    ""
  ]
}

const schemaLines = (name, schema) => [
  `### ${name}`,
  "",
  ...(meaningOf(schema) === "" ? [] : [`${meaningOf(schema)}.`, ""]),
  ...(schema.properties === undefined
    ? [`${typeOf(schema)}.`, ""]
    : table(
        ["field", "type", "meaning"],
        Object.entries(schema.properties).map(([field, of]) => [
          `\`${field}\`${schema.required?.includes(field) ? "" : " (optional)"}`,
          typeOf(of),
          meaningOf(of)
        ])
      )),
  ...(Array.isArray(schema.examples) && typeof schema.examples[0] === "object"
    ? ["```json", JSON.stringify(schema.examples[0], null, 2), "```", ""]
    : [])
]

/** The definitions that are used, in the order in which a reader comes across them. */
const used = new Set()
const visit = (value) => {
  if (typeof value !== "object" || value === null) return
  const name = nameOf(value)
  if (name !== undefined && !used.has(name)) {
    used.add(name)
    visit(components.schemas[name])
  }
  for (const part of Object.values(value)) visit(part)
}
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
)
for (const { operation } of operations) visit([operation.requestBody, operation.responses[200]])

const lines = [
  "# The surface `/v1`",
  "",
  "<!-- Written by scripts/v1-reference.mjs from the schemas; do not edit. -->",
  "",
  info.description,
  "A worker serves the same as OpenAPI at `/v1/openapi.json`, and as a page to try it at `/v1/docs`.",
  "",
  "Every answer carries the header `Inquorate-Api: 1`. A list of operations also has `Inquorate-Unreadable`: how many are left",
  "out of it because they cannot be read (0: nobody needs to ask for them). What was refused is [Error](#error) with the status 400 (the request),",
  "403 (the caller), 404 (nothing of that name), 409 (the state of things), 422 (a rule), 413, or 500 and above.",
  "Service Fabric's own surface, beside this one, is not described here.",
  "",
  ...tags.flatMap(({ description, name }) => [
    `## ${name}`,
    "",
    description,
    "",
    ...operations
      .filter(({ operation }) => operation.tags.includes(name))
      .flatMap(({ method, operation, path }) => operationLines(path, method, operation))
  ]),
  "## Bodies",
  "",
  ...["Error", ...used].flatMap((name) => schemaLines(name, components.schemas[name]))
]
const text = `${lines.join("\n").trimEnd()}\n`

if (!process.argv.includes("--check")) writeFileSync(file, text)
else if (readFileSync(file, "utf8") !== text) {
  process.stderr.write("docs/v1.md is stale: node scripts/v1-reference.mjs writes it anew.\n")
  process.exit(1)
}
