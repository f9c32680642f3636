-- What time it is, for every script that calls travel together in, and whether it is too late for them.
-- ARGV[1] is "" for the server's clock. Tests give a time in microseconds; then keys are left without a TTL.
-- ARGV[2] is when the callers give up (microseconds, the server's clock), or "". After that nothing is done: they have
-- been told that the store is out, and have been counted elsewhere.

local lasting = ARGV[1] == ''
local now
if lasting then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
  now = tonumber(ARGV[1])
end
local late = ARGV[2] ~= '' and now > tonumber(ARGV[2])
