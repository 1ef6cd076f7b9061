-- Renew a pod's lease and show its facts, on a full Redis, too: its first write needs no memory.
-- KEYS: pod, pods. ARGV: pod id, expiry in ms, then the facts' names and values
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
