-- The keys that changed after a number, in the order of their last change, at most a page of them. KEYS: sequence,
-- changes, entries, marks. ARGV: the number, the length of a page, the mark of that change. Gives the newest number, the
-- mark of the last one given, then number, id and entry of each; -1 alone where the change of that number was another.
local newest = tonumber(redis.call('GET', KEYS[1]) or '0')
local after = tonumber(ARGV[1])
if after > 0 and (redis.call('HGET', KEYS[4], after) or '') ~= ARGV[3] then
  return { -1 }
end
local found = { newest, '' }
if newest > after then
  local page = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
  for at = 1, #page, 2 do
    found[#found + 1] = tonumber(page[at + 1])
    found[#found + 1] = page[at]
    found[#found + 1] = redis.call('HGET', KEYS[3], page[at])
  end
end
found[2] = redis.call('HGET', KEYS[4], #found > 2 and found[#found - 2] or newest) or ''
return found
