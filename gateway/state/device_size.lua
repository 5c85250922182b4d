-- How much one device may take in Redis: put before the scripts that fill the hashes of devices.
-- A device with more is not kept: its hash says so for a while, and the database tells its newest values. Only messages
-- that are large are looked at, since a device has a bounded number of shapes.
local LARGE, LARGE_SECS = 4096, 600
local sizes = {}

local function size_of(key)
    if not sizes[key] then
        local bytes = 0
        for _, field in ipairs(redis.call('HKEYS', key)) do
            bytes = bytes + redis.call('HSTRLEN', key, field)
        end
        sizes[key] = bytes
    end
    return sizes[key]
end

-- Say that so many bytes come in the place of so many.
local function replaced(key, before, after)
    if sizes[key] then
        sizes[key] = sizes[key] - before + after
    end
end

local function leave_out(key)
    redis.call('DEL', key)
    redis.call('HSET', key, 'w', 'large')
    redis.call('EXPIRE', key, LARGE_SECS)
    sizes[key] = nil
end
