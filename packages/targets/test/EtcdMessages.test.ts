import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { file_EtcdMessages } from "../src/EtcdMessages.ts"

describe("the messages for etcd", () => {
  it("are those that the file says, each field with its number", () => {
    const text = fs.readFileSync(path.join(import.meta.dirname, "../proto/EtcdMessages.proto"), "utf8")
    const written = [...text.matchAll(/^message (\w+) \{([^}]*)\}/gm)].flatMap(([, message, fields = ""]) =>
      [...fields.matchAll(/^\s+(repeated )?(\w+) (\w+) = (\d+);$/gm)].map(
        ([, repeated = "", type, name, number]) => `${message} ${repeated}${type} ${name} ${number}`
      )
    )
    const made = file_EtcdMessages.messages.flatMap(({ fields, name }) =>
      fields.map(({ name: field, number, proto, ...rest }) => {
        const type = proto.typeName === "" ? scalars[proto.type] : proto.typeName.split(".").at(-1)
        return `${name} ${rest.fieldKind === "list" ? "repeated " : ""}${type} ${field} ${number}`
      })
    )
    assert.isAbove(written.length, 20)
    assert.deepStrictEqual(made, written)
  })
})

// As descriptor.proto numbers them.
const scalars: Readonly<Record<number, string>> = { 3: "int64", 4: "uint64", 8: "bool", 9: "string", 12: "bytes" }
