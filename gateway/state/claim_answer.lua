-- Return the answer that is kept under a key; else claim it, unless somebody has.
-- KEYS[1] the claim; KEYS[2] the answers of the credential
-- ARGV[1] the key; ARGV[2] the claim's value; ARGV[3] seconds that a claim stands
-- Returns the time (seconds, microseconds), 1 if it is claimed now, and what is there.
local time = redis.call('TIME')
local kept = redis.call('HGET', KEYS[2], ARGV[1])
if kept and struct.unpack('>I4', kept) > tonumber(time[1]) then
    return {time[1], time[2], 0, string.sub(kept, 5)}
end
if redis.call('SET', KEYS[1], ARGV[2], 'NX', 'EX', ARGV[3]) then
    return {time[1], time[2], 1, ''}
end
return {time[1], time[2], 0, redis.call('GET', KEYS[1])}
