/**
 * A Kubernetes cluster and its nodes as hosts. A node is reached through a keeper pod, which is made when the node is
 * first asked. Programs come to the pod by `kubectl exec` on standard input. To open such a channel costs a second, so
 * a few are kept open, and each runs one program after another. Whoever ends the pod ends what stands in it. So only
 * fences of kernel grade may stand there: the death of the pod lifts them.
 *
 * A pod cannot be given more time than it was made with. So it takes new work in the first half of its life only, and
 * another pod is made then. What stands in the old pod has the other half for its end.
 */
import { createHash, randomBytes } from "node:crypto"
import { type Host, HostError, type HostOutput } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Child from "./Child.ts"
import * as Conversation from "./Conversation.ts"
import * as KeeperPod from "./KeeperPod.ts"
import * as Kubectl from "./Kubectl.ts"
import * as KubernetesPods from "./KubernetesPods.ts"
import * as Programs from "../Programs.ts"
import * as Script from "./Script.ts"

// --- models ---

/** The cluster to make a host of. */
export interface KubernetesTarget extends KeeperPod.KeeperPodOptions {
  readonly label: string
  readonly kubectl: Kubectl.KubectlOptions
  /** How long a keeper pod may take until it runs, 60 s unless given. */
  readonly startTimeout?: Millis
}

/** A cluster: a host without a shell of its own, and its nodes. */
export interface KubernetesCluster {
  readonly host: Host
  /** The node of this name as a host; `undefined` where no node can have such a name. */
  readonly node: (name: string) => Host | undefined
}

// --- make ---

/** A cluster. Nothing is asked or made before a node is first asked. The scope deletes pods without a fence. */
export const make = (target: KubernetesTarget): Effect.Effect<KubernetesCluster, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const { label } = target
    const nodes = new Map<string, Host>()
    const labelOf = (node: string): string => `${label}/${node}`
    const node = (name: string): Host | undefined => {
      if (!nodeName.test(name)) return undefined
      const known = nodes.get(name) ?? nodeOf(target, labelOf(name), name, scope)
      nodes.set(name, known)
      return known
    }
    const noShell = unreachable(label, `it is a Kubernetes cluster; its nodes are hosts, such as ${label}/NODE`)
    const host: Host = {
      label,
      kernelOnly: true,
      run: () => Effect.fail(noShell),
      open: () => Effect.fail(noShell),
      pods: (namespace, selector) =>
        Kubectl.askJson(
          label,
          target.kubectl,
          [
            ...["get", "pods", `--namespace=${namespace}`, "--output=json"],
            ...(selector === "" ? [] : [`--selector=${selector}`])
          ],
          { timeout: askTimeout }
        ).pipe(
          Effect.flatMap((answer) =>
            Effect.try({
              try: () => KubernetesPods.read(answer, labelOf),
              catch: () =>
                new HostError({ host: label, reason: "LostAnswer", detail: "kubectl's answer is no list of pods" })
            })
          )
        ),
      // A name that an operator's label gave is the value of an option, and selects one resource at most.
      resource: (kind, namespace, name) =>
        nodeName.test(name)
          ? Effect.map(
              Kubectl.askJson(
                label,
                target.kubectl,
                ["get", kind, `--namespace=${namespace}`, `--field-selector=metadata.name=${name}`, "--output=json"],
                { timeout: askTimeout }
              ),
              KubernetesPods.only
            )
          : Effect.succeed(null)
    }
    return { host, node }
  })

/** These hosts and clusters by their labels, and every node of the clusters by `<cluster>/<node>`. */
export const hostsOf = (
  hosts: ReadonlyArray<Host>,
  clusters: ReadonlyArray<KubernetesCluster>
): ReadonlyMap<string, Host> => new Hosts(hosts, clusters)

// --- internal ---

/** What a name of a node or of another resource looks like. */
const nodeName = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/

const askTimeout: Millis = 8000
/** How long a new channel may take to open. */
const openTimeout: Millis = 15_000
const startTimeout: Millis = 60_000
const pollEvery: Millis = 500
/** How many programs run at once on a node. Further ones wait. */
const channelsMost = 8
/** A channel that nobody used for so long is closed. A pod without channels ends by itself. */
const idleMost: Millis = 60_000
/** A channel that answered this short a time ago is not asked whether it still works. */
const surely: Millis = 20
/** How long a channel may take to say that it still works. */
const stillThere: Millis = 1500
/** How long the end of a worker waits for a pod's deletion. */
const leaveWithin: Millis = 4000

const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos): Millis => Number(nanos) / 1_000_000)

const lost = (host: string, detail: string): HostError => new HostError({ host, reason: "LostAnswer", detail })
const unreachable = (host: string, detail: string): HostError => new HostError({ host, reason: "Unreachable", detail })

class Hosts extends Map<string, Host> {
  readonly #clusters: ReadonlyMap<string, KubernetesCluster>
  constructor(hosts: ReadonlyArray<Host>, clusters: ReadonlyArray<KubernetesCluster>) {
    super([...hosts, ...clusters.map(({ host }) => host)].map((host) => [host.label, host]))
    this.#clusters = new Map(clusters.map((cluster) => [cluster.host.label, cluster]))
  }
  override get(label: string): Host | undefined {
    const stroke = label.indexOf("/")
    return super.get(label) ?? this.#clusters.get(label.slice(0, Math.max(0, stroke)))?.node(label.slice(stroke + 1))
  }
  override has(label: string): boolean {
    return this.get(label) !== undefined
  }
}

/** A pod that was seen to run. */
interface Keeper {
  readonly name: string
  readonly madeAt: Millis
}

/** A channel that runs one program after another in a pod. */
interface Line {
  readonly pod: string
  readonly conversation: Child.Conversation
  usedAt: Millis
}

const nodeOf = (target: KubernetesTarget, label: string, node: string, scope: Scope.Scope): Host => {
  const { kubectl, life, namespace } = target
  let keeper: Keeper | undefined
  let making: Deferred.Deferred<Keeper, HostError> | undefined
  const idle: Array<Line> = []
  const turns = Semaphore.makeUnsafe(channelsMost)

  const isYoung = ({ madeAt }: Keeper, now: Millis): boolean => now - madeAt < life / 2

  const ask = (words: ReadonlyArray<string>, input?: string) =>
    Kubectl.ask(label, kubectl, [...words, `--namespace=${namespace}`], {
      timeout: askTimeout,
      ...(input === undefined ? {} : { input })
    })
  const read = (words: ReadonlyArray<string>) =>
    Kubectl.askJson(label, kubectl, ["get", "pods", ...words, "--output=json", `--namespace=${namespace}`], {
      timeout: askTimeout
    })
  const remove = (names: ReadonlyArray<string>) =>
    ask(["delete", "pod", "--wait=false", "--ignore-not-found", ...names])
  const standing = (name: string) => Effect.map(read([name]), KeeperPod.standingOf)

  const start = Effect.gen(function* () {
    const old = read([`--selector=${KeeperPod.selectorOf(node)}`])
    const ended = yield* Effect.orElseSucceed(Effect.map(old, KeeperPod.endedOf), () => [])
    if (ended.length > 0) yield* Effect.ignore(remove(ended))
    const name = `inquorate-keeper-${createHash("sha256").update(node).digest("hex").slice(0, 8)}-${randomBytes(4).toString("hex")}`
    const madeAt = yield* monotonic
    const manifest = JSON.stringify(KeeperPod.manifest(name, node, target))
    yield* ask(["create", "--validate=false", "--filename=-"], manifest)
    const within = target.startTimeout ?? startTimeout
    let seen: KeeperPod.PodStanding = { phase: "Pending", runs: false, problem: "" }
    const problem = () =>
      seen.problem === ""
        ? `it does not run after ${within} ms (it is ${seen.phase || "not to be seen"})`
        : seen.problem
    while (!seen.runs) {
      if (seen.problem !== "" || (yield* monotonic) - madeAt > within) {
        yield* Effect.ignore(remove([name]))
        return yield* unreachable(label, `its keeper pod ${namespace}/${name} does not start: ${problem()}`)
      }
      seen = yield* Effect.orElseSucceed(standing(name), () => seen)
      if (!seen.runs) yield* Effect.sleep(pollEvery)
    }
    return (keeper = { name, madeAt })
  })

  // The start goes on when its asker no longer waits, for the next asker.
  const pod: Effect.Effect<Keeper, HostError> = Effect.flatMap(monotonic, (now) => {
    if (keeper !== undefined && isYoung(keeper, now)) return Effect.succeed(keeper)
    if (making !== undefined) return Deferred.await(making)
    const begun = (making = Deferred.makeUnsafe<Keeper, HostError>())
    const whole = Effect.exit(start).pipe(
      Effect.flatMap((exit) => {
        making = undefined
        return Deferred.done(begun, exit)
      })
    )
    return Effect.andThen(Effect.forkIn(whole, scope), Deferred.await(begun))
  })

  const exec = (name: string, text: string): ReadonlyArray<string> => [
    ...Kubectl.words(kubectl),
    ...["exec", "--stdin", `--namespace=${namespace}`, `--container=${KeeperPod.container}`, name],
    ...["--", "sh", "-c", Script.loaderOf(text), "inquorate"]
  ]

  const openLine = (name: string): Effect.Effect<Line, HostError> =>
    Effect.gen(function* () {
      const mark = randomBytes(12).toString("hex")
      const text = Script.textOf(Programs.podChannel, [mark])
      const conversation = yield* Effect.mapError(Child.converse("kubectl", exec(name, text)), ({ detail }) =>
        unreachable(label, detail)
      )
      const said = yield* conversation.ask(text, mark).pipe(
        Effect.timeoutOrElse({ duration: openTimeout, orElse: () => Effect.succeed(null) }),
        Effect.onInterrupt(() => Effect.sync(conversation.close))
      )
      if (said === null) {
        conversation.close()
        return yield* unreachable(label, `kubectl exec: ${Kubectl.lastWords(conversation.complaint())}`)
      }
      return { pod: name, conversation, usedAt: yield* monotonic }
    })

  // Nothing was sent to a pod that we could not enter. Where that pod is gone, another one is made.
  const freshLine = Effect.gen(function* () {
    const first = yield* pod
    return yield* Effect.catch(openLine(first.name), (error) =>
      Effect.gen(function* () {
        const runs = yield* Effect.match(standing(first.name), {
          onFailure: ({ detail }) => !/\(NotFound\)/.test(detail),
          onSuccess: (seen) => seen.runs
        })
        if (runs) return yield* error
        if (keeper === first) keeper = undefined
        return yield* openLine((yield* pod).name)
      })
    )
  })

  const tidy = (now: Millis): void => {
    for (const line of [...idle]) {
      const isCurrent = keeper !== undefined && line.pod === keeper.name && isYoung(keeper, now)
      if (line.conversation.isOpen() && isCurrent && now - line.usedAt < idleMost) continue
      idle.splice(idle.indexOf(line), 1)
      line.conversation.close()
    }
  }

  const takeLine: Effect.Effect<Line, HostError> = Effect.flatMap(monotonic, (now) => {
    tidy(now)
    const known = idle.pop()
    if (known === undefined) return freshLine
    if (now - known.usedAt < surely) return Effect.succeed(known)
    // A channel may have ended unseen. What we send over it may have been heard all the same, so we first ask something
    // harmless.
    return talk(label, known.conversation, ":", [], stillThere).pipe(
      Effect.as(known),
      Effect.catch(() => {
        known.conversation.close()
        return takeLine
      })
    )
  })

  const giveBack = (line: Line): Effect.Effect<void> =>
    Effect.flatMap(monotonic, (now) => {
      if (!line.conversation.isOpen() || line.conversation.isBusy()) {
        return Effect.sync(line.conversation.close)
      }
      line.usedAt = now
      idle.push(line)
      return Effect.forkIn(Effect.andThen(Effect.sleep(idleMost + 100), Effect.map(monotonic, tidy)), scope)
    })

  const run: Host["run"] = (program, arguments_, { timeout }) =>
    Effect.gen(function* () {
      const problem = Script.problemWith(arguments_)
      if (problem !== "") return yield* unreachable(label, problem)
      const until = (yield* monotonic) + timeout
      const late = unreachable(label, `its keeper pod is not ready for it within ${timeout} ms`)
      yield* Effect.acquireRelease(
        Effect.timeoutOrElse(turns.take(1), { duration: timeout, orElse: () => Effect.fail(late) }),
        () => turns.release(1)
      )
      const left = Math.max(1, until - (yield* monotonic))
      const line = yield* Effect.timeoutOrElse(takeLine, { duration: left, orElse: () => Effect.fail(late) })
      return yield* Effect.ensuring(
        talk(label, line.conversation, program, arguments_, Math.max(1, until - (yield* monotonic))),
        giveBack(line)
      )
    }).pipe(Effect.scoped)

  const open: NonNullable<Host["open"]> = (program, arguments_) =>
    Effect.gen(function* () {
      // This notices a pod that is gone, before anything is said to it.
      yield* run("true", [], { timeout: openTimeout })
      const { name } = yield* pod
      const text = Script.textOf(`cd /\n${program}`, arguments_)
      return yield* Conversation.channel(label, { file: "kubectl", arguments: exec(name, text), text })
    })

  const leave = Effect.gen(function* () {
    const name = keeper?.name
    if (name === undefined) return
    const alone = yield* Effect.option(run(Programs.podAlone, [], { timeout: leaveWithin }))
    if (alone._tag === "Some" && alone.value.exitCode === 0) yield* Effect.ignore(remove([name]))
  }).pipe(
    Effect.timeoutOption(leaveWithin),
    Effect.andThen(
      Effect.sync(() => {
        for (const line of idle.splice(0)) line.conversation.close()
      })
    )
  )
  Effect.runSync(Scope.addFinalizer(scope, leave))
  return { label, kernelOnly: true, run, open }
}

const talk = (
  label: string,
  conversation: Child.Conversation,
  program: string,
  arguments_: ReadonlyArray<string>,
  timeout: Millis
): Effect.Effect<HostOutput, HostError> =>
  Effect.gen(function* () {
    const mark = randomBytes(12).toString("hex")
    // Descriptor 3 is the channel's own input, from which the next program comes.
    const text = `exec 3<&-\n${Script.textOf(program, arguments_)}`
    const said = yield* conversation.ask(`${mark} ${Buffer.byteLength(text)}\n${text}`, `${mark} end`).pipe(
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(lost(label, `no answer within ${Math.round(timeout)} ms`))
      })
    )
    if (said === null) {
      return yield* lost(
        label,
        conversation.isCut()
          ? `more than ${Child.outputLimit} bytes of output`
          : `the way to its keeper pod ended: ${Kubectl.lastWords(conversation.complaint())}`
      )
    }
    const end = said.indexOf("\n", said.lastIndexOf(`\n${mark} `) + 1) + 1
    const answer = Script.answerOf(said.slice(0, end), mark)
    if (answer === undefined) return yield* lost(label, "the answer of its keeper pod is not whole")
    return { ...answer, stderr: said.slice(end).replace(/\n$/, "") }
  })
