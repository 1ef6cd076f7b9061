-- Close a call once: publish call.ended, leave a tombstone, let its sessions expire.
-- KEYS: call, outbox, sessions, quiet calls, clock, then session, tail, taken, finals of each channel
-- ARGV: now_ms, tombstone s, session s, abandon it if nothing came for so many ms (0: its sender ends
--       it), look at it again after so many ms, member of the call, number of channels, the channels,
--       their members, then the fields of the call.ended record
-- -> 1 closed now, 0 closed before, or a channel was opened or heard meanwhile
local call, outbox, sessions, quiet, clock = unpack(KEYS)
local quiet_ms, again_ms, call_member = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
if redis.call('HEXISTS', call, 'closed') == 1 then return 0 end
local channels = tonumber(ARGV[7])
local begun, facts = 0, redis.call('HGETALL', call)
for i = 1, #facts, 2 do
  if string.sub(facts[i], 1, 3) == 'ch:' and facts[i + 1] ~= 'awaited' then begun = begun + 1 end
end
if begun ~= channels then return 0 end
-- First: after a write that frees memory a full Redis takes the others of a script, too.
redis.call('HDEL', call, '')

if quiet_ms > 0 then
  local time = redis.call('TIME')
  local now_ms = redis.call('HGET', clock, 'ms') or time[1] * 1000 + math.floor(time[2] / 1000)
  local newest = tonumber(redis.call('HGET', call, 'heard_ms') or 0)
  for i = 1, channels do
    local since = redis.call('ZSCORE', sessions, ARGV[7 + channels + i])
      or redis.call('HGET', KEYS[2 + 4 * i], 'heard_ms') or 0
    newest = math.max(newest, tonumber(since))
  end
  if now_ms - newest < quiet_ms then
    -- A paused one waits longer than others: it is looked at again when its time is near.
    redis.call('ZADD', quiet, string.format('%.0f', newest + quiet_ms - again_ms), call_member)
    return 0
  end
  for i = 1, channels do
    if redis.call('LLEN', KEYS[3 + 4 * i]) > 0 then return 0 end
  end
  redis.call('HSET', call, 'abandoned', 1)
end

redis.call('HSET', call, 'closed', ARGV[1])
redis.call('EXPIRE', call, ARGV[2])
redis.call('ZREM', quiet, call_member)
redis.call('XADD', outbox, '*', unpack(ARGV, 8 + 2 * channels))
for i = 1, channels do
  redis.call('ZREM', sessions, ARGV[7 + channels + i])
  local at = 1 + 4 * i
  local session, tail, taken, finals = KEYS[at + 1], KEYS[at + 2], KEYS[at + 3], KEYS[at + 4]
  redis.call('DEL', tail)
  if quiet_ms > 0 then
    -- Its sender may come back, and send again what it sent last.
    if redis.call('HGET', session, 'ended') == '' then redis.call('HSET', session, 'ended', 'abandoned') end
    redis.call('EXPIRE', taken, ARGV[2])
    redis.call('EXPIRE', session, ARGV[2])
    redis.call('EXPIRE', finals, ARGV[2])
    redis.call('HSET', call, 'ch:' .. ARGV[7 + i], redis.call('HGET', session, 'ended') or 'abandoned')
  else
    redis.call('DEL', taken)
    redis.call('EXPIRE', session, ARGV[3])
    redis.call('EXPIRE', finals, ARGV[3])
  end
end
return 1
