/**
 * The stories of the pause in keeper grade, all of them. PauseByTracing.test.ts and PauseByTracing.long.test.ts tell them
 * in kernel grade.
 */
process.env.INQUORATE_TEST_GRADE = "Keeper"
await import("./PauseStories.ts")
await import("./PauseVariants.ts")
