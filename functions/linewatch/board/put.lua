-- Writes one fact of a call and all that follows from it, if the call is still as it was read.
-- KEYS: call, rows, calls, alerts, expiries, newest, gone, lags
-- ARGV: version read, call id, facts' field, facts, shown consumers, fold, row, rank, expires_s,
--       gone_expires_s (0: not ended), heard_at_ms ('' where nothing was heard), how many rules no longer hold, those rules, then rule and alert of each that holds
-- Returns 'taken', 'moved' (another fact came in between) or 'gone' (ended and off the board).
local call, rows, calls, alerts, expiries, newest, gone, lags = unpack(KEYS)
local version, id, field, facts, shown, fold, row, rank = unpack(ARGV, 1, 8)
local expires_s, gone_expires_s, heard_at_ms = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local lapsed = tonumber(ARGV[12])

local current = redis.call('HGET', call, 'version') or '0'
if current ~= version then return 'moved' end
if current == '0' and redis.call('EXISTS', gone) == 1 then return 'gone' end

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now = string.format('%.0f', now_ms)

redis.call('HSET', call, 'version', tonumber(version) + 1, field, facts, 'shown', shown, 'fold', fold)
for i = 13, 12 + lapsed do redis.call('HDEL', alerts, id .. '|' .. ARGV[i]) end
for i = 13 + lapsed, #ARGV, 2 do
  -- What was raised once keeps its words and its time: its event may be published already.
  redis.call('HSETNX', call, 'alert:' .. ARGV[i], now .. '|' .. ARGV[i + 1])
  redis.call('HSET', alerts, id .. '|' .. ARGV[i], redis.call('HGET', call, 'alert:' .. ARGV[i]))
end
redis.call('HSET', rows, id, row)
if heard_at_ms then
  local lag, least = now_ms - heard_at_ms, redis.call('HGET', lags, id)
  if not least or lag < tonumber(least) then
    redis.call('HSET', lags, id, string.format('%.0f', lag))
  end
end
redis.call('ZADD', calls, rank, id)
redis.call('ZADD', expiries, string.format('%.0f', now_ms + expires_s * 1000), id)
redis.call('EXPIRE', call, expires_s)
redis.call('SET', newest, now)
if gone_expires_s > 0 then redis.call('SET', gone, '1', 'EX', gone_expires_s) end

-- Fields of a hash cannot expire by themselves: each write clears away a few that are due.
for _, due in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, 20)) do
  local left = redis.call('HGET', rows, due)
  if left then
    for _, rule in ipairs(cjson.decode(left).rules) do
      redis.call('HDEL', alerts, due .. '|' .. rule)
    end
  end
  redis.call('HDEL', rows, due)
  redis.call('HDEL', lags, due)
  redis.call('ZREM', calls, due)
  redis.call('ZREM', expiries, due)
end
return 'taken'
