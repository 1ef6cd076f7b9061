-- Let the time go on by which silence is measured. KEYS: clock. ARGV: longest tick in ms.
-- A decoder ticks every second. A store that was away, or whose clock was set, adds one tick, not
-- an hour: nobody could send meanwhile.
local clock, longest = KEYS[1], tonumber(ARGV[1])
-- Removes nothing: a full Redis refuses a script whose first write needs memory.
redis.call('HDEL', clock, '')
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', clock, 'ms', 'seen')
local passed = now_ms - tonumber(found[2] or now_ms)
if passed < 0 or passed > longest then passed = longest end
local ms = tonumber(found[1] or now_ms) + passed
redis.call('HSET', clock, 'ms', string.format('%.0f', ms), 'seen', string.format('%.0f', now_ms))
return string.format('%.0f', ms)
