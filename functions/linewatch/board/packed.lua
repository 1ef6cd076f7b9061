-- Puts one text in place of all facts of a call, if the call is still as it was read.
-- KEYS: call   ARGV: version read, text, the fields it takes the place of
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return end
-- Deleting comes first: a full Redis refuses a script whose first write needs memory.
for i = 3, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('HSET', KEYS[1], 'packed', ARGV[2])
