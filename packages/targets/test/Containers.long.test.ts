/**
 * Goal: etcd in containers of a real Docker engine loses its quorum and gets it back like any other. Method: the suite of
 * all engines, behind published ports; a restart policy; who would act on a health check; containers that go with their end.
 */
import * as ContainerHealth from "@inquorate/injectors/ContainerHealth"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { etcd, hosts } from "./ContainedSystems.ts"
import * as ContainerLab from "./ContainerLab.ts"
import { containerSuite, kill } from "./ContainerSuite.ts"

const { armAll, eventually, memberOf, only, ready } = ContainerLab

containerSuite(etcd, "docker", (lab) => {
  const docker = (...words: ReadonlyArray<string>) => lab().engine.ask(...words)

  it.live("starts a container that it killed by its engine, whatever its restart policy", () =>
    Effect.gen(function* () {
      const { target } = lab()
      yield* docker("update", "--restart", "always", "m2")
      const { member, process } = memberOf(yield* ready(target), "m2")
      const [order] = yield* armAll(
        kill,
        (yield* only(target)).members.filter(({ name }) => name === member)
      )
      yield* Effect.sleep(1500)
      assert.strictEqual(yield* docker("inspect", "--format", "{{.State.Running}}", "m2"), "false")
      const lifted = yield* kill.lift("here", order!.fence, 1)
      assert.isFalse(lifted.broken)
      assert.match(lifted.detail ?? "", /runs again as process/)
      yield* docker("update", "--restart", "no", "m2")
      const again = memberOf(yield* ready(target), "m2").process
      assert.notStrictEqual(again.pid, process.pid)
    })
  )

  it.live("tells that autoheal would act on the health check of a container that has one and its label", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { members } = yield* ready(lab().target)
        assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members }), [])
        const run = (...words: ReadonlyArray<string>) =>
          Effect.acquireRelease(docker("run", "--detach", ...words), (id) => docker("rm", "--force", id))
        yield* docker("tag", "localhost/lab/member:1", "lab/autoheal:1")
        const id = yield* run(
          ...["--health-cmd", "etcdctl endpoint health", "--health-interval", "1h", "--health-retries", "4"],
          ...["--label", "heal.me=true", "localhost/lab/member:1", "etcd"]
        )
        const first = members[0]!
        const watched = { ...first, process: { ...first.process!, container: { engine: "docker" as const, id } } }
        assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members: [watched] }), [])
        yield* run("--env", "AUTOHEAL_CONTAINER_LABEL=heal.me", "lab/autoheal:1", "etcd")
        assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members: [watched] }), [
          {
            watches: first.name,
            source: "autoheal by the health check of its container (4 failed checks, one every 3600000 ms)",
            patience: 10_800_000,
            reaction: "RestartsMember"
          }
        ])
      })
    )
  )

  it.live("ends no container that its engine would remove then, and its data with it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const id = yield* Effect.acquireRelease(
          docker("run", "--detach", "--rm", "--name", "goes", "localhost/lab/member:1", "etcd"),
          (one) => docker("rm", "--force", one)
        )
        const { process } = memberOf(yield* ready(lab().target), "m2")
        const pid = yield* lab().engine.pid(id)
        const going = yield* eventually(ContainerLab.processOf(pid), ({ startTime }) => startTime !== "")
        const one = {
          ...process,
          ...going,
          dataDirectory: "/default.etcd",
          container: { engine: "docker" as const, id }
        }
        const seen = yield* eventually(kill.preflight(one, "goes"), ({ _tag }) => _tag === "Impossible")
        assert.match(seen._tag === "Impossible" ? seen.problem : "", /removes the container once it has ended \(--rm\)/)
      })
    )
  )
})
