-- One step of a rebuild; there is one at a time, and it counts only if nothing was lost from its beginning to its end.
-- KEYS[1] marker, KEYS[2] the rebuild under way
-- ARGV[1] begin, go on, finish or leave; ARGV[2] who rebuilds; ARGV[3] done; ARGV[4] in all;
-- ARGV[5] milliseconds until it counts as given up; ARGV[6] the server's run id when it began
-- Returns 1 if the step was taken, 0 if this rebuild is not, or no longer, the one.
local step, who = ARGV[1], ARGV[2]
if step == 'begin' then
    redis.call('HSETNX', KEYS[2], 'who', who)
end
if redis.call('HGET', KEYS[2], 'who') ~= who then
    return 0
end
if step == 'begin' or step == 'go on' then
    redis.call('HSET', KEYS[2], 'done', ARGV[3], 'total', ARGV[4])
    redis.call('PEXPIRE', KEYS[2], ARGV[5])
    return 1
end
redis.call('DEL', KEYS[2])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or 'unknown'
if step == 'leave' or run ~= ARGV[6] then
    return 0
end
redis.call('SET', KEYS[1], run)
return 1
