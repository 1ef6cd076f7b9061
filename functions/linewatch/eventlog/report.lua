-- Show fields of a role until nobody reports any more; on a full Redis, too: its first write needs
-- no memory. KEYS: health of the role. ARGV: expiry in ms, then fields and values
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
