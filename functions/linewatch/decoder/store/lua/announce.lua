-- Announce a call once, or tell what is new of one that is known.
-- KEYS: call, outbox, quiet calls, clock
-- ARGV: started_at_ms, expiry s, member of the call, number of channels, the channels, then
--       at_ms, dated (1/0), id of the update, number of words, each word's field and text,
--       number of fields of the call.started record, its fields, those of the call.updated record
-- -> {1 new | 0 known | -1 closed, started_at_ms}
local call, outbox, quiet, clock = unpack(KEYS)
-- So many updates are remembered: a repeat of an older one is published again, as the same bytes.
local REMEMBERED = 32
local closed, abandoned = unpack(redis.call('HMGET', call, 'closed', 'abandoned'))
if closed and not abandoned then return {-1, '0'} end
local channels = tonumber(ARGV[4])
local at = 5 + channels
local at_ms, dated, id = tonumber(ARGV[at]), ARGV[at + 1] == '1', ARGV[at + 2]
local words = tonumber(ARGV[at + 3])
local record = at + 4 + 2 * words
local size = tonumber(ARGV[record])

-- Keep each word that is the last one of its field; tell whether one is news.
local function keep()
  local is_news = false
  for i = at + 4, at + 2 + 2 * words, 2 do
    local field, text = 'said:' .. ARGV[i], ARGV[i + 1]
    local known = redis.call('HGET', call, field) or '0|'
    local split = string.find(known, '|', 1, true)
    local known_ms, known_text = tonumber(string.sub(known, 1, split - 1)), string.sub(known, split + 1)
    if known_text ~= text or (dated and at_ms > known_ms) then is_news = true end
    if at_ms > known_ms or (at_ms == known_ms and text > known_text) then
      redis.call('HSET', call, field, ARGV[at] .. '|' .. text)
    end
  end
  return is_news
end

-- Remember the update; tell whether it was published before.
local function remember()
  local known = redis.call('HGET', call, 'updates') or ''
  if string.find(' ' .. known .. ' ', ' ' .. id .. ' ', 1, true) then return false end
  local kept, count = id, 1
  for each in string.gmatch(known, '%S+') do
    count = count + 1
    if count <= REMEMBERED then kept = kept .. ' ' .. each end
  end
  redis.call('HSET', call, 'updates', kept)
  return true
end

if redis.call('HSETNX', call, 'started_at_ms', ARGV[1]) == 0 then
  if words > 0 and keep() and remember() then
    redis.call('XADD', outbox, '*', unpack(ARGV, record + size + 1))
  end
  return {0, redis.call('HGET', call, 'started_at_ms')}
end
keep()
redis.call('EXPIRE', call, ARGV[2])
local time = redis.call('TIME')
local now_ms = redis.call('HGET', clock, 'ms') or string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', call, 'heard_ms', now_ms)
for i = 1, channels do redis.call('HSETNX', call, 'ch:' .. ARGV[4 + i], 'awaited') end
redis.call('ZADD', quiet, now_ms, ARGV[3])
redis.call('XADD', outbox, '*', unpack(ARGV, record + 1, record + size))
return {1, ARGV[1]}
