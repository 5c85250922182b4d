-- Dead letters that come again are counted in one row, can be found, replayed, and are removed by age and bytes.
alter table dead_letters rename column received_at to first_at;
alter table dead_letters
    add column last_at timestamptz not null default now(),
    add column count int8 not null default 1,
    add column replayed_at timestamptz,
    -- The default is for a gateway of the version before, which may still be running: its letters are never folded.
    add column fingerprint bytea not null default uuid_send(gen_random_uuid());
update dead_letters set last_at = first_at;
comment on column dead_letters.fingerprint is 'SHA-256 over source, code, device, topic and payload: the same again is counted, not kept twice.';
comment on column dead_letters.replayed_at is 'When a replay was accepted whole; empty again when the same item is refused once more.';

drop index dead_letters_by_code;
create unique index dead_letters_by_fingerprint on dead_letters (fingerprint);
create index dead_letters_by_code on dead_letters (code, id);
-- A hash has no limit of length: a topic may name a "device" of thousands of bytes, and its letter must be kept.
create index dead_letters_by_device on dead_letters using hash (device);
create index dead_letters_by_age on dead_letters (last_at, id);
