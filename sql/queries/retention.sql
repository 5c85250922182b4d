-- Readings that are older than retention.days go.

-- name: is_hypertable
-- Only where TimescaleDB is; the table may be older than the extension.
select exists (
    select from timescaledb_information.hypertables
    where hypertable_schema = current_schema() and hypertable_name = 'messages'
);

-- name: oldest_chunks_end
-- Where the $2 oldest of the chunks end that are too old; null if there are none.
select max(range_end)
from (
    select range_end
    from timescaledb_information.chunks
    where hypertable_schema = current_schema() and hypertable_name = 'messages' and range_end <= now() - $1::interval
    order by range_end
    limit $2
) oldest;

-- name: drop_chunks_before
-- Whole chunks only: a chunk goes once its youngest possible reading is too old.
select count(*) from drop_chunks('messages', older_than => $1::timestamptz);

-- name: delete_old_messages
with chosen as (
    select ctid from messages where time < now() - $1::interval limit $2
), gone as (
    delete from messages m using chosen c where m.ctid = c.ctid returning 1
)
select count(*) from gone;
