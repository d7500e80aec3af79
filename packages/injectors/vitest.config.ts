import { defineConfig } from "vitest/config"

// One file after the other: on two cores the stories would measure each other.
export default defineConfig({
  test: { include: ["test/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false }
})
