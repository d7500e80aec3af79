// Waits on the pipe of the demo that started it. "done" means that the demo cleared up itself. A bare end of file means
// that the demo was killed. Then this clears up: the worker by its mark, the lab by its record, and the folder.
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, rmSync } from "node:fs"

const [inq, lab, state] = process.argv.slice(2)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined)

let heard = ""
process.stdin.on("data", (data) => (heard += data))
process.stdin.on("end", () => {
  if (heard !== "done") clear()
  process.exit(0)
})

// The commands end first: they cancel a watched fault and lift it, and they need the worker for that.
const clear = () => {
  finish("inq.mjs")
  finish("worker.mjs")
  // Where the worker is dead as well, the keepers are asked to end what they hold.
  finish("inquorate-keeper")
  spawnSync(process.execPath, [inq, "lab", "down", lab], { stdio: "ignore" })
  rmSync(state, { recursive: true, force: true })
}

const finish = (name) => {
  for (const pid of marked(name)) {
    try {
      process.kill(pid, "SIGTERM")
    } catch {
      // It is gone already, which is what we want.
    }
  }
  const until = Date.now() + 15_000
  while (marked(name).length > 0 && Date.now() < until)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
}

// The processes that carry the demo's mark in their environment: its worker, and the commands that it was running. The
// servers of the lab carry it too, but those are the lab's to stop, in the right order.
const marked = (name) => {
  const mark = `INQUORATE_DEMO=${process.env.INQUORATE_DEMO}\0`
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8")
        return command.includes(`${name}\0`) && readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark)
      } catch {
        return false
      }
    })
    .map(Number)
}
