-- The steps of reference.py on Redis keys. redis.py puts clock.lua, this text, sums.lua and leases.lua in front of
-- charge.lua, settle.lua and extend.lua.
--
-- Lua has only doubles, exact to 2^53. `rate` in reference.py keeps P * R within 2^52, `div` is exact, and products
-- that can pass 2^53 are only compared or capped, so every number is the one that reference.py finds.
--
-- Keys (values are packed doubles: writing a number as text costs more than everything else here together):
--   token bucket    string  spent, back, last
--   sliding window  hash    m = head, next, total, oldest, newest, last; for head <= i < next: i = time, cost
-- A plan is the letter of the algorithm ("t", "w"), the letter of the unit, and "s" for a shadow, else "-"; then
-- " capacity P R", or " capacity window 0", microseconds. No form of key knows the capacity.
--
-- ARGV[1] and [2] are read by clock.lua. Reply: { now, a reply for each call }, none when it is late.

local MAX_WALK, MAX_WAIT, MAX_COST, CHUNK = 256, 9007199254740991, 1099511627776, 128
local fmod, min, max = math.fmod, math.min, math.max
local ceil, pack, unpack_, call = math.ceil, struct.pack, struct.unpack, redis.call

-- Floor and remainder of a / b, for b > 0.
local function div(a, b)
  local rest = fmod(a, b)
  if rest < 0 then rest = rest + b end
  return (a - rest) / b, rest
end

local function drain(spent, back, elapsed, p, r)
  local periods, rest = div(elapsed, p)
  local returned, fraction = div(min(back, p - 1) + rest * r, p)
  returned = returned + periods * r
  if returned < spent then return spent - returned, fraction end
  return 0, 0
end

local function wait(tokens, back, p, r)
  local turns, rest = div(tokens, r)
  local whole, over = div(rest * p - back, r)
  if over > 0 then whole = whole + 1 end
  return min(MAX_WAIT, turns * p + whole)
end

local PLAN = '^(%a)(%a)(.) (%d+) (%-?%d+) (%-?%d+) ?(%-?%d*) ?(%-?%d*);?(.*)$'
local plans = {}
local function plan_of(text)
  local plan = plans[text]
  if not plan then
    local kind, unit, shadow, capacity, a, b, c, d, calendar = string.match(text, PLAN)
    a, b = tonumber(a), tonumber(b)
    plan = { kind = kind, unit = unit, shadow = shadow == 's', capacity = tonumber(capacity),
      a = a, b = b, numbers = { a, b, tonumber(c), tonumber(d) }, calendar = calendar, text = text }
    plans[text] = plan
  end
  return plan
end

local function lasts(key, microseconds)
  if lasting then call('PEXPIRE', key, ceil(microseconds / 1000) + 1) end
end

-- A script that finds its keys in a reservation has not named them to Redis. A cluster that is just moving the slot may
-- have some of them elsewhere: asked about together they fail, before anything is done.
local function all_here(reservation, records)
  local names = { reservation }
  for _, record in ipairs(records) do names[#names + 1] = record[1] end
  call('EXISTS', unpack(names))
end

-- Token bucket -----------------------------------------------------------------------------------------------------

local bucket = {}

function bucket.open(key, plan)
  local s = { key = key, plan = plan, kind = bucket, spent = 0, back = 0, at = now,
    spent0 = 0, back0 = 0, dirty = false, full = false }
  local text = call('GET', key)
  if text then
    local spent, back, last = unpack_('>ddd', text)
    s.at = max(now, last)
    s.spent, s.back = drain(spent, back, s.at - last, plan.a, plan.b)
  end
  s.spent0, s.back0 = s.spent, s.back
  return s
end

-- Charge if it fits: the wait, 0 when it did, -1 for never; then time and index of the charge.
function bucket.take(s, cost, force)
  local over = s.spent + cost - s.plan.capacity
  if over > 0 and not force then return wait(over, s.back, s.plan.a, s.plan.b) end
  s.spent = s.spent + cost
  s.dirty = true
  return 0, s.at, 0
end

function bucket.undo(s)
  s.spent, s.back = s.spent0, s.back0
end

function bucket.look(s)
  return max(0, s.plan.capacity - s.spent), s.full or wait(s.spent, s.back, s.plan.a, s.plan.b)
end

function bucket.write(s)
  local value = pack('>ddd', s.spent, s.back, s.at)
  if lasting then
    s.full = wait(s.spent, s.back, s.plan.a, s.plan.b)
    call('SET', s.key, value, 'PX', ceil(s.full / 1000) + 1)
  else
    call('SET', s.key, value)
  end
end

function bucket.settle(key, plan, charged, _, _, cost)
  local s = bucket.open(key, plan)
  s.spent = s.spent + cost - charged
  if s.spent <= 0 then s.spent, s.back = 0, 0 end
  bucket.write(s)
end

-- Sliding window ---------------------------------------------------------------------------------------------------

local log = {}

local function entry(text)
  return unpack_('>dd', text)
end

-- The entries `first` to `last` (indices), packed, and their fields.
local function entries(s, first, last)
  local fields = {}
  for i = first, last do fields[#fields + 1] = i end
  return call('HMGET', s.key, unpack(fields)), fields
end

function log.header(s)
  return pack('>dddddd', s.head, s.next, s.total, s.oldest, s.newest, s.last)
end

function log.open(key, plan)
  local s = { key = key, plan = plan, kind = log, head = 0, next = 0, total = 0, oldest = 0, newest = 0, last = 0,
    at = 0, next0 = 0, total0 = 0, oldest0 = 0, newest0 = 0, added = false, dirty = false }
  local text = call('HGET', key, 'm')
  if text then
    s.head, s.next, s.total, s.oldest, s.newest, s.last = unpack_('>dddddd', text)
  end
  s.at = max(now, s.last)
  if s.head < s.next and s.oldest <= s.at - plan.a then log.trim(s) end
  s.next0, s.total0, s.oldest0, s.newest0 = s.next, s.total, s.oldest, s.newest
  return s
end

-- Drop what has left the window. Each entry is read once in its life here, so a call pays for what others put in.
function log.trim(s)
  local until_ = s.at - s.plan.a
  s.last = s.at
  if s.newest <= until_ then
    call('UNLINK', s.key)
    s.head, s.total = s.next, 0
    call('HSET', s.key, 'm', log.header(s))
    lasts(s.key, s.plan.a)
    return
  end
  while s.oldest <= until_ do
    local packed, fields = entries(s, s.head, min(s.head + CHUNK, s.next) - 1)
    local gone = 0
    for _, text in ipairs(packed) do
      local time, cost = entry(text)
      s.oldest = time
      if time > until_ then break end
      gone = gone + 1
      s.total = s.total - cost
    end
    s.head = s.head + gone
    if gone > 0 then call('HDEL', s.key, unpack(fields, 1, gone)) end
  end
  call('HSET', s.key, 'm', log.header(s))
end

function log.wait(s, need)
  local last = min(s.head + MAX_WALK, s.next0) - 1
  if s.head <= last then
    for _, text in ipairs((entries(s, s.head, last))) do
      local time, cost = entry(text)
      need = need - cost
      if need <= 0 then return time + s.plan.a - s.at end
    end
  end
  return s.newest + s.plan.a - s.at
end

function log.take(s, cost, force)
  local over = s.total + cost - s.plan.capacity
  if over > 0 and not force then return log.wait(s, over) end
  if s.head == s.next then s.oldest = s.at end
  local new = pack('>dd', s.at, cost)
  if s.added then
    s.added[#s.added + 1] = s.next
    s.added[#s.added + 1] = new
  else
    s.added = { s.next, new }
  end
  s.next, s.total = s.next + 1, s.total + cost
  s.newest, s.last, s.dirty = s.at, s.at, true
  return 0, s.at, s.next - 1
end

function log.undo(s)
  s.next, s.total, s.oldest, s.newest = s.next0, s.total0, s.oldest0, s.newest0
end

function log.look(s)
  return max(0, s.plan.capacity - s.total), s.head < s.next and s.newest + s.plan.a - s.at or 0
end

function log.write(s)
  call('HSET', s.key, 'm', log.header(s), unpack(s.added or {}))
  lasts(s.key, s.head < s.next and s.newest + s.plan.a - s.at or s.plan.a)
end

function log.settle(key, plan, charged, at, index, cost)
  local s = log.open(key, plan)
  if charged == 0 then
    if cost == 0 then return end
    log.take(s, cost, true)
    return log.write(s)
  end
  if index < s.head or index >= s.next then return end
  local time, was = entry(call('HGET', s.key, index))
  if time ~= at then return end
  s.total = s.total + cost - was
  call('HSET', s.key, index, pack('>dd', at, cost))
  while s.head < s.next do
    time, was = entry(call('HGET', s.key, s.next - 1))
    s.newest = time
    if was > 0 then break end
    s.next = s.next - 1
    call('HDEL', s.key, s.next)
  end
  while s.head < s.next do
    time, was = entry(call('HGET', s.key, s.head))
    s.oldest = time
    if was > 0 then break end
    call('HDEL', s.key, s.head)
    s.head = s.head + 1
  end
  log.write(s)
end

local kinds = { t = bucket, w = log }

local function message(failure)
  return type(failure) == 'table' and failure.err or tostring(failure)
end
