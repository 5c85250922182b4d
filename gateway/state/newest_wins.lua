-- Keep each message unless a newer one is there. One call per committed batch. While somebody watches, log the batch.
-- KEYS[1] prefix of the device hashes; KEYS[2] the watch (see watch.lua); KEYS[3] the log of changes, a stream
-- ARGV[1] messages one after the other, big-endian: u8 length, device name; 4 bytes field; u32 length, packed message.
--         A packed message starts with its time, a double of microseconds: exact up to 2^53, the year 2255.
-- ARGV[2] '1': of equal times the message given wins (the later commit), and the batch is a change to log;
--         '0': the one that is there wins (a rebuild), and nothing is logged
local prefix, blob, later = KEYS[1], ARGV[1], ARGV[2] == '1'
local watch = later and redis.pcall(
    'HMGET', KEYS[2], 'epoch', 'offset', 'mark_ms', 'mark_offset', 'window_ms', 'max_bytes', 'turn') or {}
local epoch = watch[1]

-- The id of an entry is its end in bytes since the epoch began, and the time. So entries whose ends and lengths do not
-- meet show a gap, and how much is kept is the difference of two ids.
local function log(changes)
    local time = redis.call('TIME')
    local now, offset = time[1] * 1000 + math.floor(time[2] / 1000), watch[2] + #changes
    local id = string.format('%.0f-%.0f', offset, now)
    local added = redis.pcall('XADD', KEYS[3], id, epoch .. 'z' .. watch[7], changes)
    if type(added) == 'table' and added.err then -- somebody else's key, or no memory: then this epoch has a gap
        redis.call('DEL', KEYS[2], KEYS[3])
        return
    end
    local gone = offset - watch[6]
    if now - watch[3] >= tonumber(watch[5]) then -- what was there at the mark is older than the window now
        gone = math.max(gone, tonumber(watch[4]))
        redis.call('HSET', KEYS[2], 'mark_ms', now, 'mark_offset', string.format('%.0f', offset))
    end
    redis.call('HSET', KEYS[2], 'offset', string.format('%.0f', offset))
    if gone > 0 then
        redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', gone + 1))
    end
    redis.call('PEXPIRE', KEYS[3], redis.call('PTTL', KEYS[2]))
end

local pos, stop, kept = 1, #blob, 0
local fresh, from = {}, 1 -- the changes: all but messages that repeat what is there
while pos <= stop do
    local start, device, field, packed = pos
    device, field, packed, pos = struct.unpack('>Bc0c4I4c0', blob, pos)
    local key = prefix .. device
    local current = redis.pcall('HGET', key, field)
    if type(current) == 'table' then -- WRONGTYPE: somebody else's key under our prefix would be in the way for ever
        redis.call('DEL', key)
        current = false
    end
    if epoch and current == packed then
        fresh[#fresh + 1] = string.sub(blob, from, start - 1)
        from = pos
    end
    local there = current and #current >= 8 and struct.unpack('>d', current)
    local given = struct.unpack('>d', packed)
    if (not there) or there < given or (later and there == given) then
        redis.call('HSET', key, field, packed)
        kept = kept + 1
    end
end
if epoch then
    fresh[#fresh + 1] = string.sub(blob, from)
    local changes = from == 1 and blob or table.concat(fresh)
    if #changes > 0 then
        log(changes)
    end
end
return kept
