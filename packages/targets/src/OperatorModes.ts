/**
 * How the operators of a group's pods are set, read from the Kubernetes API: what some of them do about a loss is a setting
 * of the resource that a person gave them. What cannot be read is told, and the operator then counts by what it does at
 * the worst.
 */
import type { Host } from "@inquorate/core/Host"
import type { Pod } from "@inquorate/core/Pod"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Operators from "./Operators.ts"

/** Reads how the operators of these pods are set. What was read once counts while the API is silent. */
export type Look = (pods: ReadonlyArray<Pod>, patience: Millis) => Effect.Effect<Modes>

/** What was read of each operator's cluster, by `keyOf`. */
export type Modes = ReadonlyMap<string, Operators.Mode>

/** The key of an operator's cluster. */
export const keyOf = ({ cluster, operator }: Operators.Known): string => `${operator.name}/${cluster}`

/** A reader of one Kubernetes cluster. */
export const make = (read: Host["resource"]): Look => {
  const known = new Map<string, Operators.Mode>()
  return (pods, patience) =>
    Effect.gen(function* () {
      const wanted = new Map<string, readonly [Operators.Known, string]>()
      for (const pod of pods) {
        const one = Operators.of(pod)
        if (one?.operator.setting !== undefined) wanted.set(keyOf(one), [one, pod.namespace])
      }
      yield* Effect.forEach(
        wanted,
        ([key, [{ name, operator }, namespace]]) =>
          Effect.match(lookAt(read, operator, namespace, name, patience), {
            onSuccess: (mode) => void known.set(key, mode),
            onFailure: ({ detail }) => {
              if (known.get(key)?.unread === undefined && known.has(key)) return
              known.set(key, { ...operator, unread: detail })
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
      return known
    })
}

// --- internal ---

const lookAt = (
  read: Host["resource"],
  { setting }: Operators.Operator,
  namespace: string,
  name: string,
  patience: Millis
): Effect.Effect<Operators.Mode, { readonly detail: string }> =>
  Effect.gen(function* () {
    const fail = (detail: string) => Effect.fail({ detail })
    if (read === undefined || setting === undefined) return yield* fail("it cannot be asked for")
    const resource = yield* Effect.timeoutOrElse(read(setting.resource, namespace, name), {
      duration: patience,
      orElse: () => fail("the Kubernetes API did not answer in time")
    })
    if (resource === null) return yield* fail(`there is no ${setting.resource} ${name} in namespace ${namespace}`)
    return setting.read(resource) ?? (yield* fail("it is not of a form that is known"))
  })
