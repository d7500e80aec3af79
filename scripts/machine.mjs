// How quickly this machine starts processes right now. The time limits in tests follow it, and a red run prints it.
import { spawnSync } from "node:child_process"
import { availableParallelism, loadavg } from "node:os"

/** What a quick quiet machine takes, in milliseconds. */
const quick = { shell: 1.5, node: 40 }

/** The median time in milliseconds to start a program that does nothing. */
const timeToStart = (program, arguments_, turns) => {
  const times = Array.from({ length: turns }, () => {
    const began = process.hrtime.bigint()
    spawnSync(program, arguments_, { stdio: "ignore" })
    return Number(process.hrtime.bigint() - began) / 1e6
  })
  return times.sort((a, b) => a - b)[Math.floor(turns / 2)]
}

const measure = () => ({
  shell: timeToStart("sh", ["-c", ":"], 15),
  node: timeToStart(process.execPath, ["-e", "0"], 5)
})

/** So many runnable processes a core are borne without more patience. */
const borne = 3

/**
 * How many times as long as a quick machine this one takes, from 1 to 10, in halves. It looks for a second, since a busy
 * machine may be quick for a moment, and what waits for a core at that moment counts too.
 */
export const measureFactor = () => {
  const looks = Array.from({ length: 5 }, () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    const { node, shell } = measure()
    return Math.max(shell / quick.shell, node / quick.node)
  })
  const usual = looks.sort((a, b) => a - b)[2]
  const crowd = loadavg()[0] / availableParallelism() / borne
  return Math.min(10, Math.max(1, Math.round(2 * Math.max(crowd, usual)) / 2))
}

/** One phrase for a person: load, and how long a shell and Node take to start. */
export const describeMachine = () => {
  const { node, shell } = measure()
  return `load ${loadavg()[0].toFixed(1)}, a shell starts in ${shell.toFixed(1)} ms, Node in ${node.toFixed(0)} ms`
}
