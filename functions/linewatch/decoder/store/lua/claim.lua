-- Find a session's owner, make the session, or take it over. One answer, nothing in between.
-- KEYS: session, tail, call, sessions, outbox of the call
-- ARGV: pod, member, version, may create (1/0), may take a suspect (1/0), dead pod, its epoch,
--       rate, started_at_ms, channel, then the fields of the call.started record
-- -> {state, fields of the session, tail} where state is one of
--    closed | absent | owned | suspect | newer | created | adopted
local session, tail, call, sessions, outbox = unpack(KEYS)
local pod, member, version = ARGV[1], ARGV[2], tonumber(ARGV[3])
local may_create, may_suspect = ARGV[4] == '1', ARGV[5] == '1'
local dead_pod, dead_epoch = ARGV[6], ARGV[7]
local rate, started_at_ms, channel = ARGV[8], ARGV[9], ARGV[10]

if redis.call('HEXISTS', call, 'closed') == 1 then
  return {'closed', redis.call('HGETALL', session), {}}
end

local epoch = redis.call('HGET', session, 'epoch')
if not epoch then
  local now = redis.call('TIME')
  local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
  if not may_create then
    -- A chunk of an announced channel is refused: its sender soon comes again, or never.
    if tonumber(rate) > 0 and redis.call('ZSCORE', sessions, member) then
      redis.call('ZADD', sessions, now_ms, member)
      redis.call('HSET', call, 'refused:' .. channel, 1)
    end
    return {'absent', {}, {}}
  end
  if redis.call('HSETNX', call, 'started_at_ms', started_at_ms) == 1 then
    redis.call('XADD', outbox, '*', unpack(ARGV, 11))
  end
  redis.call('PERSIST', call)
  redis.call('HSET', call, 'ch:' .. channel, 'open')
  redis.call('HSET', session, 'version', version, 'owner', pod, 'epoch', 1, 'stream', '', 'past', '',
    'next_seq', 0, 'next_position', 0, 'rate_hz', rate, 'first_sample', 0, 'edge_sample', 0,
    'edges', 0, 'index', 0, 'attempts', 0, 'chunks', 0, 'gaps', 0, 'paused', 0, 'ended', '',
    'started_at_ms', redis.call('HGET', call, 'started_at_ms'))
  redis.call('ZADD', sessions, now_ms, member)
  return {'created', redis.call('HGETALL', session), {}}
end

local owner, attempts, written = unpack(redis.call('HMGET', session, 'owner', 'attempts', 'version'))
if tonumber(written) > version then return {'newer', {'version', written}, {}} end
local given_up = dead_pod == owner and dead_epoch == epoch
if owner ~= '' and owner ~= pod and not given_up then
  local address = redis.call('HGET', 'pod:' .. owner, 'address')
  if address then return {'owned', {'owner', owner, 'epoch', epoch, 'address', address}, {}} end
end
-- Only an owner that died may have died of this tail; one that released it, or lives, has not.
local died = owner ~= '' and owner ~= pod
if died and tonumber(attempts) > 0 and not may_suspect then return {'suspect', {}, {}} end
redis.call('HSET', session, 'owner', pod)
redis.call('HINCRBY', session, 'epoch', 1)
if owner ~= pod then redis.call('HINCRBY', session, 'moves', 1) end
if died then redis.call('HINCRBY', session, 'attempts', 1) end
return {'adopted', redis.call('HGETALL', session), redis.call('LRANGE', tail, 0, -1)}
