-- What was refused and is kept.

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
    delete from dead_letters d using chosen c where d.id = c.id returning 1
)
select count(*) from gone;

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
