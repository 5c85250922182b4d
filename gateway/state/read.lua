-- Everything that is known of many devices, and the mark that tells whether it can be believed.
-- KEYS[1] prefix of the device hashes, KEYS[2] the marker; ARGV the devices' names
-- Returns the marker ('' if there is none) and for each device its fields and values, one after the other; the field 'w'
-- tells whether that is all: see newest_wins.lua.
-- One command costs the client a tenth of a thousand in a pipeline.
local found = {redis.call('GET', KEYS[2]) or ''}
for i, device in ipairs(ARGV) do
    local held = redis.pcall('HGETALL', KEYS[1] .. device)
    found[i + 1] = held.err and {} or held -- WRONGTYPE: somebody else's key, which holds nothing
end
return found
