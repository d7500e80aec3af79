import { assert, describe, it } from "@effect/vitest"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NamedFile from "../src/NamedFile.ts"

describe("a file that a person named", () => {
  it("is read whole, and one that is not there or never ends says so", () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-named-"))
    const file = path.join(folder, "file")
    fs.writeFileSync(file, "secret\n")
    assert.strictEqual(NamedFile.read(file).toString(), "secret\n")
    fs.writeFileSync(file, Buffer.alloc(1024 * 1024))
    assert.lengthOf(NamedFile.read(file), 1024 * 1024)
    fs.writeFileSync(file, Buffer.alloc(1024 * 1024 + 1))
    assert.throws(() => NamedFile.read(file), /more than 1048576 bytes/)
    assert.throws(() => NamedFile.read("/dev/zero"), /more than 1048576 bytes/)
    assert.throws(() => NamedFile.read(path.join(folder, "none")), /ENOENT/)
    assert.throws(() => NamedFile.read(folder), /EISDIR/)
    fs.rmSync(folder, { recursive: true })
  })

  it.skipIf(process.platform === "win32")("that is a pipe to which nobody writes keeps nobody", () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-named-"))
    const pipe = path.join(folder, "pipe")
    childProcess.execFileSync("mkfifo", [pipe])
    assert.lengthOf(NamedFile.read(pipe), 0)
    fs.rmSync(folder, { recursive: true })
  })
})
