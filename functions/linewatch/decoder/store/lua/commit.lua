-- Append one step: fence on the epoch, compare-and-set next_seq.
-- KEYS: session, tail, hashes of the steps taken, sessions
-- ARGV: epoch, kind (chunk|gap|end), stream, seq, next_seq after it, position (-1: as is), end position,
--       packed step, its hash, member, paused (1/0)
-- -> {state, next_seq, next_position, next_seq before}, state: accepted | duplicate | conflict |
--    gap | position | replaced | ended | moved
local session, tail, taken, sessions = unpack(KEYS)
local epoch, kind, stream = ARGV[1], ARGV[2], ARGV[3]
local seq, after = tonumber(ARGV[4]), tonumber(ARGV[5])
local position, end_position = tonumber(ARGV[6]), tonumber(ARGV[7])
local KEPT = 128

local found = redis.call('HMGET', session, 'epoch', 'stream', 'next_seq', 'next_position', 'past', 'ended')
if found[1] ~= epoch then return {'moved', 0, 0, 0} end
local known, next_seq, next_position = found[2], tonumber(found[3]), tonumber(found[4])
local past, before = found[5], next_seq
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
  -- The reaper's end stands where the sender's next step would: that is no conflict.
  return answer(found[6] ~= '' and 'ended' or 'conflict')
end
if found[6] ~= '' then return answer('ended') end
if seq ~= next_seq then return answer('gap') end
if position >= 0 and position < next_position then return answer('position') end

if kind == 'gap' or stream ~= known then redis.call('DEL', taken) end
redis.call('RPUSH', tail, ARGV[8])
redis.call('RPUSH', taken, ARGV[9])
redis.call('LTRIM', taken, -KEPT, -1)
if end_position < 0 then end_position = next_position end
redis.call('HSET', session, 'stream', stream, 'past', past, 'next_seq', after,
  'next_position', end_position, 'paused', ARGV[11])
if kind == 'chunk' then redis.call('HINCRBY', session, 'chunks', 1) end
local now = redis.call('TIME')
redis.call('ZADD', sessions, now[1] * 1000 + math.floor(now[2] / 1000), ARGV[10])
return {'accepted', after, end_position, before}
