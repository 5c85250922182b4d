-- The kept answers of one site: put before each script that changes them.
-- Of each credential a hash (key -> answer) and the order in which they were kept (a list, oldest first: seconds when it
-- ends, bytes it counts for, key); of all of them the bytes of each credential and, under '', of all together, and when the
-- last answer of each ends. Any of these may be lost at any time (evicted, deleted): what is lost counts no more.
local function hash_of(names, owner) return names .. 'of:' .. owner end
local function order_of(names, owner) return names .. 'order:' .. owner end

local function count(shares, owner, bytes)
    redis.call('ZINCRBY', shares, bytes, owner)
    redis.call('ZINCRBY', shares, bytes, '')
end

-- Forget a credential whose order is gone, and with it what it says.
local function forget(names, shares, ends, owner)
    redis.call('UNLINK', hash_of(names, owner), order_of(names, owner))
    count(shares, owner, -(tonumber(redis.call('ZSCORE', shares, owner)) or 0))
    redis.call('ZREM', shares, owner)
    redis.call('ZREM', ends, owner)
end

-- Forget a credential's oldest answer.
local function drop(names, shares, ends, owner)
    local oldest = redis.call('LPOP', order_of(names, owner))
    if not oldest then
        return forget(names, shares, ends, owner)
    end
    local _, bytes, at = struct.unpack('>I4I4', oldest)
    redis.call('HDEL', hash_of(names, owner), string.sub(oldest, at))
    count(shares, owner, -bytes)
end

-- The credential that holds most, and the bytes of all together.
local function most(shares)
    local found = redis.call('ZREVRANGE', shares, 0, 1, 'WITHSCORES')
    local all = tonumber(redis.call('ZSCORE', shares, '')) or 0
    local owner = found[1] ~= '' and found[1] or found[3]
    return owner, all
end
