-- What reservations hold. KEYS: the keys of reservations, of one slot. Reply: for each of them, key and cost of a charge
-- one after the other; nothing when it is gone.

local reply = {}
for i, reservation in ipairs(KEYS) do
  local ok, records = pcall(cmsgpack.unpack, redis.call('GET', reservation) or '')
  local charges = {}
  for _, record in ipairs(ok and type(records) == 'table' and records or {}) do
    charges[#charges + 1] = record[1]
    charges[#charges + 1] = tostring(record[3])
  end
  reply[i] = charges
end
return reply
