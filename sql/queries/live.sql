-- What the stream of changes asks.

-- name: tagged_device_names
-- The first $3 devices by name that have all tags $1 with these values, and all tags $2 with any.
select name
from devices
where tags @> $1::text::jsonb and tags ?& $2::text[]
order by name
limit $3;
