-- Note from when on a topic holds every record, before it is trimmed because memory is short; on
-- a full Redis, too: its first write needs no memory. KEYS: the note. ARGV: time in ms, expiry in s
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
