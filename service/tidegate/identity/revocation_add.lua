-- Add an entry to the list of revoked tokens. KEYS: sequence, entries, epoch. ARGV: the entry, its end (0 for none), now,
-- how many there may be, what no other addition has. Gives 0 when the list is full.
for _, entry in ipairs(redis.call('HKEYS', KEYS[2])) do
  local ends = tonumber(redis.call('HGET', KEYS[2], entry))
  if ends > 0 and ends <= tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[2], entry)
  end
end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('SET', KEYS[3], ARGV[5])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('INCR', KEYS[1])
return 1
