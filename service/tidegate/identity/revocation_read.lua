-- The list of revoked tokens, if it is not the one that somebody has. KEYS: sequence, entries, epoch. ARGV: the name of
-- that one. Gives the name of this one, and its entries where it is another.
local name = (redis.call('GET', KEYS[3]) or '') .. '/' .. (redis.call('GET', KEYS[1]) or '0')
local found = { name }
if name ~= ARGV[1] then
  for _, entry in ipairs(redis.call('HKEYS', KEYS[2])) do
    found[#found + 1] = entry
  end
end
return found
