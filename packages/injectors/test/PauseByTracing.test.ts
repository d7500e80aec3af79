/**
 * The stories of the pause in kernel grade. Same stories, same laws: only what ends the fence without us differs.
 */
process.env.INQUORATE_TEST_GRADE = "Kernel"
await import("./PauseStories.ts")
