-- The newest state, where the state store cannot be asked or must be filled. A series is a shape of a device: for each
-- one step into "messages_key", on a hypertable chunk by chunk from the newest.

-- name: newest_of_devices
select d.name, ds.shape_id, m.time_us, m.values, m.ints, m.texts
from devices d
join device_shapes ds on ds.device_id = d.id
cross join lateral (
    select (extract(epoch from x.time) * 1000000)::int8 as time_us, x.values, x.ints, x.texts
    from messages x
    where x.device_id = ds.device_id and x.shape_id = ds.shape_id
    order by x.time desc
    limit 1
) m
where d.name = any ($1::text[]);

-- name: count_series
select count(*) from device_shapes;

-- name: newest_after
-- A page of series after (device $1, shape $2), in that order; one without messages has no time.
select ds.device_id, ds.shape_id, d.name, m.time_us, m.values, m.ints, m.texts
from (
    select device_id, shape_id from device_shapes
    where (device_id, shape_id) > ($1::int4, $2::int4)
    order by device_id, shape_id
    limit $3
) ds
join devices d on d.id = ds.device_id
left join lateral (
    select (extract(epoch from x.time) * 1000000)::int8 as time_us, x.values, x.ints, x.texts
    from messages x
    where x.device_id = ds.device_id and x.shape_id = ds.shape_id
    order by x.time desc
    limit 1
) m on true
order by ds.device_id, ds.shape_id;
