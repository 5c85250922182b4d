-- The fleet as a whole.

-- name: census
-- How many devices are registered, and how many of them are enabled.
select count(*) as total, count(*) filter (where enabled) as enabled from devices;

-- name: plan_anew
-- The plan hangs on the time: only chunks that hold what is newer are to be looked at, and locked.
set local plan_cache_mode = force_custom_plan;

-- name: count_silent
-- How many enabled devices have no message after $1: for each series one step into "messages_key", in the newest chunks.
select count(*)
from devices d
where d.enabled and not exists (
    select
    from device_shapes ds
    cross join lateral (
        select from messages x
        where x.device_id = ds.device_id and x.shape_id = ds.shape_id and x.time >= $1
        limit 1
    ) m
    where ds.device_id = d.id
);
