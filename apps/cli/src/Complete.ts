/**
 * What a shell completes beside commands and flags: the partitions, operations and nodes there are now. A completion script asks
 * with the words typed so far; whatever is wrong completes nothing, and says nothing.
 */
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { first } from "./Answering.ts"
import { knownOf, lookedThrough } from "./OperationName.ts"
import { screen } from "./Screen.ts"

// --- models ---

/** What can be completed. */
export type Kind = (typeof kinds)[number]

const kinds = ["partitions", "operations", "nodes"] as const

// --- make ---

/** The command that tells the names there are. */
export const namesCommand = "__names"

/** The word by which a completion script asks. */
export const word = "__complete"

/** What comes next after these words, and the arguments that ask for it; undefined where nothing of these does. */
export const asking = (words: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const named: Array<string> = []
  const kept: Array<string> = []
  for (let at = 0; at < words.length; at++) {
    const [flag = "", value] = (words[at] ?? "").split(/=(.*)/s)
    if (!flag.startsWith("-")) {
      named.push(words[at]!)
      continue
    }
    if (alone.has(flag)) continue
    const given = value ?? words[++at]
    // The last flag is still without its value: that is for the script itself.
    if (given === undefined) return undefined
    if (connecting.has(flag)) kept.push(`${flag}=${given}`)
  }
  const kind = expected[named.join(" ")]
  return kind === undefined ? undefined : [namesCommand, kind, ...kept]
}

/** The names there are now, one a line; of what would mean something to a shell, none. */
export const names = Command.make(
  namesCommand,
  { kind: Argument.Literals("kind", kinds) },
  Effect.fnUntraced(function* ({ kind }) {
    const found = yield* Effect.option(Effect.timeout(namesOf[kind], "2 seconds"))
    yield* screen.lines(found._tag === "Some" ? found.value.filter((name) => harmless.test(name)) : [])
  })
).pipe(Command.withDescription("The names that a shell completes"), Command.unlisted)

/** What is added to the script of a shell that the command prints. */
export const addition = (shell: string): string => additions[shell] ?? ""

// --- internal ---

const namesOf = {
  partitions: Effect.gen(function* () {
    const answering = yield* first("partitions", (client) => client.clusters)
    if (answering.surface === "fabric") {
      const { partitions } = yield* Effect.promise(() => import("./GatewayBrowse.ts"))
      const { found } = yield* partitions(answering.gateway)
      return found.map(({ serviceName }) => serviceName.replace(/^fabric:\//, ""))
    }
    return answering.answer.flatMap(({ groups }) => groups.map(({ cluster, group }) => `${cluster}/${group}`))
  }),
  operations: Effect.gen(function* () {
    const answering = yield* first("list", (client) => client.list(lookedThrough))
    const known = answering.surface === "fabric" ? yield* answering.gateway.operations : knownOf(answering.answer)
    // Those that live first, for they are what one acts on.
    const newest = known.toReversed()
    return [...newest.filter(({ lives }) => lives), ...newest.filter(({ lives }) => !lives)]
      .map(({ id }) => id)
      .slice(0, 50)
  }),
  nodes: Effect.gen(function* () {
    const answering = yield* first("node list", (client) => client.nodes)
    if (answering.surface === "inquorate") return answering.answer.map(({ name }) => name)
    const { explain, fabric } = answering.gateway
    return (yield* fabric.getNodes.pipe(explain("node list"))).map(({ Name }) => Name)
  })
} as const

/** What a shell takes as one word that does nothing. */
const harmless = /^[\w.:@%+/][\w.:@%+/-]*$/

const expected: Readonly<Record<string, Kind>> = {
  start: "partitions",
  plan: "partitions",
  restart: "partitions",
  "data-loss": "partitions",
  "recover partition": "partitions",
  "recover service": "partitions",
  watch: "operations",
  show: "operations",
  logs: "operations",
  cancel: "operations",
  "node stop": "nodes",
  "node start": "nodes"
}

/** The flags without a value. */
const alone = new Set(["-w", "--watch", "-v", "--verbose", "-y", "--yes", "--dry-run", "--force", "-f", "--follow"])

/** The flags that say whom to ask. */
const connecting = new Set(["--endpoint", "--context", "--surface", "--ca", "--cert", "--key", "--token"])

const bash = `
_inq_names()
{
  _inq "$@"
  local word="\${COMP_WORDS[COMP_CWORD]}" line
  [[ "$word" == -* || \${#COMPREPLY[@]} -gt 0 ]] && return
  while IFS= read -r line; do
    [[ "$line" == "$word"* ]] && COMPREPLY+=("$line")
  done < <(inq ${word} "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}

complete -F _inq_names inq`

const additions: Readonly<Record<string, string>> = {
  bash,
  sh: bash,
  zsh: `
_inq_names()
{
  local -a found
  found=("\${(@f)$(inq ${word} "\${(@)words[2,CURRENT-1]}" 2>/dev/null)}")
  [[ -n "$found" ]] && compadd -- "\${found[@]}"
  _inq "$@"
}

compdef _inq_names inq`,
  fish: `
complete -c inq -f -n 'not string match -q -- "-*" (commandline -ct)' -a '(inq ${word} (commandline -opc)[2..-1] 2>/dev/null)'`
}
