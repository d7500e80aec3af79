import { assert, describe, it } from "@effect/vitest"
import { collect, type EvidenceEntry, type Fact } from "@inquorate/core/Evidence"

const entry = (at: number, fact: Fact, worker = "w1"): EvidenceEntry => ({ at, monotonic: at - 1000, worker, fact })

describe("the evidence", () => {
  it("of nothing is empty", () => {
    assert.deepStrictEqual(collect([]).phases, [])
    assert.isNull(collect([]).overrun)
  })

  it("tells an entry once that was stored twice, because the answer to its first storing was lost", () => {
    const owner = entry(1, { _tag: "OwnerChanged", worker: "w1", epoch: 1 })
    const order = { _tag: "FenceOrdered", member: "s1", host: "h", grade: "Keeper", epoch: 1, deadline: 9 } as const
    const gap = entry(3, { _tag: "Unobserved", span: 500 })
    const lifted = entry(4, { _tag: "FenceLifted", member: "s1", by: "Worker", offAt: 4, overrun: 0 })
    const evidence = collect([owner, owner, entry(2, order), gap, lifted, entry(2, order), gap])
    assert.strictEqual(evidence.owners.length, 1)
    assert.deepStrictEqual(
      evidence.fences.map(({ offAt }) => offAt),
      [4]
    )
    assert.strictEqual(evidence.unobserved, 500)
    // The same fact at another moment is another entry.
    assert.strictEqual(collect([gap, entry(5, { _tag: "Unobserved", span: 500 })]).unobserved, 1000)
  })

  it("times a phase on the monotonic clock, and not at all across workers", () => {
    const evidence = collect([
      entry(1000, { _tag: "PhaseBegan", phase: "Arming", attempt: 1 }),
      entry(1250, { _tag: "PhaseBegan", phase: "Verifying", attempt: 1 }),
      entry(9000, { _tag: "PhaseBegan", phase: "Holding", attempt: 1 }, "w2")
    ])
    assert.deepStrictEqual(
      evidence.phases.map(({ duration }) => duration),
      [250, null, null]
    )
  })

  it("has no phase after the end, though a drive that did not know of it tells one late", () => {
    const { phases } = collect([
      entry(1, { _tag: "PhaseBegan", phase: "LookingUpState", attempt: 1 }),
      entry(3, { _tag: "PhaseBegan", phase: "Ended", attempt: 1 }, "w2"),
      entry(2, { _tag: "PhaseBegan", phase: "Preparing", attempt: 1 })
    ])
    assert.strictEqual(phases.at(-1)?.phase, "Ended")
  })

  it("keeps the fences of two attempts apart and the longest overrun of all", () => {
    const order = {
      _tag: "FenceOrdered",
      member: "s1",
      host: "local",
      grade: "Keeper",
      epoch: 1,
      deadline: 5000
    } as const
    const evidence = collect([
      entry(1, { _tag: "PhaseBegan", phase: "Arming", attempt: 1 }),
      entry(2, order),
      entry(3, { _tag: "FenceLifted", member: "s1", by: "Keeper", offAt: 5100, overrun: 100 }),
      entry(4, { _tag: "PhaseBegan", phase: "Arming", attempt: 2 }),
      entry(5, order),
      entry(6, { _tag: "FenceLifted", member: "s1", by: "Worker", offAt: 4000, overrun: 0 })
    ])
    assert.deepStrictEqual(
      evidence.fences.map(({ attempt, liftedBy }) => [attempt, liftedBy]),
      [
        [1, "Keeper"],
        [2, "Worker"]
      ]
    )
    assert.strictEqual(evidence.overrun, 100)
  })

  it("tells a probe once, by its newest sample", () => {
    const sent = { sequence: 7, endpoint: "e", sentAt: 10, endedAt: null, outcome: null }
    const evidence = collect([
      entry(11, { _tag: "Sampled", samples: [sent] }),
      entry(20, { _tag: "Sampled", samples: [{ ...sent, endedAt: 19, outcome: { _tag: "Acknowledged" } }] })
    ])
    assert.strictEqual(evidence.samples.length, 1)
    assert.strictEqual(evidence.samples[0]!.endedAt, 19)
  })

  it("tells of a witness when it failed first, what it answered, and when it was back", () => {
    const said = (
      sentAt: number,
      tag: "Serves" | "Fails" | "Silent",
      detail: string,
      times = 1,
      witness = "api"
    ): EvidenceEntry =>
      entry(sentAt + 5, {
        _tag: "Witnessed",
        witness,
        sentAt,
        endedAt: sentAt + 5,
        answer: { _tag: tag, detail },
        times
      })
    const evidence = collect([
      said(100, "Serves", "HTTP 200"),
      said(1100, "Serves", "HTTP 200", 2),
      said(2100, "Silent", "no answer within 2000 ms"),
      said(3100, "Fails", "HTTP 503: no leader", 3),
      said(6100, "Silent", "no answer within 2000 ms"),
      said(7100, "Serves", "HTTP 200"),
      said(150, "Serves", "exit 0", 1, "orders"),
      said(8100, "Fails", "HTTP 500")
    ])
    assert.deepStrictEqual(
      evidence.witnesses?.map(({ asked, failed, outages, witness }) => ({ asked, failed, outages, witness })),
      [
        {
          witness: "api",
          asked: 10,
          failed: 6,
          outages: [
            { from: 2100, until: 7105, said: ["no answer within 2000 ms", "HTTP 503: no leader"] },
            { from: 8100, until: null, said: ["HTTP 500"] }
          ]
        },
        { witness: "orders", asked: 1, failed: 0, outages: [] }
      ]
    )
    assert.isUndefined(collect([]).witnesses)
  })
})
