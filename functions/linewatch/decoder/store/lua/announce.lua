-- Announce a call once. KEYS: call, outbox, sessions. ARGV: started_at_ms, expiry s, number of
-- channels, the channels, their members, then the fields of the call.started record.
-- -> {1 new | 0 known | -1 closed, started_at_ms}
local call, outbox, sessions = unpack(KEYS)
if redis.call('HEXISTS', call, 'closed') == 1 then return {-1, '0'} end
local channels = tonumber(ARGV[3])
if redis.call('HSETNX', call, 'started_at_ms', ARGV[1]) == 0 then
  return {0, redis.call('HGET', call, 'started_at_ms')}
end
redis.call('EXPIRE', call, ARGV[2])
local now = redis.call('TIME')
for i = 1, channels do
  redis.call('HSETNX', call, 'ch:' .. ARGV[3 + i], 'awaited')
  redis.call('ZADD', sessions, now[1] * 1000 + math.floor(now[2] / 1000), ARGV[3 + channels + i])
end
redis.call('XADD', outbox, '*', unpack(ARGV, 4 + 2 * channels))
return {1, ARGV[1]}
