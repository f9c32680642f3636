-- Adds to what reservations hold, all or none, and renews them and their leases. The steps of `extend` in
-- reference_holds.py.
--
-- KEYS: the keys of reservations. ARGV[3..], three for each: costs, a letter of the unit and a number for each unit;
-- for how many ms more it is held, at least; and periods of calendars, each "|name,edge edge edge edge".
-- Reply, a reservation: 1 when all was added, 0 when something did not fit, -1 when it is unknown, settled or expired;
-- or names of calendars, when a period is over that had come with the reservation, and nothing was done; or a text when
-- it failed.

local GONE = -1

-- Add to a charge by `take`: as if it were made now.
local function charge(s, more)
  if more > s.plan.capacity then return end
  local retry, at, index = s.kind.take(s, more, false)
  if retry == 0 then return at, index end
end

-- `grow` of each kind: time and index of the place that the charge is in with `more`, and whether that is a new one;
-- nothing when it does not fit.

function bucket.grow(s, _, _, _, more)
  local at, index = charge(s, more)
  return at, index, false
end

function log.grow(s, charged, at, index, more)
  local packed = charged > 0 and index >= s.head and index < s.next and call('HGET', s.key, index)
  if packed and entry(packed) == at then
    if s.total + more > s.plan.capacity then return end
    s.total, s.dirty = s.total + more, true
    s.added = s.added or {}
    s.added[#s.added + 1] = index
    s.added[#s.added + 1] = pack('>dd', at, charged + more)
    return at, index, false
  end
  at, index = charge(s, more)
  return at, index, true
end

function windows.grow(s, charged, at, _, more)
  local window, capacity = s.plan.a, s.plan.capacity
  if charged > 0 and at == s.at - window then
    local previous = s.previous + more
    local whole, rest = part(previous, window - s.into, window)
    local share = rest and whole + 1 or whole
    if previous > capacity or s.current + share > capacity then return end
    s.previous, s.weighted, s.dirty = previous, share, true
    return at, 0, false
  end
  local new, index = charge(s, more)
  return new, index, charged == 0 or new ~= at
end

function quota.grow(s, charged, at, _, more)
  local new, index = charge(s, more)
  return new, index, charged == 0 or new ~= at
end

-- The plan of a quota with periods of its calendar that are known now: its own, or the caller's. Else the name of it.
function quota.current(key, plan, calendars)
  local text = call('GET', key)
  local at = text and max(now, (unpack_('>dd', text))) or now
  if pcall(period, plan, at) then return plan end
  local edges = calendars[plan.calendar]
  if not edges then return nil, plan.calendar end
  return plan_of(string.match(plan.text, '^%S+ %d+') .. ' ' .. edges .. ';' .. plan.calendar)
end

local function numbers_by_name(text, pattern)
  local found = {}
  for name, value in string.gmatch(text, pattern) do found[name] = value end
  return found
end

local function extend(reservation, costs_text, hold, calendars_text)
  local text = call('GET', reservation)
  if not text then return GONE end
  local costs = numbers_by_name(costs_text, '(%a)(%d+)')
  local calendars = numbers_by_name(calendars_text, '|([^,]+),([^|]+)')
  local records, grown, opened, current, unknown, fits = cmsgpack.unpack(text), {}, {}, {}, {}, true
  all_here(reservation, records)
  for i, record in ipairs(records) do
    local plan = plan_of(record[2])
    if plan.kind == 'q' and costs[plan.unit] then
      local found, missing = quota.current(record[1], plan, calendars)
      if missing then
        unknown[#unknown + 1] = missing
      else
        current[i] = found
      end
    end
  end
  if #unknown > 0 then return unknown end
  for i, record in ipairs(records) do
    local key, planned, charged, at, index, before = unpack(record)
    local plan = current[i] or plan_of(planned)
    local more = plan.kind ~= 'l' and min(tonumber(costs[plan.unit] or 0), MAX_COST) or 0
    grown[i] = record
    if more > 0 then
      local s = opened[key]
      if not s then
        s = kinds[plan.kind].open(key, plan)
        opened[key] = s
      end
      local new, place, moved = s.kind.grow(s, charged, at, index, more)
      if new and moved then
        grown[i] = { key, plan.text, more, new, place, (before or 0) + charged }
      elseif new then
        grown[i] = { key, planned, charged + more, new, place, before or 0 }
      elseif not plan.shadow then
        fits = false
      end
    end
  end
  if fits then
    for _, s in pairs(opened) do
      if s.dirty then s.kind.write(s) end
    end
  else
    grown = records
  end
  for _, record in ipairs(records) do
    local key, planned, charged, _, index = unpack(record)
    local plan = plan_of(planned)
    if plan.kind == 'l' and charged > 0 then leases.renew(key, plan, charged, index) end
  end
  hold = max(tonumber(hold), call('PTTL', reservation))
  call('SET', reservation, cmsgpack.pack(grown), 'PX', string.format('%.0f', hold))
  return fits and 1 or 0
end

local replies = {}
for i, reservation in ipairs(late and {} or KEYS) do
  local ok, reply = pcall(extend, reservation, ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2])
  replies[i] = ok and reply or message(reply)
end
return { now, replies }
