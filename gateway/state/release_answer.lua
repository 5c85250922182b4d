-- Give up a claim, or an answer, if it is still the one that is meant.
-- KEYS[1] the claim; KEYS[2] bytes by credential; KEYS[3] ends by credential
-- ARGV[1] the value that is meant; ARGV[2] the key; ARGV[3] the credential; ARGV[4] how the names of answers begin
local hash, order = hash_of(ARGV[4], ARGV[3]), order_of(ARGV[4], ARGV[3])
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
local kept = redis.call('HGET', hash, ARGV[2])
if not kept or string.sub(kept, 5) ~= ARGV[1] then
    return 0
end
redis.call('HDEL', hash, ARGV[2])
for _, each in ipairs(redis.call('LRANGE', order, 0, -1)) do
    local _, bytes, at = struct.unpack('>I4I4', each)
    if string.sub(each, at) == ARGV[2] then
        redis.call('LREM', order, 1, each)
        count(KEYS[2], ARGV[3], -bytes)
    end
end
return 1
