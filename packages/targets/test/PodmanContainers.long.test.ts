/**
 * Goal: etcd in containers of podman loses its quorum and gets it back like any other. Method: the suite of all engines,
 * in network namespaces that podman is told; what podman itself would do where a health check fails.
 */
import * as ContainerHealth from "@inquorate/injectors/ContainerHealth"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { etcd, hosts } from "./ContainedSystems.ts"
import * as ContainerLab from "./ContainerLab.ts"
import { containerSuite } from "./ContainerSuite.ts"

containerSuite(etcd, "podman", (lab) => {
  it.live("tells that podman would start a container again whose health check fails, where it was told to", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { engine, target } = lab()
        const { members } = yield* ContainerLab.ready(target)
        assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members }), [])
        const id = yield* Effect.acquireRelease(
          engine.ask(
            ...["run", "--detach", "--health-cmd", "etcdctl endpoint health", "--health-on-failure", "restart"],
            ...["--health-interval", "1h", "--health-retries", "4", "--network", "none"],
            ...["localhost/lab/member:1", "etcd"]
          ),
          (one) => engine.ask("rm", "--force", "--time", "0", one)
        )
        const first = members[0]!
        const watched = { ...first, process: { ...first.process!, container: { engine: "podman" as const, id } } }
        assert.deepStrictEqual(yield* ContainerHealth.supervisors(hosts, { members: [watched] }), [
          {
            watches: first.name,
            source:
              "podman's health-on-failure=restart by the health check of its container (4 failed checks, one every 3600000 ms)",
            patience: 10_800_000,
            reaction: "RestartsMember"
          }
        ])
      })
    )
  )
})
