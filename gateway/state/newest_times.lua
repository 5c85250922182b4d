-- The time of the newest message of each of many devices, and the mark that tells whether it can be believed.
-- KEYS[1] prefix of the device hashes, KEYS[2] the marker; ARGV the devices' names
-- Returns the marker ('' if there is none) and a time in microseconds for each device (-1: nothing is known of it).
local found = {redis.call('GET', KEYS[2]) or ''}
for i, device in ipairs(ARGV) do
    local newest = -1
    local packed = redis.pcall('HVALS', KEYS[1] .. device)
    for _, message in ipairs(packed.err and {} or packed) do -- WRONGTYPE: somebody else's key, which holds nothing
        local time = #message >= 8 and struct.unpack('>d', message) or -1
        if time > newest then
            newest = time
        end
    end
    found[i + 1] = newest
end
return found
