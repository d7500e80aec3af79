/**
 * The system's `kubectl` as a child process. How a cluster is reached (its configuration, credentials, proxies) is
 * kubectl's own affair, as ssh's is ssh's. A word that somebody else chose reaches kubectl only as the value of an
 * option. No secret passes through here.
 */
import { HostError } from "@inquorate/core/Host"
import type { Millis } from "@inquorate/core/Time"
import * as Effect from "effect/Effect"
import * as Child from "./Child.ts"

/** Which cluster is meant, where kubectl's own configuration does not say it. */
export interface KubectlOptions {
  readonly context?: string
  readonly kubeconfig?: string
}

/** The words that every call begins with. */
export const words = ({ context, kubeconfig }: KubectlOptions): ReadonlyArray<string> => [
  ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
  ...(context === undefined ? [] : [`--context=${context}`])
]

/** Asks kubectl once. Gives what it printed, or fails with its own last words. */
export const ask = (
  label: string,
  options: KubectlOptions,
  arguments_: ReadonlyArray<string>,
  { input, timeout }: { readonly input?: string; readonly timeout: Millis }
): Effect.Effect<string, HostError> => {
  const fail = (reason: HostError["reason"], detail: string) => new HostError({ host: label, reason, detail })
  const bound = `--request-timeout=${Math.max(1, Math.ceil(timeout / 1000))}s`
  return Child.run("kubectl", [...words(options), bound, ...arguments_], {
    collects: true,
    ...(input === undefined ? {} : { input })
  }).pipe(
    Effect.mapError(({ detail }) => fail("Unreachable", `kubectl does not start (${detail}); is it installed?`)),
    Effect.flatMap(({ exitCode, isCut, stderr, stdout }) =>
      isCut
        ? Effect.fail(fail("LostAnswer", `kubectl said more than ${Child.outputLimit} bytes`))
        : exitCode === 0
          ? Effect.succeed(stdout)
          : Effect.fail(fail("Unreachable", `kubectl: ${lastWords(stderr)}`))
    ),
    Effect.timeoutOrElse({
      // A little after the bound kubectl itself says why it waited in vain.
      duration: timeout + 1500,
      orElse: () => Effect.fail(fail("LostAnswer", `kubectl did not answer within ${Math.round(timeout)} ms`))
    })
  )
}

/** Asks kubectl once, for an answer in JSON. */
export const askJson = (...asked: Parameters<typeof ask>): Effect.Effect<unknown, HostError> =>
  Effect.flatMap(ask(...asked), (text) =>
    Effect.try({
      try: () => JSON.parse(text) as unknown,
      catch: () => new HostError({ host: asked[0], reason: "LostAnswer", detail: "kubectl's answer is no JSON" })
    })
  )

/** The last line in which kubectl says why it ended. */
export const lastWords = (stderr: string): string =>
  stderr.trim().split("\n").at(-1)?.slice(0, 500) || "it ended without a word"
