/**
 * What every loss within a test keeps, wherever its servers run: it is there within its scope and gone with its proof after
 * it; it ends also where the test fails, and where the test's process is killed.
 */
import { within } from "@inquorate/testkit/Pace"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "vitest"
import { type LossOptions, quorumLoss } from "../src/QuorumLoss.ts"

/** Servers that a test has started. */
export interface Bench {
  readonly options: LossOptions
  /** The processes of the members, by their numbers on this machine. */
  readonly pids: () => Promise<ReadonlyArray<number>>
}

/** Registers the tests. */
export const lossesWithin = (bench: () => Bench): void => {
  const held = async (): Promise<ReadonlyArray<number>> => (await bench().pids()).filter(isStopped)

  it("is there within the scope, and gone with its proof after it", async () => {
    let proof
    {
      await using loss = await quorumLoss(bench().options)
      assert.isAbove(loss.members.length, 0)
      assert.lengthOf(await held(), loss.members.length)
      ;({ proof } = loss)
    }
    const { lostForMs, recoveredAfterMs, writesTried } = await proof
    assert.isEmpty(await held())
    assert.isAbove(lostForMs, 0)
    assert.isAtLeast(recoveredAfterMs, 0)
    assert.isAbove(writesTried, 0)
  })

  it("ends also where the test fails, and is told once however often it is asked for", async () => {
    let failed = ""
    try {
      await using loss = await quorumLoss({ ...bench().options, mode: "AllReplicas" })
      assert.isNotEmpty(await held())
      assert.strictEqual(await loss.giveBack(), await loss.proof)
      throw new Error("the test failed")
    } catch (error) {
      failed = (error as Error).message
    }
    assert.strictEqual(failed, "the test failed")
    assert.isEmpty(await held())
  })

  it("ends with the process that took it, however that dies", async () => {
    const script = path.join(import.meta.dirname, "take-and-wait.ts")
    const words = [script, JSON.stringify(bench().options)]
    const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] })
    const gone = once(child, "exit").then(() => assert.fail("it ended before it had taken the quorum"))
    await Promise.race([once(child.stdout!, "data"), gone])
    gone.catch(() => {})
    assert.isNotEmpty(await held())
    child.kill("SIGKILL")
    const limit = Date.now() + within(20_000)
    while ((await held()).length > 0) {
      if (Date.now() > limit) throw new Error("waited in vain for the members to run on")
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })
}

// --- internal ---

const isStopped = (pid: number): boolean => /\) [tT]/.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"))
