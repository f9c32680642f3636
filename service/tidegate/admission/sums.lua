-- The steps of reference_sums.py on Redis keys. redis.py puts this text behind limit.lua.
--
-- Keys (packed doubles), and plans behind their capacity, microseconds:
--   sliding-window counter  string  start, current, previous   "c": window 0
--   quota                   string  start, used                "q": the edges of three periods of the calendar, the
--                                   middle one being the caller's; which one it is now, the clock here says. Behind
--                                   ";" the name of the calendar
--
-- Looks and refusals write nothing. A settlement finds its charge by the start of its window or period, so it does not
-- ask what time it is, but for the life of a key that it makes.

local MAX_SUM, LONG_AGO, EXACT, BASE = 17592186044416, -9007199254740991, 9007199254740992, 256

-- Floor of a * b / c, and whether something remains; a, b, c up to 2^44, and b up to c. By long division in digits of
-- `BASE` where the product is not exact: a remainder is below c, so no number here passes 2 * BASE * 2^44.
local function part(a, b, c)
  if a * b < EXACT then
    local whole, rest = div(a * b, c)
    return whole, rest > 0
  end
  local digits, count = {}, 0
  while a > 0 do
    count = count + 1
    a, digits[count] = div(a, BASE)
  end
  local whole, rest = 0, 0
  for i = count, 1, -1 do
    local more
    more, rest = div(rest * BASE + digits[i] * b, c)
    whole = whole * BASE + more
  end
  return whole, rest > 0
end

local function changed(total, difference)
  return min(MAX_SUM, max(0, total + difference))
end

-- A value that counts until then.
local function put(key, value, until_)
  if not lasting then
    call('SET', key, value)
  elseif until_ > now then
    call('SET', key, value, 'PX', ceil((until_ - now) / 1000) + 1)
  end
end

-- A value in the place of one as long, which keeps its time to live.
local function replace(key, value)
  call('SETRANGE', key, 0, value)
end

-- Sliding-window counter -------------------------------------------------------------------------------------------

local windows = {}

local function roll(start, current, previous, at, window)
  at = max(at, start)
  local _, into = div(at, window)
  local first = at - into
  if start >= first then return start, current, previous, at - start end
  if start >= first - window then return first, 0, current, into end
  return first, 0, 0, into
end

function windows.open(key, plan)
  local text, start, current, previous = call('GET', key), LONG_AGO, 0, 0
  if text then start, current, previous = unpack_('>ddd', text) end
  local s = { key = key, plan = plan, kind = windows, dirty = false }
  s.at, s.current, s.previous, s.into = roll(start, current, previous, now, plan.a)
  s.current0 = s.current
  local whole, rest = part(s.previous, plan.a - s.into, plan.a)
  s.weighted = rest and whole + 1 or whole
  return s
end

function windows.take(s, cost, force)
  local capacity, window = s.plan.capacity, s.plan.a
  if s.current + s.weighted + cost > capacity and not force then
    if s.current + cost <= capacity then
      return window - part(window, capacity - s.current - cost, s.previous) - s.into
    end
    return 2 * window - part(window, capacity - cost, s.current) - s.into
  end
  s.current = min(MAX_SUM, s.current + cost)
  s.dirty = true
  return 0, s.at, 0
end

function windows.undo(s)
  s.current = s.current0
end

function windows.look(s)
  local window = s.plan.a
  return max(0, s.plan.capacity - s.current - s.weighted),
    s.current > 0 and 2 * window - s.into or s.previous > 0 and window - s.into or 0
end

function windows.write(s)
  put(s.key, pack('>ddd', s.at, s.current, s.previous), s.at + 2 * s.plan.a)
end

function windows.settle(key, plan, charged, at, _, cost)
  local text, start, current, previous = call('GET', key), LONG_AGO, 0, 0
  if text then start, current, previous = unpack_('>ddd', text) end
  local anew = charged == 0 and at > start
  if anew then start, current, previous = roll(start, current, previous, at, plan.a) end
  if at == start then
    current = changed(current, cost - charged)
  elseif at == start - plan.a then
    previous = changed(previous, cost - charged)
  else
    return
  end
  local value = pack('>ddd', start, current, previous)
  if anew then put(key, value, start + 2 * plan.a) else replace(key, value) end
end

-- Quota ------------------------------------------------------------------------------------------------------------

local CLOCKS = 'the clocks of Redis and of a caller are more than a period of a quota apart'
local quota = {}

-- The period that holds a time: when it begins and ends.
local function period(plan, at)
  local edges = plan.numbers
  for i = 2, #edges do
    if edges[i - 1] <= at and at < edges[i] then return edges[i - 1], edges[i] end
  end
  error(CLOCKS)
end

function quota.open(key, plan)
  local text, start, used = call('GET', key), LONG_AGO, 0
  if text then start, used = unpack_('>dd', text) end
  local s = { key = key, plan = plan, kind = quota, dirty = false, now = max(now, start) }
  s.at, s.ends = period(plan, s.now)
  s.used = 0
  if start >= s.at then s.at, s.used = start, used end
  s.used0 = s.used
  return s
end

function quota.take(s, cost, force)
  if s.used + cost > s.plan.capacity and not force then return s.ends - s.now end
  s.used = min(MAX_SUM, s.used + cost)
  s.dirty = true
  return 0, s.at, 0
end

function quota.undo(s)
  s.used = s.used0
end

function quota.look(s)
  return max(0, s.plan.capacity - s.used), s.used > 0 and s.ends - s.now or 0
end

function quota.write(s)
  put(s.key, pack('>dd', s.at, s.used), s.ends)
end

function quota.settle(key, plan, charged, at, _, cost)
  local text, start, used = call('GET', key), LONG_AGO, 0
  if text then start, used = unpack_('>dd', text) end
  if at == start then
    replace(key, pack('>dd', start, changed(used, cost - charged)))
  elseif charged == 0 and at > start then
    local _, ends = period(plan, at)
    put(key, pack('>dd', at, changed(0, cost)), ends)
  end
end

kinds.c, kinds.q = windows, quota
