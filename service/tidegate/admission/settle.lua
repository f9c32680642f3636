-- Replaces reserved costs by actual ones. KEYS: the keys of reservations. ARGV[3..]: the actual cost of each.
-- Reply, a reservation: 1 when it was settled, 0 when it is unknown, expired or was settled before; or a text when it
-- failed. The reservation is deleted in the same step, so it is settled once.

local function settle(reservation, cost)
  local records = call('GET', reservation)
  if call('DEL', reservation) == 0 then return 0 end
  cost = min(cost, MAX_COST)
  for _, record in ipairs(cmsgpack.unpack(records)) do
    local key, text, charged, at, index = unpack(record)
    local plan = plan_of(text)
    local kind = kinds[plan.kind]
    kind.settle(kind.open(key, plan), charged, at, index, cost)
  end
  return 1
end

local replies = {}
for i, reservation in ipairs(late and {} or KEYS) do
  local ok, reply = pcall(settle, reservation, tonumber(ARGV[i + 2]))
  replies[i] = ok and reply or message(reply)
end
return { now, replies }
