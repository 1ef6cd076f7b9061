-- Keep audio that killed its decoder, on a full Redis, too: its first write makes room.
-- KEYS: list. ARGV: pieces kept, expiry s, then the pieces
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
for i = 3, #ARGV do redis.call('LPUSH', KEYS[1], ARGV[i]) end
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
