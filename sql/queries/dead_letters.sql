-- What was refused and is kept.

-- Dead letters

-- name: dead_letter_size
-- 200: about what a row takes besides its payload and its words. The lengths are known without reading the payloads.
octet_length(payload) + octet_length(detail) + 200

-- name: note_dead_letters
-- Adds "changed" (owner, letters, bytes) to the accounts, always in the same order, so that no two calls wait for each other.
insert into dead_letter_owners as held (owner, letters, bytes)
select owner, sum(letters)::int8, sum(bytes)::int8 from changed group by owner order by owner
on conflict (owner) do update set letters = held.letters + excluded.letters, bytes = held.bytes + excluded.bytes
returning owner, bytes

-- name: insert_dead_letters
-- The same item again raises its count and opens it anew. No fingerprint may stand twice in one call. Gives the bytes that
-- those owners have now who got more.
with put as (
    insert into dead_letters as kept (source, code, detail, device, payload, topic, fingerprint, count, owner)
    select * from unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::bytea[], $8::int8[], $9::text[])
    on conflict (fingerprint) do update
        set count = kept.count + excluded.count, last_at = now(), detail = excluded.detail, replayed_at = null
    returning owner, {dead_letter_size} as bytes, xmax = 0 as is_new
), changed as (
    select owner, 1 as letters, bytes from put where is_new
)
{note_dead_letters};

-- name: known_owners
select name from devices where name = any($1);

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
update dead_letters set replayed_at = now() where id = $1 and count = $2 and first_at = $3;

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
    delete from dead_letters d using chosen c where d.id = c.id returning owner, {dead_letter_size} as bytes
), changed as (
    select owner, -1 as letters, -bytes as bytes from gone
), noted as (
    {note_dead_letters}
)
select count(*) from gone;

-- name: purge_old_dead_letters
with chosen as (
    select id from dead_letters where last_at < now() - $1::interval order by last_at, id limit $2
), gone as (
    delete from dead_letters d using chosen c where d.id = c.id returning owner, {dead_letter_size} as bytes
), changed as (
    select owner, -1 as letters, -bytes as bytes from gone
), noted as (
    {note_dead_letters}
)
select count(*) from gone;

-- name: dead_letter_bytes
select coalesce(sum(bytes), 0)::int8 from dead_letter_owners;

-- name: heaviest_dead_letter_owner
select owner from dead_letter_owners order by bytes desc limit 1;

-- name: trim_dead_letters
-- Of one owner the oldest, as few as free $2 bytes. One that somebody else is at is passed over: to wait for it could be for ever.
with oldest as (
    select id, last_at, {dead_letter_size} as bytes
    from dead_letters
    where owner = $1
    order by last_at, id
    limit $3
    for update skip locked
), summed as (
    select id, bytes, sum(bytes) over (order by last_at, id) - bytes as before from oldest
), gone as (
    delete from dead_letters d using summed s where d.id = s.id and s.before < $2 returning owner, s.bytes
), changed as (
    select owner, -1 as letters, -bytes as bytes from gone
), noted as (
    {note_dead_letters}
)
select count(*) as letters, coalesce(sum(bytes), 0)::int8 as bytes from gone;

-- name: count_dead_letters_anew
-- The accounts as the letters say. What changes meanwhile may be missing until the next time.
with counted as (
    select owner, count(*) as letters, sum({dead_letter_size})::int8 as bytes from dead_letters group by owner
), gone as (
    delete from dead_letter_owners o where not exists (select from counted c where c.owner = o.owner)
)
insert into dead_letter_owners as held
select * from counted order by owner
on conflict (owner) do update set letters = excluded.letters, bytes = excluded.bytes
where (held.letters, held.bytes) is distinct from (excluded.letters, excluded.bytes);
