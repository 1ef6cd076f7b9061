-- Announce a call once. KEYS: call, outbox, quiet calls, clock. ARGV: started_at_ms, member of the
-- call, expiry s, number of channels, the channels, then the fields of the call.started record.
-- -> {1 new | 0 known | -1 closed, started_at_ms}
local call, outbox, quiet, clock = unpack(KEYS)
local closed, abandoned = unpack(redis.call('HMGET', call, 'closed', 'abandoned'))
if closed and not abandoned then return {-1, '0'} end
local channels = tonumber(ARGV[4])
if redis.call('HSETNX', call, 'started_at_ms', ARGV[1]) == 0 then
  return {0, redis.call('HGET', call, 'started_at_ms')}
end
local time = redis.call('TIME')
local now_ms = redis.call('HGET', clock, 'ms') or string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', call, 'heard_ms', now_ms)
redis.call('EXPIRE', call, ARGV[3])
for i = 1, channels do redis.call('HSETNX', call, 'ch:' .. ARGV[4 + i], 'awaited') end
redis.call('ZADD', quiet, now_ms, ARGV[2])
redis.call('XADD', outbox, '*', unpack(ARGV, 5 + channels))
return {1, ARGV[1]}
