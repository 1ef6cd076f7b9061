-- Close a call once: publish call.ended, leave a tombstone, let its sessions expire.
-- KEYS: call, outbox, sessions, then session, tail, taken, finals of each channel
-- ARGV: now_ms, tombstone s, session s, number of channels, the channels, their members,
--       then the fields of the call.ended record
-- -> 1 closed now, 0 closed before, or a channel was opened meanwhile
local call, outbox, sessions = unpack(KEYS)
if redis.call('HEXISTS', call, 'closed') == 1 then return 0 end
local channels = tonumber(ARGV[4])
local begun, facts = 0, redis.call('HGETALL', call)
for i = 1, #facts, 2 do
  if string.sub(facts[i], 1, 3) == 'ch:' and facts[i + 1] ~= 'awaited' then begun = begun + 1 end
end
if begun ~= channels then return 0 end
redis.call('HSET', call, 'closed', ARGV[1])
redis.call('EXPIRE', call, ARGV[2])
redis.call('XADD', outbox, '*', unpack(ARGV, 5 + 2 * channels))
for i = 1, channels do
  redis.call('ZREM', sessions, ARGV[4 + channels + i])
  local at = 4 * i
  redis.call('DEL', KEYS[at + 1], KEYS[at + 2])
  redis.call('EXPIRE', KEYS[at], ARGV[3])
  redis.call('EXPIRE', KEYS[at + 3], ARGV[3])
end
return 1
