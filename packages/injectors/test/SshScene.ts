/** What the tests of hosts over ssh share: one sshd on this machine, and a pause through it. */
import { afterAll } from "@effect/vitest"
import * as Sshd from "@inquorate/testkit/Sshd"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Pause from "../src/mechanisms/Pause.ts"
import * as SshHost from "../src/hosts/SshHost.ts"

if (Sshd.missing !== "" && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(Sshd.missing)

/** Whether there is no sshd that this can run against. */
export const skip = Sshd.missing !== ""

/** What is said of it in a suite's name. */
export const skipped = Sshd.missing === "" ? "" : ` (skipped: ${Sshd.missing})`

export const bound = { timeout: 20_000 }

/** One far side for all tests of a file, since each costs a second; a connection of its own for each test. */
export const useFar = () => {
  const scope = Scope.makeUnsafe()
  let far: Sshd.Sshd | undefined
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.gen(function* () {
    const sshd = (far ??= yield* Scope.provide(Sshd.start, scope))
    const host = yield* SshHost.make(sshd.target("here"))
    return { sshd, host, pause: Pause.make(new Map([["here", host]])) }
  })
}
