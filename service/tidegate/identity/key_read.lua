-- The keys that changed after a number, in the order of their last change, at most a page of them. KEYS: sequence,
-- changes, entries. ARGV: the number, the length of a page. Gives the newest number, then number, id and entry of each.
local newest = tonumber(redis.call('GET', KEYS[1]) or '0')
local after = tonumber(ARGV[1])
local found = { newest }
if newest <= after then
  return found
end
local page = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for at = 1, #page, 2 do
  found[#found + 1] = tonumber(page[at + 1])
  found[#found + 1] = page[at]
  found[#found + 1] = redis.call('HGET', KEYS[3], page[at])
end
return found
