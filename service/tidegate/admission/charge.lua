-- Decisions, each of which takes all its charges or none.
--
-- ARGV[3..], a decision: number of charges, hold in ms (0: none), force ("1" or "0"); then a plan and a cost a charge.
-- KEYS, a decision: with a hold, the key of the reservation; then a key a charge.
-- Reply, a decision: units left, microseconds until full, microseconds until the cost fits (0 it did, -1 never), a
-- charge; or a text when it failed. With force the costs are entered even where they do not fit, and the
-- reservation's key only marks that this was done: an empty reply says that it had been done before.

local argument, name = 3, 1

-- What was used elsewhere is entered as far as it can be: a key that is broken costs the others nothing.
local nowhere = { at = 0, kind = { take = function() return 0 end, look = function() return 0, 0 end } }

local function open(key, plan, force)
  local ok, s = pcall(kinds[plan.kind].open, key, plan)
  if ok then return s end
  local why = message(s)
  if force and (string.find(why, 'WRONGTYPE', 1, true) or string.find(why, CLOCKS, 1, true)) then return nowhere end
  error(s)
end

local function decide(count, hold, force, reservation, first_key, first_argument)
  if force and reservation and not call('SET', reservation, '1', 'NX', 'PX', hold) then return {} end
  local opened, steps, retries, records, refused = {}, {}, {}, {}, false
  local name = reservation and string.match(reservation, '[^|]*$')
  for i = 1, count do
    local key, plan = KEYS[first_key + i - 1], plan_of(ARGV[first_argument + 2 * i - 2])
    local cost = tonumber(ARGV[first_argument + 2 * i - 1])
    local s = opened[key]
    if not s then
      s = open(key, plan, force)
      opened[key] = s
    end
    local retry, at, index = 0, s.at, 0
    if cost > plan.capacity and not force then
      retry = -1
    elseif cost > 0 then
      retry, at, index = s.kind.take(s, cost, force, name and name .. ':' .. i)
    end
    refused = refused or (retry ~= 0 and not plan.shadow)
    steps[i], retries[i] = s, retry
    if reservation and retry == 0 then records[#records + 1] = { key, plan.text, cost, at, index } end
  end
  for _, s in pairs(opened) do
    if s.emptied then call('EXISTS', s.key) end  -- fails where a cluster is moving the slot away: before any is written
  end
  for _, s in pairs(opened) do
    if refused then
      s.kind.undo(s)
    elseif s.dirty then
      s.kind.write(s)
    end
  end
  local reply = {}
  for i = 1, count do
    local s = steps[i]
    reply[3 * i - 2], reply[3 * i - 1] = s.kind.look(s)
    reply[3 * i] = retries[i]
  end
  if reservation and not force and not refused then
    call('SET', reservation, cmsgpack.pack(records), 'PX', hold)
  end
  return reply
end

local replies = {}
while not late and argument <= #ARGV do
  local count, hold, force = tonumber(ARGV[argument]), ARGV[argument + 1], ARGV[argument + 2] == '1'
  local reservation
  if hold ~= '0' then
    reservation = KEYS[name]
    name = name + 1
  end
  local ok, reply = pcall(decide, count, hold, force, reservation, name, argument + 3)
  replies[#replies + 1] = ok and reply or message(reply)
  name, argument = name + count, argument + 3 + 2 * count
end
return { now, replies }
