import { defineConfig } from "vitest/config"

// What breaks a real system comes last and takes turns: two of them on two cores would measure each other. Their projects
// say so with a group of their own; everything before it runs side by side.
export default defineConfig({
  test: {
    projects: ["packages/*", "apps/*", "stories"],
    maxWorkers: 2,
    passWithNoTests: false
  }
})
