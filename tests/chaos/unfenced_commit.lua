-- The negative control's commit: no epoch, no compare-and-set. Same keys, arguments and answer
-- as the shipped script.
local session, tail, taken, sessions = unpack(KEYS)
local before = tonumber(redis.call('HGET', session, 'next_seq'))
local end_position = tonumber(ARGV[7])
if end_position < 0 then end_position = tonumber(redis.call('HGET', session, 'next_position')) end
redis.call('RPUSH', tail, ARGV[8])
redis.call('RPUSH', taken, ARGV[9])
redis.call('HSET', session, 'stream', ARGV[3], 'next_seq', ARGV[5], 'next_position', end_position)
if ARGV[2] == 'chunk' then redis.call('HINCRBY', session, 'chunks', 1) end
local now = redis.call('TIME')
redis.call('ZADD', sessions, now[1] * 1000 + math.floor(now[2] / 1000), ARGV[10])
return {'accepted', tonumber(ARGV[5]), end_position, before}
