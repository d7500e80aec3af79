/**
 * A worker's configuration written for a person: every key with a remark that says why it is there, and what is left to
 * choose behind a `#`. What servers said of themselves stands in it as quoted text or in remarks, and nowhere else.
 */
import { printable } from "@inquorate/core/Printable"
import type { FoundCluster, FoundMember, FoundSetting } from "@inquorate/targets/FindClusters"

/** The text of a configuration with these clusters. */
export const write = (clusters: ReadonlyArray<FoundCluster>, file: string): string => {
  const named = nameAll(clusters)
  return `${[
    "# yaml-language-server: $schema=https://raw.githubusercontent.com/inquorate/inquorate/main/docs/schema/worker.schema.json",
    "# Made by inq init from what runs now. docs/configuration.md explains every key.",
    `# Try it:  inquorate-worker --check ${file} --connect`,
    `# Run it:  inquorate-worker --config ${file}`,
    "",
    "# Where the worker answers; beyond loopback only with security (docs/security.md).",
    "listen: 127.0.0.1:19080",
    "",
    "# Where operations are stored; worker.db in the state directory unless given.",
    "# store: sqlite:/var/lib/inquorate/worker.db",
    "",
    "limits:",
    "  # The longest hold that anybody may ask for.",
    "  maxHold: 1m",
    "",
    "# Other machines that members run on, reached over ssh. This one is always there, as local.",
    "# hosts:",
    "#   node-1: { ssh: root@node-1.example }",
    "",
    "clusters:",
    ...named.flatMap(([name, cluster], index) => [...(index === 0 ? [] : [""]), ...clusterLines(name, cluster)])
  ].join("\n")}\n`
}

/** The clusters with the names that they have in the file. */
export const nameAll = (
  clusters: ReadonlyArray<FoundCluster>
): ReadonlyArray<readonly [name: string, cluster: FoundCluster]> =>
  clusters.map((cluster, index) => {
    const before = clusters.slice(0, index).filter(({ system }) => system === cluster.system).length
    return [before === 0 ? cluster.system : `${cluster.system}-${before + 1}`, cluster]
  })

// --- internal ---

const clusterLines = (name: string, cluster: FoundCluster): ReadonlyArray<string> => [
  `  # The name stands in ${name}/…, as inq plan and inq start take it; give it one of yours.`,
  `  ${name}:`,
  ...remarkLines([...cluster.remarks, ...cluster.missing.map((detail) => `To do: ${detail}`)], 4),
  `    system: ${cluster.system}`,
  ...cluster.settings.flatMap((setting) => settingLines(setting, 4)),
  "    # May be looked at but never broken: take the # away.",
  "    # protected: true",
  "    # Members are paused. Beside that, servers can be killed and started again (inq restart, inq node stop):",
  "    # kill: {}",
  "    members:",
  ...cluster.members.flatMap(memberLines)
]

const settingLines = ({ key, remark, value }: FoundSetting, indent: number): ReadonlyArray<string> => [
  ...remarkLines(remark === undefined ? [] : [remark], indent),
  `${" ".repeat(indent)}${key}: ${inline(value)}`
]

const memberLines = ({ address, dataDirectory, isLocal, name, remarks }: FoundMember): ReadonlyArray<string> => [
  ...remarkLines(remarks, 6),
  `      - name: ${inline(name)}`,
  `        address: ${inline(address)}`,
  isLocal ? "        host: local" : "        # host: node-1",
  ...(dataDirectory === undefined ? [] : [`        dataDirectory: ${inline(dataDirectory)}`])
]

const remarkLines = (remarks: ReadonlyArray<string>, indent: number): ReadonlyArray<string> =>
  remarks.flatMap((remark) => fold(printable(remark), 110 - indent).map((line) => `${" ".repeat(indent)}# ${line}`))

const fold = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}

// What YAML could take for anything but this text is quoted, as JSON quotes, which YAML understands.
const inline = (value: unknown): string => {
  if (typeof value === "string") return isPlain(value) ? value : quoted(value)
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value)
      .map(([key, part]) => `${key}: ${inline(part)}`)
      .join(", ")} }`
  }
  return JSON.stringify(value)
}

const isPlain = (text: string): boolean =>
  /^[A-Za-z/][A-Za-z0-9_./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)

// JSON leaves some characters as they are that YAML does not take within quotes.
const quoted = (text: string): string =>
  JSON.stringify(text).replace(
    /[^\x20-\x7E]/gu,
    (character) => `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`
  )
