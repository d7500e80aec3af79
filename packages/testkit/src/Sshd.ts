/**
 * A real sshd for the tests, on 127.0.0.1. It has a port, a host key and an authorized key of its own, and the state
 * directory of its far side is not ours. It touches nothing of the system's own sshd, and a test can kill its sessions
 * one by one.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { randomInt } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Accounts from "./Accounts.ts"

/** What it takes to reach a host over ssh, as `@inquorate/injectors/SshHost` wants it. */
export interface SshdTarget {
  readonly label: string
  readonly destination: string
  readonly socketDirectory: string
  readonly options: {
    readonly port: number
    readonly identity: string
    readonly knownHosts: string
    readonly configFile: string
  }
}

/** A running sshd. */
export interface Sshd {
  readonly folder: string
  readonly port: number
  /** The state directory of the far side. */
  readonly state: string
  /** How to reach a host of it: as a user of the far side, or as our own user. */
  readonly target: (label: string, user?: string) => SshdTarget
  /** The processes that serve connections now. */
  readonly sessions: () => ReadonlyArray<number>
}

const program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].find((file) => fs.existsSync(file))

/** Why there can be no sshd here; empty where there can be one. */
export const missing: string =
  program === undefined ? "sshd is not installed" : spawnSync("ssh", ["-V"]).status === 0 ? "" : "ssh is not installed"

/** Why no far side here can have users of its own; empty where one can. */
export const accountsMissing: string = missing !== "" ? missing : Accounts.missing

/** Starts an sshd, and ends it with all its sessions at the end of the scope. */
export const start: Effect.Effect<Sshd, never, Scope.Scope> = Effect.suspend(() => startWith())

/** The same with users of its own, whom nobody else on this machine sees. */
export const startWith = (accounts?: Accounts.Accounts): Effect.Effect<Sshd, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<Sshd & { readonly pid: number }> => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "inquorate-sshd-"))
      const port = await freePort()
      for (const key of ["host", "user"]) {
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path.join(folder, key)])
      }
      fs.copyFileSync(path.join(folder, "user.pub"), path.join(folder, "authorized_keys"))
      const hostKey = fs.readFileSync(path.join(folder, "host.pub"), "utf8").split(" ").slice(0, 2).join(" ")
      fs.writeFileSync(path.join(folder, "known_hosts"), `[127.0.0.1]:${port} ${hostKey}\n`)
      const state = path.join(folder, "far-state")
      fs.writeFileSync(
        path.join(folder, "sshd_config"),
        [
          `ListenAddress 127.0.0.1:${port}`,
          `HostKey ${folder}/host`,
          `AuthorizedKeysFile ${folder}/authorized_keys`,
          `PidFile ${folder}/pid`,
          // SHLVL keeps a bash from reading the user's own bashrc for each command, whose time is not ours to measure.
          `SetEnv INQUORATE_STATE=${state} SHLVL=2`,
          "PermitRootLogin prohibit-password",
          "PasswordAuthentication no",
          "KbdInteractiveAuthentication no",
          "StrictModes no",
          "UsePAM no",
          "PrintMotd no",
          ""
        ].join("\n")
      )
      // sshd gives up its rights in this folder, and does not start without it.
      if (process.getuid?.() === 0) fs.mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })
      const daemon = [program!, "-D", "-e", "-f", path.join(folder, "sshd_config")]
      const [file, ...words] = accounts === undefined ? daemon : Accounts.within(folder, accounts, daemon)
      const child = spawn(file!, words, { stdio: ["ignore", "ignore", "pipe"] })
      let log = ""
      await new Promise<void>((listening, failed) => {
        // Listen to this first: where no file is free, there is no `stderr` to listen to.
        child.on("error", (error) => failed(new Error(`sshd could not be started: ${error.message}`)))
        child.stderr?.on("data", (data: Buffer) => {
          log += data.toString()
          if (log.includes("Server listening")) listening()
        })
        child.on("exit", () => failed(new Error(`sshd ended: ${log}`)))
      })
      const target = (label: string, user = os.userInfo().username): SshdTarget => ({
        label,
        destination: `${user}@127.0.0.1`,
        socketDirectory: path.join(folder, "sockets"),
        options: {
          port,
          identity: path.join(folder, "user"),
          knownHosts: path.join(folder, "known_hosts"),
          configFile: "/dev/null"
        }
      })
      return { folder, port, state, target, sessions: () => pidsOf(child.pid!).slice(1), pid: child.pid! }
    }),
    ({ folder, pid }) =>
      Effect.promise(async () => {
        for (const one of [...pidsOf(pid)].reverse()) kill(one)
        while (isThere(pid)) await new Promise((resume) => setTimeout(resume, 10))
        fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
      })
  )

/** Kills the processes of all connections, as if the far side or the way to it had gone. */
export const cut = (sshd: Sshd): void => {
  for (const pid of sshd.sessions()) if (isSshd(pid)) kill(pid)
}

// --- internal ---

// The state and the parent of a process; nothing where the process is gone.
const look = (pid: number): readonly [state: string, parent: number] | undefined => {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const [state, parent] = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return [state!, Number(parent)]
  } catch {
    return undefined
  }
}

const isThere = (pid: number): boolean => !["Z", "X", undefined].includes(look(pid)?.[0])

/** The process and all its descendants. */
const pidsOf = (pid: number): ReadonlyArray<number> => {
  const all = fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))
  const parents = all.map((name) => [Number(name), look(Number(name))?.[1]] as const)
  const pids = [pid]
  for (const elder of pids) for (const [child, parent] of parents) if (parent === elder) pids.push(child)
  return pids
}

const isSshd = (pid: number): boolean => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("sshd")
  } catch {
    return false
  }
}

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It ended by itself.
  }
}

// Below the ports that labs take, and those that the kernel gives to outgoing connections: one of these could have it before
// the sshd listens.
const freePort = async (): Promise<number> => {
  for (;;) {
    const port = randomInt(15_000, 20_000)
    const isFree = await new Promise<boolean>((resolve) => {
      const server = net.createServer().once("error", () => resolve(false))
      server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}
