import { defineConfig } from "vitest/config"

// The stories wait for deadlines most of the time, so the files run side by side even on two cores.
export default defineConfig({
  test: { include: ["test/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 3 }
})
