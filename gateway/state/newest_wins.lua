-- Keep each message unless a newer one is there. One call per committed batch.
-- KEYS[1] prefix of the device hashes
-- ARGV[1] messages one after the other, big-endian: u8 length, device name; 4 bytes field; u32 length, packed message.
--         A packed message starts with its time, a double of microseconds: exact up to 2^53, the year 2255.
-- ARGV[2] '1': of equal times the message given wins (the later commit); '0': the one that is there (a rebuild)
local prefix, blob, later = KEYS[1], ARGV[1], ARGV[2] == '1'
local pos, stop, kept = 1, #ARGV[1], 0
while pos <= stop do
    local device, field, packed
    device, field, packed, pos = struct.unpack('>Bc0c4I4c0', blob, pos)
    local key = prefix .. device
    local current = redis.pcall('HGET', key, field)
    if type(current) == 'table' then -- WRONGTYPE: somebody else's key under our prefix would be in the way for ever
        redis.call('DEL', key)
        current = false
    end
    local there = current and #current >= 8 and struct.unpack('>d', current)
    local given = struct.unpack('>d', packed)
    if (not there) or there < given or (later and there == given) then
        redis.call('HSET', key, field, packed)
        kept = kept + 1
    end
end
return kept
