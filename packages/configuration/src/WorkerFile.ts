/**
 * The form of a worker's configuration file, as schemas: what each key is called, what may stand there, and the words that
 * describe it. `Config.ts` reads a file by them, and `ConfigSchema.ts` publishes them.
 */
import { lengthOf } from "@inquorate/core/Time"
import { gentlest } from "@inquorate/core/Witness"
import { HostSettings } from "@inquorate/injectors/HostSettings"
import * as Injectors from "@inquorate/injectors/Registry"
import { modules } from "@inquorate/targets/Registry"
import { isOne, Question } from "@inquorate/targets/Witness"
import * as Schema from "effect/Schema"
import { SecuritySettings } from "./SecuritySettings.ts"

/** What an address of a store looks like, as a mistake tells it. */
export const expectedStore = "Expected sqlite:PATH or postgres://USER@HOST:PORT/DATABASE"

const isStoreAddress = (value: string): boolean =>
  /^sqlite:./.test(value) || (/^postgres(ql)?:\/\//.test(value) && URL.canParse(value))

const atOnce = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

/** Where to listen, as `HOST:PORT`; port 0 takes a free one. */
const Listen = Schema.String.check(
  Schema.makeFilter((value) => parseListen(value) !== undefined || "Expected HOST:PORT, such as 127.0.0.1:19080", {
    toJsonSchema: () => ({ pattern: "^(\\[[0-9a-fA-F:.]+\\]|[^\\s:[\\]]+):\\d{1,5}$" })
  })
)

/** Where operations are stored, on one line: a file for one worker, or a PostgreSQL for any number of them. */
export const StoreAddress = Schema.String.check(
  Schema.makeFilter((value) => isStoreAddress(value) || expectedStore, {
    toJsonSchema: () => ({ pattern: "^(sqlite:.|postgres(ql)?://.)" })
  })
)

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).annotateKey({ description })

/** Where a secret is: in an environment variable, or in a file. The last line break of the file is not part of it. */
const SecretReference = Schema.Union([
  Schema.Struct({ env: Schema.NonEmptyString }),
  Schema.Struct({ file: Schema.NonEmptyString })
]).annotate({ expected: "{ env: NAME } or { file: PATH }" })
export type SecretReference = typeof SecretReference.Type

/** The PostgreSQL that several workers share, in parts, so that no secret stands in the file. */
const PostgresStoreSettings = Schema.Struct({
  postgres: Schema.Struct({
    host: Schema.NonEmptyString.annotateKey({ description: "The server's name or address." }),
    port: described(
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
      "Its port; 5432 unless given."
    ),
    database: Schema.NonEmptyString.annotateKey({ description: "The database." }),
    user: Schema.NonEmptyString.annotateKey({
      description: "The user; it needs CREATE on the database, or all on the schema."
    }),
    password: described(SecretReference, "The user's password, by reference."),
    schema: described(
      Schema.String.check(
        Schema.isPattern(/^[a-z_][a-z0-9_]{0,39}$/, { expected: "lower-case letters, digits and _, 40 at most" })
      ),
      "The schema of our tables, made where it is missing; inquorate unless given."
    )
  }).annotateKey({ description: "A PostgreSQL that any number of workers share." })
})
export type PostgresStoreSettings = typeof PostgresStoreSettings.Type

/** The name of a cluster; it stands in `fabric:/<cluster>/<group>`. */
export const clusterName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** Something that depends on a cluster. It is asked through every operation on the cluster. */
const WitnessFile = Schema.Struct({
  name: Schema.NonEmptyString.check(Schema.isMaxLength(63)).annotateKey({ description: "What the evidence calls it." }),
  every: Schema.optionalKey(
    lengthOf("How long after an answer it is asked again, 1s at the least; 1s unless given.").check(
      Schema.makeFilter((millis: number) => millis >= gentlest || "Expected 1s or longer", { toJsonSchema: () => ({}) })
    )
  ),
  timeout: Schema.optionalKey(
    lengthOf("How long it may take to answer, 10s at the most; 2s unless given.").check(
      Schema.makeFilter(
        (millis: number) => (millis > 0 && millis <= 10_000) || "Expected more than 0 and at most 10s",
        {
          toJsonSchema: () => ({})
        }
      )
    )
  ),
  ...Question.fields
}).check(
  Schema.makeFilter((witness: Question) => isOne(witness) || "Expected one of http, postgres and command", {
    toJsonSchema: () => ({})
  })
)
export type WitnessFile = typeof WitnessFile.Type

/** What every cluster holds in a configuration file, whatever its system. */
export const ClusterCommon = Schema.Struct({
  system: Schema.Literals(modules.map((module) => module.system)).annotateKey({
    description: "The system; it decides which further keys the cluster has."
  }),
  injector: described(
    Schema.Literals(Injectors.modules.map(({ name }) => name)),
    "The mechanism that takes members out: pause stops their processes, netfilter drops their peer traffic, kill kills them and starts them again, command runs commands of yours; pause unless given."
  ),
  ...Object.fromEntries(
    Injectors.modules.flatMap(({ name, restarts = false, settings }) => {
      const beside = restarts ? " Beside another injector: how members are restarted and nodes stopped." : ""
      return settings === null ? [] : [[name, described(settings, `The settings of the injector ${name}.${beside}`)]]
    })
  ),
  protected: described(
    Schema.Boolean,
    "True for a cluster that may be looked at but never broken; false unless given."
  ),
  maxHold: Schema.optionalKey(
    lengthOf("The longest hold allowed on this cluster, such as 30s; limits.maxHold unless given.")
  ),
  witnesses: described(
    Schema.Array(WitnessFile).check(
      Schema.isMaxLength(20),
      Schema.makeFilter(
        (witnesses: ReadonlyArray<{ readonly name: string }>) =>
          new Set(witnesses.map(({ name }) => name)).size === witnesses.length ||
          "Expected witnesses with names of their own",
        { toJsonSchema: () => ({}) }
      )
    ),
    "Who depends on the cluster: asked gently through every operation on it, and the evidence says what they suffered."
  )
})

/** The configuration file of a worker. What a cluster holds beside the common keys is said by its target module. */
export const WorkerFile = Schema.Struct({
  listen: described(
    Listen,
    "Where to answer, as HOST:PORT; beyond loopback only with security. Port 0 takes a free one. 127.0.0.1:19080 unless given."
  ),
  security: described(SecuritySettings, "Who may reach the worker, and as what; on loopback everyone unless given."),
  store: described(
    Schema.Union([StoreAddress, PostgresStoreSettings]),
    "Where operations are stored: sqlite:PATH for one worker at a time, postgres://… or its parts for any number; worker.db in the state directory unless given."
  ),
  worker: described(
    Schema.Struct({
      id: described(
        Schema.NonEmptyString,
        "This worker's name, the same at every start and no other's. The host's name unless given, with the port on a shared store."
      )
    }),
    "The worker itself."
  ),
  limits: described(
    Schema.Struct({
      maxHold: Schema.optionalKey(
        lengthOf("The longest hold that may be asked for, on a cluster without a limit of its own; 15m unless given.")
      ),
      concurrency: described(
        Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
        "How many operations run at once; the rest wait and show Running. 100 unless given."
      ),
      queue: described(
        Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
        "How many operations may be unfinished; one more is refused as too busy. 10000 unless given."
      ),
      perCluster: described(
        atOnce,
        "How many operations may run at once on one cluster, whichever worker runs them; any number unless given."
      ),
      perHost: described(atOnce, "How many operations may have fences on one host at once; 1 unless given."),
      overall: described(
        atOnce,
        "How many operations may run at once in all, whichever worker runs them; any number unless given."
      )
    }),
    "What the worker takes on."
  ),
  log: described(
    Schema.Struct({
      format: described(Schema.Literals(["text", "json"]), "How the log is written; text unless given.")
    }),
    "The worker's log."
  ),
  hosts: described(
    Schema.Record(Schema.String, HostSettings),
    "The machines and Kubernetes clusters that members run on, by name; local, this machine, is always there, and needs to be named only for sudo."
  ),
  clusters: described(
    Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown)),
    "The clusters that may be broken, by name."
  )
})

/** The host and port of `HOST:PORT` or `[HOST]:PORT`, or `undefined` for anything else. */
export const parseListen = (text: string): { readonly host: string; readonly port: number } | undefined => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2]!, port }
}
