// Builds every package and both applications.
import { root, run } from "./process.mjs"

await run("turbo", ["run", "build"], { env: { PATH: `${root}/node_modules/.bin:${process.env.PATH}` } })
