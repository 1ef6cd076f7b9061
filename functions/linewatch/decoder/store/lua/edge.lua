-- Move a session past one edge: checkpoint, tail, finals and outbox in one go.
-- KEYS: session, tail, finals, call, outbox
-- ARGV: epoch, edges before, first_sample, edge_sample, index, steps to drop, final as JSON ('' none),
--       end reason ('' goes on), channel, gaps to add, number of fields of each record ..., -1, fields
-- -> passed | done (by an earlier try) | moved (or the store was rewound)
local session, tail, finals, call, outbox = unpack(KEYS)
local KEPT = 64
local found = redis.call('HMGET', session, 'epoch', 'edges')
if found[1] ~= ARGV[1] or tonumber(found[2]) < tonumber(ARGV[2]) then return 'moved' end
if found[2] ~= ARGV[2] then return 'done' end

redis.call('HSET', session, 'first_sample', ARGV[3], 'edge_sample', ARGV[4], 'edges', ARGV[2] + 1,
  'index', ARGV[5], 'attempts', 0)
redis.call('HINCRBY', session, 'gaps', ARGV[10])
redis.call('LTRIM', tail, ARGV[6], -1)
if ARGV[7] ~= '' then
  redis.call('RPUSH', finals, ARGV[7])
  redis.call('LTRIM', finals, -KEPT, -1)
end

local sizes, at = {}, 11
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
end
return 'passed'
