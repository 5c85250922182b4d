-- KEYS: marks of clusters, ends of their logs. ARGV: a cluster, its mark, the end of its log at this mark.
-- Keeps what is higher; gives the mark that is kept, and the end of the log at that one.
if ARGV[2] ~= '0' then
    redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
    redis.call('ZADD', KEYS[2], 'GT', ARGV[3], ARGV[1] .. '/' .. ARGV[2])
end
local mark = redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0'
return {mark, redis.call('ZSCORE', KEYS[2], ARGV[1] .. '/' .. mark) or '0'}
