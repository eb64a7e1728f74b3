-- The common take: the day and the hour go on that are being counted, and everything asked for fits. No table, no copy, and
-- the rest of the arithmetic is not even loaded: a third of the time of the long way (counter.lua), which answers whatever
-- is not as common and says what every step means. Both are held against src/warmup/counter.ts.
-- `sends` in so many `takes`. Returns the new state of the record (bytes 8 to 63), what is left (of no limit infinity), the
-- limit that binds, when it begins anew, dayFrom, hourFrom and the seq of the last take, and what makes its place among
-- others (score.lua): is it warming, the daily limit and what is used of it, the hourly cap and what is used of it; or nothing.
-- Needs `first_seq` (fence.lua).
local function charge_fast(raw, now, sends, takes)
  if #raw < 168 then return end
  local day_from, day_used, hour_from, hour_used, level, at, seq, gate, held_until, from, to, daily, hourly, burst =
    struct.unpack('<dddddddddddddd', raw, 9)
  if now < at or now >= to or day_from ~= from or now >= hour_from + 3600000 or gate == 0 or now < held_until then return end
  if seq < first_seq then return end
  day_used, hour_used = day_used + sends, hour_used + sends
  local left, limit, resets = math.huge, -1, to
  if daily >= 0 then left, limit = daily - day_used, daily end
  if hourly >= 0 and hourly - hour_used < left then
    left, limit, resets = hourly - hour_used, hourly, math.min(hour_from + 3600000, to)
  end
  if burst >= 0 then
    if hourly < 0 then return end
    local size = burst * 3600000
    level = math.min(size, level + math.min(now - at, 3600000) * hourly) - sends * 3600000
    local tokens = math.floor(level / 3600000)
    if tokens < left then left, limit, resets = tokens, burst, now + math.ceil((size - level) / hourly) end
  else
    level = 9007199254740991
  end
  if left < 0 then return end
  seq = seq + takes
  return struct.pack('<ddddddd', day_from, day_used, hour_from, hour_used, level, now, seq),
    left, limit, resets, day_from, hour_from, seq, gate == 1, daily, day_used, hourly, hour_used
end

-- Where the text of a record begins: "id \n address \n hostname \n bind \n pools".
local function text_at(raw)
  return 169 + struct.unpack('<d', raw, 161) * 8
end

local function names(raw, id)
  local at = text_at(raw)
  return string.sub(raw, at, at + #id) == id .. '\n'
end

-- The answer to a common take, all doubles: 0, limit, remaining (-1 for no limit), resetAfterMs, dayFrom, hourFrom, seq of the
-- last take, length of the text; and the text.
local function answer_fast(raw, now, left, limit, resets, day_from, hour_from, seq)
  local at = text_at(raw)
  return struct.pack('<dddddddd', 0, limit, left < math.huge and left or -1, resets - now, day_from, hour_from, seq, #raw - at + 1)
    .. string.sub(raw, at)
end
