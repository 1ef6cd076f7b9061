-- Notes that an alert's event was taken by the sink; a call that left the board is not brought back.
-- KEYS: call   ARGV: rule
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'sent:' .. ARGV[1], 1) end
