-- Writes one fact of a call and all that follows from it, if the call is still as it was read.
-- KEYS: call, rows, calls, alerts, expiries, newest, gone, lags
-- ARGV: version read, call id, facts' field, facts, shown consumers, fold, row, rank, when the call
--       began, 1 if it ended, for how many seconds the row is shown, the facts are kept and the
--       call is known to be gone, when what is told was heard ('' for nothing), how many rules no
--       longer hold, those rules, then rule and alert of each that holds
-- Returns 'taken' and the calls that left the page just now, 'moved' (another fact came in between),
-- or 'gone' (nothing is known of the call any more) and for how many ms it has been off the page.
local call, rows, calls, alerts, expiries, newest, gone, lags = unpack(KEYS)
local version, id, field, facts, shown, fold, row, rank, began_ms = unpack(ARGV, 1, 9)
local ended, shown_s, kept_s, gone_s = ARGV[10] == '1', tonumber(ARGV[11]), ARGV[12], ARGV[13]
local heard_at_ms, lapsed = tonumber(ARGV[14]), tonumber(ARGV[15])

local current = redis.call('HGET', call, 'version') or '0'
if current ~= version then return {'moved'} end

local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local now = string.format('%.0f', now_ms)

-- A call of that name that began after the other one left is another call. Version 0.1 wrote 1.
local left = current == '0' and redis.call('GET', gone)
if left and (left == '1' or tonumber(began_ms) <= tonumber(left)) then
  redis.call('EXPIRE', gone, gone_s)
  return {'gone', left == '1' and -1 or now_ms - tonumber(left)}
end

-- What comes after the end prolongs nothing.
local leaves_ms, is_late = now_ms + shown_s * 1000, false
if ended and current ~= '0' then
  local due = tonumber(redis.call('ZSCORE', expiries, id) or 0)
  is_late = due <= leaves_ms
  leaves_ms = math.min(due, leaves_ms)
end
local leaves, is_shown = string.format('%.0f', leaves_ms), leaves_ms > now_ms

-- Fields of a hash cannot expire by themselves: each write clears away a few that are due.
-- First, as a full Redis refuses a script whose first write needs memory.
local answer = {'taken'}
for _, due in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, 20)) do
  for _, name in ipairs(redis.call('HKEYS', alerts)) do
    if name:sub(1, #due + 1) == due .. '|' then redis.call('HDEL', alerts, name) end
  end
  redis.call('HDEL', rows, due)
  redis.call('HDEL', lags, due)
  redis.call('ZREM', calls, due)
  redis.call('ZREM', expiries, due)
  answer[#answer + 1] = due
end
-- A full Redis takes an end, too: the call goes soon then.
if ended and not is_late then redis.call('EXPIRE', call, kept_s) end

redis.call('HSET', call, 'version', tonumber(version) + 1, field, facts, 'shown', shown, 'fold', fold)
for i = 16, 15 + lapsed do redis.call('HDEL', alerts, id .. '|' .. ARGV[i]) end
for i = 16 + lapsed, #ARGV, 2 do
  -- What was raised once keeps its words and its time: its event may be published already.
  redis.call('HSETNX', call, 'alert:' .. ARGV[i], now .. '|' .. ARGV[i + 1])
  if is_shown then
    redis.call('HSET', alerts, id .. '|' .. ARGV[i], redis.call('HGET', call, 'alert:' .. ARGV[i]))
  end
end
if is_shown then
  redis.call('HSET', rows, id, row)
  redis.call('ZADD', calls, rank, id)
  redis.call('ZADD', expiries, leaves, id)
  redis.call('SET', gone, leaves, 'EX', gone_s)
  if heard_at_ms then
    local lag, least = now_ms - heard_at_ms, redis.call('HGET', lags, id)
    if not least or lag < tonumber(least) then
      redis.call('HSET', lags, id, string.format('%.0f', lag))
    end
  end
end
if is_late then redis.call('EXPIRE', gone, gone_s) else redis.call('EXPIRE', call, kept_s) end
redis.call('SET', newest, now, 'EX', kept_s)

-- Nothing of the tenant stays longer than the last of its calls.
local last = redis.call('ZREVRANGE', expiries, 0, 0, 'WITHSCORES')[2]
for _, key in ipairs({rows, calls, alerts, expiries, newest, lags}) do
  if last then redis.call('PEXPIREAT', key, last) end
end
return answer
