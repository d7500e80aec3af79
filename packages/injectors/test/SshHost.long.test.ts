/** The pause on a host over ssh keeps the contract of an injector: every order through a real sshd on this machine. */
import { type InjectorBench, injectorContract } from "@inquorate/testkit/InjectorContract"
import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Bench from "./Bench.ts"
import * as ProcessTree from "./ProcessTree.ts"
import * as Far from "./SshScene.ts"

const farPause = Far.useFar()

describe.skipIf(Far.skip)(`a host over ssh${Far.skipped}`, () => {
  Bench.useState()

  injectorContract(
    "the pause over ssh keeps the contract of an injector",
    Effect.map(farPause, ({ pause }): InjectorBench => ({
      injector: pause,
      start: ProcessTree.start("still"),
      runs: (tree) => Effect.sync(() => ProcessTree.runs(tree))
    })),
    { clock: "live" }
  )
})
