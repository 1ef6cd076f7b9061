-- Return the call that an alias stands for, and let it live on from now. KEYS: alias.
-- ARGV: the call if it stands for none, expiry s, anew (1: for that call in any case)
local lives = redis.call('EXPIRE', KEYS[1], ARGV[2]) == 1
if lives and ARGV[3] == '0' then return redis.call('GET', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
