/**
 * Goal: any system can be a target by two commands of the user, and their mistakes are told. Method: commands that
 * print what a test wants; then a recipe of the documentation, taken from its page, on real servers.
 */
import { HostError } from "@inquorate/core/Host"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { targetContract } from "@inquorate/testkit/TargetContract"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { command, CommandSettings } from "../src/Command.ts"
import { outcomeWord, read } from "../src/CommandAnswer.ts"
import { freePorts } from "./EtcdCluster.ts"
import * as Recipe from "./Recipe.ts"

const hosts = new Map([["local", LocalHost.make("local")]])
const decode = Schema.decodeUnknownSync(CommandSettings)
const open = (settings: unknown) => command.make("any", decode(settings), hosts)

const member = (name: string, role: string, up = true) => ({ name, role, up })
const three = { id: "x", members: [member("a", "leader"), member("b", "follower"), member("c", "follower")] }
const printing = (value: unknown) => `printf '%s' '${JSON.stringify(value)}'`
const members = ["a", "b", "c"].map((name) => ({ name }))

const describeTarget = (look: string, write = "true", more: object = {}) => ({ look, write, members, ...more })

const discovered = (settings: unknown) =>
  Effect.scoped(Effect.flatMap(open(settings), ({ discover }) => Effect.result(discover)))

describe("the look command", () => {
  it.live("tells the members, and a majority of those that count is needed", () =>
    Effect.gen(function* () {
      const told = { ...three, members: [...three.members, member("d", "learner"), member("e", "follower", false)] }
      const [topology] = yield* Effect.scoped(
        Effect.flatMap(open(describeTarget(printing(told))), ({ discover }) => discover)
      )
      assert.strictEqual(topology!.needed, 3)
      assert.strictEqual(topology!.rule, "majority of 4")
      assert.deepStrictEqual(
        topology!.members.map(({ counts, cuttable, name, role, up }) => [name, role, counts, up, cuttable]),
        [
          ["a", "Primary", true, true, "Always"],
          ["b", "ActiveSecondary", true, true, "Always"],
          ["c", "ActiveSecondary", true, true, "Always"],
          ["d", "IdleSecondary", false, true, "Never"],
          ["e", "ActiveSecondary", true, false, "Never"]
        ]
      )
    })
  )

  it.live("may fail, print nonsense or hang, and says so", () =>
    Effect.gen(function* () {
      const cases = [
        ["echo no way >&2; exit 3", "Unreachable", "it ended with 3: no way"],
        ["true", "Misconfigured", "it printed nothing"],
        ["echo hello", "Misconfigured", "it printed no JSON"],
        [printing({ id: "x", members: [member("a", "boss")] }), "Misconfigured", "role"],
        [printing({ ...three, nedeed: 2 }), "Misconfigured", "nedeed"],
        [printing({ id: 1, needed: "2" }), "Misconfigured", '; Missing key at ["members"]'],
        [printing({ ...three, members: [member("a", "leader"), member("a", "follower")] }), "Misconfigured", "name"],
        ["/no/such/program", "Unreachable", "127"],
        ["sleep 60", "TimedOut", "did not end within 1000 ms"],
        ["yes", "Unreachable", "more than 1048576 bytes"]
      ] as const
      for (const [look, reason, words] of cases) {
        // Who hangs is waited for as long as that; the others have time, since a busy machine starts a shell late.
        const lookSeconds = reason === "TimedOut" ? 1 : 9
        const found = yield* discovered(describeTarget(look, "true", { lookSeconds }))
        assert.strictEqual(found._tag, "Failure", look)
        if (found._tag !== "Failure") continue
        assert.strictEqual(found.failure.reason, reason, look)
        assert.include(found.failure.detail, words, look)
      }
    })
  )
})

describe("the process of a member", () => {
  it.live("is not known where its host is late, and nothing speaks against it", () =>
    Effect.gen(function* () {
      const lost = new HostError({ host: "far", reason: "LostAnswer", detail: "no answer within 2000 ms" })
      const far = new Map([["far", { label: "far", run: () => Effect.fail(lost) }]])
      const placed = { members: [{ name: "a", host: "far", dataDirectory: "/d", pidFile: "/p" }] }
      const settings = decode(describeTarget(printing(three), "true", placed))
      const [topology] = yield* Effect.scoped(
        Effect.flatMap(command.make("any", settings, far), ({ discover }) => discover)
      )
      const { processLate, processProblem, processUnknown } = topology!.members[0]!
      assert.deepStrictEqual([processLate, processUnknown], [true, true])
      assert.match(processProblem, /^host far did not answer in time/)
    })
  )
})

describe("the write command", () => {
  const outcome = (write: string) =>
    Effect.scoped(
      Effect.gen(function* () {
        const target = yield* open(describeTarget(printing(three), write))
        const probe = yield* target.probe("quorum")
        return yield* probe.write(probe.endpoints[0]!)
      })
    )

  it.live("says acknowledged, refused or unknown, and what is not said is unknown", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* outcome("true"))._tag, "Acknowledged")
      assert.strictEqual((yield* outcome("echo acknowledged"))._tag, "Acknowledged")
      assert.strictEqual((yield* outcome("echo refused no leader; exit 1"))._tag, "Refused")
      assert.strictEqual((yield* outcome("false"))._tag, "Unknown")
      assert.strictEqual((yield* outcome("echo acknowledged; exit 1"))._tag, "Unknown")
      assert.strictEqual((yield* outcome("kill -9 $$"))._tag, "Unknown")
    })
  )

  it.live("has a new number each time", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-command-"))
      const write = `echo "$INQUORATE_WRITE" >>'${folder}/numbers'`
      yield* Effect.scoped(
        Effect.gen(function* () {
          const probe = yield* Effect.flatMap(open(describeTarget(printing(three), write)), (target) =>
            target.probe("quorum")
          )
          for (let count = 0; count < 5; count++) yield* probe.write("any")
        })
      )
      const numbers = fs.readFileSync(`${folder}/numbers`, "utf8").trim().split("\n")
      fs.rmSync(folder, { recursive: true })
      assert.strictEqual(new Set(numbers).size, 5)
    })
  )

  it.live("is ended with everything it started once nobody waits for it", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-command-"))
      const write = `sleep 300 & echo $! >'${folder}/child'; wait`
      yield* Effect.scoped(
        Effect.gen(function* () {
          const probe = yield* Effect.flatMap(open(describeTarget(printing(three), write)), (target) =>
            target.probe("quorum")
          )
          const writing = yield* Effect.forkChild(probe.write("any"))
          yield* Effect.repeat(
            Effect.sync(() => fs.existsSync(`${folder}/child`) && fs.statSync(`${folder}/child`).size > 0),
            { until: (there) => there, schedule: Schedule.spaced(10) }
          )
          yield* Fiber.interrupt(writing)
        })
      )
      const child = Number(fs.readFileSync(`${folder}/child`, "utf8"))
      fs.rmSync(folder, { recursive: true })
      yield* Effect.repeat(
        Effect.sync(() => Recipe.isRunning(child)),
        { until: (running) => !running, schedule: Schedule.spaced(10) }
      )
    })
  )

  it("takes a word only at the start of the first line", () => {
    assert.deepStrictEqual(outcomeWord(0, "refused: no leader\nacknowledged"), { word: "refused", detail: "no leader" })
    assert.strictEqual(outcomeWord(0, "it was refused").word, "acknowledged")
    assert.strictEqual(outcomeWord(2, "it was acknowledged").word, "unknown")
    assert.strictEqual(read('{"id":"x","members":[]}')._tag, "Failure")
  })
})

// --- a recipe, from its page ---

targetContract(
  "the recipe for Redis Sentinel",
  Recipe.labOf("redis-sentinel.md", "sentinels", ["s1", "s2", "s3"], async (folder) => {
    const ports = await freePorts(4)
    for (const [index, name] of ["s1", "s2", "s3"].entries()) {
      fs.mkdirSync(`${folder}/${name}`)
      fs.writeFileSync(
        `${folder}/${name}/conf`,
        `port ${ports[index]}\nbind 127.0.0.1\ndir ${folder}/${name}\nsentinel monitor mymaster 127.0.0.1 ${ports[3]} 2\n`
      )
    }
    return {
      environment: { SENTINELS: ["s1", "s2", "s3"].map((name, index) => `${name}=${ports[index]}`).join(" ") },
      settings: { speaksAfterSeconds: 2 },
      start: (name) => ["redis-server", `${folder}/${name}/conf`, "--sentinel"]
    }
  }),
  { skip: Recipe.there("redis-server", "redis-cli") ? undefined : "apt-get install redis-server" }
)
