/** A worker that holds what is started, and the command asked there. */
import * as Effect from "effect/Effect"
import * as FakeWorker from "./FakeWorker.ts"
import type { bundled } from "./Inq.ts"

export const O = "abcd1111-1111-4111-8111-111111111111"
export const O2 = "abcd2222-1111-4111-8111-111111111111"

/** Serves until the scope ends. */
export const holding = (inq: Pick<ReturnType<typeof bundled>, "run">) =>
  Effect.map(FakeWorker.serveWith({ holds: true }), ({ all, url }) => ({
    all,
    url,
    run: (line: string) => inq.run([...line.split(" "), "--endpoint", url])
  }))
