-- Declare that changes are missing: the state and a rebuild under way are not complete, the log of changes has a gap.
-- KEYS[1] marker, KEYS[2] the rebuild under way, KEYS[3] the watch of the log of changes
redis.call('DEL', KEYS[1], KEYS[2])
if redis.call('EXISTS', KEYS[3]) == 1 then
    redis.pcall('HINCRBY', KEYS[3], 'turn', 1)
end
return 1
