-- Notes that an alert's event was taken by the sink; a call that left the board is not brought back.
-- KEYS: call   ARGV: rule
if redis.call('EXISTS', KEYS[1]) == 0 then return end
-- Removes nothing: a full Redis refuses a script whose first write needs memory, and the event
-- would be published again and again.
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], 'sent:' .. ARGV[1], 1)
