-- From names to ids, and from batches to rows.

-- Names to ids, for the writer and for reads

-- name: installation
select id::text from installation;

-- name: insert_devices
-- Names that are not there yet; sorted by the caller, so that two gateways cannot deadlock.
insert into devices (name)
select name from unnest($1::text[]) as wanted (name)
where not exists (select from devices d where d.name = wanted.name)
on conflict (name) do nothing;

-- name: device_ids
select name, id from devices where name = any ($1::text[]);

-- name: insert_metrics
-- A new kind of a metric has the unit of the others.
insert into metrics (name, kind, unit)
select name, kind, (select m.unit from metrics m where m.name = wanted.name limit 1)
from unnest($1::text[], $2::text[]) as wanted (name, kind)
where not exists (select from metrics m where m.name = wanted.name and m.kind = wanted.kind)
on conflict (name, kind) do nothing;

-- name: metric_ids
select m.name, m.kind, m.id
from metrics m
join unnest($1::text[], $2::text[]) as wanted (name, kind) using (name, kind);

-- name: insert_shapes
-- The ids of each shape's metrics as the text of an array; sorted by the caller, so that two gateways cannot deadlock.
insert into shapes (value_metrics, int_metrics, text_metrics)
select v::int4[], i::int4[], t::int4[]
from unnest($1::text[], $2::text[], $3::text[]) as wanted (v, i, t)
where not exists (
    select from shapes s
    where s.value_metrics = v::int4[] and s.int_metrics = i::int4[] and s.text_metrics = t::int4[]
)
on conflict (value_metrics, int_metrics, text_metrics) do nothing;

-- name: shape_ids
-- The id of each of them, with its number in the list.
select n::int4, s.id
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as wanted (v, i, t, n)
join shapes s on s.value_metrics = v::int4[] and s.int_metrics = i::int4[] and s.text_metrics = t::int4[];

-- name: insert_device_shapes
-- Gives how many of the devices there are; one that was removed is passed over, and one that is here now stays.
with present as (
    select id from devices where id = any ($1::int4[]) order by id for key share
), noted as (
    insert into device_shapes (device_id, shape_id)
    select w.device_id, w.shape_id
    from unnest($1::int4[], $2::int4[]) as w (device_id, shape_id)
    join present p on p.id = w.device_id
    on conflict do nothing
)
select count(*) from present;

-- name: shapes_by_id
-- Names and kinds by position, for each of the three arrays.
select s.id,
       array(select m.name from unnest(s.value_metrics) with ordinality as v (id, n) join metrics m using (id) order by n) as value_names,
       array(select m.kind from unnest(s.value_metrics) with ordinality as v (id, n) join metrics m using (id) order by n) as value_kinds,
       array(select m.name from unnest(s.int_metrics) with ordinality as v (id, n) join metrics m using (id) order by n) as int_names,
       array(select m.name from unnest(s.text_metrics) with ordinality as v (id, n) join metrics m using (id) order by n) as text_names
from shapes s
where s.id = any ($1::int4[]);

-- name: device_cards
-- What admission must know of a device: whether it may write, and the shapes it has reported.
select d.name, d.enabled, d.id, array(select ds.shape_id from device_shapes ds where ds.device_id = d.id) as shape_ids
from devices d
where d.name = any ($1::text[]);

-- name: count_devices
select count(*) from devices;

-- The writer's slow way: what could not be copied because a key is there already

-- name: create_stage
create temp table if not exists stage (
    n int4, time timestamptz, device_id int4, shape_id int4, values float8[], ints int8[], texts text[]
) on commit delete rows;

-- name: insert_staged
-- Gives the staged rows that were not inserted: their key is stored already, or was committed elsewhere meanwhile.
with fresh as (
    insert into messages (time, device_id, shape_id, values, ints, texts)
    select time, device_id, shape_id, values, ints, texts from stage order by n
    on conflict (device_id, shape_id, time) do nothing
    returning device_id, shape_id, time
)
select coalesce(array_agg(s.n), '{}')
from stage s
where not exists (
    select from fresh f where f.device_id = s.device_id and f.shape_id = s.shape_id and f.time = s.time
);

-- name: upsert_staged
-- The same for "overwrite": gives the staged rows that say what is stored already.
with fresh as (
    insert into messages as m (time, device_id, shape_id, values, ints, texts)
    select time, device_id, shape_id, values, ints, texts from stage order by n
    on conflict (device_id, shape_id, time) do update
        set values = excluded.values, ints = excluded.ints, texts = excluded.texts
        where (m.values, m.ints, m.texts) is distinct from (excluded.values, excluded.ints, excluded.texts)
    returning device_id, shape_id, time
)
select coalesce(array_agg(s.n), '{}')
from stage s
where not exists (
    select from fresh f where f.device_id = s.device_id and f.shape_id = s.shape_id and f.time = s.time
);

-- name: create_sift
-- Tries the staged rows one by one on a table with the same types and constraints, and gives those that are refused.
-- Not on the hypertable itself: TimescaleDB forgets all it knows with each refusal, which costs it milliseconds.
create or replace function pg_temp.sift() returns table (place int4, words text) language plpgsql as $$
declare
    one record;
begin
    create temp table sieve (like messages including constraints) on commit drop;
    for one in select * from stage order by n loop
        begin
            insert into sieve (time, device_id, shape_id, values, ints, texts)
            values (one.time, one.device_id, one.shape_id, one.values, one.ints, one.texts);
        exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
            place := one.n;
            words := sqlstate || ': ' || sqlerrm;
            return next;
        end;
    end loop;
    drop table sieve;
end
$$;

-- name: sift
select place, words from pg_temp.sift();

-- name: staged_duplicates
-- Of the staged rows $3, those that are stored with the same values. $1 and $2 bound the times for chunk exclusion.
select coalesce(array_agg(s.n), '{}')
from stage s
cross join lateral (
    select o.values is not distinct from s.values
       and o.ints is not distinct from s.ints
       and o.texts is not distinct from s.texts as same
    from messages o
    where o.device_id = s.device_id and o.shape_id = s.shape_id and o.time = s.time
      and o.time between $1 and $2
    limit 1
) m
where s.n = any ($3::int4[]) and m.same;

-- A write on trial

-- name: some_pair
-- A device and one of its shapes, with the widths of its rows: one that reports, else the one that is on trial itself.
select ds.device_id, ds.shape_id, cardinality(s.value_metrics), cardinality(s.int_metrics), cardinality(s.text_metrics)
from device_shapes ds
join shapes s on s.id = ds.shape_id
limit 1;

-- name: server_time_us
select (extract(epoch from clock_timestamp()) * 1000000)::int8;
