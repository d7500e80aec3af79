import { defineConfig } from "vitest/config"

// Suites that break a real system take turns: two of them on two cores would measure each other.
export default defineConfig({
  test: {
    projects: ["packages/*", "apps/*", "stories"],
    fileParallelism: false,
    passWithNoTests: false
  }
})
