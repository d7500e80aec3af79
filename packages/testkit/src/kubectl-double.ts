/**
 * A `kubectl` for tests. It takes the words that a Kubernetes host says and carries them out on this machine by runc.
 * Pods are real containers with namespaces, control groups and capabilities of their own; only the API and its HTTP are
 * not real. Its folder holds a file for each pod, the file `nodes` with the names of the nodes, which are all this machine,
 * and the file `silent` with those whose kubelet does not answer.
 */
import * as childProcess from "node:child_process"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

/** A pod as the double keeps it: what was asked for, and its container. */
interface Kept {
  readonly manifest: Manifest
  readonly uid: string
  readonly id: string
}

interface Manifest {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly spec: {
    readonly nodeName: string
    readonly hostPID?: boolean
    readonly terminationGracePeriodSeconds?: number
    readonly containers: ReadonlyArray<{
      readonly name: string
      readonly command: ReadonlyArray<string>
      readonly workingDir?: string
      readonly livenessProbe?: unknown
      readonly securityContext?: {
        readonly privileged?: boolean
        readonly allowPrivilegeEscalation?: boolean
        readonly readOnlyRootFilesystem?: boolean
        readonly runAsUser?: number
        readonly capabilities?: { readonly drop?: ReadonlyArray<string>; readonly add?: ReadonlyArray<string> }
      }
      readonly volumeMounts?: ReadonlyArray<{ readonly name: string; readonly mountPath: string }>
    }>
    readonly volumes?: ReadonlyArray<{
      readonly name: string
      readonly hostPath?: { readonly path: string }
      readonly emptyDir?: unknown
    }>
    /** The path of a network namespace into which the double puts the pod. The API knows nothing of it. */
    readonly network?: { readonly namespace: string; readonly address: string }
    readonly owner?: unknown
  }
}

const folder = process.env["INQUORATE_KUBECTL_DOUBLE"] ?? ""
const [, , ...words] = process.argv
const options = new Map(
  words.flatMap((word) => {
    const match = /^--([a-z-]+)(?:=(.*))?$/s.exec(word)
    return match === null ? [] : [[match[1]!, match[2] ?? ""] as const]
  })
)
const dash = words.indexOf("--")
const plain = (dash < 0 ? words : words.slice(0, dash)).filter((word) => !word.startsWith("-"))

const refuse = (problem: string): never => {
  process.stderr.write(`Error from server ${problem}\n`)
  process.exit(1)
}

/** The names of nodes in this file. */
const nodesIn = (file: "nodes" | "silent"): ReadonlyArray<string> => {
  const at = path.join(folder, file)
  return fs.existsSync(at) ? fs.readFileSync(at, "utf8").split("\n") : []
}

const runc = (...arguments_: ReadonlyArray<string>) => {
  // The test is over and has ended every pod itself, and runc would make the folder anew.
  if (!fs.existsSync(path.join(folder, "pods"))) process.exit(0)
  return childProcess.spawnSync("runc", ["--root", path.join(folder, "runc"), ...arguments_], { encoding: "utf8" })
}

const fileOf = (namespace: string, name: string): string => path.join(folder, "pods", `${namespace}.${name}.json`)
/** The pod that a file holds; undefined where another call has just deleted it. */
const keptAt = (file: string): Kept | undefined => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")) as Kept
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}
const kept = (name: string): Kept =>
  keptAt(fileOf(options.get("namespace") ?? "default", name)) ?? refuse(`(NotFound): pods "${name}" not found`)

const stateOf = ({ id }: Kept): string => {
  const { status, stdout } = runc("state", id)
  return status === 0 ? (JSON.parse(stdout) as { readonly status: string }).status : "gone"
}

/** The pod as the API tells it. */
const told = (pod: Kept): unknown => {
  const { manifest, id, uid } = pod
  const state = stateOf(pod)
  const runs = state === "running" || state === "paused"
  const isPending = state === "gone" && nodesIn("silent").includes(manifest.spec.nodeName)
  const { network, owner, ...spec } = manifest.spec
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...manifest.metadata, uid, ...(owner === undefined ? {} : { ownerReferences: [owner] }) },
    spec,
    status: {
      phase: runs ? "Running" : isPending ? "Pending" : "Failed",
      ...(network === undefined ? {} : { podIP: network.address }),
      containerStatuses: (isPending ? [] : spec.containers).map(({ name }) => ({
        name,
        containerID: `containerd://${id}`,
        ready: runs,
        state: runs ? { running: {} } : { terminated: { exitCode: 137, reason: "Error" } }
      }))
    }
  }
}

/** What runc is told of a pod: nothing that its manifest does not say. */
const configOf = ({ manifest, id, uid }: Kept, root: string): unknown => {
  const { spec } = manifest
  const [container] = spec.containers
  const { capabilities, readOnlyRootFilesystem = false, ...security } = container!.securityContext ?? {}
  const own = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE"]
  const held = [...(capabilities?.drop?.includes("ALL") === true ? [] : own), ...(capabilities?.add ?? [])]
  const named = [...new Set(held)].map((name) => `CAP_${name}`)
  const bound = (destination: string, source: string, ...how: ReadonlyArray<string>) => ({
    destination,
    type: "bind",
    source,
    options: ["rbind", ...how]
  })
  const mounts = (container!.volumeMounts ?? []).map(({ mountPath, name }) => {
    const { hostPath } = spec.volumes!.find((volume) => volume.name === name)!
    if (hostPath === undefined)
      return { destination: mountPath, type: "tmpfs", source: "tmpfs", options: ["mode=1777"] }
    // Each node has files of its own, though all are this machine.
    const at = spec.nodeName === nodesIn("nodes")[0] ? hostPath.path : `${hostPath.path}-${spec.nodeName}`
    fs.mkdirSync(at, { recursive: true })
    return bound(mountPath, at)
  })
  const kinds = ["mount", "uts", "ipc", ...(spec.hostPID === true ? [] : ["pid"])]
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: security.runAsUser ?? 0, gid: security.runAsUser ?? 0 },
      args: container!.command,
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      cwd: container!.workingDir ?? "/",
      capabilities: { bounding: named, effective: named, permitted: named },
      noNewPrivileges: security.allowPrivilegeEscalation === false
    },
    root: { path: root, readonly: readOnlyRootFilesystem },
    hostname: manifest.metadata.name,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "mode=1777"] },
      bound("/usr", "/usr", "ro"),
      ...mounts
    ],
    linux: {
      // Outside the groups of a kubelet, which ends whatever it does not know there.
      cgroupsPath: `/inquorate-pods/pod${uid}/${id}`,
      namespaces: [
        ...kinds.map((type) => ({ type })),
        { type: "network", ...(spec.network === undefined ? {} : { path: spec.network.namespace }) }
      ]
    }
  }
}

const create = (): void => {
  const manifest = JSON.parse(fs.readFileSync(0, "utf8")) as Manifest
  const { metadata, spec } = manifest
  if (!nodesIn("nodes").includes(spec.nodeName)) refuse(`(NotFound): nodes "${spec.nodeName}" not found`)
  const { allowPrivilegeEscalation, capabilities, privileged } = spec.containers[0]!.securityContext ?? {}
  if (allowPrivilegeEscalation === false && capabilities?.add?.includes("SYS_ADMIN") === true) {
    refuse("(Invalid): cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
  }
  if (privileged === true) refuse("(Forbidden): violates PodSecurity: privileged")
  const pod: Kept = { manifest, uid: crypto.randomUUID(), id: crypto.randomBytes(32).toString("hex") }
  const written = (): void => {
    // At once, so that nobody reads half of it.
    const whole = path.join(folder, "bundles", `${pod.id}.json`)
    fs.writeFileSync(whole, JSON.stringify(pod))
    fs.renameSync(whole, fileOf(metadata.namespace, metadata.name))
    process.stdout.write(`pod/${metadata.name} created\n`)
  }
  // The API takes a pod for such a node, and no kubelet starts it.
  if (nodesIn("silent").includes(spec.nodeName)) return written()
  const bundle = path.join(folder, "bundles", pod.id)
  const root = path.join(bundle, "rootfs")
  fs.mkdirSync(root, { recursive: true })
  for (const name of ["proc", "dev", "usr", "tmp"]) fs.mkdirSync(path.join(root, name))
  for (const name of ["bin", "sbin", "lib", "lib64"]) fs.symlinkSync(`usr/${name}`, path.join(root, name))
  for (const { mountPath } of spec.containers[0]!.volumeMounts ?? []) {
    fs.mkdirSync(path.join(root, mountPath), { recursive: true })
    // The runtime gives what it mounts there the mode of the folder, and a volume is everybody's.
    fs.chmodSync(path.join(root, mountPath), 0o1777)
  }
  fs.writeFileSync(path.join(bundle, "config.json"), JSON.stringify(configOf(pod, root)))
  // The container would hold this program's own output open.
  const log = fs.openSync(path.join(bundle, "log"), "w")
  const started = childProcess.spawnSync(
    "runc",
    ["--root", path.join(folder, "runc"), "run", "--detach", "--bundle", bundle, pod.id],
    { stdio: ["ignore", log, log] }
  )
  if (started.status !== 0) refuse(`(Invalid): ${fs.readFileSync(path.join(bundle, "log"), "utf8")}`)
  written()
}

/** Ends a pod as a kubelet does: SIGTERM, its grace, SIGKILL to all of it. */
const end = (file: string): void => {
  const pod = keptAt(file)
  if (pod === undefined) return
  runc("kill", pod.id, "TERM")
  const turns = (pod.manifest.spec.terminationGracePeriodSeconds ?? 30) * 20
  for (let turn = 0; turn < turns && stateOf(pod) === "running"; turn++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  }
  runc("kill", "--all", pod.id, "KILL")
  runc("delete", "--force", pod.id)
  // The runtime removes the container's own group and leaves the pod's.
  for (const at of fs.globSync(`/sys/fs/cgroup{,/*}/inquorate-pods/pod${pod.uid}`)) {
    childProcess.spawnSync("rmdir", [at], { stdio: "ignore" })
  }
  fs.rmSync(file, { force: true })
}

const verb = plain[0]
if (verb === "get" && plain[1] !== "pods") {
  // Resources of other kinds are what a test wrote down, a list by the kind's name.
  const file = path.join(folder, plain[1] ?? "")
  if (!fs.existsSync(file)) refuse(`(Forbidden): ${plain[1]} is forbidden: no rule lets this user list it`)
  const [, name] = /^metadata\.name=(.*)$/.exec(options.get("field-selector") ?? "") ?? []
  const all = JSON.parse(fs.readFileSync(file, "utf8")) as ReadonlyArray<Pick<Manifest, "metadata">>
  const items = all.filter(({ metadata }) => metadata.name === name && metadata.namespace === options.get("namespace"))
  process.stdout.write(JSON.stringify({ kind: "List", items }))
} else if (verb === "get") {
  const namespace = options.get("namespace") ?? "default"
  const selector = options.get("selector") ?? ""
  const names = plain.slice(2)
  const all = fs
    .readdirSync(path.join(folder, "pods"))
    .filter((file) => file.startsWith(`${namespace}.`))
    .flatMap((file) => keptAt(path.join(folder, "pods", file)) ?? [])
  const meant = ({ manifest }: Kept) =>
    selector.split(",").every((term) => {
      const [key = "", value] = term.split("=")
      return term === "" || manifest.metadata.labels?.[key] === value
    })
  const answer = names.length === 1 ? told(kept(names[0]!)) : { kind: "List", items: all.filter(meant).map(told) }
  process.stdout.write(JSON.stringify(answer))
} else if (verb === "create") create()
else if (verb === "delete") {
  for (const name of plain.slice(2)) {
    const file = fileOf(options.get("namespace") ?? "default", name)
    if (options.get("wait") !== "false") end(file)
    else {
      childProcess
        .spawn(process.execPath, [...process.execArgv, process.argv[1]!, "end", file], {
          detached: true,
          stdio: "ignore"
        })
        .unref()
    }
  }
} else if (verb === "end") end(plain[1]!)
else if (verb === "exec") {
  const pod = kept(plain[1]!)
  if (stateOf(pod) !== "running")
    refuse("(BadRequest): cannot exec into a container in a completed pod; current phase is Failed")
  const child = childProcess.spawn(
    "runc",
    ["--root", path.join(folder, "runc"), "exec", pod.id, ...words.slice(dash + 1)],
    { stdio: "inherit" }
  )
  // Whoever ends this program ends its runc too, so that the whole way is cut.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => child.kill(signal))
  child.on("exit", (code) => process.exit(code ?? 137))
} else {
  process.stderr.write(`error: unknown command ${JSON.stringify(words)}\n`)
  process.exit(1)
}
