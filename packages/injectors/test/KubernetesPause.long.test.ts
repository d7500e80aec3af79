/** The pause on a node of Kubernetes keeps the contract of an injector: every order through a keeper pod. */
import { type InjectorBench, injectorContract } from "@inquorate/testkit/InjectorContract"
import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as Kubernetes from "./KubernetesScene.ts"
import * as ProcessTree from "./ProcessTree.ts"

describe.skipIf(Kubernetes.skip !== undefined)(`a node of Kubernetes${Kubernetes.skipped}`, () => {
  const scene = Kubernetes.useScene()

  injectorContract(
    "the pause through a keeper pod keeps the contract of an injector",
    Effect.map(scene, (there): InjectorBench => ({
      injector: Pause.make(there.hosts),
      start: Kubernetes.treeIn(there),
      runs: (one) => Effect.sync(() => ProcessTree.runs(one))
    })),
    { clock: "live" }
  )
})
