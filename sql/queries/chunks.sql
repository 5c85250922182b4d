-- The chunks of the hypertable, and the locks that the server has for them.

-- name: lock_table
-- Locks of each session, sessions, indexes of a chunk, and whether there is TimescaleDB.
select current_setting('max_locks_per_transaction')::int8 as each,
       current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8 as sessions,
       (select count(*) from pg_index where indrelid = 'messages'::regclass) as indexes,
       exists (select from pg_extension where extname = 'timescaledb') as timescale;

-- name: plan_each
-- For a while: a plan for any time opens, and locks, every chunk there is.
set plan_cache_mode = force_custom_plan;

-- name: chunk_width
-- Microseconds; only where TimescaleDB is.
select (extract(epoch from time_interval) * 1000000)::int8
from timescaledb_information.dimensions
where hypertable_schema = current_schema() and hypertable_name = 'messages' and dimension_number = 1;

-- name: count_chunks
-- 0 where there is an ordinary table.
select count(*) from pg_inherits where inhparent = 'messages'::regclass;

-- name: chunk_starts
-- Only where TimescaleDB is.
select (extract(epoch from range_start) * 1000000)::int8 as start_us
from timescaledb_information.chunks
where hypertable_schema = current_schema() and hypertable_name = 'messages' and isfinite(range_start)
order by 1;
