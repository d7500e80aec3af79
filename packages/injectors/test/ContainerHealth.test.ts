/** Who acts on a container's health check, and how soon at the earliest, from what the engine of the container says. */
import { assert, describe, it } from "@effect/vitest"
import * as ContainerHealth from "../src/ContainerHealth.ts"

const check = (more: object) =>
  `check ${JSON.stringify({ Test: ["CMD", "true"], Interval: 5_000_000_000, Retries: 4, ...more })}`
const said = (engine: string, ...lines: ReadonlyArray<string>) =>
  ContainerHealth.parse("m0", engine, lines.join("\n")).map(
    ({ patience, reaction, source, watches }) => [watches, source.split(" by ")[0], patience, reaction] as const
  )

describe("the health check of a container", () => {
  it("has nobody who acts on it where the engine only marks", () => {
    assert.deepStrictEqual(said("docker", check({}), "labels {}", "restart always", "streak 0"), [])
    assert.deepStrictEqual(said("podman", check({}), "labels null", "restart no", "streak 0", "action none"), [])
    assert.deepStrictEqual(said("docker", "check null", 'labels {"autoheal":"true"}', "autoheal autoheal"), [])
    assert.deepStrictEqual(said("docker", check({ Test: ["NONE"] }), 'labels {"autoheal":"true"}', "autoheal all"), [])
    assert.deepStrictEqual(said("docker", "check {nonsense", "autoheal all"), [])
    assert.deepStrictEqual(said("docker", ""), [])
  })

  it("is acted on by podman as it was told to", () => {
    const rows = [
      ["restart", "no", "RestartsMember"],
      ["kill", "always", "RestartsMember"],
      ["kill", "no", "EndsMember"],
      ["stop", "always", "EndsMember"]
    ] as const
    for (const [action, restart, reaction] of rows) {
      assert.deepStrictEqual(said("podman", check({}), `restart ${restart}`, "streak 0", `action ${action}`), [
        ["m0", `podman's health-on-failure=${action}`, 15_000, reaction]
      ])
    }
  })

  it("is acted on by a swarm, and by autoheal for the containers that it is there for", () => {
    const swarm = 'labels {"com.docker.swarm.service.name":"etcd"}'
    assert.deepStrictEqual(said("docker", check({}), swarm), [["m0", "Docker's swarm", 15_000, "RestartsMember"]])
    const heals = [["m0", "autoheal", 15_000, "RestartsMember"] as const]
    assert.deepStrictEqual(said("docker", check({}), "labels {}", "autoheal all"), heals)
    assert.deepStrictEqual(said("docker", check({}), 'labels {"heal.me":"true"}', "autoheal heal.me"), heals)
    assert.deepStrictEqual(said("docker", check({}), 'labels {"heal.me":"false"}', "autoheal heal.me"), [])
    assert.deepStrictEqual(said("docker", check({}), "labels {}", "autoheal autoheal"), [])
    assert.deepStrictEqual(said("docker", check({}), 'labels {"autoheal":"true"}'), [])
  })

  it("may act the sooner the more checks failed already, and by the engine's own defaults", () => {
    const patience = (more: object, streak: string) =>
      said("docker", check(more), `streak ${streak}`, "autoheal all")[0]?.[2]
    assert.deepStrictEqual(
      [patience({}, "0"), patience({}, "2"), patience({}, "3"), patience({}, "99"), patience({}, "nonsense")],
      [15_000, 5000, 0, 0, 15_000]
    )
    assert.strictEqual(patience({ Interval: 0, Retries: 0 }, "0"), 60_000)
    assert.strictEqual(patience({ Retries: 1 }, "0"), 0)
  })
})
