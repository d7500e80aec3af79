import { assert, describe, it } from "@effect/vitest"
import { fromHresult, hresult, table } from "@inquorate/core/FabricError"

describe("the error table", () => {
  it("gives each code an HRESULT of its own, and finds it again", () => {
    for (const code of Object.keys(table) as ReadonlyArray<keyof typeof table>) {
      assert.strictEqual(fromHresult(hresult(code)), code)
      assert.isBelow(hresult(code), 0)
      assert.include([400, 401, 403, 404, 409, 413, 500, 501, 502, 503, 504], table[code].status)
    }
  })

  it("has the codes of the fault calls as the published enumeration has them", () => {
    assert.strictEqual(hresult("FABRIC_E_KEY_NOT_FOUND"), 0x80071c13 | 0)
    assert.strictEqual(hresult("FABRIC_E_TEST_COMMAND_OPERATION_ID_ALREADY_EXISTS"), 0x80071c54 | 0)
    assert.strictEqual(hresult("FABRIC_E_INVALID_TEST_COMMAND_STATE"), 0x80071c53 | 0)
    assert.strictEqual(hresult("E_INVALIDARG"), 0x80070057 | 0)
  })
})
