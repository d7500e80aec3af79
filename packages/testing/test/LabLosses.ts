/** What a loss within a test keeps on a lab of one system, and what is refused there. */
import * as Lab from "@inquorate/lab/Lab"
import { findBinary } from "@inquorate/lab/Etcd"
import type { Lab as LabRecord } from "@inquorate/lab/LabModule"
import { within } from "@inquorate/testkit/Pace"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { LossError, type LossOptions, quorumLoss } from "../src/QuorumLoss.ts"
import { lossesWithin } from "./Losses.ts"

const state = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-testing-"))
process.env["INQUORATE_LAB_STATE"] = path.join(state, "labs")
process.env["INQUORATE_STATE"] = path.join(state, "fences")
afterAll(() => fs.rmSync(state, { recursive: true, force: true, maxRetries: 10 }))

const optionsOf = ({ configuration, system }: LabRecord): LossOptions => {
  const { kill: _kill, system: _system, ...settings } = configuration as { system: string } & LossOptions["settings"]
  return { system, settings, readyWithin: `${within(30)}s` }
}

const rejected = async (promise: Promise<unknown>): Promise<LossError> => {
  try {
    await promise
  } catch (error) {
    assert.instanceOf(error, LossError)
    return error as LossError
  }
  throw new Error("it was not rejected")
}

/** Registers the tests, on a lab that they have for themselves. */
export const lossesOnLab = (system: "postgres" | "etcd"): void => {
  describe.skipIf(system === "etcd" && findBinary(null) === null)(`a loss within a test, on ${system}`, () => {
    let lab: LabRecord
    let options: LossOptions
    beforeAll(async () => {
      lab = await Effect.runPromise(Lab.up({ system, name: `testing-${system}` }))
      options = optionsOf(lab)
    })
    afterAll(async () => {
      await Effect.runPromise(Lab.down(`testing-${system}`))
    })

    lossesWithin(() => ({ options, pids: async () => lab.members.map(({ pid }) => pid) }))

    it("is refused by what a rule says, and nothing is touched", async () => {
      const strange = await rejected(quorumLoss({ ...options, system: "oracle" }))
      assert.strictEqual(strange.code, "Refused")
      assert.include(strange.message, "postgres, etcd")
      for (const wrong of [{ atMost: "soon" }, { readyWithin: "soon" }]) {
        assert.strictEqual((await rejected(quorumLoss({ ...options, ...wrong }))).code, "Refused")
      }
      const slips: ReadonlyArray<readonly [object, RegExp]> = [
        [{ mode: "Some" }, /mode is "Some", where QuorumReplicas or AllReplicas/],
        [{ containers: ["a"] }, /containers: 1 given for 3 members/],
        [{ containers: ["a", "b", "c"], compose: { project: "p" } }, /containers or compose is expected, not both/],
        [{ settings: { pods: {} } }, /settings\.members is missing.*no pods/],
        [{ settings: undefined }, /settings\.members is missing/]
      ]
      for (const [slip, words] of slips) {
        const { code, message } = await rejected(quorumLoss({ ...options, ...slip } as typeof options))
        assert.strictEqual(code, "Refused", message)
        assert.match(message, words)
      }
      const nobody = { ...options, settings: { ...options.settings, members: [] } }
      assert.strictEqual((await rejected(quorumLoss(nobody))).code, "Refused")
      await using _loss = await quorumLoss(options)
      const second = await rejected(quorumLoss({ ...options, readyWithin: "0s" }))
      assert.strictEqual(second.code, "Refused")
    })
  })
}
