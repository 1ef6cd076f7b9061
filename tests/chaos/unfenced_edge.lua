-- The negative control's edge: whoever comes may write. Same keys, arguments and answer as the
-- shipped script.
local session, tail, finals, call, outbox = unpack(KEYS)
redis.call('HSET', session, 'first_sample', ARGV[3], 'edge_sample', ARGV[4], 'edges', ARGV[2] + 1,
  'index', ARGV[5], 'attempts', 0)
redis.call('HINCRBY', session, 'gaps', ARGV[10])
redis.call('LTRIM', tail, ARGV[6], -1)
if ARGV[7] ~= '' then redis.call('RPUSH', finals, ARGV[7]) end
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
