/**
 * PostgreSQL as people have it, where one waits for it: servers that are slow to let anybody in, hosts that are slow to
 * tell, batches that commit again and again, standbys that stand still or start anew. Against the servers of a lab.
 */
import type { Host } from "@inquorate/core/Host"
import type { Topology } from "@inquorate/core/Topology"
import * as LocalHost from "@inquorate/injectors/LocalHost"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { postgres } from "../src/Postgres.ts"
import { PostgresSettings } from "../src/PostgresSettings.ts"
import {
  connected,
  eventually,
  healthy,
  lab,
  labSettings,
  open,
  pausing,
  role,
  seen,
  skip,
  sql
} from "./PostgresLab.ts"

describe.skipIf(skip)("the proof of a loss", () => {
  it.live("is begun where each connection takes its time, and writes do not", () =>
    Effect.gen(function* () {
      const delay = (seconds: number) =>
        sql([`alter system set post_auth_delay = ${seconds}`, "select pg_reload_conf()", "select pg_sleep(0.1)"])
      yield* Effect.addFinalizer(() => delay(0))
      yield* delay(1)
      const target = yield* open(labSettings())
      yield* healthy(target)
      const probe = yield* target.probe("quorum")
      // Less than a connection takes.
      const written = yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 900)
      assert.deepStrictEqual(
        Option.map(written, ({ _tag }) => _tag),
        Option.some("Acknowledged")
      )
      assert.notInclude((yield* probe.survivors).detail, "no answer")
    })
  )

  it.live("ends what hangs by the connection that it holds, where there is no room for another", () =>
    Effect.gen(function* () {
      const target = yield* role("held", "connection limit 3")
      const { pause, resume } = yield* pausing
      const mine = sql([
        "select pid from pg_stat_activity where application_name like 'inquorate-probe-%' and usename = 'held'"
      ])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const probe = yield* target.probe("quorum")
          yield* pause(["s1", "s2"])
          assert.isTrue(Option.isNone(yield* Effect.timeoutOption(probe.write(probe.endpoints[0]!), 300)))
          assert.strictEqual((yield* eventually(probe.survivors, ({ word }) => word !== "Silent")).word, "QuorumLost")
        })
      )
      yield* eventually(mine, (rows) => rows.length === 0)
      yield* resume
      yield* healthy(target)
    })
  )

  it.live("is not taken from a batch that commits again and again, nor from who waits for a standby to apply", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      const probe = yield* target.probe("quorum")
      yield* sql([
        "create table batch(i int)",
        `create procedure busy() language plpgsql as $$
          begin for i in 1..100000 loop insert into batch values (i); commit; end loop; end $$`
      ])
      const client = yield* Effect.acquireRelease(
        Effect.promise(() => connected(0)),
        (client) => Effect.promise(() => client.end())
      )
      yield* Effect.promise(() => client.query("set synchronous_commit = on"))
      const { rows } = yield* Effect.promise(() => client.query<{ pid: number }>("select pg_backend_pid() as pid"))
      const busy = client.query("call busy()").catch(() => undefined)
      for (let asked = 0; asked < 15; asked++) assert.notStrictEqual((yield* probe.survivors).word, "QuorumLost")
      yield* sql([`select pg_terminate_backend(${rows[0]!.pid})`])
      yield* Effect.promise(() => busy)
      // All standbys have it and none shows it: this commit waits, and the quorum is there.
      const resumed = Effect.forEach([1, 2], (member) => sql(["select pg_wal_replay_resume()"], member))
      yield* Effect.addFinalizer(() => resumed)
      for (const member of [1, 2]) yield* sql(["select pg_wal_replay_pause()"], member)
      const other = yield* Effect.acquireRelease(
        Effect.promise(() => connected(0)),
        (client) => Effect.promise(() => client.end())
      )
      yield* Effect.promise(() => other.query("set synchronous_commit = remote_apply"))
      const waits = other.query("select pg_logical_emit_message(true, 'test', 'apply')")
      const word = yield* eventually(probe.survivors, ({ detail }) => detail.includes("none of ours"))
      assert.strictEqual(word.word, "Silent")
      yield* resumed
      yield* Effect.promise(() => waits)
    })
  )
})

describe.skipIf(skip)("a cluster whose standbys are not what they seem", () => {
  const isStopped = (found: Topology | null): boolean =>
    found?.members[2]?.downBecause?.includes("is stopped: process") === true

  it.live("says of a stopped standby that it is stopped", () =>
    Effect.gen(function* () {
      const target = yield* open(labSettings())
      const { pause, resume } = yield* pausing
      yield* healthy(target)
      yield* pause(["s2"])
      yield* eventually(seen(target), isStopped)
      yield* resume
    })
  )

  it.live("says of a stopped standby that it is stopped, also where its host is slow to tell", () =>
    Effect.gen(function* () {
      const local = LocalHost.make("local")
      // Only the look at the one process is slow, as the first shell on a busy host is.
      const run: Host["run"] = (program, words, options) =>
        Effect.delay(local.run(program, words, options), program.startsWith("cat ") ? 900 : 0)
      const settings = yield* Schema.decodeUnknownEffect(PostgresSettings)(labSettings())
      const target = yield* postgres.make("orders", settings, new Map([["local", { ...local, run }]]))
      const { pause, resume } = yield* pausing
      yield* healthy(target)
      yield* pause(["s2"])
      yield* eventually(seen(target), isStopped)
      yield* resume
    })
  )

  it.live("names no process of a standby that was started anew and takes no queries since", () =>
    Effect.gen(function* () {
      const { dataDirectory } = lab.members[2]!
      const target = yield* open(labSettings())
      const before = yield* eventually(healthy(target), (now) => now?.members[2]?.process !== null)
      const { executable, pid } = before!.members[2]!.process!
      const { gid, uid } = fs.statSync(dataDirectory)
      const environment = Object.fromEntries(
        fs
          .readFileSync(`/proc/${pid}/environ`, "utf8")
          .split("\0")
          .filter((each) => each !== "")
          .map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)])
      )
      const log = fs.openSync(lab.members[2]!.log, "a")
      const restart = (hotStandby: boolean) =>
        Effect.gen(function* () {
          const running = Number(fs.readFileSync(path.join(dataDirectory, "postmaster.pid"), "utf8").split("\n")[0])
          process.kill(running, "SIGINT")
          yield* eventually(
            Effect.sync(() => fs.existsSync(path.join(dataDirectory, "postmaster.pid"))),
            (there) => !there
          )
          childProcess
            .spawn(executable, ["-D", dataDirectory, "-c", `hot_standby=${hotStandby ? "on" : "off"}`], {
              uid,
              gid,
              env: environment,
              detached: true,
              stdio: ["ignore", log, log]
            })
            .unref()
        })
      yield* restart(false)
      const found = yield* eventually(
        seen(target),
        (now) => now?.members[2]?.up === true && now.members[2]?.process === null
      )
      assert.include(found!.members[2]!.processProblem, "it cannot be asked which process it is")
      yield* eventually(
        Effect.sync(() => fs.existsSync(path.join(dataDirectory, "postmaster.pid"))),
        (there) => there
      )
      yield* restart(true)
      const after = yield* healthy(target)
      assert.notStrictEqual(after!.members[2]!.process?.pid, pid)
    })
  )
})
