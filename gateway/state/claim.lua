-- Say that devices are about to be filled from the database. Only what is in a key from now on is still there later.
-- KEYS[1] prefix of the device hashes; ARGV[1] a claim nobody else has; ARGV[2] '1': forget what is there, else '0';
-- ARGV[3...] the devices' names
-- Returns for each device the claim to fill it with (see restore.lua); '' if it is whole, or not to be filled.
local found = {}
for i = 3, #ARGV do
    local key = KEYS[1] .. ARGV[i]
    if ARGV[2] == '1' then
        redis.call('DEL', key)
    end
    local mark = redis.pcall('HGET', key, 'w')
    if type(mark) == 'table' then -- WRONGTYPE: somebody else's key
        redis.call('DEL', key)
        mark = false
    end
    if mark and string.sub(mark, 1, 1) == 'c' then
        found[i - 2] = mark -- an earlier claim serves as well: the key has been there ever since
    elseif mark == 'large' then
        found[i - 2] = '' -- it takes too much to be filled: see device_size.lua
    elseif mark and tonumber(mark) == redis.call('HLEN', key) - 1 then
        found[i - 2] = ''
    else
        redis.call('HSET', key, 'w', ARGV[1])
        found[i - 2] = ARGV[1]
    end
end
return found
