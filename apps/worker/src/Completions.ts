/**
 * The completion scripts of the worker: its flags, the choices that a flag has, and files where a flag names one.
 */

/** The shells for which there is a script. */
export const shells = ["bash", "zsh", "fish"] as const

export type Shell = (typeof shells)[number]

/** The script of a shell for these flags, which are written with their hyphens. `choices` are those of a flag. */
export const script = (
  shell: Shell,
  flags: ReadonlyArray<string>,
  choices: Readonly<Record<string, ReadonlyArray<string>>>
): string => {
  const command = "inquorate-worker"
  switch (shell) {
    case "bash":
      return `_inquorate_worker()
{
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  case "$before" in
${Object.entries(choices)
  .map(([flag, words]) => `    ${flag}) COMPREPLY=( $(compgen -W "${words.join(" ")}" -- "$word") ); return ;;`)
  .join("\n")}
  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=( $(compgen -W "${flags.join(" ")}" -- "$word") )
  fi
}

complete -o default -F _inquorate_worker ${command}`
    case "zsh":
      return `#compdef ${command}
_inquorate_worker()
{
  _arguments ${flags
    .map((flag) => `'${flag}[]${choices[flag] === undefined ? "" : `:choice:(${choices[flag].join(" ")})`}'`)
    .join(" ")} '*:file:_files'
}

compdef _inquorate_worker ${command}`
    case "fish":
      return flags
        .map((flag) => {
          const words = choices[flag]
          return `complete -c ${command} -l ${flag.slice(2)}${words === undefined ? "" : ` -x -a '${words.join(" ")}'`}`
        })
        .join("\n")
  }
}
