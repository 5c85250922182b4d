-- KEYS: when each site was last used. ARGV: the site in use, seconds after which another one is given up.
-- Gives a site of the same installation that nobody has used for so long, or nothing.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
local installation = string.match(ARGV[1], '^[^.]*')
for _, site in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))) do
    if site ~= ARGV[1] and string.match(site, '^[^.]*') == installation then
        return site
    end
end
return false
