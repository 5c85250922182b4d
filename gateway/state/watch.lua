-- Have committed batches logged from now on, and for a while after the last call. One call a second and gateway.
-- KEYS[1] the watch: the epoch and its turn (it grows when changes may be missing, see mark_incomplete.lua), its end in bytes, a
--         mark (a time, and the end at that time), and the bounds of the log
-- KEYS[2] the log of changes
-- ARGV[1] milliseconds that the log reaches back at least; ARGV[2] its bytes at most (the log's); ARGV[3] milliseconds a watch lasts;
-- ARGV[4] one of so many parts of maxmemory is for the log at most
-- Returns the epoch with its turn, its end in bytes, the time in milliseconds.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or 'unknown0'
local server = string.sub(run, 1, 12)
local epoch = redis.pcall('HGET', KEYS[1], 'epoch')
-- An epoch of another server is over: this one is a replica or has loaded a file, and may not have got all.
if type(epoch) ~= 'string' or string.sub(epoch, 1, #server) ~= server then
    epoch = server .. string.format('%.0f', time[1] * 1000000 + time[2])
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', 0, 'mark_ms', now, 'mark_offset', 0, 'turn', 0)
end
local maxmemory = tonumber(string.match(redis.call('INFO', 'memory'), 'maxmemory:(%d+)') or '0')
local max_bytes = tonumber(ARGV[2])
if maxmemory > 0 then
    max_bytes = math.min(max_bytes, math.floor(maxmemory / tonumber(ARGV[4])))
end
redis.call('HSET', KEYS[1], 'window_ms', ARGV[1], 'max_bytes', string.format('%.0f', max_bytes))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'turn', 'offset')
return {epoch .. 'z' .. found[1], found[2], now}
