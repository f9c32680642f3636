-- The steps of reference_leases.py on Redis keys. redis.py puts this text behind sums.lua.
--
-- Key: a sorted set. A member with the score of its expiry is a lease: the reservation, the place of the charge in it,
-- and its cost, so no two leases ever have one name. Two members with negative scores: "t" is the sum of the costs,
-- "l" when the key was changed last. A key without leases is deleted. Plan: "l" capacity lease 0.

local ASK_AGAIN = 1000000
local leases = {}

local function cost_of(member)
  return tonumber(string.match(member, '%d+$'))
end

function leases.open(key, plan)
  local s = { key = key, plan = plan, kind = leases, total = 0, last = 0, at = now, dirty = false }
  local first
  local lowest = call('ZRANGE', key, 0, 2, 'WITHSCORES')
  for i = 1, #lowest, 2 do
    local member, score = lowest[i], tonumber(lowest[i + 1])
    if member == 't' then
      s.total = -score
    elseif member == 'l' then
      s.last = -score
    else
      first = score
    end
  end
  s.at = max(now, s.last)
  if first and first <= s.at then leases.lapse(s) end
  s.total0 = s.total
  return s
end

-- Drop what has lapsed. Each lease is read once in its life here, so a call pays for what others left behind.
function leases.lapse(s)
  repeat
    local gone = call('ZRANGEBYSCORE', s.key, '(0', s.at, 'LIMIT', 0, CHUNK)
    for _, member in ipairs(gone) do s.total = s.total - cost_of(member) end
    if #gone > 0 then call('ZREM', s.key, unpack(gone)) end
  until #gone < CHUNK
  s.last = s.at
  s.emptied = s.total == 0
  leases.mark(s)
end

function leases.mark(s)
  if s.total > 0 then
    call('ZADD', s.key, -s.total, 't', -s.last, 'l')
  else
    call('DEL', s.key)
  end
end

-- When the last lease lapses, by the key or as it is about to be.
function leases.newest(s)
  if s.latest then return s.latest end
  local found = call('ZRANGE', s.key, -1, -1, 'WITHSCORES')
  local newest = found[2] and tonumber(found[2]) or 0
  for _, lease in ipairs(s.added or {}) do newest = max(newest, lease[1]) end
  return newest
end

function leases.take(s, cost, force, name)
  if not name then error('a charge on concurrency needs a hold') end
  if s.total + cost > s.plan.capacity and not force then return ASK_AGAIN end
  local member = string.format('%s:%.0f', name, cost)
  s.added = s.added or {}
  s.added[#s.added + 1] = { s.at + s.plan.a, member }
  s.total, s.dirty = s.total + cost, true
  return 0, s.at, member
end

function leases.undo(s)
  s.total, s.added = s.total0, nil
end

function leases.look(s)
  return max(0, s.plan.capacity - s.total), s.total > 0 and leases.newest(s) - s.at or 0
end

function leases.write(s)
  local members = {}
  for _, lease in ipairs(s.added) do
    members[#members + 1] = lease[1]
    members[#members + 1] = lease[2]
  end
  s.last = s.at
  call('ZADD', s.key, -s.total, 't', -s.last, 'l', unpack(members))
  s.latest = leases.newest(s)
  lasts(s.key, s.latest - now)
end

-- A lease ends, whatever its exchange cost.
function leases.settle(key, plan, charged, _, member)
  if charged == 0 then return end
  local s = leases.open(key, plan)
  if call('ZREM', key, member) == 0 then return end
  s.total = s.total - charged
  leases.mark(s)
end

function leases.renew(key, plan, charged, member)
  local s = leases.open(key, plan)
  if not call('ZSCORE', key, member) then s.total = s.total + charged end
  s.added = { { s.at + plan.a, member } }
  leases.write(s)
end

kinds.l = leases
