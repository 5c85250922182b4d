-- The fleet as a whole.

-- name: census
-- How many devices are registered, and how many of them are enabled.
select count(*) as total, count(*) filter (where enabled) as enabled from devices;
