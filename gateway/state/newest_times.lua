-- The time of the newest message of each of many devices, and the mark that tells whether it can be believed.
-- KEYS[1] prefix of the device hashes, KEYS[2] the marker; ARGV the devices' names
-- Returns the marker ('' if there is none) and a time in microseconds for each device (-1: nothing is known of it, or only
-- a part: see newest_wins.lua).
local found = {redis.call('GET', KEYS[2]) or ''}
for i, device in ipairs(ARGV) do
    local newest, mark = -1, nil
    local held = redis.pcall('HGETALL', KEYS[1] .. device)
    if held.err then -- WRONGTYPE: somebody else's key, which holds nothing
        held = {}
    end
    for n = 1, #held, 2 do
        local message = held[n + 1]
        if held[n] == 'w' then
            mark = tonumber(message)
        elseif #message >= 8 then
            newest = math.max(newest, (struct.unpack('>d', message)))
        end
    end
    found[i + 1] = mark == #held / 2 - 1 and newest or -1
end
return found
