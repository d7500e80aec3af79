/**
 * What every session of ours sets for itself, whatever the role, database, cluster or environment has set: everything
 * that could change the meaning of an answer. Otherwise a setting of the role could make a cancelled commit look
 * acknowledged, end a question early, or send names to functions that are not PostgreSQL's own.
 */

/** The oldest release that can be asked. `pg_stat_replication.reply_time` came with it. */
export const oldest = 12

/** The release of a server, from the version in its greeting; 0 where that cannot be read. */
export const release = (serverVersion: string): number => Number(/^(\d+)/.exec(serverVersion)?.[1] ?? 0)

/**
 * The statements that make a session one of ours. They are utility statements only, so that they run wherever a session
 * begins.
 */
export const prelude = (release: number): string =>
  settings
    .filter(({ since = 0 }) => release >= since)
    .map(({ name, value }) => `set session ${name} = ${value}`)
    .join("; ")

/** What goes with the greeting already, since it could end the prelude itself. It replaces `PGOPTIONS` too. */
export const greeting = "-c statement_timeout=0 -c default_transaction_isolation=read\\ committed"

// --- internal ---

interface Setting {
  readonly name: string
  readonly value: string
  /** The release that this setting came with. */
  readonly since?: number
}

const settings: ReadonlyArray<Setting> = [
  // Names mean PostgreSQL's own functions and views, and no others.
  { name: "search_path", value: "pg_catalog, pg_temp" },
  // A commit whose wait somebody cancels comes back with a warning and nothing else, so warnings must reach us.
  { name: "client_min_messages", value: "warning" },
  { name: "synchronous_commit", value: "on" },
  // Only its answer ends a question of ours. Our own clock bounds it.
  { name: "statement_timeout", value: "0" },
  { name: "lock_timeout", value: "0" },
  { name: "idle_in_transaction_session_timeout", value: "0" },
  { name: "idle_session_timeout", value: "0", since: 14 },
  { name: "transaction_timeout", value: "0", since: 17 },
  // A standby refuses every statement of a serializable transaction.
  { name: "default_transaction_isolation", value: "'read committed'" },
  { name: "default_transaction_read_only", value: "off" },
  { name: "default_transaction_deferrable", value: "off" },
  // These say how values are written.
  { name: "client_encoding", value: "'UTF8'" },
  { name: "DateStyle", value: "'ISO, MDY'" },
  { name: "IntervalStyle", value: "'postgres'" },
  { name: "TimeZone", value: "'UTC'" },
  { name: "extra_float_digits", value: "1" },
  { name: "bytea_output", value: "'hex'" },
  { name: "standard_conforming_strings", value: "on" },
  { name: "row_security", value: "on" },
  // These say how answers are computed: no compiling and no helpers for questions that take a millisecond.
  { name: "jit", value: "off" },
  { name: "max_parallel_workers_per_gather", value: "0" }
]
