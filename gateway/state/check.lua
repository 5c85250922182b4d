-- Say that this gateway lives, and how complete the state is.
-- KEYS[1] marker, KEYS[2] the rebuild under way, KEYS[3] gateways by the time of their last call, and a witness,
-- KEYS[4] the watch of the log of changes, whose turn ends with a gateway that dies
-- ARGV[1] this gateway; ARGV[2] milliseconds after which a silent one counts as dead
-- Returns the server's run id, 1 if the state is complete, then what the rebuild has done and has to do (-1: none).
local time = redis.call('TIME')
local now, patience = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or 'unknown'
-- The witness is named after the history of writes that the server replicates. If it is missing then the list was lost
-- (evicted, deleted), and with it who died; or this server took over another one's data and was made the first again; or
-- a version before this one was here, which marks no device as whole.
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or 'unknown'
local function lose()
    redis.call('DEL', KEYS[1], KEYS[2])
    if redis.call('EXISTS', KEYS[4]) == 1 then
        redis.pcall('HINCRBY', KEYS[4], 'turn', 1)
    end
end
if not redis.call('ZSCORE', KEYS[3], '#' .. history) then
    lose()
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '+inf', '+inf')
    redis.call('ZADD', KEYS[3], '+inf', '#' .. history)
end
local seen = redis.call('ZSCORE', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
if seen and now - seen > patience then
    -- It was Redis that was away, or this gateway: nobody can be judged yet.
    for _, gateway in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
        if string.sub(gateway, 1, 1) ~= '#' then
            redis.call('ZADD', KEYS[3], now, gateway)
        end
    end
elseif seen and redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - patience) > 0 then
    lose() -- what a gateway that died had committed last may be missing here
end
local rebuild = redis.call('HMGET', KEYS[2], 'done', 'total')
-- A marker that another server wrote says nothing of what this one has got: it is a replica, or has loaded a file.
local marker = redis.call('GET', KEYS[1])
local complete = marker == run
if marker and not complete then
    redis.call('DEL', KEYS[1]) -- or it would be believed again where its server gets this one's data
end
return {run, complete and 1 or 0, tonumber(rebuild[1] or -1), tonumber(rebuild[2] or -1)}
