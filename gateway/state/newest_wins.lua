-- Keep each message unless a newer one is there. One call per committed batch. While somebody watches, log the batch.
-- KEYS[1] prefix of the device hashes; KEYS[2] the watch (see watch.lua); KEYS[3] the log of changes, a stream
-- ARGV[1] messages one after the other, big-endian: u8 length, device name; 4 bytes field; u32 length, packed message.
--         A packed message starts with its time, a double of microseconds: exact up to 2^53, the year 2255.
-- ARGV[2] '1': of equal times the message given wins (the later commit); '0': the one that is there
-- ARGV[3] '1': they are only in a spool: what the database answers meanwhile lacks them, and a reader may begin with that,
--         so their publication when they are stored is no repeat (see codec.py, UNSTORED); '0': they are stored
-- ARGV[4] bytes that one device may take (see device_size.lua)
-- Returns how many messages were left out for that, and the devices of which only this is known: their key was not there. A key that is whole says so in its field 'w':
-- how many messages it has. One that was lost (evicted, deleted) and made anew does not, until it is filled: claim.lua.
local prefix, blob, later, ending = KEYS[1], ARGV[1], ARGV[2] == '1', ARGV[3] == '1' and '\0' or ''
local watch = redis.pcall(
    'HMGET', KEYS[2], 'epoch', 'offset', 'mark_ms', 'mark_offset', 'window_ms', 'max_bytes', 'turn')
local epoch, most, left_out = watch[1], tonumber(ARGV[4]), 0

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

-- Whether a message is to be kept: not of a device that takes too much.
local function fits(key, before, packed)
    if #packed > LARGE and size_of(key) - before + #packed > most then
        leave_out(key)
        left_out = left_out + 1
        return false
    end
    replaced(key, before, #packed)
    return true
end

-- Add a message of a shape that the device has none of. Returns whether nothing else is known of the device.
local function add(key, field, packed)
    local mark = redis.call('HGET', key, 'w')
    if mark == 'large' then
        left_out = left_out + 1
        return false
    end
    if not fits(key, 0, packed) then
        return false
    end
    redis.call('HSET', key, field, packed)
    if mark and tonumber(mark) then
        redis.call('HINCRBY', key, 'w', 1)
    end
    return not mark
end

local pos, stop, part, told = 1, #blob, {}, {}
local fresh, from = {}, 1 -- the changes: all but messages that repeat what is there, or give way to it
while pos <= stop do
    local start, device, field, packed = pos
    device, field, packed, pos = struct.unpack('>Bc0c4I4c0', blob, pos)
    local key = prefix .. device
    local current = redis.pcall('HGET', key, field)
    if type(current) == 'table' then -- WRONGTYPE: somebody else's key under our prefix would be in the way for ever
        redis.call('DEL', key)
        current = false
    end
    local there = current and #current >= 8 and struct.unpack('>d', current)
    local given = struct.unpack('>d', packed)
    if epoch and (current == packed or (there == given and not later)) then
        fresh[#fresh + 1] = string.sub(blob, from, start - 1)
        from = pos
    end
    if not current then
        if add(key, field, packed .. ending) and not told[device] then
            told[device] = true
            part[#part + 1] = device
        end
    elseif (not there) or there < given or (later and there == given) then
        if fits(key, #current, packed) then
            redis.call('HSET', key, field, packed .. ending)
        end
    end
end
if epoch then
    fresh[#fresh + 1] = string.sub(blob, from)
    local changes = from == 1 and blob or table.concat(fresh)
    if #changes > 0 then
        log(changes)
    end
end
return {left_out, part}
