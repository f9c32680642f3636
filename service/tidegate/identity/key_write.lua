-- Write one key, if it is still what the writer saw. KEYS: sequence, changes, entries, marks. ARGV: id, what it saw ('' for
-- no key), what it shall be, a mark that no other change has, how many marks are kept. Gives the number of the change, 0
-- when somebody else was first.
local stands = redis.call('HGET', KEYS[3], ARGV[1]) or ''
if stands ~= ARGV[2] then
  return 0
end
local number = redis.call('INCR', KEYS[1])
redis.call('ZADD', KEYS[2], number, ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[4], number, ARGV[4])
redis.call('HDEL', KEYS[4], number - tonumber(ARGV[5]))
return number
