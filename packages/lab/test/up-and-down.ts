// Takes a lab up and down in a process of its own, which a test may run as another user or kill on the way.
import * as Lab from "@inquorate/lab/Lab"
import * as Effect from "effect/Effect"

const name = process.argv[2]!
const namespaces = process.argv[3] === "namespaces"

await Effect.runPromise(
  Effect.gen(function* () {
    const lab = yield* Lab.up(namespaces ? { system: "etcd", name, namespaces } : { system: "postgres", name })
    console.log(`folder ${lab.folder}`)
    const [listed] = yield* Lab.list
    console.log(`up ${listed?.state} ${listed?.running.length}`)
    const { found, killed } = yield* Lab.down(name)
    console.log(`down ${found} ${killed}`)
  })
)
