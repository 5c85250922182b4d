-- Every statement the gateway sends, by name. "-- name: x" opens a block; gateway/timescale/queries.py reads them.

-- What this database is

-- name: ground
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

-- name: try_migration_lock
-- Never the blocking form: it deadlocks with "create index concurrently".
select pg_try_advisory_lock($1);

-- Devices

-- name: insert_device
-- No row comes back when the name is taken.
insert into devices (name, tags) values ($1, $2::text::jsonb)
on conflict (name) do nothing
returning name, enabled, tags::text, created_at;

-- name: list_devices
-- A page by name: prefix, last name of the page before (null on the first), size.
select name, enabled, tags::text, created_at
from devices
where starts_with(name, $1) and ($2::text is null or name > $2)
order by name
limit $3;

-- name: device
select name, enabled, tags::text, created_at from devices where name = $1;

-- name: device_metrics
-- What the device has reported so far.
select distinct m.name, m.kind
from devices d
join device_shapes ds on ds.device_id = d.id
join shapes s on s.id = ds.shape_id
join metrics m on m.id = any (s.value_metrics || s.int_metrics || s.text_metrics)
where d.name = $1
order by m.name, m.kind;

-- name: set_device_enabled
update devices set enabled = $2 where name = $1 returning name, enabled, tags::text, created_at;

-- Metrics

-- name: declare_int
insert into declared_ints (name) values ($1) on conflict (name) do nothing returning name;

-- name: undeclare_int
delete from declared_ints where name = $1 returning name;

-- name: declared_ints
select name from declared_ints order by name;

-- Credentials. $-parameters called "now" come from the gateway's clock, so that one clock decides about expiry.

-- name: find_credential
-- Whoever holds the token with this digest, if it is valid now. The tokens of a disabled device are not.
select c.role, d.name as device, c.prefix, c.expires_at
from credentials c
left join devices d on d.id = c.device_id
where c.digest = $1
  and c.revoked_at is null
  and (c.expires_at is null or c.expires_at > $2)
  and (d.id is null or d.enabled);

-- name: lock_device
-- Serialises changes to one device's credentials; readings still come in.
select id from devices where name = $1 for no key update;

-- name: live_device_credentials
-- Newest first: device id, now.
select id from credentials
where device_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)
order by id desc;

-- name: insert_credential
-- digest, role, device id, prefix, label, now, expiry
insert into credentials (digest, role, device_id, prefix, label, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7)
returning id;

-- name: expire_credential
-- id, moment: never prolongs.
update credentials set expires_at = least(coalesce(expires_at, $2), $2) where id = $1;

-- name: revoke_credential
-- id, now: the first revocation stands.
update credentials set revoked_at = coalesce(revoked_at, $2) where id = $1 returning id;

-- name: list_credentials
-- Device, or null for all; role, or null; whether dead ones too; now; last id of the page before; size.
select c.id, c.role, d.name as device, c.prefix, c.label, c.created_at, c.expires_at, c.revoked_at
from credentials c
left join devices d on d.id = c.device_id
where ($1::text is null or d.name = $1)
  and ($2::text is null or c.role = $2)
  and ($3 or (c.revoked_at is null and (c.expires_at is null or c.expires_at > $4)))
  and c.id > $5
order by c.id
limit $6;

-- Changes

-- name: registry_revision
-- Where the registry stands, and in which database.
select r.n, i.id::text as installation from registry_revision r, installation i;

-- name: changed_credentials
-- Digests that changed since revision $1, or whose device did; at most $2.
select digest from credentials where revision > $1
union
select c.digest from devices d join credentials c on c.device_id = d.id where d.revision > $1
limit $2;

-- name: changed_devices
-- Names of the devices that changed since revision $1; at most $2.
select name from devices where revision > $1 limit $2;

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
insert into metrics (name, kind)
select name, kind from unnest($1::text[], $2::text[]) as wanted (name, kind)
where not exists (select from metrics m where m.name = wanted.name and m.kind = wanted.kind)
on conflict (name, kind) do nothing;

-- name: metric_ids
select m.name, m.kind, m.id
from metrics m
join unnest($1::text[], $2::text[]) as wanted (name, kind) using (name, kind);

-- name: insert_shape
insert into shapes (value_metrics, int_metrics, text_metrics) values ($1, $2, $3)
on conflict (value_metrics, int_metrics, text_metrics) do nothing;

-- name: shape_id
select id from shapes where value_metrics = $1 and int_metrics = $2 and text_metrics = $3;

-- name: insert_device_shapes
insert into device_shapes (device_id, shape_id)
select * from unnest($1::int4[], $2::int4[])
on conflict do nothing;

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

-- Dead letters

-- name: insert_dead_letters
-- The same item again raises its count and opens it anew. No fingerprint may stand twice in one call.
insert into dead_letters as kept (source, code, detail, device, payload, topic, fingerprint, count)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::bytea[], $8::int8[])
on conflict (fingerprint) do update
    set count = kept.count + excluded.count, last_at = now(), detail = excluded.detail, replayed_at = null;

-- name: list_dead_letters
-- Newest id first; a payload of more than $8 bytes is left out.
select id, source, code, detail, device, topic, first_at, last_at, count, replayed_at,
       octet_length(payload) as size, case when octet_length(payload) <= $8 then payload end as payload
from dead_letters
where ($1::text is null or code = $1) and ($2::text is null or device = $2) and ($3::text is null or source = $3)
  and ($4::timestamptz is null or last_at >= $4) and ($5::bool is null or (replayed_at is not null) = $5)
  and ($6::int8 is null or id < $6)
order by id desc
limit $7;

-- name: dead_letter
select id, source, code, detail, device, topic, first_at, last_at, count, replayed_at,
       octet_length(payload) as size, payload
from dead_letters
where id = $1;

-- name: open_dead_letters
select id
from dead_letters
where ($1::text is null or code = $1) and ($2::text is null or device = $2) and ($3::text is null or source = $3)
  and ($4::timestamptz is null or last_at >= $4) and replayed_at is null and id > $5
order by id
limit $6;

-- name: count_open_dead_letters
select count(*)
from dead_letters
where ($1::text is null or code = $1) and ($2::text is null or device = $2) and ($3::text is null or source = $3)
  and ($4::timestamptz is null or last_at >= $4) and replayed_at is null and id > $5;

-- name: mark_dead_letter_replayed
-- Unless it came again meanwhile: then it is open.
update dead_letters set replayed_at = now() where id = $1 and count = $2;

-- name: remove_dead_letters
with chosen as (
    select id
    from dead_letters
    where ($1::text is null or code = $1) and ($2::text is null or device = $2) and ($3::text is null or source = $3)
      and ($4::timestamptz is null or last_at >= $4) and ($5::bool is null or (replayed_at is not null) = $5)
      and ($6::int8 is null or id = $6)
    order by id
    limit $7
), gone as (
    delete from dead_letters d using chosen c where d.id = c.id returning 1
)
select count(*) from gone;

-- name: try_purge_lock
select pg_try_advisory_lock($1);

-- name: purge_old_dead_letters
with chosen as (
    select id from dead_letters where last_at < now() - $1::interval order by last_at, id limit $2
), gone as (
    delete from dead_letters d using chosen c where d.id = c.id returning 1
)
select count(*) from gone;

-- name: dead_letter_bytes
-- 200: about what a row takes besides its payload and its words. The lengths are known without reading the payloads.
select coalesce(sum(octet_length(payload) + octet_length(detail) + 200), 0)::int8 from dead_letters;

-- name: purge_most_dead_letters
-- The oldest, as few as free $1 bytes.
with oldest as (
    select id, last_at, octet_length(payload) + octet_length(detail) + 200 as bytes
    from dead_letters
    order by last_at, id
    limit $2
), summed as (
    select id, bytes, sum(bytes) over (order by last_at, id) - bytes as before from oldest
), gone as (
    delete from dead_letters d using summed s where d.id = s.id and s.before < $1 returning s.bytes
)
select count(*) as letters, coalesce(sum(bytes), 0)::int8 as bytes from gone;

-- The newest state, where the state store cannot be asked or must be filled. A series is a shape of a device: for each
-- one step into "messages_key", on a hypertable chunk by chunk from the newest.

-- name: newest_of_devices
select d.name, ds.shape_id, m.time_us, m.values, m.ints, m.texts
from devices d
join device_shapes ds on ds.device_id = d.id
cross join lateral (
    select (extract(epoch from x.time) * 1000000)::int8 as time_us, x.values, x.ints, x.texts
    from messages x
    where x.device_id = ds.device_id and x.shape_id = ds.shape_id
    order by x.time desc
    limit 1
) m
where d.name = any ($1::text[]);

-- name: count_series
select count(*) from device_shapes;

-- name: newest_after
-- A page of series after (device $1, shape $2), in that order; one without messages has no time.
select ds.device_id, ds.shape_id, d.name, m.time_us, m.values, m.ints, m.texts
from (
    select device_id, shape_id from device_shapes
    where (device_id, shape_id) > ($1::int4, $2::int4)
    order by device_id, shape_id
    limit $3
) ds
join devices d on d.id = ds.device_id
left join lateral (
    select (extract(epoch from x.time) * 1000000)::int8 as time_us, x.values, x.ints, x.texts
    from messages x
    where x.device_id = ds.device_id and x.shape_id = ds.shape_id
    order by x.time desc
    limit 1
) m on true
order by ds.device_id, ds.shape_id;
