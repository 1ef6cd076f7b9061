-- Change one field of a session while it is still ours. KEYS: session. ARGV: epoch, field, value.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
-- Removes nothing: a full Redis refuses a script whose first write needs memory.
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
