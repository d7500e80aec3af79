/** Files that a person names: whole, bounded, and with the system's own words where they cannot be read. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Credentials from "../src/client/Credentials.ts"
import * as TextFile from "../src/client/TextFile.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-text-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
)

describe("a file that a person names", () => {
  it.live("is read whole, letters across pieces too", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "text")
      const text = `x${"größer ".repeat(20_000)}`
      fs.writeFileSync(file, text)
      assert.strictEqual(TextFile.read(file), text)
    }).pipe(Effect.scoped)
  )

  it.live("has an end, whatever it is", () =>
    Effect.gen(function* () {
      assert.throws(() => TextFile.read("/dev/zero"), /more than 4194304 bytes/)
      const error = yield* Effect.flip(Credentials.readSecret({ file: "/dev/zero" }))
      assert.include(error.detail, "/dev/zero cannot be read: it has more than 4194304 bytes")
      assert.throws(() => TextFile.read("/"), /it is a folder, not a file/)
      assert.throws(() => TextFile.read("/nowhere"), /ENOENT/)
    })
  )
})
