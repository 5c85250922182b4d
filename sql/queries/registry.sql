-- Devices, metrics, credentials, and their changes.

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
