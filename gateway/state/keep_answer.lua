-- Keep an answer in the place of a claim, within the bytes of its credential and of all: the credential's own oldest give
-- way to it, and beyond the bytes of all the oldest of whoever holds most.
-- KEYS[1] the claim; KEYS[2] bytes by credential; KEYS[3] ends by credential
-- ARGV[1] the claim's value; ARGV[2] the key; ARGV[3] the answer; ARGV[4] the credential; ARGV[5] seconds it is kept;
-- ARGV[6] bytes of one credential, ARGV[7] of all; ARGV[8] how the names of answers begin; ARGV[9] bytes of an entry beside
-- its key and answer
-- Returns how many gave way: of the credential's own, of whoever held most. Without effect if the key is somebody else's.
local shares, ends, owner, names = KEYS[2], KEYS[3], ARGV[4], ARGV[8]
local hash, order = hash_of(names, owner), order_of(names, owner)
local held = redis.call('GET', KEYS[1])
local now = tonumber(redis.call('TIME')[1])
local there = redis.call('HGET', hash, ARGV[2])
if (held and held ~= ARGV[1]) or (there and struct.unpack('>I4', there) > now) then
    return {0, 0}
end
-- First of all something that Redis refuses when its memory is full: what is kept here must not take it from the state.
redis.call('SET', KEYS[1], ARGV[1], 'EX', 1)
local gone = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 2)
for _, each in ipairs(gone) do
    forget(names, shares, ends, each)
end
if redis.call('EXISTS', order) == 0 or not redis.call('ZSCORE', shares, owner) then
    forget(names, shares, ends, owner) -- a part of it was lost: it begins anew
end
local bytes = #ARGV[2] + #ARGV[3] + tonumber(ARGV[9])
local own, others, steps = 0, 0, 1000 -- more of them, after a bound was lowered, would hold the server up
local function oldest_ends()
    local oldest = redis.call('LINDEX', order, 0)
    return oldest and struct.unpack('>I4', oldest)
end
while own < steps and (oldest_ends() or now + 1) <= now do
    drop(names, shares, ends, owner)
    steps = steps - 1
end
while own < steps and (tonumber(redis.call('ZSCORE', shares, owner)) or 0) + bytes > tonumber(ARGV[6]) and oldest_ends() do
    drop(names, shares, ends, owner)
    own = own + 1
end
local heaviest, all = most(shares)
while heaviest and others < steps and all + bytes > tonumber(ARGV[7]) do
    drop(names, shares, ends, heaviest)
    others = others + 1
    heaviest, all = most(shares)
end
local until_secs = now + tonumber(ARGV[5])
redis.call('HSET', hash, ARGV[2], struct.pack('>I4', until_secs) .. ARGV[3])
redis.call('RPUSH', order, struct.pack('>I4I4', until_secs, bytes) .. ARGV[2])
count(shares, owner, bytes)
redis.call('ZADD', ends, until_secs, owner)
for _, name in ipairs({hash, order, shares, ends}) do
    redis.call('EXPIRE', name, ARGV[5])
end
redis.call('DEL', KEYS[1])
return {own, others}
