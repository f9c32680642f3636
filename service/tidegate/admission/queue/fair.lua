-- The steps of fair.py on Redis keys, any number of them. KEYS, a step: the places of critical exchanges and those of
-- others (sorted sets: ticket by expiry), the line (packed: waiters as { ticket, rank, tenant, step, deadline } in the
-- order in which they came, debts by rank, gap, left). All of one endpoint, and in one slot.
-- ARGV[3..], behind what clock.lua reads, a step:
--   "j" concurrent reserve queue lease max_wait ticket rank tenant step
--   "t" concurrent reserve queue lease how many leave, how many are asked after, the tickets
--   "r" lease ticket rank
-- Reply: { now, for each step: { wait, then 0 gone, 1 waiting or 2 granted, a ticket } or a text when it failed }.
-- Times are microseconds. Every number is a whole one below 2^53, and comes out as in fair.py.

local CLAIM, MAX_PAUSE, SMOOTH, MAX_DEBTS = 1000000, 60000000, 8, 256
local GONE, WAITING, GRANTED = 0, 1, 2
local call, min, max, floor = redis.call, math.min, math.max, math.floor

local function text(number)
  return string.format('%.0f', number)
end

local function open(first)
  local line = { held = { KEYS[first], KEYS[first + 1] }, key = KEYS[first + 2], dirty = false, counts = {} }
  local packed = call('GET', line.key)
  if packed then
    line.waiting, line.debts, line.gap, line.left = unpack(cmsgpack.unpack(packed))
  else
    line.waiting, line.debts, line.gap, line.left = {}, { {}, {}, {} }, 0, 0
  end
  for _, key in ipairs(line.held) do call('ZREMRANGEBYSCORE', key, '-inf', text(now)) end
  local still = {}
  for _, waiter in ipairs(line.waiting) do
    if waiter[5] > now then still[#still + 1] = waiter end
  end
  line.dirty = #still < #line.waiting
  line.waiting = still
  return line
end

local function places(line, which)
  line.counts[which] = line.counts[which] or call('ZCARD', line.held[which])
  return line.counts[which]
end

local function hold(line, ticket, rank, expiry)
  local which = rank == 0 and 1 or 2
  call('ZADD', line.held[which], text(expiry), ticket)
  line.counts[which] = nil
  line.lasts = max(line.lasts or 0, expiry - now)
  if lasting then
    local ms = math.ceil((expiry - now) / 1000) + 1
    if call('PTTL', line.held[which]) < ms then call('PEXPIRE', line.held[which], ms) end
  end
end

local function drop(line, ticket)
  for index, waiter in ipairs(line.waiting) do
    if waiter[1] == ticket then
      table.remove(line.waiting, index)
      line.dirty = true
      return
    end
  end
end

local function leave(line, ticket)
  for which, key in ipairs(line.held) do
    if call('ZREM', key, ticket) == 1 then
      line.counts[which] = nil
      if line.left > 0 then
        local pause = max(0, min(now - line.left, MAX_PAUSE))
        line.gap = line.gap > 0 and line.gap + floor((pause - line.gap) / SMOOTH) or pause
      end
      line.left, line.dirty = now, true
      return
    end
  end
  drop(line, ticket)
end

local function next_of(line, rank)
  local debts, seen, found, least = line.debts[rank + 1], {}, nil, nil
  for index, waiter in ipairs(line.waiting) do
    if waiter[2] == rank and not seen[waiter[3]] then
      seen[waiter[3]] = true
      local debt = debts[waiter[3]] or 0
      if not least or debt < least then found, least = index, debt end
    end
  end
  local after, count, fewest = {}, 0, math.huge
  for tenant, debt in pairs(debts) do
    if debt > least then
      after[tenant], count, fewest = debt - least, count + 1, min(fewest, debt - least)
    end
  end
  for tenant, debt in pairs(count >= MAX_DEBTS and after or {}) do
    if debt == fewest then after[tenant] = nil end
  end
  local head = table.remove(line.waiting, found)
  after[head[3]] = head[4]
  line.debts[rank + 1], line.dirty = after, true
  return head
end

local function grant(line, concurrent, reserve, lease, mine)
  while #line.waiting > 0 do
    local rank = 2
    for _, waiter in ipairs(line.waiting) do rank = min(rank, waiter[2]) end
    local others = places(line, 2)
    if places(line, 1) + others >= concurrent or (rank > 0 and others >= concurrent - reserve) then return end
    local waiter = next_of(line, rank)
    hold(line, waiter[1], rank, mine[waiter[1]] and now + lease or waiter[5] + CLAIM)
  end
end

local function shed(line)
  local rank = 0
  for _, waiter in ipairs(line.waiting) do rank = max(rank, waiter[2]) end
  local debts, tags, found, latest = line.debts[rank + 1], {}, 1, -1
  for index, waiter in ipairs(line.waiting) do
    if waiter[2] == rank then
      local tag = tags[waiter[3]] or debts[waiter[3]] or 0
      tags[waiter[3]] = tag + waiter[4]
      if tag >= latest then found, latest = index, tag end
    end
  end
  table.remove(line.waiting, found)
  line.dirty = true
end

-- How a ticket stands; one that has a place keeps it for `lease` from now, where that is given.
local function state_of(line, ticket, waiting, lease)
  if waiting[ticket] then return WAITING end
  for which, key in ipairs(line.held) do
    if call('ZSCORE', key, ticket) then
      if lease then hold(line, ticket, which - 1, now + lease) end
      return GRANTED
    end
  end
  return GONE
end

local function answer(line, tickets, lease)
  local waiting = {}
  for _, waiter in ipairs(line.waiting) do waiting[waiter[1]] = true end
  local pause = line.gap > 0 and max(line.gap, min(now - line.left, MAX_PAUSE)) or 0
  local reply = { min(MAX_PAUSE, (#line.waiting + 1) * pause) }
  for _, ticket in ipairs(tickets) do reply[#reply + 1] = state_of(line, ticket, waiting, lease) end
  if #line.waiting == 0 and places(line, 1) + places(line, 2) == 0 then
    call('DEL', line.key)
  elseif line.dirty then
    local packed = cmsgpack.pack({ line.waiting, line.debts, line.gap, line.left })
    if lasting then
      call('SET', line.key, packed, 'PX', text(math.ceil(max(line.lasts or 0, 60 * CLAIM) / 1000)))
    else
      call('SET', line.key, packed)
    end
  end
  return reply
end

local function numbers(first, last)
  local found = {}
  for index = first, last do found[#found + 1] = tonumber(ARGV[index]) end
  return unpack(found)
end

local steps = {}

function steps.j(line, at)
  local concurrent, reserve, queue, lease, wait = numbers(at, at + 4)
  local ticket, rank, tenant, step = ARGV[at + 5], tonumber(ARGV[at + 6]), ARGV[at + 7], tonumber(ARGV[at + 8])
  line.waiting[#line.waiting + 1] = { ticket, rank, tenant, step, now + wait }
  line.dirty = true
  grant(line, concurrent, reserve, lease, { [ticket] = true })
  while #line.waiting > queue do shed(line) end
  return answer(line, { ticket })
end

function steps.t(line, at)
  local concurrent, reserve, _, lease, leaving, asked = numbers(at, at + 5)
  local tickets, mine = {}, {}
  for index = at + 6, at + 5 + leaving do leave(line, ARGV[index]) end
  for index = at + 6 + leaving, at + 5 + leaving + asked do
    tickets[#tickets + 1] = ARGV[index]
    mine[ARGV[index]] = true
  end
  grant(line, concurrent, reserve, lease, mine)
  return answer(line, tickets, lease)
end

function steps.r(line, at)
  drop(line, ARGV[at + 1])
  hold(line, ARGV[at + 1], tonumber(ARGV[at + 2]), now + tonumber(ARGV[at]))
  return answer(line, {})
end

local function length(at)
  if ARGV[at] == 'j' then return 10 end
  if ARGV[at] == 't' then return 7 + tonumber(ARGV[at + 5]) + tonumber(ARGV[at + 6]) end
  return 4
end

local replies, at, first = {}, 3, 1
while not late and at <= #ARGV do
  local ok, reply = pcall(function() return steps[ARGV[at]](open(first), at + 1) end)
  replies[#replies + 1] = ok and reply or (type(reply) == 'table' and reply.err or tostring(reply))
  at, first = at + length(at), first + 3
end
return { now, replies }
