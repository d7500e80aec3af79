// Steps the wall clock of the process it is loaded into, and of nothing else: on SIGUSR2 an hour forward, then an hour back
// from the true time, then true again. The monotonic clock goes on as it was.
const trueNow = Date.now
const hour = 3_600_000
const steps = [0, hour, -hour]
let at = 0
Date.now = () => trueNow() + steps[at]
globalThis.Date = new Proxy(Date, {
  construct: (of, given) => (given.length === 0 ? new of(of.now()) : new of(...given))
})
process.on("SIGUSR2", () => {
  at = (at + 1) % steps.length
  process.stderr.write(`the wall clock is off by ${steps[at]} ms\n`)
})
