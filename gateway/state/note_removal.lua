-- Note when a device was removed, once for each device: later passes of its removal must not count as later removals.
-- KEYS[1] the mark of its name; ARGV[1] its id, which is never used again; ARGV[2] seconds the mark is kept
local noted = redis.call('GET', KEYS[1])
if noted and tonumber(string.match(noted, '^%d+') or 0) >= tonumber(ARGV[1]) then
    return 0
end
local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%s %.0f', ARGV[1], time[1] * 1000000 + time[2]), 'EX', ARGV[2])
return 1
