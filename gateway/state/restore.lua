-- Fill devices from the database, and mark them as whole: those of which nothing was lost since they were claimed.
-- KEYS[1] prefix of the device hashes; ARGV[1] bytes that one device may take (see device_size.lua); for each device its name, its claim (see claim.lua), and its messages one after
-- the other, big-endian: 4 bytes field; u32 length, packed message. What is there wins unless it is older.
-- Returns how many devices are whole now.
local whole, most = 0, tonumber(ARGV[1])
for i = 2, #ARGV, 3 do
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
        if #blob > LARGE and size_of(key) > most then
            leave_out(key)
        else
            redis.call('HSET', key, 'w', redis.call('HLEN', key) - 1)
            redis.call('PERSIST', key) -- it may have been one that took too much
            whole = whole + 1
        end
    end
end
return whole
