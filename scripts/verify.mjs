// Runs what `npm test` leaves out because it takes long: the `*.long.test.ts` of every package, and every package
// packed and tried as a stranger would try it.
process.env.INQUORATE_SUITE = "verify"
await import("./test.mjs")
