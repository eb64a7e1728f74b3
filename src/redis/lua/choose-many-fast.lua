-- What makes the place of an IP: { warming, daily, day_used, hourly, hour_used }; nil when its hour does not go on.
local function place_of(raw, now)
  local day_from, day_used, hour_from, hour_used, _, at, _, gate, held_until, from, to, daily, hourly =
    struct.unpack('<ddddddddddddd', raw, 9)
  if now < at or now >= to or day_from ~= from or now >= hour_from + 3600000 or gate == 0 or now < held_until then return end
  return { gate == 1, daily, day_used, hourly, hour_used }
end
local function score_with(place, sends)
  return score(place[1], place[2], place[3] + sends, place[4], place[5] + sends)
end

-- Takes of one send each, one after another: each falls to whoever is first in the order of choice at that moment. Each IP
-- that granted any goes into `answers`: two doubles, its takes and the length of its record, and the record
-- as it is now, from byte 8 on.
-- Returns how many were granted before the long way is needed.
--
-- The first come sorted out of the index. Whoever has granted one goes to the end of a second line, which stays sorted by
-- itself as long as all have limits of a kind; the next one is at the front of one of the two.
local function choose_many_fast(prefix, now, scope, takes, answers)
  local ready, given = prefix .. 'ready:' .. scope .. ':4', 0
  local all = redis.call('ZCARD', ready)
  while given < takes do
    -- One more than may be charged, so that a single look is enough as long as all have room.
    local most = math.min(all, 128, takes - given + 1)
    local entries = redis.call('ZRANGE', ready, 0, most - 1, 'WITHSCORES')
    if not entries[1] then return given end
    local addresses, scores, keys, places, counts = {}, {}, {}, {}, {}
    for i = 1, #entries / 2 do
      addresses[i], scores[i], counts[i] = entries[2 * i - 1], tonumber(entries[2 * i]), 0
      keys[i] = prefix .. 'hot:' .. addresses[i]
    end
    local raws = redis.call('MGET', unpack(keys))
    for i, raw in ipairs(raws) do
      local place = raw and #raw >= 168 and place_of(raw, now)
      if not place or score_with(place, 0) ~= scores[i] then return given end
      places[i] = place
    end
    -- Behind the last of a full list others may wait that were not read: nobody is charged past its place.
    local edge_score, edge_address = math.huge, ''
    if most < all and #keys == most then edge_score, edge_address = scores[most], addresses[most] end
    local charged, missing = {}, takes - given
    local front, second, from, last = 1, {}, 1, 0
    while missing > 0 do
      local i, j = keys[front] and front, second[from]
      if j and (not i or scores[j] < scores[i] or (scores[j] == scores[i] and addresses[j] < addresses[i])) then
        i, from = j, from + 1
      else
        front = front + 1
      end
      local score = scores[i]
      if score > edge_score or (score == edge_score and addresses[i] > edge_address) then break end
      if counts[i] == 0 then charged[#charged + 1] = i end
      counts[i], missing = counts[i] + 1, missing - 1
      score = score_with(places[i], counts[i])
      scores[i] = score
      local at = last
      while at >= from and (scores[second[at]] > score or (scores[second[at]] == score and addresses[second[at]] > addresses[i])) do
        second[at + 1], at = second[at], at - 1
      end
      second[at + 1], last = i, last + 1
    end
    local writes, ranks, parts, sum = {}, {}, {}, 0
    for n, i in ipairs(charged) do
      local state, left = charge_fast(raws[i], now, counts[i], counts[i])
      if not state or left < 1 then return given end
      writes[2 * n - 1], writes[2 * n] = keys[i], state
      ranks[2 * n - 1], ranks[2 * n] = scores[i], addresses[i]
      parts[n], sum = struct.pack('<dd', counts[i], #raws[i] - 8) .. state .. string.sub(raws[i], 65), sum + counts[i]
    end
    for n = 1, #writes, 2 do redis.call('SETRANGE', writes[n], 8, writes[n + 1]) end
    redis.call('ZADD', ready, unpack(ranks))
    for _, part in ipairs(parts) do answers[#answers + 1] = part end
    given = given + sum
  end
  return given
end
