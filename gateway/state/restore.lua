-- Fill devices from the database, and mark them as whole: those of which nothing was lost since they were claimed.
-- KEYS[1] prefix of the device hashes; ARGV for each device its name, its claim (see claim.lua), and its messages one after
-- the other, big-endian: 4 bytes field; u32 length, packed message. What is there wins unless it is older.
-- Returns how many devices are whole now.
local whole = 0
for i = 1, #ARGV, 3 do
    local key, blob = KEYS[1] .. ARGV[i], ARGV[i + 2]
    if redis.pcall('HGET', key, 'w') == ARGV[i + 1] then
        local pos, stop = 1, #blob
        while pos <= stop do
            local field, packed
            field, packed, pos = struct.unpack('>c4I4c0', blob, pos)
            local current = redis.call('HGET', key, field)
            local there = current and #current >= 8 and struct.unpack('>d', current)
            if (not there) or there < struct.unpack('>d', packed) then
                redis.call('HSET', key, field, packed)
            end
        end
        redis.call('HSET', key, 'w', redis.call('HLEN', key) - 1)
        whole = whole + 1
    end
end
return whole
