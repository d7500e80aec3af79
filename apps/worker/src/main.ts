/**
 * The worker: it reads its configuration, puts the layers together, answers over HTTP and carries out operations until
 * it is asked to end. Then it hands its operations over at once, and every fence still ends by its own deadline.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as ContainerHealth from "@inquorate/injectors/ContainerHealth"
import type { ChaosStore } from "@inquorate/core/ChaosStore"
import { type Cluster, Clusters } from "@inquorate/core/Cluster"
import type { Host, HostError } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import * as MemoryStore from "@inquorate/core/MemoryStore"
import { type ClusterView, Operations } from "@inquorate/core/Operations"
import type { OperationStore, StoreError } from "@inquorate/core/OperationStore"
import type { TargetError } from "@inquorate/core/Target"
import * as ChaosDriver from "@inquorate/engine/ChaosDriver"
import * as Engine from "@inquorate/engine/Engine"
import * as PostgresStore from "@inquorate/stores/PostgresStore"
import * as SqliteStore from "@inquorate/stores/SqliteStore"
import * as HostSettings from "@inquorate/injectors/HostSettings"
import * as Machine from "@inquorate/injectors/Machine"
import { sweepers } from "@inquorate/injectors/Registry"
import { make as makeWitness } from "@inquorate/targets/Witness"
import * as NodeServer from "@inquorate/transport/NodeServer"
import * as Pages from "@inquorate/transport/Pages"
import * as TextFile from "@inquorate/transport/TextFile"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import { CannotRun, exitCodes } from "./CannotRun.ts"
import * as Check from "./Check.ts"
import { type ClusterConfig, type StoreConfig, type WorkerConfig } from "@inquorate/configuration/Config"
import * as Emulation from "./Emulation.ts"
import * as Log from "./Log.ts"
import { type Asked, type Emulated, help, read } from "./Options.ts"
import * as ReadConfig from "./ReadConfig.ts"
import { isAuthenticated, isLoopback, openTo } from "@inquorate/configuration/SecuritySettings"
import * as Security from "./Security.ts"
import * as Seen from "./Seen.ts"
import * as StorePlace from "./StorePlace.ts"

// --- make ---

/** Fails with the first of these hosts that does not answer. */
const reach = (hosts: ReadonlyArray<Host>): Effect.Effect<void, HostError> =>
  Effect.forEach(hosts, (host) => host.run("true", [], { timeout: reachTimeout }), {
    concurrency: "unbounded",
    discard: true
  })

const reachTimeout = 8000

/** How often hosts are looked at for fences past their deadline, in milliseconds. */
const surveyEvery = 5000
/** How long the start waits for a first look at the clusters, in milliseconds. */
const lookFirst = 5000
/** How often hosts are asked again which machines they are, in milliseconds. */
const identifyEvery = 30_000

/** Every configured cluster, paired with its target and its injector. */
const clusters = (
  config: WorkerConfig,
  hosts: ReadonlyMap<string, Host>,
  simulated: ReadonlyArray<Cluster>
): Layer.Layer<Clusters, TargetError> =>
  Layer.effect(
    Clusters,
    Effect.gen(function* () {
      // All clusters share one injector of each mechanism, except those that have settings of their own for it.
      const made = new Map<string, Injector>()
      const injectorOf = (module: ClusterConfig["injector"], settings: unknown): Injector => {
        const found = settings === null ? made.get(module.name) : undefined
        const own = found ?? module.make(hosts, { keepPorts: [config.listen.port] }, settings)
        if (settings === null) made.set(module.name, own)
        return own
      }
      const all = yield* Effect.forEach(config.clusters, (cluster) => {
        const { hosts: labels, injectorSettings, maxHold, module, name, restarter, settings } = cluster
        const opened = Effect.all([
          module.make(name, settings, hosts),
          Effect.forEach(cluster.witnesses, (one) => makeWitness(name, one))
        ])
        return Effect.map(opened, ([target, witnesses]): Cluster => ({
          name,
          target,
          injector: injectorOf(cluster.injector, injectorSettings),
          ...(restarter === null ? {} : { restarter: injectorOf(restarter.module, restarter.settings) }),
          hosts: labels,
          // This very host is always there; only its sudo may fail. To ask it would cost every look-up the start of a
          // shell.
          reach: reach(
            labels.flatMap((label) =>
              label === HostSettings.localHost && config.hosts[label]?.sudo !== true ? [] : (hosts.get(label) ?? [])
            )
          ),
          supervisors: (topology) => ContainerHealth.supervisors(hosts, topology),
          protected: cluster.protected,
          maxHold: maxHold ?? config.maxHold,
          ...(witnesses.length === 0 ? {} : { witnesses })
        }))
      })
      return Clusters.of({ all: [...all, ...simulated] })
    })
  )

/** Tells what is seen of a cluster, or why nothing is. */
const tellSeen = (view: ClusterView): Effect.Effect<void> =>
  view.problem === "" ? Effect.logInfo(Seen.sentence(view)) : Effect.logWarning(Seen.sentence(view))

const serving = (config: WorkerConfig, secured: Partial<NodeServer.Options>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { url } = yield* NodeServer.serve({ ...config.listen, ...secured })
      const { clusters } = yield* Operations
      yield* Effect.forEach(yield* clusters, tellSeen, { discard: true })
      yield* Log.say(`inquorate worker ${config.workerId} listening on ${url}`)
    })
  )

const openHosts = ({ clusters, hosts, maxHold }: WorkerConfig) =>
  HostSettings.open(hosts, Math.max(maxHold, ...clusters.map((cluster) => cluster.maxHold ?? 0)))

/** Tells what earlier runs left on a host, and lifts what is past its time. */
const sweepAtStart = (hosts: ReadonlyMap<string, Host>, host: string): Effect.Effect<void> =>
  Effect.forEach(sweepers(hosts), (injector) =>
    injector
      .sweep(host, { clear: true })
      .pipe(
        Effect.catchTag("InjectorError", ({ detail }) =>
          Effect.as(Effect.logWarning(`host ${host} could not be swept of ${injector.name}: ${detail}`), [])
        )
      )
  ).pipe(
    Effect.flatMap((reports) => {
      const standing = reports.flat().filter(({ state }) => state._tag === "Armed")
      return standing.length === 0
        ? Effect.void
        : Effect.logWarning(`${standing.length} fences of earlier runs stand on host ${host}`)
    })
  )

const run = Effect.fnUntraced(function* (
  config: WorkerConfig,
  { config: named, emulator, explorer, overrides }: Extract<Asked, { readonly _tag: "Run" }>
) {
  const hosts = yield* openHosts(config)
  const secured = yield* withPages(yield* secure(config, emulator), explorer)
  const simulated =
    emulator === undefined
      ? []
      : yield* Effect.mapError(
          Emulation.clusters(emulator),
          ({ detail, more }) => new CannotRun({ exit: exitCodes.usage, detail: `--layout: ${detail}`, more })
        )
  const simulatedHosts = new Set(simulated.flatMap((cluster) => cluster.hosts))
  yield* warn(config, emulator !== undefined)
  yield* sweepAtStart(hosts, HostSettings.localHost)
  // A far host that does not answer must not keep the worker from its work.
  const far = Object.keys(config.hosts).filter((label) => config.hosts[label]?.ssh !== undefined)
  yield* Effect.forkScoped(Effect.forEach(far, (label) => sweepAtStart(hosts, label), { concurrency: "unbounded" }))
  const lost = yield* Deferred.make<never, CannotRun>()
  const onLost = (detail: string) => void Deferred.doneUnsafe(lost, new CannotRun({ exit: exitCodes.store, detail }))
  const inMemory =
    emulator !== undefined && named === undefined && overrides.store === undefined && !StorePlace.hasSqlite()
  const { place, store } = inMemory
    ? { place: StorePlace.inMemory, store: MemoryStore.layer({ queueBound: config.queue }) }
    : yield* openStore(config, onLost)
  const machines = new Map<string, string>()
  const identify = Effect.forEach(
    hosts,
    ([label, host]) => Effect.map(Machine.identify(host), (id) => void (id !== null && machines.set(label, id))),
    { concurrency: "unbounded", discard: true }
  )
  yield* identify
  yield* Effect.forkChild(Effect.forever(Effect.andThen(Effect.sleep(identifyEvery), identify)))
  const engine = Engine.layer({
    workerId: config.workerId,
    concurrency: config.concurrency,
    defaultMaxHold: config.maxHold,
    guards: {
      perCluster: config.perCluster,
      perHost: config.perHost,
      overall: config.overall,
      storeInside: StorePlace.inside(place)
    },
    reaches: ({ machineId, process }) => {
      if (simulatedHosts.has(process.host)) return true
      const known = machines.get(process.host)
      return hosts.has(process.host) && (machineId === undefined || known === undefined || known === machineId)
    },
    surveyEvery,
    lookFirst,
    onLost
  })
  const worker = serving(config, secured).pipe(
    Layer.provide(ChaosDriver.layer({ workerId: config.workerId })),
    Layer.provide(engine),
    Layer.provide(store),
    Layer.provide(clusters(config, hosts, simulated))
  )
  return yield* Effect.raceFirst(Layer.launch(worker), Deferred.await(lost)).pipe(
    Effect.catchTags({
      StoreError: (error) => new CannotRun({ exit: exitCodes.store, detail: error.detail }),
      ServeError: (error) => new CannotRun({ exit: exitCodes.listen, detail: error.message }),
      TargetError: (error) =>
        new CannotRun({ exit: exitCodes.usage, detail: `clusters.${error.cluster}: ${error.detail}` })
    })
  )
})

/** Runs with the log that was asked for. What ends the worker is told in that log too. */
const runLogged = Effect.fnUntraced(function* (asked: Extract<Asked, { readonly _tag: "Run" }>) {
  const config = yield* configOf(asked)
  const json = config.logFormat === "json"
  return yield* run(config, asked).pipe(
    Effect.tapError(({ detail, more = [] }) => (json ? Effect.logFatal([detail, ...more].join("\n")) : Effect.void)),
    Effect.annotateLogs({ worker: config.workerId }),
    Effect.provide(Log.layer(config.logFormat))
  )
})

const main = Effect.gen(function* () {
  const asked = read(process.argv.slice(2), process.env)
  if (Result.isFailure(asked)) return yield* new CannotRun({ exit: exitCodes.usage, detail: asked.failure })
  switch (asked.success._tag) {
    case "Help":
      return yield* Log.say(help.trimEnd())
    case "Version":
      return yield* Log.say(process.env.INQUORATE_VERSION ?? "0.0.0")
    case "Completions":
      return yield* Log.say(asked.success.script)
    case "Check":
      return yield* Check.run(asked.success)
    case "Run":
      return yield* Effect.scoped(runLogged(asked.success))
  }
}).pipe(
  Effect.tapError((error) => (error.detail === "" ? Effect.void : Log.complain(error.detail, error.more))),
  Effect.tapDefect((defect) =>
    Log.complain("this should not have happened; please report it.", Cause.pretty(Cause.die(defect)).split("\n"))
  )
)

Log.outliveReaders()

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  // A worker that ends because it was asked to has done nothing wrong.
  teardown: (exit, onExit) =>
    Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
})

// --- internal ---

function readConfig({
  config,
  overrides
}: Extract<Asked, { readonly _tag: "Run" }>): Effect.Effect<WorkerConfig, CannotRun> {
  return Effect.flatMap(ReadConfig.read(config, overrides), ({ parsed }) =>
    Effect.fromResult(
      Result.mapError(
        parsed,
        ({ message }) =>
          new CannotRun({ exit: exitCodes.usage, detail: "the configuration is wrong", more: message.split("\n") })
      )
    )
  )
}

/** The configuration as the worker serves it. A simulated cluster without one has a store of its own and no limits. */
function configOf(asked: Extract<Asked, { readonly _tag: "Run" }>) {
  return Effect.gen(function* () {
    if (asked.emulator === undefined || asked.config !== undefined) return yield* readConfig(asked)
    const store = asked.overrides.store ?? (yield* Emulation.temporaryStore)
    return Emulation.unlimited(yield* readConfig({ ...asked, overrides: { ...asked.overrides, store } }))
  })
}

/** What the server needs to know its callers. A worker that would take everybody's word beyond loopback does not start. */
function secure(
  config: WorkerConfig,
  emulator: Emulated | undefined
): Effect.Effect<Partial<NodeServer.Options>, CannotRun> {
  return Effect.gen(function* () {
    const { listen, security } = config
    const anyHost = emulator?.anyHost === true
    if (anyHost && config.clusters.length > 0) {
      return yield* new CannotRun({
        exit: exitCodes.usage,
        detail: `--any-host is for a simulated cluster alone, and the configuration names real ones: ${config.clusters.map(({ name }) => name).join(", ")}. Leave one of them out; security.names and security.origins say who may ask for real ones.`
      })
    }
    const beyond = !anyHost && !isLoopback(listen.host)
    const simulatedAlone = emulator !== undefined && config.clusters.length === 0
    const open = beyond ? openTo(listen.host, security, simulatedAlone) : undefined
    if (open !== undefined) return yield* new CannotRun({ exit: exitCodes.listen, detail: open })
    const { options, warnings } = yield* Effect.mapError(
      Security.load(security),
      ({ detail }) => new CannotRun({ exit: exitCodes.usage, detail: `security: ${detail}` })
    )
    for (const warning of warnings) yield* Effect.logWarning(warning)
    if (beyond && security.allowAnonymous === true) {
      yield* Effect.logWarning(
        `listening on ${listen.host} without authentication: everyone who reaches it may stop this machine's servers`
      )
    }
    return anyHost ? { ...options, anyHost } : options
  })
}

/** The pages that are to be served, read into what the server needs to know. */
function withPages(
  options: Partial<NodeServer.Options>,
  folder: string | undefined
): Effect.Effect<Partial<NodeServer.Options>, CannotRun> {
  if (folder === undefined) return Effect.succeed(options)
  return Pages.load(folder, options.aad?.login).pipe(
    Effect.map((pages) => ({ ...options, pages })),
    Effect.mapError((error) => new CannotRun({ exit: exitCodes.usage, detail: `--explorer: ${error.message}` }))
  )
}

function warn(config: WorkerConfig, simulated: boolean): Effect.Effect<void> {
  return Effect.gen(function* () {
    for (const { key, line, problem } of config.warnings) yield* Effect.logWarning(`line ${line}, ${key}: ${problem}`)
    if (simulated && config.clusters.length === 0) return
    if (process.getuid?.() === 0 && !isAuthenticated(config.security)) {
      yield* Effect.logWarning("running as root without authentication: everyone on this machine may stop its servers")
    }
    if (config.clusters.length === 0) yield* Effect.logWarning("no cluster is configured: there is nothing to break")
    const forgetful = config.store._tag === "Sqlite" ? StorePlace.forgetful(config.store.path) : undefined
    if (forgetful !== undefined) yield* Effect.logWarning(forgetful)
  })
}

/** The store that the configuration names, and where it lies. A secret is read here and given to the store alone. */
function openStore(
  config: WorkerConfig,
  onLost: (detail: string) => void
): Effect.Effect<
  { readonly store: Layer.Layer<OperationStore | ChaosStore, StoreError>; readonly place: StorePlace.StorePlace },
  CannotRun
> {
  return Effect.gen(function* () {
    if (config.store._tag === "Sqlite") {
      const { path } = config.store
      if (!StorePlace.hasSqlite()) {
        return yield* new CannotRun({
          exit: exitCodes.store,
          detail: `a store in a file needs Node 24 or newer; this is Node ${process.versions.node}. A simulated cluster without --store keeps operations in memory here.`
        })
      }
      const problem = StorePlace.missingFolder(path) ?? StorePlace.openToOthers(path)
      if (problem !== undefined) return yield* new CannotRun({ exit: exitCodes.store, detail: problem })
      return {
        place: StorePlace.ofFile(path),
        store: SqliteStore.layer({ path, queueBound: config.queue, onLost })
      }
    }
    const url = config.store._tag === "PostgresUrl" ? config.store.url : yield* urlOf(config.store.settings)
    const schema = config.store._tag === "Postgres" ? config.store.settings.schema : undefined
    return {
      place: StorePlace.ofUrl(url),
      store: PostgresStore.layer({ url, queueBound: config.queue, ...(schema === undefined ? {} : { schema }) })
    }
  })
}

function urlOf(
  settings: Extract<StoreConfig, { readonly _tag: "Postgres" }>["settings"]
): Effect.Effect<Redacted.Redacted, CannotRun> {
  const { database, host, password, port, user } = settings
  const name = encodeURIComponent
  const make = (secret: string) =>
    Redacted.make(
      `postgresql://${name(user)}${secret === "" ? "" : `:${name(secret)}`}@${
        host.includes(":") ? `[${host}]` : name(host)
      }:${port ?? 5432}/${name(database)}`
    )
  if (password === undefined) return Effect.succeed(make(""))
  const missing = (detail: string) =>
    new CannotRun({ exit: exitCodes.usage, detail: `store.postgres.password: ${detail}` })
  if ("env" in password) {
    const secret = process.env[password.env]
    return secret === undefined
      ? Effect.fail(missing(`the environment variable ${password.env} is not set`))
      : Effect.succeed(make(secret))
  }
  return Effect.try({
    try: () => make(TextFile.read(password.file).replace(/\r?\n$/, "")),
    catch: (cause) => missing(`the file cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  })
}
