/** What the tests of TLS do to the servers of a lab, and see of its connections. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { eventually, lab, labSettings, open, seen, type Settings, sql } from "./PostgresLab.ts"

/** Whether each connection of a target that looks is encrypted. */
export const encrypted = (settings: Settings) =>
  Effect.scoped(
    Effect.gen(function* () {
      // What an earlier one left behind is gone first.
      const left = sql(["select pid from pg_stat_activity where application_name = 'inquorate-discovery'"])
      yield* eventually(left, (rows) => rows.length === 0)
      const target = yield* open(settings)
      yield* eventually(seen(target), (now) => now !== null)
      const rows = yield* sql([
        `select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'inquorate-discovery'`
      ])
      return rows.map(({ ssl }) => ssl)
    })
  ).pipe(Effect.orDie)

/** Puts lines in front of each member's pg_hba.conf until the scope ends. */
export const admit = (lines: string) =>
  Effect.gen(function* () {
    for (const [index, { dataDirectory }] of lab.members.entries()) {
      const file = path.join(dataDirectory, "pg_hba.conf")
      const before = fs.readFileSync(file, "utf8")
      yield* Effect.addFinalizer(() =>
        Effect.andThen(
          Effect.sync(() => fs.writeFileSync(file, before)),
          sql(["select pg_reload_conf()"], index)
        )
      )
      fs.writeFileSync(file, `${lines}\n${before}`)
      yield* sql(["select pg_reload_conf()"], index)
    }
  })

/** The settings of the lab with TLS in this mode. */
export const tls = (mode: NonNullable<Settings["tls"]>["mode"], more: object = {}) =>
  ({ ...labSettings(), tls: { mode, ...more } }) as Settings
