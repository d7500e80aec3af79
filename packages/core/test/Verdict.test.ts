import { assert, describe, it } from "@effect/vitest"
import type { ProbeSample } from "@inquorate/core/Evidence"
import { acknowledgedDuring, judgeHold, judgeLoss, judgeRecovery } from "@inquorate/core/Verdict"

let sequence = 0
const acknowledged = (sentAt: number, endedAt: number): ProbeSample => ({
  sequence: ++sequence,
  endpoint: "e",
  sentAt,
  endedAt,
  outcome: { _tag: "Acknowledged" }
})
const pending = (sentAt: number): ProbeSample => ({
  sequence: ++sequence,
  endpoint: "e",
  sentAt,
  endedAt: null,
  outcome: null
})
const unknown = (sentAt: number, endedAt: number): ProbeSample => ({
  sequence: ++sequence,
  endpoint: "e",
  sentAt,
  endedAt,
  outcome: { _tag: "Unknown", detail: "timed out" }
})

const base = { armedAt: 1000, independentFact: null, budgetEnds: 3000, deadline: 6000 }

describe("a loss", () => {
  it("is not proven by one silence of 50 ms", () => {
    assert.strictEqual(
      judgeLoss({ ...base, samples: [acknowledged(990, 995), pending(1005)], now: 1100 })._tag,
      "Pending"
    )
  })

  it("is proven by 50 ms and an independent fact", () => {
    const judged = judgeLoss({ ...base, samples: [pending(1005)], now: 1060, independentFact: "2 of 2 stopped" })
    assert.deepInclude(judged, { _tag: "LossConfirmed", lossBegan: 1005 })
  })

  it("is proven by 500 ms alone, and began when the first write never acknowledged was sent", () => {
    const samples = [acknowledged(980, 990), pending(995), unknown(1200, 1400), pending(1450)]
    assert.strictEqual(judgeLoss({ ...base, samples, now: 1494 })._tag, "Pending")
    assert.deepInclude(judgeLoss({ ...base, samples, now: 1495 }), { _tag: "LossConfirmed", lossBegan: 995 })
  })

  it("that is open says from when on it may not be, so that nobody has to ask before", () => {
    const open = (samples: ReadonlyArray<ProbeSample>, now: number, independentFact: string | null = null) =>
      judgeLoss({ ...base, samples, now, independentFact })
    assert.deepStrictEqual(open([], 1100), { _tag: "Pending", until: 1600 })
    assert.deepStrictEqual(open([pending(1005)], 1100), { _tag: "Pending", until: 1505 })
    assert.deepStrictEqual(open([pending(1005)], 1020, "2 of 2 stopped"), { _tag: "Pending", until: 1055 })
    assert.deepStrictEqual(open([acknowledged(1010, 1030), pending(1012)], 1040), { _tag: "Pending", until: 1530 })
    assert.deepStrictEqual(open([pending(2700)], 2800), { _tag: "Pending", until: 3000 })
    assert.strictEqual(open([pending(1005)], 1504)._tag, "Pending")
    assert.strictEqual(open([pending(1005)], 1505)._tag, "LossConfirmed")
  })

  it("does not begin with a write whose successor was acknowledged", () => {
    const samples = [unknown(1001, 1010), acknowledged(1020, 1030), pending(1040)]
    assert.deepInclude(judgeLoss({ ...base, samples, now: 1600 }), { _tag: "LossConfirmed", lossBegan: 1040 })
  })

  it("does not begin with a write that failed before the fences were armed", () => {
    const samples = [unknown(500, 600), pending(1040)]
    assert.deepInclude(judgeLoss({ ...base, samples, now: 1600 }), { lossBegan: 1040 })
  })

  it("that does not come is a Mismatch at the end of the budget, and without any answer Inconclusive", () => {
    const going = Array.from({ length: 40 }, (_, index) => acknowledged(1001 + index * 50, 1003 + index * 50))
    const mismatch = judgeLoss({ ...base, samples: going, now: 3000 })
    assert.isTrue(mismatch._tag === "LossDenied" && mismatch.verdict.outcome === "Mismatch")
    const nothing = judgeLoss({ ...base, samples: [], now: 3000 })
    assert.isTrue(nothing._tag === "LossDenied" && nothing.verdict.outcome === "Inconclusive")
  })

  it("that nobody could judge before the fences ended is Inconclusive, whatever was acknowledged after it", () => {
    const after = Array.from({ length: 68 }, (_, index) => acknowledged(6100 + index * 10, 6105 + index * 10))
    const words = {
      about: "Loss",
      outcome: "Inconclusive",
      facts: ["the fences ended before it could be judged"]
    } as const
    for (const samples of [
      [pending(1005), ...after],
      // It hung through the whole loss, and was acknowledged when the fences had ended.
      [acknowledged(1005, 6080), ...after],
      [acknowledged(1001, 1003), acknowledged(1005, 6080), ...after],
      after
    ]) {
      assert.deepStrictEqual(judgeLoss({ ...base, samples, now: 7000 }), { _tag: "LossDenied", verdict: words })
    }
  })

  it("is a Mismatch by writes that were acknowledged while the fences stood, also when it is judged after them", () => {
    const samples = [...Array.from({ length: 90 }, (_, index) => acknowledged(1001 + index * 50, 1003 + index * 50))]
    const judged = judgeLoss({ ...base, samples: [...samples, acknowledged(6100, 6105)], now: 7000 })
    assert.isTrue(judged._tag === "LossDenied" && judged.verdict.facts[0]!.startsWith("90 writes"))
  })
})

describe("a hold", () => {
  const held = {
    samples: [pending(1005)],
    survivors: [{ word: "QuorumLost" as const, detail: "1 commit waits on SyncRep" }],
    mayAsk: true,
    lossBegan: 1005,
    liftedAt: 6005,
    asked: 5000,
    unobserved: 0
  }

  it("is Confirmed when nothing was acknowledged and the survivors say so", () => {
    assert.strictEqual(judgeHold(held).outcome, "Confirmed")
  })

  it("of 2 s or more is Inconclusive without the survivors' word, where they have one", () => {
    assert.strictEqual(judgeHold({ ...held, survivors: [] }).outcome, "Inconclusive")
    assert.strictEqual(judgeHold({ ...held, survivors: [], mayAsk: false }).outcome, "Confirmed")
    assert.strictEqual(judgeHold({ ...held, survivors: [], asked: 1999 }).outcome, "Confirmed")
    assert.strictEqual(judgeHold({ ...held, survivors: [], asked: 2999, speakAfter: 3000 }).outcome, "Confirmed")
    assert.strictEqual(judgeHold({ ...held, survivors: [], asked: 3000, speakAfter: 3000 }).outcome, "Inconclusive")
    assert.strictEqual(judgeHold({ ...held, survivors: [], asked: 1999, speakAfter: 0 }).outcome, "Confirmed")
  })

  it("is refuted by survivors who hold a quorum, and not by those who have not noticed yet that it is gone", () => {
    const hold = { word: "QuorumHeld" as const, detail: "m0: a quorum confirmed the leader" }
    const unaware = { word: "Silent" as const, detail: "m0: leader m0" }
    const patient = { ...held, asked: 4000, speakAfter: 11_000 }
    assert.strictEqual(judgeHold({ ...patient, survivors: [unaware] }).outcome, "Confirmed")
    assert.include(judgeHold({ ...patient, survivors: [unaware] }).facts, "survivors, silent so far: m0: leader m0")
    assert.strictEqual(judgeHold({ ...patient, survivors: [hold, unaware] }).outcome, "Inconclusive")
    assert.strictEqual(judgeHold({ ...patient, survivors: [hold] }).outcome, "Inconclusive")
    assert.strictEqual(judgeHold({ ...patient, survivors: [unaware], asked: 11_000 }).outcome, "Inconclusive")
    assert.strictEqual(
      judgeHold({ ...patient, survivors: [unaware], asked: 600_000, speakAfter: Number.POSITIVE_INFINITY }).outcome,
      "Confirmed"
    )
  })

  it("is a Mismatch when a write was acknowledged before the lift, also one that hung for long", () => {
    assert.strictEqual(judgeHold({ ...held, samples: [acknowledged(1005, 4000)] }).outcome, "Mismatch")
    assert.isUndefined(acknowledgedDuring([acknowledged(1005, 6010)], 1005, 6005))
  })

  it("says how long nobody watched", () => {
    assert.include(judgeHold({ ...held, unobserved: 1500 }).facts, "unobserved 1.5 s")
  })

  it("without any write in flight proves nothing", () => {
    assert.strictEqual(judgeHold({ ...held, samples: [] }).outcome, "Inconclusive")
  })
})

describe("a recovery", () => {
  const recovered = {
    acknowledged: acknowledged(6010, 6020),
    liftedAt: 6005,
    healthy: true,
    health: "all voters up",
    left: []
  }

  it("is proven by a write sent after the lift, a healthy group and clean hosts, and by nothing less", () => {
    assert.strictEqual(judgeRecovery(recovered).outcome, "Confirmed")
    assert.strictEqual(judgeRecovery({ ...recovered, acknowledged: null }).outcome, "Inconclusive")
    assert.strictEqual(judgeRecovery({ ...recovered, healthy: false }).outcome, "Inconclusive")
    assert.strictEqual(judgeRecovery({ ...recovered, left: null }).outcome, "Inconclusive")
    assert.strictEqual(
      judgeRecovery({ ...recovered, left: ["host a says that the fence of m1 is Armed"] }).outcome,
      "Inconclusive"
    )
  })

  it("that did not come tells what the last write after the lift was answered", () => {
    const answered = (sentAt: number, detail: string): ProbeSample => ({
      ...acknowledged(sentAt, sentAt + 10),
      outcome: { _tag: "Unknown", detail }
    })
    const samples = [
      answered(6000, "before the lift"),
      answered(6100, "53300: too many connections"),
      answered(6200, "28000: role is not permitted to log in"),
      answered(6300, "abandoned"),
      { ...acknowledged(6400, 6410), endedAt: null, outcome: null }
    ]
    assert.include(
      judgeRecovery({ ...recovered, acknowledged: null, samples }).facts,
      "no write sent after the lift was acknowledged (the last one: 28000: role is not permitted to log in)"
    )
    assert.include(
      judgeRecovery({ ...recovered, acknowledged: null, samples: samples.slice(0, 1) }).facts,
      "no write sent after the lift was acknowledged"
    )
  })

  it("tells of the hosts what they said, and that nobody asked them where nobody did", () => {
    const of = (left: ReadonlyArray<string> | null) => judgeRecovery({ ...recovered, healthy: false, left }).facts
    assert.include(of([]), "nothing of ours is left on any host")
    assert.include(of(["host a says that the fence of m1 is Armed"]), "host a says that the fence of m1 is Armed")
    assert.include(of(null), "no host was asked whether anything of ours is left on it")
  })
})
