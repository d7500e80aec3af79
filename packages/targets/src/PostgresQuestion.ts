/**
 * What is asked of every member of a PostgreSQL cluster, and what it may answer. One statement asks it, which works on
 * primary and standby from release 12 on. The session that asks has settings of its own, so that names mean
 * PostgreSQL's own things.
 */
import * as Schema from "effect/Schema"

/** The statement. Positions in the log are bytes since its beginning. Times are milliseconds. */
export const question = `
with me as (
  select current_user as "current", session_user as "session",
    (select rolconnlimit from pg_roles where rolname = session_user and not rolsuper) as "limit",
    (select datconnlimit from pg_database where datname = current_database()) as "databaseLimit",
    (select rolsuper from pg_roles where rolname = session_user) as "super"
), crowd as (
  select count(*)::int as "all",
    (count(*) filter (where usename = session_user))::int as "role",
    (count(*) filter (where datname = current_database()))::int as "database"
  from pg_stat_activity where backend_type = 'client backend'
)
select pg_is_in_recovery() as "inRecovery",
  current_setting('synchronous_standby_names') as "standbyNames",
  (select system_identifier::text from pg_control_system()) as "systemIdentifier",
  pg_postmaster_start_time()::text as "startedAt",
  concat(host(inet_client_addr()), ':' || inet_client_port()) as "client",
  case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') else '' end as "dataDirectory",
  (extract(epoch from clock_timestamp()) * 1000)::float8 as "now",
  (extract(epoch from current_setting('wal_receiver_status_interval')::interval) * 1000)::float8 as "statusInterval",
  case when pg_is_in_recovery() then null else (pg_current_wal_flush_lsn() - '0/0')::float8 end as "flushed",
  (select coalesce(json_agg(json_build_object(
    'name', application_name,
    'state', state,
    'from', case when state is null then '' when client_addr is null then 'a Unix socket'
      else concat(host(client_addr), ':', client_port) end,
    'flushed', (flush_lsn - '0/0')::float8,
    'repliedAt', (extract(epoch from reply_time) * 1000)::float8
  ) order by client_port, pid), '[]') from pg_stat_replication) as "standbys",
  (select json_build_object('status', status, 'from', concat(sender_host, ':', sender_port), 'as', coalesce(
    substring(conninfo from '(?:^| )application_name=(.*?) fallback_application_name='),
    substring(conninfo from '(?:^| )fallback_application_name=(.*?)(?: [a-z_]+=|$)')
  )) from pg_stat_wal_receiver) as "receiver",
  case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end as "replayPaused",
  (extract(epoch from current_setting('recovery_min_apply_delay')::interval) * 1000)::float8 as "applyDelay",
  json_build_object(
    'current', me."current",
    'session', me."session",
    'uses', pg_has_role(me."current", 'pg_read_all_stats', 'usage'),
    'member', pg_has_role(me."session", 'pg_read_all_stats', 'member')
  ) as "rights",
  json_build_object(
    'all', crowd."all",
    'most', current_setting('max_connections')::int - case when me."super" then 0
      else current_setting('superuser_reserved_connections')::int
        + coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::int end,
    'role', crowd."role",
    'roleMost', coalesce(nullif(me."limit", -1), 2147483647),
    'database', crowd."database",
    'databaseMost', coalesce(nullif(me."databaseLimit", -1), 2147483647)
  ) as "connections",
  (select coalesce(json_agg(json_build_object('role', role, 'database', database, 'value', value) order by role nulls first, database nulls first), '[]')
    from (
      select null as role, null as database, lower(reset_val) as value from pg_settings where name = 'synchronous_commit'
        and not exists (
          select from pg_db_role_setting, unnest(setconfig) as each
          where each like 'synchronous\\_commit=%'
            and (setdatabase in (0, (select oid from pg_database where datname = current_database())))
            and (setrole in (0, (select oid from pg_roles where rolname = session_user)))
        )
      union all
      select (select rolname::text from pg_roles where oid = setrole), (select datname::text from pg_database where oid = setdatabase),
        lower(split_part(each, '=', 2))
      from pg_db_role_setting, unnest(setconfig) as each where each like 'synchronous\\_commit=%'
    ) as defaults where value in ('off', 'local', 'false', 'no', '0', 'remote_apply')) as "commits",
  (select count(*) filter (where source = 'command line') >= 3 from pg_settings
    where name in ('cluster_name', 'wal_level', 'hot_standby', 'max_connections', 'max_locks_per_transaction'))
    or exists (select from pg_stat_activity where application_name like 'Patroni%') as "patroni"
from me, crowd`

/** One standby as the primary sees it. All but the name is null for a user who may not read it. */
const StandbySeen = Schema.Struct({
  name: Schema.NullOr(Schema.String),
  state: Schema.NullOr(Schema.String),
  /** The address it connects from. */
  from: Schema.String,
  flushed: Schema.NullOr(Schema.Finite),
  /** The time of the last reply, by the standby's own clock. */
  repliedAt: Schema.NullOr(Schema.Finite)
})
export type StandbySeen = typeof StandbySeen.Type

/**
 * How many connections are used, of how many: by everybody, by our role and in our database. The superusers' reserve is
 * not counted.
 */
const Connections = Schema.Struct({
  all: Schema.Int,
  most: Schema.Int,
  role: Schema.Int,
  roleMost: Schema.Int,
  database: Schema.Int,
  databaseMost: Schema.Int
})
export type Connections = typeof Connections.Type

/** A value of `synchronous_commit` that sessions begin with. `role` and `database` say whose; null stands for all. */
const CommitDefault = Schema.Struct({
  role: Schema.NullOr(Schema.String),
  database: Schema.NullOr(Schema.String),
  value: Schema.String
})
export type CommitDefault = typeof CommitDefault.Type

/** One member's answer. `now` is by its own clock. */
export const Answer = Schema.Struct({
  inRecovery: Schema.Boolean,
  standbyNames: Schema.String,
  systemIdentifier: Schema.String,
  startedAt: Schema.String,
  /** Where it sees our connection come from; empty over a Unix socket. */
  client: Schema.optionalKey(Schema.String),
  dataDirectory: Schema.String,
  now: Schema.Finite,
  statusInterval: Schema.Finite,
  flushed: Schema.NullOr(Schema.Finite),
  standbys: Schema.Array(StandbySeen),
  /**
   * What a standby streams from, and under which `application_name`; null where it streams from nobody, or our user may
   * not know.
   */
  receiver: Schema.NullOr(
    Schema.Struct({
      status: Schema.NullOr(Schema.String),
      from: Schema.String,
      as: Schema.optionalKey(Schema.NullOr(Schema.String))
    })
  ),
  replayPaused: Schema.Boolean,
  applyDelay: Schema.Finite,
  /**
   * Whether the role that counts has the rights of pg_monitor, and whether the role that logged in was granted them.
   */
  rights: Schema.Struct({
    current: Schema.String,
    session: Schema.String,
    uses: Schema.Boolean,
    member: Schema.Boolean
  }),
  connections: Connections,
  /** Defaults under which a commit waits for nobody, or for more than the quorum. */
  commits: Schema.Array(CommitDefault),
  /**
   * True where Patroni manages the server. Its own sessions show it, or the settings that it gives on the command line.
   */
  patroni: Schema.Boolean
})
export type Answer = typeof Answer.Type
