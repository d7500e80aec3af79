// Makes the manual page of `inq`, apps/cli/man/inq.1, from the command's own help. With --check it is only compared. A
// file of the command may be given; a bundled one is quicker.
import { execFile } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { exitCodes } from "../apps/cli/src/ExitCode.ts"
import { root } from "./process.mjs"

const main = process.argv.slice(2).find((word) => !word.startsWith("-")) ?? join(root, "apps/cli/src/main.ts")
const file = join(root, "apps/cli/man/inq.1")

const execute = promisify(execFile)

const help = async (...command) => {
  const { stdout } = await execute(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", main, ...command, "--help"],
    { env: { PATH: process.env.PATH, NO_COLOR: "1" } }
  )
  return stdout
}

/** The parts of a help text by their headings. A heading with a colon is a group of commands. */
const partsOf = (text) => {
  const parts = new Map()
  let heading = ""
  for (const line of text.split("\n")) {
    if (/^[A-Z][A-Za-z ]*:?$/.test(line)) parts.set((heading = line), [])
    else parts.get(heading)?.push(line)
  }
  return parts
}

const commandsOf = (parts) =>
  [...parts]
    .filter(([heading]) => heading.endsWith(":") || heading === "SUBCOMMANDS")
    .flatMap(([, lines]) => lines.flatMap((line) => /^ {2}([a-z][a-z-]*) {2,}/.exec(line)?.[1] ?? []))

const escape = (line) =>
  line
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/, "\\&$1")

const verbatim = (lines) => [".nf", ...lines.map(escape), ".fi"]

const trimmed = (lines) => {
  const text = lines.join("\n").replace(/^\n+|\s+$/g, "")
  return text === "" ? [] : text.split("\n")
}

/** One command and those below it, without the flags that every command has. */
const section = async (command) => {
  const parts = partsOf(await help(...command))
  const own = ["DESCRIPTION", "USAGE", "ARGUMENTS", "FLAGS", "EXAMPLES"].flatMap((heading) => {
    const lines = trimmed(parts.get(heading) ?? [])
    return lines.length === 0 || (heading === "FLAGS" && command.length === 0) ? [] : [heading, ...lines, ""]
  })
  return [
    `.SS "inq ${escape(command.join(" "))}"`,
    ...verbatim(trimmed(own)),
    ...(await sections(commandsOf(parts).map((name) => [...command, name])))
  ]
}

const sections = async (commands) => (await Promise.all(commands.map(section))).flat()

const top = partsOf(await help())
const page = [
  '.TH INQ 1 "" "Inquorate" "User Commands"',
  ".SH NAME",
  "inq \\- takes a partition's quorum away on purpose, holds it, gives it back, and proves all three",
  ".SH SYNOPSIS",
  ...verbatim(trimmed(top.get("USAGE") ?? [])),
  ".SH OPTIONS",
  "Every command has these.",
  ...verbatim([...trimmed(top.get("FLAGS") ?? []), ...trimmed(top.get("GLOBAL FLAGS") ?? [])]),
  ".SH COMMANDS",
  ...(await sections(commandsOf(top).map((name) => [name]))),
  ".SH EXAMPLES",
  ...verbatim(trimmed(top.get("EXAMPLES") ?? [])),
  ".SH FILES",
  ".I ~/.config/inquorate/config.yaml",
  "keeps contexts: flags by name.",
  ".SH EXIT STATUS",
  ...Object.entries(exitCodes).flatMap(([name, code]) => [".TP", String(code), name]),
  ""
].join("\n")

if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== page) {
    process.stderr.write("apps/cli/man/inq.1 is not what the help says now: node scripts/man-page.mjs\n")
    process.exit(1)
  }
} else {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, page)
}
