import { defineConfig } from "vitest/config"

// One file after the other, when everything else is done: on two cores these stories would measure each other.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 1,
    fileParallelism: false,
    sequence: { groupOrder: 1 }
  }
})
