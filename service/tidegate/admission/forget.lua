-- Forgets what was charged to a limit, and that reservations hold any of it: settled later, they change nothing there.
-- KEYS: the key of the limit, then those of reservations, of one slot. Reply: 1, or 0 when nothing was charged.

for i = 2, #KEYS do
  local ok, records = pcall(cmsgpack.unpack, redis.call('GET', KEYS[i]) or '')
  if ok and type(records) == 'table' then
    local kept = {}
    for _, record in ipairs(records) do
      if record[1] ~= KEYS[1] then kept[#kept + 1] = record end
    end
    if #kept < #records then redis.call('SET', KEYS[i], cmsgpack.pack(kept), 'KEEPTTL') end
  end
end
return redis.call('UNLINK', KEYS[1])
