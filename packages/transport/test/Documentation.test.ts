/**
 * The documentation of `/v1`: what it offers first, what it says of everything, and that it loads nothing from
 * elsewhere.
 */
import { assert, describe, it } from "@effect/vitest"
import { FaultRequest } from "@inquorate/core/Request"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import * as path from "node:path"
import { document, viewer } from "../src/v1/Documentation.ts"

interface Part {
  readonly summary?: string
  readonly security: ReadonlyArray<object>
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly description?: string }>
  readonly requestBody?: {
    readonly content: {
      readonly "application/json": { readonly examples: Readonly<Record<string, { readonly value: unknown }>> }
    }
  }
}

const { components, paths, tags } = document()
const parts = Object.entries(paths).flatMap(([target, methods]) =>
  Object.entries(methods).map(([method, part]) => [`${method} ${target}`, part as unknown as Part] as const)
)

describe("the OpenAPI document", () => {
  it("offers an ordinary quorum loss first, and a loss of data last", () => {
    assert.strictEqual(tags[0]?.name, "Operations")
    assert.deepStrictEqual(parts[0]?.[0], "post /v1/plan")
    for (const name of ["post /v1/plan", "put /v1/operations/{id}"]) {
      const examples = parts.find(([one]) => one === name)![1].requestBody!.content["application/json"].examples
      const made = Object.values(examples).map(({ value }) => Schema.decodeUnknownSync(FaultRequest)(value))
      assert.deepStrictEqual(
        made.map((request) => request.kind),
        [
          "PartitionQuorumLoss",
          "PartitionRestart",
          "NodeTransition",
          "NodeTransition",
          "NodeTransition",
          "PartitionDataLoss"
        ]
      )
      for (const request of made) assert.notProperty(request, "overrides")
    }
  })

  it("says of every call what it does, who may ask, and what each parameter means", () => {
    assert.isAtLeast(parts.length, 19)
    for (const [name, { parameters, security, summary }] of parts) {
      assert.isNotEmpty(summary, name)
      for (const { description, name: parameter } of parameters)
        assert.isNotEmpty(description ?? "", `${name} ${parameter}`)
      assert.deepStrictEqual(security, name === "get /healthz" ? [] : [{ token: [] }, { certificate: [] }], name)
    }
    assert.hasAllKeys(components.securitySchemes, ["token", "certificate"])
  })

  it("gives every field of a fault a title, and every length its unit", () => {
    const faults = Object.entries(components.schemas).filter(([name]) =>
      /(?:Loss|Restart|Stop|Start)Request$/.test(name)
    )
    assert.lengthOf(faults, 6)
    for (const [name, schema] of faults) {
      const { properties } = schema as unknown as {
        readonly properties: Readonly<Record<string, Readonly<Record<string, unknown>>>>
      }
      for (const [field, { description, title }] of Object.entries(properties)) {
        assert.isString(title ?? (field === "kind" ? "Kind" : undefined), `${name}.${field}`)
        if (field === "hold" || field === "duration") assert.match(`${title} ${description}`, /\(ms\).*milliseconds/)
      }
    }
  })

  it("is what the reference in docs says (node scripts/v1-reference.mjs writes it anew)", () => {
    const script = path.resolve(import.meta.dirname, "../../../scripts/v1-reference.mjs")
    const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" })
    assert.strictEqual(status, 0, stderr)
  })
})

it("the viewer has no fonts of elsewhere, and no tools of its maker", () => {
  assert.deepInclude(viewer as object, { withDefaultFonts: false, showDeveloperTools: "never", telemetry: false })
})
