-- Find a session's owner, make the session, or take it over. One answer, nothing in between.
-- KEYS: session, tail, call, sessions, outbox of the call, clock, quiet calls, finals
-- ARGV: pod, member, version, may create (1/0), may take a suspect (1/0), dead pod, its epoch,
--       rate, started_at_ms, channel, member of the call, generation in which an abandoned call comes
--       back (0: it may not), may go on (1/0), then the fields of the call.started record, or of call.resumed
-- -> {state, fields of the session, tail} where state is one of
--    closed | abandoned | absent | owned | suspect | newer | created | adopted
local session, tail, call, sessions, outbox, clock, quiet, finals = unpack(KEYS)
local pod, member, version = ARGV[1], ARGV[2], tonumber(ARGV[3])
local may_create, may_suspect = ARGV[4] == '1', ARGV[5] == '1'
local dead_pod, dead_epoch = ARGV[6], ARGV[7]
local rate, started_at_ms, channel = ARGV[8], ARGV[9], ARGV[10]

local time = redis.call('TIME')
local time_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_ms = tonumber(redis.call('HGET', clock, 'ms') or time_ms)

local closed, abandoned, generation = unpack(redis.call('HMGET', call, 'closed', 'abandoned', 'generation'))
if closed then
  if not abandoned then return {'closed', redis.call('HGETALL', session), {}} end
  if tonumber(ARGV[12]) ~= (generation or 0) + 1 then
    local started = redis.call('HGET', call, 'started_at_ms')
    return {'abandoned', {'started_at_ms', started, 'generation', generation or 0}, {}}
  end
  redis.call('HDEL', call, 'closed', 'abandoned')
  redis.call('HSET', call, 'generation', ARGV[12])
  redis.call('PERSIST', call)
  redis.call('XADD', outbox, '*', unpack(ARGV, 14))
  redis.call('ZADD', quiet, now_ms, ARGV[11])
end

local epoch = redis.call('HGET', session, 'epoch')
if not epoch then
  if not may_create then
    -- A chunk of an announced channel is refused: its sender soon comes again, or never.
    if tonumber(rate) > 0 and redis.call('EXISTS', call) == 1 then
      redis.call('HSET', call, 'refused', 1, 'heard_ms', string.format('%.0f', now_ms))
    end
    return {'absent', {}, {}}
  end
  if redis.call('HSETNX', call, 'started_at_ms', started_at_ms) == 1 then
    redis.call('XADD', outbox, '*', unpack(ARGV, 14))
  end
  redis.call('PERSIST', call)
  redis.call('HSET', call, 'ch:' .. channel, 'open')
  -- What older code can read too: only what it cannot raises the version.
  redis.call('HSET', session, 'version', 1, 'owner', pod, 'epoch', 1, 'stream', '', 'past', '',
    'next_seq', 0, 'next_position', 0, 'rate_hz', rate, 'first_sample', 0, 'edge_sample', 0,
    'edges', 0, 'index', 0, 'attempts', 0, 'chunks', 0, 'gaps', 0, 'paused', 0, 'ended', '',
    'started_at_ms', redis.call('HGET', call, 'started_at_ms'))
  redis.call('ZADD', sessions, now_ms, member)
  redis.call('ZADD', quiet, now_ms, ARGV[11])
  return {'created', redis.call('HGETALL', session), {}}
end

local owner, attempts, written, ended = unpack(redis.call('HMGET', session, 'owner', 'attempts', 'version', 'ended'))
if tonumber(written) > version then return {'newer', {'version', written}, {}} end
local given_up = dead_pod == owner and dead_epoch == epoch
if owner ~= '' and owner ~= pod and not given_up then
  local address = redis.call('HGET', 'pod:' .. owner, 'address')
  if address then return {'owned', {'owner', owner, 'epoch', epoch, 'address', address}, {}} end
end
-- Only an owner that died may have died of this tail; one that released it, or lives, has not.
local died = owner ~= '' and owner ~= pod
if died and tonumber(attempts) > 0 and not may_suspect then return {'suspect', {}, {}} end
-- Removes nothing: a full Redis refuses a script whose first write needs memory, and nobody would
-- end the calls of a dead pod.
redis.call('LTRIM', tail, 0, -1)
redis.call('HSET', session, 'owner', pod)
redis.call('HINCRBY', session, 'epoch', 1)
if owner ~= pod then redis.call('HINCRBY', session, 'moves', 1) end
if died then redis.call('HINCRBY', session, 'attempts', 1) end
-- For how long nothing came: by Redis' clock, unless somebody set it meanwhile.
local at_ms, since_ms = unpack(redis.call('HMGET', session, 'at_ms', 'heard_ms'))
since_ms = redis.call('ZSCORE', sessions, member) or since_ms
if at_ms and since_ms then
  local away_ms, quiet_ms = time_ms - at_ms, now_ms - since_ms
  if math.abs(away_ms - quiet_ms) > 5000 then away_ms = quiet_ms end
  redis.call('HSET', session, 'away_ms', string.format('%.0f', math.max(0, away_ms)))
end
if ended == 'abandoned' and ARGV[13] == '1' then
  -- It was given up with its call, which came back.
  redis.call('HSET', session, 'ended', '')
  redis.call('HSET', call, 'ch:' .. channel, 'open')
  redis.call('PERSIST', session)
  redis.call('PERSIST', finals)
  redis.call('ZADD', sessions, now_ms, member)
end
return {'adopted', redis.call('HGETALL', session), redis.call('LRANGE', tail, 0, -1)}
