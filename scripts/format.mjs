// Formats all code.
import { root, run } from "./process.mjs"

await run("oxfmt", ["packages", "apps", "scripts", "bench", "stories"], {
  env: { PATH: `${root}/node_modules/.bin:${process.env.PATH}` }
})
