-- Whose dead letters are: a registered device has a share of their bytes of its own, and everybody else one together.
alter table dead_letters add column owner text collate "C" not null default '';
comment on column dead_letters.owner is
    'The device whose share of dead_letters.max_bytes this is; empty: of all that were no registered device''s.';
update dead_letters l set owner = d.name from devices d where d.name = l.device;
create index dead_letters_by_owner on dead_letters (owner, last_at, id);

create table dead_letter_owners (
    owner text collate "C" primary key,
    letters int8 not null,
    bytes int8 not null
);
comment on table dead_letter_owners is
    'How much of dead_letters is whose: kept by the gateway with each letter, and counted anew every ten minutes.';
insert into dead_letter_owners
select owner, count(*), sum(octet_length(payload) + octet_length(detail) + 200) from dead_letters group by owner;
