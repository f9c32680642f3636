-- Replaces reserved costs by actual ones. KEYS: the keys of reservations. ARGV[3..]: the actual costs of each, a letter of the unit
-- and a number for each unit; charges in other units keep what was reserved, and leases end.
-- Reply, a reservation: 1 when it was settled, 0 when it is unknown, expired or was settled before; or a text when it
-- failed; all that could be is settled then. The reservation is deleted in the same step, so it is settled once.

local function settle(reservation, actual)
  local text = call('GET', reservation)
  if not text then return 0 end
  local records = cmsgpack.unpack(text)
  all_here(reservation, records)
  call('DEL', reservation)
  local costs, failure = {}, nil
  for unit, cost in string.gmatch(actual, '(%a)(%d+)') do costs[unit] = min(tonumber(cost), MAX_COST) end
  for _, record in ipairs(records) do
    local key, planned, charged, at, index, before = unpack(record)
    local plan = plan_of(planned)
    local cost = costs[plan.unit]
    if cost or plan.kind == 'l' then
      local used = max(0, (cost or 0) - (before or 0))
      local ok, reason = pcall(kinds[plan.kind].settle, key, plan, charged, at, index, used)
      if not ok then failure = reason end
    end
  end
  if failure then error(failure) end
  return 1
end

local replies = {}
for i, reservation in ipairs(late and {} or KEYS) do
  local ok, reply = pcall(settle, reservation, ARGV[i + 2])
  replies[i] = ok and reply or message(reply)
end
return { now, replies }
