/**
 * A secret of a cluster, in the configuration itself or by reference. It is read each time it is used. So a secret that
 * was changed at its place counts from its next use on.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as NamedFile from "./NamedFile.ts"

/** Where a secret is: in an environment variable, or in a file, whose last line break is not part of it. */
export const Reference = Schema.Union([
  Schema.Struct({ env: Schema.String }),
  Schema.Struct({ file: Schema.String })
]).annotate({ expected: "{ env: name } or { file: path }" })

/**
 * A secret, or where it is: an environment variable, or a file. The last line break of a file is not part of the
 * secret.
 */
export const Secret = Schema.Union([
  Schema.RedactedFromValue(Schema.String, { label: "secret" }),
  ...Reference.members
]).annotate({ expected: "a secret, { env: name } or { file: path }" })
export type Secret = typeof Secret.Type

/** The secret as it is now, or, in words for a person, why it cannot be read. `what` names it, such as `password`. */
export const read = (what: string, secret: Secret): Effect.Effect<Redacted.Redacted, string> => {
  if (Redacted.isRedacted(secret)) return Effect.succeed(secret)
  return "env" in secret
    ? Effect.mapError(
        Config.Redacted(secret.env),
        () => `the environment variable ${secret.env} of the ${what} is not set`
      )
    : Effect.try({
        try: () =>
          Redacted.make(
            NamedFile.read(secret.file)
              .toString("utf8")
              .replace(/\r?\n$/, "")
          ),
        catch: (cause) => `the file of the ${what} cannot be read: ${(cause as Error).message}`
      })
}
