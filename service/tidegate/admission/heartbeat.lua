-- Counts live replicas by the server's clock. A call: KEYS[i] the sorted set; ARGV[3..]: name of the replica, and for how
-- many microseconds its beat counts, 0 to leave. Reply: { now, for each call how many replicas are live }.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local replies = {}
for i, key in ipairs(KEYS) do
  local name, lasts = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  if lasts > 0 then
    redis.call('ZADD', key, string.format('%.0f', now + lasts), name)
    redis.call('PEXPIRE', key, string.format('%.0f', lasts / 1000 + 1))
  else
    redis.call('ZREM', key, name)
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  replies[i] = redis.call('ZCARD', key)
end
return { now, replies }
