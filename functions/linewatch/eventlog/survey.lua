-- KEYS: stream. ARGV: the first id to keep at any rate, and groups. Trims below that and below
-- what all groups acknowledged (if all exist); returns for each how many it has not acknowledged.
local kept = table.remove(ARGV, 1)
local found, floor, lags = {}, nil, {}
if redis.call('EXISTS', KEYS[1]) == 0 then
  for i = 1, #ARGV do lags[i] = 0 end
  return lags
end
local function less(a, b)
  local am, as = a:match('(%d+)-(%d+)')
  local bm, bs = b:match('(%d+)-(%d+)')
  am, as, bm, bs = tonumber(am), tonumber(as), tonumber(bm), tonumber(bs)
  return am < bm or (am == bm and as < bs)
end
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #row, 2 do group[row[i]] = row[i + 1] end
  found[group['name']] = group
end
local complete = true
for _, name in ipairs(ARGV) do
  local group = found[name]
  if group then
    local lowest = redis.call('XPENDING', KEYS[1], name)[2]
    if not lowest then
      local ms, seq = group['last-delivered-id']:match('(%d+)-(%d+)')
      lowest = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1)
    end
    if not floor or less(lowest, floor) then floor = lowest end
  else
    complete = false
  end
end
if complete and floor then
  redis.call('XTRIM', KEYS[1], 'MINID', less(kept, floor) and kept or floor)
end
local length = redis.call('XLEN', KEYS[1])
for i, name in ipairs(ARGV) do
  local group = found[name]
  if group then
    -- Counting copies: of a group that keeps up what it has before it, of one that is away what
    -- it had (another may keep up on the same topic, and what is kept for the one is long).
    local last = group['last-delivered-id']
    local before = #redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1000)
    if before == 1000 then
      before = length - #redis.call('XRANGE', KEYS[1], '-', last)
    end
    lags[i] = before + group['pending']
  else
    lags[i] = length
  end
end
return lags
