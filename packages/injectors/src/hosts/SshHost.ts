/**
 * A machine reached over the system's `ssh`. One connection serves everything: a control master of our own, which ends
 * itself when idle. A call runs one program over it, bounded in time and output. No secret passes through here: keys,
 * agents and known hosts are ssh's own affair, and ssh may never ask a person.
 *
 * An error says that nothing was sent only where that is certain: the connection could not be made. Whatever breaks
 * after that is a lost answer, since an answer is whole only with the mark that the host prints after it.
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { type Host, HostError, type HostOutput } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Child from "./Child.ts"
import * as Conversation from "./Conversation.ts"
import * as PrivateFolder from "./PrivateFolder.ts"
import * as Script from "./Script.ts"
import { stateDirectory } from "./StateDirectory.ts"
import * as Sudo from "./Sudo.ts"

// --- models ---

/** How a connection is made where ssh's own configuration does not say it. */
export interface SshOptions {
  readonly port?: number
  /** A private key file, used instead of all others. */
  readonly identity?: string
  /** The file of host keys to trust; an unknown or changed key is always refused. */
  readonly knownHosts?: string
  /** ssh's configuration file, instead of the user's own. */
  readonly configFile?: string
  /** How long a connection may take, 5000 ms unless given. */
  readonly connectTimeout?: Millis
  /**
   * True where the programs on the host run as root, by `sudo`. Otherwise they have the rights of the user who logs in.
   */
  readonly sudo?: boolean
}

/** The host to make. */
export interface SshTarget {
  readonly label: string
  /** What `ssh` takes: `host`, `user@host`, or a name of its configuration. */
  readonly destination: string
  readonly options?: SshOptions
  /** Where the socket of the connection goes; `ssh` in the state directory unless given. */
  readonly socketDirectory?: string
}

// --- make ---

/** A machine over ssh. It connects when it is first asked; the scope closes the connection. */
export const make = (target: SshTarget): Effect.Effect<Host, never, Scope.Scope> =>
  Effect.gen(function* () {
    const connecting = yield* Semaphore.make(1)
    let connection: Connection | undefined
    let isUp = false
    let staying = 0

    const connect = connecting.withPermit(
      Effect.gen(function* () {
        if (isUp && connection !== undefined) return connection
        if (connection !== undefined) yield* close(connection)
        // A new socket each time: whoever saw the old one cannot wait for it to come back.
        const next = (connection = yield* connectionOf(target))
        yield* open(target, next)
        isUp = true
        return next
      })
    )

    yield* Effect.addFinalizer(() => (connection === undefined ? Effect.void : close(connection)))

    const attempt = Effect.fnUntraced(function* (
      { input, outer }: Script.RemoteText,
      nonce: string
    ): Effect.fn.Return<HostOutput, HostError> {
      const { shared } = yield* connect
      const ended = yield* collect(target.label, [...shared, "--", target.destination, Script.commandOf(outer)], input)
      const answer = Script.answerOf(ended.stdout, nonce)
      if (answer !== undefined) return { ...answer, stderr: ended.stderr }
      const { label } = target
      if (Script.neverBegan(ended.stdout, nonce)) {
        return yield* unreachable(label, Sudo.refusal(ended.stderr, userOf(target)))
      }
      isUp = false
      return yield* neverSent(ended.stderr)
        ? unreachable(label, "the connection was lost before anything was sent")
        : lost(label, `the connection ended: ${lastLine(ended.stderr)}`)
    })

    const run: Host["run"] = (program, arguments_, { timeout }) => {
      const wasUp = isUp
      const problem = Script.problemWith(arguments_)
      if (problem !== "") return Effect.fail(unreachable(target.label, problem))
      const nonce = randomBytes(12).toString("hex")
      const text =
        target.options?.sudo === true
          ? Sudo.remoteText(program, arguments_, nonce)
          : Script.remoteText(program, arguments_, nonce)
      return attempt(text, nonce).pipe(
        // The master had ended unseen. Nobody can have taken the command, so it is given again.
        Effect.catchIf(
          (error) => error.reason === "Unreachable" && wasUp && !isUp,
          () => attempt(text, nonce)
        ),
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () => Effect.fail(lost(target.label, `no answer within ${Math.round(timeout)} ms`))
        })
      )
    }
    const channel: Host["open"] = (program, arguments_) =>
      Effect.gen(function* () {
        yield* Effect.acquireRelease(
          Effect.suspend(() =>
            staying >= stayMost
              ? Effect.fail(unreachable(target.label, `${stayMost} programs stay on it already`))
              : Effect.sync(() => void staying++)
          ),
          () => Effect.sync(() => void staying--)
        )
        const { shared } = yield* connect
        const sudo = target.options?.sudo === true
        const inner = `cd /\n${program}`
        const text = sudo ? Sudo.textOf(inner, arguments_, "") : Script.textOf(inner, arguments_)
        const outer = sudo ? Sudo.commandOf(text) : text
        return yield* Conversation.channel(target.label, {
          file: "ssh",
          arguments: [...shared, "--", target.destination, Script.commandOf(outer)],
          text: sudo ? `${outer}${text}` : text,
          ...(sudo ? { why: (complaint: string) => Sudo.refusal(complaint, userOf(target)) } : {})
        })
      })
    return { label: target.label, run, open: channel }
  })

// --- internal ---

/**
 * A socket's path has at most 107 bytes. Of these ssh takes 18 for a temporary name, and our name takes 17 with its
 * slash.
 */
const folderBytes = 70
/**
 * How many programs may stay on one connection. By default sshd grants a connection ten sessions, and lifts must never
 * wait for one.
 */
const stayMost = 4
/** How long an idle connection stays when the worker is gone. */
const persistSeconds = 60

const lost = (host: string, detail: string): HostError => new HostError({ host, reason: "LostAnswer", detail })

const unreachable = (host: string, detail: string): HostError => new HostError({ host, reason: "Unreachable", detail })

/** What the client's `ProxyCommand` says. It leads nowhere, and ssh tries it only where no master listens. */
const noMaster = "inquorate: no connection stands"

/**
 * True where the client never spoke to a master, so that nobody can have taken the command. In one of thirty such cases
 * ssh itself says nothing of it (OpenSSH 9.2). Where a master failed, ssh says so first, in a line of `mux_client_…`.
 */
const neverSent = (stderr: string): boolean => stderr.includes(noMaster) && !/\bmux_/.test(stderr)

const userOf = ({ destination }: SshTarget): string =>
  destination.includes("@") ? `user ${destination.slice(0, destination.lastIndexOf("@"))}` : "the user"

interface Connection {
  readonly socket: string
  /** The folder that is removed with the connection, where it was made for it. */
  readonly leaves: string | undefined
  readonly log: string
  readonly master: ReadonlyArray<string>
  readonly shared: ReadonlyArray<string>
  readonly exit: ReadonlyArray<string>
}

const connectionOf = (target: SshTarget): Effect.Effect<Connection, HostError> =>
  Effect.try({
    try: () => PrivateFolder.open(target.socketDirectory ?? path.join(stateDirectory(), "ssh"), folderBytes),
    catch: (cause) => unreachable(target.label, `no place for the connection's socket: ${(cause as Error).message}`)
  }).pipe(
    Effect.flatMap((opened) =>
      "problem" in opened
        ? Effect.fail(unreachable(target.label, `no place for the connection's socket: ${opened.problem}`))
        : Effect.succeed(connectionIn(opened, target))
    )
  )

const connectionIn = (
  { folder, made }: { readonly folder: string; readonly made: boolean },
  { destination, options = {} }: SshTarget
): Connection => {
  const socket = path.join(folder, randomBytes(8).toString("hex"))
  const seconds = Math.max(1, Math.ceil((options.connectTimeout ?? 5000) / 1000))
  const common = [
    ...(options.configFile === undefined ? [] : ["-F", options.configFile]),
    ...(options.port === undefined ? [] : ["-p", String(options.port)]),
    ...(options.identity === undefined ? [] : ["-i", options.identity, ...option("IdentitiesOnly=yes")]),
    ...(options.knownHosts === undefined ? [] : option(`UserKnownHostsFile="${options.knownHosts}"`)),
    "-T",
    "-a",
    "-x",
    ...option(
      "BatchMode=yes",
      "StrictHostKeyChecking=yes",
      `ConnectTimeout=${seconds}`,
      "ConnectionAttempts=1",
      "ServerAliveInterval=2",
      "ServerAliveCountMax=2",
      "ClearAllForwardings=yes",
      "PermitLocalCommand=no",
      "RemoteCommand=none",
      "RequestTTY=no",
      "EscapeChar=none",
      "LogLevel=ERROR",
      `ControlPath="${socket.replaceAll("%", "%%")}"`
    )
  ]
  return {
    socket,
    leaves: made ? folder : undefined,
    log: `${socket}.log`,
    master: [...common, ...option("ControlMaster=yes", `ControlPersist=${persistSeconds}`), "-f", "-N"],
    // There is no way but the master, so a lost master is noticed.
    shared: [...common, ...option("ControlMaster=no", `ProxyCommand=sh -c 'echo "${noMaster}" >&2'`)],
    exit: [...common, "-O", "exit", "--", destination]
  }
}

const option = (...settings: ReadonlyArray<string>): ReadonlyArray<string> =>
  settings.flatMap((setting) => ["-o", setting])

// Once it is connected, the master goes to the background, and would hold a pipe open for its whole life. So it writes
// to a file.
const open = ({ destination, label, options }: SshTarget, connection: Connection): Effect.Effect<void, HostError> =>
  Effect.gen(function* () {
    const code = yield* ended([...connection.master, "-E", connection.log, "--", destination]).pipe(
      Effect.mapError((detail) => unreachable(label, detail)),
      Effect.timeoutOrElse({
        duration: (options?.connectTimeout ?? 5000) + 2000,
        orElse: () => Effect.fail(unreachable(label, "no connection in time"))
      })
    )
    const said = read(connection.log)
    fs.rmSync(connection.log, { force: true })
    if (code !== 0) return yield* unreachable(label, `ssh to ${destination}: ${lastLine(said)}`)
  })

const close = (connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() =>
    fs.existsSync(connection.socket) ? Effect.ignore(Effect.timeout(ended(connection.exit), 2000)) : Effect.void
  ).pipe(
    Effect.andThen(
      Effect.sync(() => {
        fs.rmSync(connection.socket, { force: true })
        // It is there still where nobody waited until the connection was made.
        fs.rmSync(connection.log, { force: true })
        if (connection.leaves !== undefined) fs.rmSync(connection.leaves, { recursive: true, force: true })
      })
    )
  )

const ended = (arguments_: ReadonlyArray<string>): Effect.Effect<number | null, string> =>
  // Without our terminal: the ssh to a jump host does not get our order not to ask, and would ask there.
  Child.run("ssh", arguments_, { collects: false, apart: true }).pipe(
    Effect.mapBoth({ onFailure: ({ detail }) => detail, onSuccess: ({ exitCode }) => exitCode })
  )

const collect = (
  label: string,
  arguments_: ReadonlyArray<string>,
  input: string
): Effect.Effect<{ readonly stdout: string; readonly stderr: string }, HostError> =>
  Child.run("ssh", arguments_, { collects: true, input }).pipe(
    Effect.mapError(({ detail }) => unreachable(label, detail)),
    Effect.filterOrFail(
      ({ isCut }) => !isCut,
      () => lost(label, `more than ${Child.outputLimit} bytes of output`)
    )
  )

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return ""
  }
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.slice(0, 500) || "ssh said nothing"
