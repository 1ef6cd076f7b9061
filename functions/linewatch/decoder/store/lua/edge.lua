-- Move a session past one edge: checkpoint, tail, finals and outbox in one go.
-- KEYS: session, tail, finals, call, outbox, sessions, clock, quiet calls
-- ARGV: epoch, edges before, first_sample, edge_sample, index, steps to drop, final as JSON ('' none),
--       end reason ('' goes on), channel, gaps to add, origin ('' from the beginning), version,
--       park if no step came for so many ms ('' no), member, member of the call,
--       number of fields of each record ..., -1, fields
-- -> passed | done (by an earlier try) | moved (or the store was rewound) | alive (not parked: a step came)
local session, tail, finals, call, outbox, sessions, clock, quiet = unpack(KEYS)
local KEPT = 64
local found = redis.call('HMGET', session, 'epoch', 'edges')
if found[1] ~= ARGV[1] or tonumber(found[2]) < tonumber(ARGV[2]) then return 'moved' end
if found[2] ~= ARGV[2] then return 'done' end
local since_ms
if ARGV[13] ~= '' then
  since_ms = redis.call('ZSCORE', sessions, ARGV[14])
  local time = redis.call('TIME')
  local now_ms = redis.call('HGET', clock, 'ms') or time[1] * 1000 + math.floor(time[2] / 1000)
  if not since_ms or now_ms - since_ms < tonumber(ARGV[13]) then return 'alive' end
end

-- First: after a write that frees memory a full Redis takes the others of a script, too.
redis.call('LTRIM', tail, ARGV[6], -1)
redis.call('HSET', session, 'first_sample', ARGV[3], 'edge_sample', ARGV[4], 'edges', ARGV[2] + 1,
  'index', ARGV[5], 'attempts', 0)
redis.call('HINCRBY', session, 'gaps', ARGV[10])
if ARGV[7] ~= '' then
  redis.call('RPUSH', finals, ARGV[7])
  redis.call('LTRIM', finals, -KEPT, -1)
end

if ARGV[11] ~= '' then redis.call('HSET', session, 'origin', ARGV[11], 'version', ARGV[12]) end

local sizes, at = {}, 16
while ARGV[at] ~= '-1' do
  sizes[#sizes + 1] = tonumber(ARGV[at])
  at = at + 1
end
at = at + 1
for _, size in ipairs(sizes) do
  redis.call('XADD', outbox, '*', unpack(ARGV, at, at + size - 1))
  at = at + size
end

if ARGV[8] ~= '' then
  redis.call('HSET', session, 'ended', ARGV[8])
  redis.call('HSET', call, 'ch:' .. ARGV[9], ARGV[8])
  since_ms = redis.call('ZSCORE', sessions, ARGV[14])
end
if ARGV[13] ~= '' then redis.call('HSET', session, 'parked', 1, 'owner', '') end
if since_ms then
  redis.call('HSET', session, 'heard_ms', since_ms)
  redis.call('ZREM', sessions, ARGV[14])
  redis.call('ZADD', quiet, 'NX', since_ms, ARGV[15])
end
return 'passed'
