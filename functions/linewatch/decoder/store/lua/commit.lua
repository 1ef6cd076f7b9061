-- Append one step: fence on the epoch, compare-and-set next_seq.
-- KEYS: session, tail, hashes of the steps taken, sessions, clock, call
-- ARGV: epoch, kind (chunk|gap|end), stream, seq, next_seq after it, position (-1: as is), end position,
--       packed step, its hash, member, paused (1/0), packed resume ('' none), base: where the channel
--       stands as the step counts ('' as stored), channel, version
-- -> {state, next_seq, next_position, next_seq before}, state: accepted | duplicate | conflict |
--    gap | position | replaced | ended | moved
local session, tail, taken, sessions, clock, call = unpack(KEYS)
local epoch, kind, stream = ARGV[1], ARGV[2], ARGV[3]
local seq, after = tonumber(ARGV[4]), tonumber(ARGV[5])
local position, end_position = tonumber(ARGV[6]), tonumber(ARGV[7])
local resume, base = ARGV[12], ARGV[13]
local KEPT = 128

local found = redis.call('HMGET', session, 'epoch', 'stream', 'next_seq', 'next_position', 'past', 'ended',
  'rate_hz')
if found[1] ~= epoch then return {'moved', 0, 0, 0} end
local known, next_seq, next_position = found[2], tonumber(found[3]), tonumber(found[4])
local past, before, ended = found[5], next_seq, found[6]
local function answer(state) return {state, next_seq, next_position, before} end

if stream ~= known then
  if string.find(past, '|' .. stream .. '|', 1, true) then return answer('replaced') end
  if known ~= '' then
    -- A sender that restarted goes on at any number; what is missing shows in the position.
    next_seq = seq
    past = string.sub(past .. '|' .. known .. '|', -600)
  end
end

local last = after - 1
if last < next_seq and stream == known then
  local count = redis.call('LLEN', taken)
  local at = last - (next_seq - count)
  local hash = at >= 0 and redis.call('LINDEX', taken, at)
  if not hash or hash == ARGV[9] then return answer('duplicate') end
  return answer(ended ~= '' and 'ended' or 'conflict')
end
-- A leg that ended comes back under a new stream, while its call lives.
local comes_back = ended ~= '' and resume ~= '' and stream ~= known
  and redis.call('HEXISTS', call, 'closed') == 0
if ended ~= '' and not comes_back then return answer('ended') end
if seq ~= next_seq then return answer('gap') end
if base ~= '' then next_position = tonumber(base) end
-- Up to a second that was heard already is cut by the session; more is another place in the call.
if position >= 0 and position < next_position - tonumber(found[7]) then return answer('position') end

-- A full Redis refuses a script whose first write needs memory: so it does audio, but neither
-- gaps nor ends, after which memory is freed.
if kind ~= 'chunk' then redis.call('LTRIM', tail, 0, -1) end
if resume ~= '' then redis.call('RPUSH', tail, resume) end
-- A chunk that adds nothing would stay in the tail for ever: no edge comes of it.
if kind ~= 'chunk' or end_position > next_position then redis.call('RPUSH', tail, ARGV[8]) end
if kind == 'gap' or stream ~= known then redis.call('DEL', taken) end
redis.call('RPUSH', taken, ARGV[9])
redis.call('LTRIM', taken, -KEPT, -1)
end_position = math.max(end_position, next_position)
local time = redis.call('TIME')
local time_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', session, 'stream', stream, 'past', past, 'next_seq', after,
  'next_position', end_position, 'paused', ARGV[11], 'parked', 0, 'at_ms', string.format('%.0f', time_ms))
if resume ~= '' or base ~= '' then redis.call('HSET', session, 'version', ARGV[15]) end
if comes_back then
  redis.call('HSET', session, 'ended', '')
  redis.call('HSET', call, 'ch:' .. ARGV[14], 'open')
end
if kind == 'chunk' then redis.call('HINCRBY', session, 'chunks', 1) end
redis.call('ZADD', sessions, redis.call('HGET', clock, 'ms') or time_ms, ARGV[10])
return {'accepted', after, end_position, before}
