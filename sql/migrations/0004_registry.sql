-- Devices found by their tags, removals that every gateway hears of, and who did what.

-- The default operator class, not jsonb_path_ops: that one cannot tell whether a key exists (?).
create index devices_by_tags on devices using gin (tags);

-- The counter moves once a statement, not once a row: an import changes thousands of devices at once. Whoever changes the
-- registry locks the counter before anything else, so that no two of them can wait for each other.
drop trigger credentials_revision on credentials;
drop trigger devices_revision on devices;
drop function bump_registry_revision();
alter function bump_on_declared_ints() rename to bump_registry_revision;

create function take_registry_revision() returns trigger language plpgsql as $$
begin
    select n into strict new.revision from registry_revision;
    return new;
end $$;

create trigger credentials_bump before insert or update or delete on credentials
    for each statement execute function bump_registry_revision();
create trigger credentials_revision before insert or update on credentials
    for each row execute function take_registry_revision();
create trigger devices_bump before update or delete on devices
    for each statement execute function bump_registry_revision();
create trigger devices_revision before update on devices
    for each row execute function take_registry_revision();

create table removed_devices (
    id int4 primary key,
    name text collate "C" not null,
    revision int8 not null,
    removed_at timestamptz not null default now(),
    passes int2 not null default 0
);
comment on table removed_devices is 'Devices that are gone: for gateways that remember them, and until nothing of them is left.';
comment on column removed_devices.passes is
    'How often its messages and its state were removed. Later passes are for what was being written meanwhile.';
create index removed_devices_by_revision on removed_devices (revision);
create index removed_devices_due on removed_devices (removed_at) where passes < 3;

create table removed_credentials (
    digest bytea primary key,
    revision int8 not null,
    removed_at timestamptz not null default now()
);
create index removed_credentials_by_revision on removed_credentials (revision);

create function note_removed_device() returns trigger language plpgsql as $$
begin
    insert into removed_devices (id, name, revision) select old.id, old.name, n from registry_revision;
    return old;
end $$;
create function note_removed_credential() returns trigger language plpgsql as $$
begin
    insert into removed_credentials (digest, revision) select old.digest, n from registry_revision;
    return old;
end $$;
create trigger devices_removed before delete on devices for each row execute function note_removed_device();
create trigger credentials_removed before delete on credentials for each row execute function note_removed_credential();

create table audit (
    id int8 generated always as identity primary key,
    at timestamptz not null default now(),
    actor text not null,
    action text not null,
    target text not null,
    detail jsonb not null default '{}'
);
comment on table audit is 'One row for each act of an admin, written in the transaction of the act.';
create index audit_by_actor on audit (actor, id);
create index audit_by_age on audit (at);
