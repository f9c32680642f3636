-- KEYS: the stream, the heads of all writers (a hash). ARGV: writer, the head before, the head after, maxlen, records.
-- All or nothing, and once: a repeated call finds its own head. 0: another process has written under this name.
local head = redis.call('HGET', KEYS[2], ARGV[1]) or ARGV[2]
if head == ARGV[3] then return 1 end
if head ~= ARGV[2] then return 0 end
for i = 5, #ARGV do
  if ARGV[4] == '0' then
    redis.call('XADD', KEYS[1], '*', 'record', ARGV[i])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'record', ARGV[i])
  end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
