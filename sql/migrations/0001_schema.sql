-- The registry and the readings. One row of "messages" is what a device said at one time; see docs/architecture.md.

create table installation (
    id uuid not null default gen_random_uuid(),
    created_at timestamptz not null default now()
);
comment on table installation is 'One row: names this database, so that a state store filled from another one is never read.';
create unique index installation_one_row on installation ((true));
insert into installation default values;

create table devices (
    id int4 generated always as identity primary key,
    name text collate "C" not null unique check (name ~ '^[A-Za-z0-9._:-]{1,128}$'),
    enabled bool not null default true,
    tags jsonb not null default '{}',
    created_at timestamptz not null default now(),
    revision int8 not null default 0
);

create table metrics (
    id int4 generated always as identity primary key,
    name text not null check (name ~ '^[A-Za-z0-9._:/-]{1,128}$'),
    kind text not null check (kind in ('double', 'bool', 'int', 'text')),
    unit text,
    unique (name, kind)
);

create table shapes (
    id int4 generated always as identity primary key,
    value_metrics int4[] not null,
    int_metrics int4[] not null,
    text_metrics int4[] not null,
    unique (value_metrics, int_metrics, text_metrics)
);
comment on table shapes is 'Which metric each position of messages.values, ints and texts holds; sorted by metric name.';

create table device_shapes (
    device_id int4 not null references devices,
    shape_id int4 not null references shapes,
    primary key (device_id, shape_id)
);

create table declared_ints (
    name text primary key check (name ~ '^[A-Za-z0-9._:/-]{1,128}$')
);
comment on table declared_ints is 'Metric names whose JSON integers are stored exactly, as int8.';

create table messages (
    time timestamptz not null,
    device_id int4 not null,
    shape_id int4 not null,
    values float8[],
    ints int8[],
    texts text[]
);

create table credentials (
    id int4 generated always as identity primary key,
    digest bytea not null unique check (length(digest) = 32),
    role text not null check (role in ('device', 'ingest', 'reader', 'admin')),
    device_id int4 references devices,
    prefix text not null default '',
    label text not null default '',
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    revision int8 not null default 0,
    check ((role = 'device') = (device_id is not null))
);
create index credentials_of_device on credentials (device_id) where revoked_at is null;
comment on column credentials.digest is 'SHA-256 of the token; the token itself is shown once and never stored.';

create table dead_letters (
    id int8 generated always as identity primary key,
    received_at timestamptz not null default now(),
    source text not null,
    code text not null,
    detail text not null,
    device text,
    topic text,
    payload bytea not null
);
create index dead_letters_by_code on dead_letters (code, received_at);

-- Changes that every gateway must see within a second. The counter's row lock makes revisions commit in order, so
-- "revision > the last one seen" never misses a change.
create table registry_revision (
    n int8 not null
);
insert into registry_revision values (0);
create index credentials_by_revision on credentials (revision);
create index devices_by_revision on devices (revision) where revision > 0;

create function bump_registry_revision() returns trigger language plpgsql as $$
begin
    update registry_revision set n = n + 1 returning n into new.revision;
    return new;
end $$;

create trigger credentials_revision before insert or update on credentials
    for each row execute function bump_registry_revision();
create trigger devices_revision before update on devices
    for each row execute function bump_registry_revision();

create function bump_on_declared_ints() returns trigger language plpgsql as $$
begin
    update registry_revision set n = n + 1;
    return null;
end $$;

create trigger declared_ints_revision after insert or delete on declared_ints
    for each statement execute function bump_on_declared_ints();

-- For people, Grafana and BI: one line per reading.
create view readings as
select m.time, d.name as device, x.name as metric, x.kind, v.value, null::int8 as int_value, null::text as text_value
from messages m
join devices d on d.id = m.device_id
join shapes s on s.id = m.shape_id
cross join lateral unnest(s.value_metrics, m.values) as v (metric_id, value)
join metrics x on x.id = v.metric_id
union all
select m.time, d.name, x.name, x.kind, null, v.value, null
from messages m
join devices d on d.id = m.device_id
join shapes s on s.id = m.shape_id
cross join lateral unnest(s.int_metrics, m.ints) as v (metric_id, value)
join metrics x on x.id = v.metric_id
union all
select m.time, d.name, x.name, x.kind, null, null, v.value
from messages m
join devices d on d.id = m.device_id
join shapes s on s.id = m.shape_id
cross join lateral unnest(s.text_metrics, m.texts) as v (metric_id, value)
join metrics x on x.id = v.metric_id;
