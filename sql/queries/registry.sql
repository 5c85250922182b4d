-- Devices, metrics, credentials, and their changes.

-- Whoever changes the registry begins with this, so that no two transactions can wait for each other.

-- name: lock_registry
select n from registry_revision for update;

-- Devices

-- name: insert_device
-- No row comes back when the name is taken.
insert into devices (name, tags, enabled) values ($1, $2::text::jsonb, $3)
on conflict (name) do nothing
returning id, name, enabled, tags::text, created_at, revision, false as reported;

-- name: list_devices
-- A page by name: prefix, enabled (null: both), last name of the page before ('' on the first), size.
select id, name, enabled, tags::text, created_at, revision,
       exists (select from device_shapes ds where ds.device_id = devices.id) as reported
from devices
where starts_with(name, $1) and ($2::bool is null or enabled = $2) and name > $3
order by name
limit $4;

-- name: list_tagged_devices
-- The same of devices that have all tags $5 and all keys $6; apart, so that neither is planned for the other.
select id, name, enabled, tags::text, created_at, revision,
       exists (select from device_shapes ds where ds.device_id = devices.id) as reported
from devices
where starts_with(name, $1) and ($2::bool is null or enabled = $2) and name > $3
  and tags @> $5::text::jsonb and tags ?& $6::text[]
order by name
limit $4;

-- name: device
select id, name, enabled, tags::text, created_at, revision,
       exists (select from device_shapes ds where ds.device_id = devices.id) as reported
from devices
where name = $1;

-- name: device_metrics
-- What the device has reported so far.
select distinct m.name, m.kind, m.unit
from devices d
join device_shapes ds on ds.device_id = d.id
join shapes s on s.id = ds.shape_id
join metrics m on m.id = any (s.value_metrics || s.int_metrics || s.text_metrics)
where d.name = $1
order by m.name, m.kind;

-- name: lock_devices
-- Those that exist; readings still come in.
select id, name, enabled, tags::text, created_at, revision,
       exists (select from device_shapes ds where ds.device_id = devices.id) as reported
from devices
where name = any ($1::text[])
order by name
for no key update;

-- name: update_devices
-- Names, enabled and tags as they shall be, position by position.
update devices d
set enabled = n.enabled, tags = n.tags::jsonb
from unnest($1::text[], $2::bool[], $3::text[]) as n (name, enabled, tags)
where d.name = n.name
returning d.id, d.name, d.enabled, d.tags::text, d.created_at, d.revision,
    exists (select from device_shapes ds where ds.device_id = d.id) as reported;

-- name: put_devices
-- New ones; one that a writer has made since they were looked up gets the same.
insert into devices (name, enabled, tags)
select n.name, n.enabled, n.tags::jsonb from unnest($1::text[], $2::bool[], $3::text[]) as n (name, enabled, tags)
on conflict (name) do update set enabled = excluded.enabled, tags = excluded.tags;

-- name: newest_times
-- Microseconds of the newest message of each device that has any; {within} as in state.sql.
select d.name, max(m.time_us) as time_us
from devices d
join device_shapes ds on ds.device_id = d.id
cross join lateral (
    select (extract(epoch from x.time) * 1000000)::int8 as time_us
    from messages x
    where x.device_id = ds.device_id and x.shape_id = ds.shape_id {within}
    order by x.time desc
    limit 1
) m
where d.name = any ($1::text[])
group by d.name;

-- Removal

-- name: lock_device_for_removal
-- Waits for those who note a first shape of it, and lets no other do so.
select id from devices where name = $1 for update;

-- name: remove_device_shapes
delete from device_shapes where device_id = $1;

-- name: remove_device_credentials
delete from credentials where device_id = $1;

-- name: remove_device
delete from devices where id = $1;

-- name: removal
-- After a restore the id of a removal may be that of a device which was not removed.
select id, name, passes from removed_devices where id = $1;

-- name: chunks_to_empty
-- Chunks that hold messages of device $1 from $2 to before $3, as names to be put in place of {chunk} below.
select distinct tableoid::regclass::text as chunk from messages where device_id = $1 and time >= $2 and time < $3;

-- name: remove_from_chunk
-- At most $2 messages of device $1. Through the hypertable every chunk there is would be locked, whatever the times.
with gone as (
    delete from {chunk} where ctid in (select ctid from {chunk} where device_id = $1 limit $2) returning 1
)
select count(*) from gone;

-- name: messages_to_remove
-- Of the next $2 messages of a device from $3 to before $4, for each shape the times between which they lie.
select shape_id, min(time) as first, max(time) as last
from (select shape_id, time from messages where device_id = $1 and time >= $3 and time < $4
    order by shape_id, time limit $2) next
group by shape_id;

-- name: remove_messages
delete from messages where device_id = $1 and shape_id = $2 and time between $3 and $4;

-- name: lock_successor
-- The device that has the name now, which stays while messages become its own.
select id from devices where name = $1 for key share;

-- name: take_late
-- At most $2 messages of device $1, in the order of their key, from {source}: one of the two below.
with gone as (delete from {source} returning shape_id, time, values, ints, texts)
select shape_id, time, values, ints, texts from gone order by shape_id, time;

-- name: late_in_chunk
{chunk} where ctid in (select ctid from {chunk} where device_id = $1 limit $2)

-- name: late_by_key
-- $3 to $5: a shape, and the times between which its next messages lie.
messages where device_id = $1 and $2::int8 is not null and shape_id = $3 and time between $4 and $5

-- name: insert_late
insert into messages (device_id, shape_id, time, values, ints, texts) values ($1, $2, $3, $4, $5, $6)
on conflict (device_id, shape_id, time) do nothing;

-- name: is_stored
select exists (
    select from messages
    where device_id = $1 and shape_id = $2 and time = $3
      and values is not distinct from $4 and ints is not distinct from $5 and texts is not distinct from $6
);

-- name: due_removals
-- Oldest first: those not begun, and those that were removed so long ago that their second ($1) or third ($2) pass is
-- due; at most $3. What is older than $4 is forgotten: nobody who still runs has not heard of it.
with devices_gone as (
    delete from removed_devices where passes = 3 and removed_at < now() - $4::interval
), credentials_gone as (
    delete from removed_credentials where removed_at < now() - $4::interval
)
select id, name
from removed_devices
where passes = 0 or (passes = 1 and removed_at < now() - $1::interval) or (passes = 2 and removed_at < now() - $2::interval)
order by removed_at
limit $3;

-- name: until_heard
-- Seconds until the newest removal of one of these names ($1) is as old as $2; null: it is, or there was none.
select extract(epoch from max(removed_at) + $2::interval - now())::float8
from removed_devices
where passes < 3 and removed_at > now() - $2::interval and name = any ($1::text[]);

-- name: note_emptied
update removed_devices set passes = 1 where id = $1 and passes = 0;

-- name: note_pass
update removed_devices
set passes = case
        when removed_at < now() - $3::interval then 3
        when removed_at < now() - $2::interval then 2
        else 1
    end
where id = $1;

-- Metrics

-- name: list_metrics
-- A page by name and kind: prefix, name and kind of the last one before, size. What is declared and was never reported
-- is listed too.
select name, kind, unit, declared_int
from (
    select m.name collate "C" as name, m.kind, m.unit, i.name is not null as declared_int
    from metrics m
    left join declared_ints i on i.name = m.name
    union all
    select i.name collate "C", 'int', null, true
    from declared_ints i
    where not exists (select from metrics m where m.name = i.name)
) every
where starts_with(name, $1) and (name, kind) > ($2, $3)
order by name, kind
limit $4;

-- name: metric
select m.name, m.kind, m.unit, i.name is not null as declared_int
from metrics m
left join declared_ints i on i.name = m.name
where m.name = $1
order by m.kind;

-- name: put_metric
-- One that was never reported gets the kind it will have.
insert into metrics (name, kind)
select $1::text, case when exists (select from declared_ints i where i.name = $1::text) then 'int' else 'double' end
where not exists (select from metrics m where m.name = $1::text)
on conflict do nothing;

-- name: set_unit
update metrics set unit = $2 where name = $1;

-- name: declare_int
insert into declared_ints (name) values ($1) on conflict (name) do nothing returning name;

-- name: undeclare_int
delete from declared_ints where name = $1 returning name;

-- name: declared_ints
select name from declared_ints order by name;

-- Audit

-- name: insert_audit
insert into audit (actor, action, target, detail) values ($1, $2, $3, $4::text::jsonb) returning id;

-- name: amend_audit
-- The detail of an act that goes on.
update audit set detail = $2::text::jsonb where id = $1;

-- name: list_audit
-- Newest first: since, actor (null: all), the id before which to begin (null: none), size.
select id, at, actor, action, target, detail::text
from audit
where ($1::timestamptz is null or at >= $1) and ($2::text is null or actor = $2) and ($3::int8 is null or id < $3)
order by id desc
limit $4;

-- name: purge_audit
-- At most $2 rows older than $1; gives how many went.
with gone as (
    delete from audit where id in (select id from audit where at < now() - $1::interval order by at limit $2) returning 1
)
select count(*) from gone;

-- name: dead_credentials
-- At most $2 that were revoked or have expired longer than $1 ago. Apart from their removal, which every gateway hears of.
select id from credentials where least(revoked_at, expires_at) < now() - $1::interval order by id limit $2;

-- name: purge_credentials
delete from credentials where id = any($1::int4[]);

-- name: name_of_key
-- Whose token has this digest, in the words of the audit.
select id, label from credentials where digest = $1;

-- Credentials. $-parameters called "now" come from the gateway's clock, so that one clock decides about expiry.

-- name: find_credentials
-- Who holds the tokens with the digests $1, of those that are valid at $2. The tokens of a disabled device are not.
select c.digest, c.id, c.role, d.name as device, c.prefix, c.expires_at
from credentials c
left join devices d on d.id = c.device_id
where c.digest = any ($1::bytea[])
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
-- id, now: the first revocation stands, and no row comes back for a second.
update credentials set revoked_at = $2 where id = $1 and revoked_at is null returning id;

-- name: credential_device
-- Who has this id: a row, with a device or without.
select c.role, d.name as device from credentials c left join devices d on d.id = c.device_id where c.id = $1;

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
-- Digests that changed or went since revision $1, or whose device changed, at most $2; each with what it stands for now,
-- expired or not, and no id if that is nothing.
with changed as (
    select digest from credentials where revision > $1
    union
    select c.digest from devices d join credentials c on c.device_id = d.id where d.revision > $1
    union
    select digest from removed_credentials where revision > $1
    limit $2
)
select changed.digest, c.id, c.role, d.name as device, c.prefix, c.expires_at
from changed
left join (credentials c left join devices d on d.id = c.device_id)
    on c.digest = changed.digest and c.revoked_at is null and (d.id is null or d.enabled);

-- name: changed_devices
-- Names of the devices that changed or went since revision $1; at most $2.
select name from devices where revision > $1
union
select name from removed_devices where revision > $1
limit $2;
