-- Put a value in the place of a claim, unless the key belongs to somebody else by now.
-- KEYS[1] the key; ARGV[1] the claim, ARGV[2] the value, ARGV[3] seconds it is kept
-- Returns 1 if it is there now. A claim that has run out and was taken by nobody is still the caller's.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
