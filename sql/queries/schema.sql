-- The database itself: what it is, and its migrations.

-- What this database is

-- name: server
-- Which server this is, and since when it runs. Its tables are null before the first migration.
select pg_is_in_recovery() as standby,
       pg_postmaster_start_time() as started,
       (select d.oid::int8 from pg_database d where d.datname = current_database()) as database,
       to_regclass('shapes')::oid::int8 as tables,
       to_regclass('installation') is not null as has_installation;

-- name: server_whole
-- All of this in one round trip, where the tables are there and nothing is forbidden.
select pg_is_in_recovery() as standby,
       pg_postmaster_start_time() as started,
       (select d.oid::int8 from pg_database d where d.datname = current_database()) as database,
       to_regclass('shapes')::oid::int8 as tables,
       (select id::text from installation) as installation,
       (select system_identifier from pg_control_system()) as system,
       case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_insert_lsn()) end as segment,
       case when not pg_is_in_recovery() then (pg_current_wal_flush_lsn() - '0/0')::int8 end as flushed,
       case when not pg_is_in_recovery() then (pg_current_wal_insert_lsn() - '0/0')::int8 end as inserted;

-- name: server_system
-- Of the cluster; everybody may ask, unless a host forbids it.
select system_identifier from pg_control_system();

-- name: server_position
-- The timeline are the first 8 hexadecimal digits of the segment; what pg_control_checkpoint() says is as old as the
-- last checkpoint. Fails on a standby.
select pg_walfile_name(pg_current_wal_insert_lsn()) as segment,
       (pg_current_wal_flush_lsn() - '0/0')::int8 as flushed,
       (pg_current_wal_insert_lsn() - '0/0')::int8 as inserted;

-- name: database_kind
-- Server version, TimescaleDB version and licence (each null where there is none).
select current_setting('server_version') as postgres,
       (select extversion from pg_extension where extname = 'timescaledb') as timescale,
       current_setting('timescaledb.license', true) as licence;

-- Migrations

-- name: has_migration_table
select to_regclass('schema_migration') is not null;

-- name: create_migration_table
create table if not exists schema_migration (
    version int4 primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now(),
    took_ms int8 not null
);

-- name: applied_migrations
select version, name, sha256 from schema_migration order by version;

-- name: insert_migration
insert into schema_migration (version, name, sha256, took_ms) values ($1, $2, $3, $4);

-- name: try_lock
-- Of one process at a time. Never the blocking form: in a migration it deadlocks with "create index concurrently".
select pg_try_advisory_lock($1);
