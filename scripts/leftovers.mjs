// What a test run or a demo must not leave behind: stopped processes, servers and keepers of ours, listeners, nft
// tables, network namespaces and links of labs.
// The machine is compared with a snapshot from before, so that nobody is blamed for what was there already.
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"

const read = (path) => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

const processes = () =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const stat = read(`/proc/${pid}/stat`)
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      if (stat === "") return []
      const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim()
      return [{ id: `${pid}/${fields[19]}`, pid, state: fields[0], command: command.slice(0, 120) }]
    })

const listeners = () =>
  ["tcp", "tcp6"].flatMap((family) =>
    read(`/proc/net/${family}`)
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A")
      .map((fields) => `${family} ${fields[1]}`)
  )

const tables = () => {
  const listed = spawnSync("nft", ["list", "tables"], { encoding: "utf8" })
  return listed.status === 0 ? listed.stdout.split("\n").filter((line) => / (inq_|inquorate)/.test(line)) : []
}

const networks = () =>
  ["/run/netns", "/sys/class/net"].flatMap((folder) =>
    (existsSync(folder) ? readdirSync(folder) : [])
      .filter((name) => /^inq(lab|test)/.test(name))
      .map((name) => `${folder}/${name}`)
  )

/** What the machine carries now. */
export const snapshot = () => ({
  processes: new Set(processes().map(({ id }) => id)),
  listeners: new Set(listeners()),
  tables: new Set(tables()),
  networks: new Set(networks())
})

const ours = /inquorate|worker\.mjs|inq\.mjs|postgres|initdb|etcd/

const now = (before) => [
  ...processes()
    .filter(({ id }) => !before.processes.has(id))
    .filter(({ command, state }) => state === "T" || state === "t" || ours.test(command))
    .filter(({ pid }) => pid !== String(process.pid) && pid !== String(process.ppid))
    .map(({ command, pid, state }) => `process ${pid} (${state}) ${command}`),
  ...listeners()
    .filter((listener) => !before.listeners.has(listener))
    .map((listener) => `listener ${listener}`),
  ...tables()
    .filter((table) => !before.tables.has(table))
    .map((table) => `nft ${table}`),
  ...networks().filter((network) => !before.networks.has(network))
]

/** What is there now and was not before, after a moment for what is just ending. */
export const leftovers = async (before) => {
  for (let waited = 0; waited < 5000 && now(before).length > 0; waited += 250) {
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  return now(before)
}
