-- Let a claim run out later, unless the key belongs to somebody else by now.
-- KEYS[1] the claim; ARGV[1] its value, ARGV[2] seconds that it stands
-- A claim that has run out and was taken by nobody is still the caller's.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
