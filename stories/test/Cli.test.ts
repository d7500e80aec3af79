/**
 * Goal: whichever way a person uses `inq` wrongly or stops it halfway, the answer says what was wrong and what to do,
 * the exit code is right, and no fault is left behind. Method: the bundled command as a process without a terminal.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { assert, describe, it } from "vitest"
import * as Harness from "./Harness.ts"
import { inq, onOneLab, worker, world } from "./ShopCommands.ts"

onOneLab()

describe("inq", () => {
  it("plans without touching anything, by id, by name and by cluster", async () => {
    for (const name of ["shop", "shop/quorum", "fabric:/shop/quorum", await Harness.partitionOf(worker, world)]) {
      const { code, stdout } = await inq("plan", name)
      assert.strictEqual(code, 0, name)
      assert.match(stdout, /2 − 1 \+ 1 = 2 must go; cutting s1, s2 leaves 0 < 1/)
    }
    assert.isTrue(Harness.nothingStopped(world))
  })

  it(
    "starts, watches with plain lines, and shows the evidence",
    async () => {
      const id = randomUUID()
      const { code, stderr, stdout } = await inq("start", "shop", "--duration", "1s", "--watch", "--id", id)
      assert.strictEqual(code, 0, stderr)
      for (const line of [
        /Arming/,
        /Loss: Confirmed/,
        /Holding/,
        /Lifting/,
        /Recovery: Confirmed/,
        /ended Completed\./
      ]) {
        assert.match(stdout, line)
      }
      assert.notInclude(stdout, "\u001B", "no terminal, no escapes")
      const shown = await inq("show", id)
      assert.match(shown.stdout, /Verdicts\n\s+Loss\s+Confirmed/)
      const json = JSON.parse((await inq("show", id, "--output", "json")).stdout) as { state: string }
      assert.strictEqual(json.state, "Completed")
      assert.include((await inq("list")).stdout, id)
      const again = await inq("start", "shop", "--duration", "1s", "--id", id)
      assert.strictEqual(again.code, 0)
      assert.match(again.stdout, /it was started before/)
      const other = await inq("start", "shop", "--duration", "2s", "--id", id)
      assert.strictEqual(other.code, 3)
      assert.include(other.stderr, id)
    },
    Harness.within(30_000)
  )

  it(
    "says what was wrong with the command line, and exits with 2",
    async () => {
      const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["start", "shop", "--duration", "5 parsecs"], /--duration: expected a length such as 5s/],
        [["start", "shop"], /duration/],
        [["start", "shop", "--duration", "1s", "--id", "nope"], /GUID/],
        [["start", "shop", "--duration", "1s", "--mode", "Some"], /QuorumReplicas/],
        [["show", "nope"], /GUID/],
        [["list", "--limit", "0"], /1 to 10000/],
        [["frobnicate"], /frobnicate/]
      ]
      for (const [arguments_, expected] of wrong) {
        const { code, stderr, stdout } = await inq(...arguments_)
        assert.strictEqual(code, 2, arguments_.join(" "))
        assert.match(stderr + stdout, expected, arguments_.join(" "))
      }
      const elsewhere = await Harness.inq("--endpoint", "ftp://x", "list")
      assert.strictEqual(elsewhere.code, 2)
      assert.match(elsewhere.stderr, /--endpoint: expected http/)
    },
    Harness.within(30_000)
  )

  it("says what a rule refused, and exits with 3", async () => {
    const unknown = await inq("start", "warehouse", "--duration", "1s")
    assert.strictEqual(unknown.code, 3)
    assert.match(unknown.stderr, /no partition warehouse.*shop\/quorum/)
    const long = await inq("start", "shop", "--duration", "2h")
    assert.strictEqual(long.code, 3)
    assert.match(long.stderr, /15 min/)
    const missing = await inq("cancel", randomUUID())
    assert.strictEqual(missing.code, 3)
    assert.match(missing.stderr, /was not found.*FABRIC_E_KEY_NOT_FOUND/)
  })

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(
      `cancels and waits for the lift on ${signal}, and exits with 130`,
      async () => {
        const id = randomUUID()
        const started = Harness.startInq([
          "--endpoint",
          worker.endpoint,
          "start",
          "shop",
          "--duration",
          "60s",
          "--watch",
          "--id",
          id
        ])
        await Harness.until("both standbys stopped", 10_000, () => Harness.stoppedMembers(world).length === 2)
        await Harness.until("the hold", 10_000, () => started.stdout().includes("Holding"))
        started.child.kill(signal)
        const { code, stdout } = await started.done
        assert.strictEqual(code, 130)
        assert.match(stdout, /Cancelling .* waiting for the lift/)
        assert.isTrue(Harness.nothingStopped(world), "the lift was awaited")
        assert.deepStrictEqual(await Harness.progress(worker, id), { State: "Cancelled" })
        await Harness.until("writes commit again", 10_000, () => Harness.writeCommits(world, 1000))
      },
      Harness.within(30_000)
    )
  }

  it(
    "tells by doctor what stands, and what is past its time",
    async () => {
      const id = randomUUID()
      assert.strictEqual((await inq("start", "shop", "--duration", "60s", "--id", id)).code, 0)
      await Harness.until("both standbys stopped", 10_000, () => Harness.stoppedMembers(world).length === 2)
      const standing = await Harness.inq("doctor")
      assert.strictEqual(standing.code, 0)
      assert.match(standing.stdout, new RegExp(`${id}.*standing`))
      await inq("cancel", id)
      await Harness.ended(worker, id)
      assert.match((await Harness.inq("doctor", "--sweep")).stdout, new RegExp(`${id}.*off, by the worker`))
    },
    Harness.within(30_000)
  )
})

describe("a bundle", () => {
  it("imports nothing that an older Node lacks, so that its check of the version can run", () => {
    for (const file of Harness.bundles) {
      const text = fs.readFileSync(file, "utf8")
      assert.match(text.slice(0, 400), /needs Node 24 or newer.* npx -y node@24/)
      assert.notMatch(text, /(from|import)\s*["']node:sqlite["']/)
    }
  })
})
