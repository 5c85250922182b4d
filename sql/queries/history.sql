-- What was stored, read back: rows in blocks, buckets, and the points of charts. Everything steps into "messages_key"
-- by device, shape and time, and takes values by their position; "readings", the view, is for people.
--
-- A metric that two shapes of a device hold is told by the older shape: "older" names the shapes (as text of an int4[])
-- whose row of the same time comes first, and is null where there is none, which is nearly always.

-- name: history_devices
select d.name, d.id, array(select shape_id from device_shapes where device_id = d.id order by shape_id) as shape_ids
from devices d
where d.name = any ($1::text[]);

-- name: history_rows
-- One row for each pair (device $1, shape $2) with its next $9 messages from $3 to before $4 by time (asc or desc),
-- columns packed: times as int8 (µs since 2000), arrays as "array_send" writes them, doubles from position $5 to $6, ints
-- from $7 to $8, texts if $10. Nothing here costs the gateway an object per message. All spans lie between $11 and $12,
-- from which the planner knows the chunks.
select p.n::int4, b.times, b.doubles, b.ints, b.texts
from unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::timestamptz[], $5::int4[], $6::int4[], $7::int4[], $8::int4[])
    with ordinality as p (device_id, shape_id, start, stop, first_double, last_double, first_int, last_int, n)
cross join lateral (
    select
        string_agg(timestamptz_send(r.time), '') as times,
        string_agg(array_send(r.doubles), '') as doubles,
        string_agg(array_send(r.ints), '') as ints,
        array_agg(r.texts) filter (where cardinality(r.texts) > 0) as texts
    from (
        select
            m.time,
            m.values[p.first_double:p.last_double] as doubles,
            m.ints[p.first_int:p.last_int] as ints,
            case when $10 then m.texts end as texts
        from messages m
        where m.device_id = p.device_id and m.shape_id = p.shape_id and m.time >= p.start and m.time < p.stop
            and m.time >= $11 and m.time < $12
        order by m.time {direction}
        limit $9
    ) r
) b;

-- name: bucket_timescaledb
-- The start of the bucket of a message, for {bucket} below: $8 is the width, $9 the origin.
time_bucket($8::interval, m.time, $9::timestamptz)

-- name: bucket_postgresql
date_bin($8::interval, m.time, $9::timestamptz)

-- name: bucket_days
-- Calendar days are cut by the gateway, so that both databases have the same zones: $8 are the starts, $9 the first.
coalesce(($8::timestamptz[])[width_bucket(m.time, $8::timestamptz[])], $9::timestamptz)

-- name: every_message
-- For {unshadowed} below where no series has older shapes.
true

-- name: unshadowed_messages
-- Where there are some: no older shape has a message of the same time. The bounds keep other chunks out of the plan, and
-- "offset 0" a hash table of all messages of the time.
p.older is null or not exists (
    select from messages o
    where o.device_id = p.device_id and o.shape_id = any (p.older::int4[]) and o.time = m.time
        and o.time >= $6 and o.time < $7
    offset 0
)

-- name: history_messages
-- The messages of series $1 from $6 to before $7: device $2, shape $3, position $4, older shapes $5.
from unnest($1::int4[], $2::int4[], $3::int4[], $4::int4[], $5::text[]) as p (series, device_id, shape_id, position, older)
join messages m on m.device_id = p.device_id and m.shape_id = p.shape_id
where m.time >= $6 and m.time < $7
    and ({unshadowed})

-- name: history_buckets
-- The values of the same, {column} by {column}, in buckets. There is no "order by", so that groups are hashed; sorting
-- millions of messages goes over the disk.
from (
    select
        p.series,
        {bucket} as bucket,
        m.time,
        (extract(epoch from m.time) * 1000000)::int8 as us,
        m.{column}[p.position] as v
    {history_messages}
) x
group by x.series, x.bucket

-- name: bucket_start
(extract(epoch from x.bucket) * 1000000)::int8 as start_us

-- name: history_buckets_values
-- first/last are computed if $10: the array trick finds the value of the least time without a sort, since arrays compare
-- by element.
-- Sums are computed if $11, and an average is a sum and a count: "avg" squares as well, and fails beyond 1e154. What is so
-- large that a sum could leave its type, which would fail everything, is summed apart, in units of 2^64.
select
    x.series,
    {bucket_start},
    count(*) as count,
    min(x.v) as min,
    max(x.v) as max,
    sum(x.v) filter (where $11 and abs(x.v) < 1e290) as sum,
    sum(x.v * 5.421010862427522e-20) filter (where $11 and abs(x.v) >= 1e290) as large,
    (min(array[date_part('epoch', x.time), x.v]) filter (where $10))[2] as first,
    (max(array[date_part('epoch', x.time), x.v]) filter (where $10))[2] as last
{history_buckets};

-- name: history_buckets_ints
-- The same of exact integers; their sum may be larger than any int8.
select
    x.series,
    {bucket_start},
    count(*) as count,
    avg(x.v)::float8 as avg,
    min(x.v) as min,
    max(x.v) as max,
    sum(x.v) as sum,
    (min(array[(date_part('epoch', x.time) * 1000000)::int8, x.v]) filter (where $10))[2] as first,
    (max(array[(date_part('epoch', x.time) * 1000000)::int8, x.v]) filter (where $10))[2] as last
{history_buckets};

-- name: history_buckets_texts
-- The same of texts, which know count, first and last ($10). Numbers of one length compare as text.
select
    x.series,
    {bucket_start},
    count(*) as count,
    (min(array[lpad((date_part('epoch', x.time) * 1000000)::int8::text, 20, '0'), x.v] collate "C") filter (where $10))[2] as first,
    (max(array[lpad((date_part('epoch', x.time) * 1000000)::int8::text, 20, '0'), x.v] collate "C") filter (where $10))[2] as last
{history_buckets};

-- name: history_percentiles
-- p50 and p95 need every value of a bucket sorted, so they are asked for apart. Ints are taken as doubles.
select x.series, {bucket_start}, percentile_cont(array[0.5, 0.95]) within group (order by x.v) as percentiles
{history_buckets};

-- name: history_packed
-- All values of a bucket, as doubles, for percentiles of buckets too long to be read by one statement.
select x.series, {bucket_start}, string_agg(float8send(x.v), '') as packed
{history_buckets};

-- name: history_extremes
-- For charts of more messages than are read one by one: of each bucket the first, last, lowest and highest point, each
-- as {a, b} of time in µs and value. A double holds every µs until the year 2255.
select
    x.series,
    min(array[x.us, x.v]) as first,
    max(array[x.us, x.v]) as last,
    min(array[x.v, x.us]) as lowest,
    max(array[x.v, x.us]) as highest
{history_buckets};

-- name: history_changes
-- One series, which may lie in several shapes: the newest $8 of the points at which its value changed, and its last
-- point, which may be no change; newest first. That it is one device's leads the planner into the index.
select (extract(epoch from y.time) * 1000000)::int8 as time_us, y.v, y.before is distinct from y.v as changed
from (
    select x.time, x.v, lag(x.v) over w as before, lead(x.v) over w as after
    from (
        select m.time, m.{column}[p.position] as v
        {history_messages}
            and m.device_id = ($2::int4[])[1]
    ) x
    window w as (order by x.time)
) y
where y.before is distinct from y.v or y.after is null
order by y.time desc
limit $8;
