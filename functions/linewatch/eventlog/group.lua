-- Make a group on the streams that lack it, from the first record on; on a full Redis, too: its
-- first write needs no memory. KEYS: streams. ARGV: group
for _, stream in ipairs(KEYS) do
  redis.call('PERSIST', stream)
  local made = redis.pcall('XGROUP', 'CREATE', stream, ARGV[1], '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
end
