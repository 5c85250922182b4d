-- The newest state, where the state store cannot be asked or must be filled. A series is a shape of a device: for each
-- one step into "messages_key", on a hypertable chunk by chunk from the newest. {within} bounds the times where there are
-- too many chunks for one statement; a series without messages there has no time, and is looked for in an earlier window.

-- name: newest_message
left join lateral (
    select (extract(epoch from x.time) * 1000000)::int8 as time_us, x.values, x.ints, x.texts
    from messages x
    where x.device_id = ds.device_id and x.shape_id = ds.shape_id {within}
    order by x.time desc
    limit 1
) m on true

-- name: newest_of_devices
select ds.device_id, ds.shape_id, d.name, m.time_us, m.values, m.ints, m.texts
from devices d
join device_shapes ds on ds.device_id = d.id
{newest_message}
where d.name = any ($1::text[]);

-- name: newest_of_series
-- Of pairs of a device $1 and a shape $2.
select ds.device_id, ds.shape_id, d.name, m.time_us, m.values, m.ints, m.texts
from unnest($1::int4[], $2::int4[]) as ds (device_id, shape_id)
join devices d on d.id = ds.device_id
{newest_message};

-- name: count_series
select count(*) from device_shapes;

-- name: devices_after
-- The devices of the $2 series after device $1, and how many of these each has: of the last one perhaps not all.
select ds.device_id, d.name, count(*)::int4 as series
from (
    select device_id from device_shapes
    where device_id > $1::int4
    order by device_id
    limit $2
) ds
join devices d on d.id = ds.device_id
group by ds.device_id, d.name
order by ds.device_id;
