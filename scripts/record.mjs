// Makes the recording on the README's front. It runs the demo on a real terminal and writes what a person saw, in the
// time in which it was seen, as an animated SVG. Nothing in it is written by hand. Where nothing happens for long, the
// recording waits less.
// Usage: node scripts/record.mjs [FILE]   docs/demo.svg unless given. Needs Python 3, which makes the terminal.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import xterm from "@xterm/headless"
import { buildApps, endChildren, root, start } from "./process.mjs"

const file = resolve(process.argv[2] ?? join(root, "docs/demo.svg"))
const size = { columns: 100, rows: 30 }
/**
 * Times in milliseconds. What follows within `together` is one picture. No picture stands longer than `longest`, except
 * the last one, which stands for `last`.
 */
const times = { together: 80, longest: 1500, last: 6000 }
const cell = { width: 8, height: 17, margin: 14 }
const colours = {
  background: "#0d1117",
  text: "#c9d1d9",
  palette: ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"],
  bright: ["#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc"]
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => void endChildren(signal).then(() => process.exit(130)))
}

// --- what was seen ---

/** Runs a program on a terminal. Gives each picture with the moment from which it stood, in milliseconds. */
const film = async (typed, program, arguments_) => {
  const terminal = new xterm.Terminal({ cols: size.columns, rows: size.rows, allowProposedApi: true })
  const write = (data) => new Promise((done) => terminal.write(data, done))
  await write(`$ ${typed}\r\n`)
  const began = performance.now()
  const pictures = [{ at: 0, rows: rowsOf(terminal.buffer.active) }]
  const { NO_COLOR: _, ...environment } = process.env
  const { child, done } = start("python3", [join(root, "stories/test/terminal.py"), program, ...arguments_], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...environment, TERM: "xterm-256color" }
  })
  let written = Promise.resolve()
  child.stdout.on("data", (data) => {
    const at = performance.now() - began
    written = written.then(() => write(data)).then(() => pictures.push({ at, rows: rowsOf(terminal.buffer.active) }))
  })
  const { code } = await done
  await written
  if (code !== 0) throw new Error(`${typed} ended with exit code ${code}:\n${text(pictures.at(-1).rows)}`)
  return pictures
}

const text = (rows) => rows.map((row) => row.map(({ text }) => text).join("")).join("\n")

/** The rows of a screen, each as runs of one look. */
const rowsOf = (buffer) =>
  Array.from({ length: size.rows }, (_, y) => {
    const line = buffer.getLine(buffer.viewportY + y)
    const runs = []
    for (let x = 0; x < size.columns; x++) {
      const one = line?.getCell(x)
      if (one === undefined || one.getWidth() === 0) continue
      const look = lookOf(one)
      const last = runs.at(-1)
      if (last?.look === look) last.text += one.getChars() || " "
      else runs.push({ x, look, text: one.getChars() || " " })
    }
    return runs.filter(({ text }) => text.trim() !== "").map((run) => ({ ...run, text: run.text.trimEnd() }))
  })

const lookOf = (one) => {
  const colour = one.getFgColor()
  const fill = !one.isFgPalette()
    ? one.isFgRGB()
      ? `#${colour.toString(16).padStart(6, "0")}`
      : null
    : colour < 8
      ? colours.palette[colour]
      : colour < 16
        ? colours.bright[colour - 8]
        : null
  return [
    fill === null ? "" : ` fill="${fill}"`,
    one.isBold() ? ' font-weight="bold"' : "",
    one.isDim() ? ' opacity="0.6"' : ""
  ].join("")
}

/** Makes one picture of those that follow at once or are equal. None stands longer than a reader wants. */
const cut = (pictures) => {
  const distinct = pictures.filter(({ at, rows }, index) => {
    const next = pictures[index + 1]
    return next === undefined || (next.at - at >= times.together && text(next.rows) !== text(rows))
  })
  let at = 0
  return distinct.map((picture, index) => {
    const next = distinct[index + 1]
    const stands = next === undefined ? times.last : Math.min(times.longest, next.at - picture.at)
    at += stands
    return { rows: picture.rows, from: at - stands, until: at }
  })
}

// --- what is written ---

const escaped = (value) => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

/**
 * Puts the pictures one under the other behind a window, which jumps from each to the next. Every row is there once.
 */
const toSvg = (pictures, title) => {
  const width = size.columns * cell.width + 2 * cell.margin
  const height = size.rows * cell.height + 2 * cell.margin
  const length = pictures.at(-1).until
  const known = new Map()
  const idOf = (runs) => {
    const drawn = runs
      .map(({ look, text, x }) => {
        const wide = ` textLength="${text.length * cell.width}"`
        return `<text x="${x * cell.width}"${wide}${look}>${escaped(text)}</text>`
      })
      .join("")
    if (!known.has(drawn)) known.set(drawn, `r${known.size}`)
    return known.get(drawn)
  }
  const frames = pictures.map(({ rows }, index) => {
    const drawn = rows
      .map((runs, y) =>
        runs.length === 0 ? "" : `<use href="#${idOf(runs)}" y="${index * height + (y + 1) * cell.height}"/>`
      )
      .join("")
    return `<g>${drawn}</g>`
  })
  const steps = pictures.map(
    ({ from }, index) => `${((100 * from) / length).toFixed(3)}%{transform:translateY(${-index * height}px)}`
  )
  const last = `translateY(${-(pictures.length - 1) * height}px)`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">
<title>${escaped(title)}</title>
<style>text{white-space:pre}.film{animation:film ${(length / 1000).toFixed(2)}s step-end infinite}@keyframes film{${steps.join("")}}@media (prefers-reduced-motion:reduce){.film{animation:none;transform:${last}}}</style>
<defs>${[...known].map(([drawn, id]) => `<g id="${id}">${drawn}</g>`).join("\n")}</defs>
<rect width="${width}" height="${height}" rx="8" fill="${colours.background}"/>
<svg x="${cell.margin}" y="${cell.margin - 4}" width="${width - 2 * cell.margin}" height="${height - 2 * cell.margin + 8}"><g class="film" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace" font-size="13" fill="${colours.text}">
${frames.join("\n")}
</g></svg>
</svg>
`
}

// --- make ---

await buildApps()
const seen = await film("npm run demo", process.execPath, [
  "--disable-warning=ExperimentalWarning",
  join(root, "scripts/demo.mjs")
])
const pictures = cut(seen)
const title =
  "npm run demo: the quorum of three real PostgreSQL servers is taken away for five seconds, proven lost, given back and proven back"
mkdirSync(dirname(file), { recursive: true })
const svg = toSvg(pictures, title)
writeFileSync(file, svg)
process.stdout.write(
  `${file}: ${pictures.length} pictures, ${(pictures.at(-1).until / 1000).toFixed(1)} s, ${(svg.length / 1024).toFixed(0)} KiB\n`
)
