-- Down the heap to its place: the first of the list is the first in the order of choice.
local function sink(list, at)
  local one, size = list[at], #list
  while true do
    local child = 2 * at
    if child > size then break end
    local a, b = list[child], list[child + 1]
    if b and (b.score < a.score or (b.score == a.score and b.address < a.address)) then child, a = child + 1, b end
    if one.score < a.score or (one.score == a.score and one.address < a.address) then break end
    list[at], at = a, child
  end
  list[at] = one
end

-- Takes of one send each, one after another: each falls to whoever is first in the order of choice at that moment. Their
-- answers go into `answers`, one for each IP. Returns how many were granted before the long way is needed.
local function choose_many_fast(prefix, now, scope, takes, answers)
  local ready, given = prefix .. 'ready:' .. scope .. ':4', 0
  while given < takes do
    local most = math.min(128, takes - given + 1)
    local entries = redis.call('ZRANGE', ready, 0, most - 1, 'WITHSCORES')
    if not entries[1] then return given end
    local list, keys = {}, {}
    for i = 1, #entries, 2 do keys[#keys + 1] = prefix .. 'hot:' .. entries[i] end
    for i, raw in ipairs(redis.call('MGET', unpack(keys))) do
      local place, known = raw and #raw >= 168 and place_of(raw, now), tonumber(entries[2 * i])
      if not place or score_with(place, 0) ~= known then return given end
      list[i] = { score = known, address = entries[2 * i - 1], raw = raw, place = place, takes = 0, key = keys[i] }
    end
    -- Behind the last of a full list others may wait that were not read: nobody is charged past its place.
    local edge_score, edge_address = math.huge, ''
    if #list == most then edge_score, edge_address = list[most].score, list[most].address end
    local charged, missing = {}, takes - given
    while missing > 0 do
      local first = list[1]
      if first.score > edge_score or (first.score == edge_score and first.address > edge_address) then break end
      if first.takes == 0 then charged[#charged + 1] = first end
      first.takes, missing = first.takes + 1, missing - 1
      first.score = score_with(first.place, first.takes)
      sink(list, 1)
    end
    local writes, scores, round, sum = {}, {}, {}, 0
    for i, one in ipairs(charged) do
      local state, left, limit, resets, day_from, hour_from, seq = charge_fast(one.raw, now, one.takes, one.takes)
      if not state or left < 1 then return given end
      local answer = answer_fast(one.raw, now, left, limit, resets, day_from, hour_from, seq)
      writes[2 * i - 1], writes[2 * i] = one.key, string.sub(one.raw, 1, 8) .. state .. string.sub(one.raw, 65)
      scores[2 * i - 1], scores[2 * i] = string.format('%.17g', one.score), one.address
      round[i], sum = struct.pack('<d', one.takes) .. answer, sum + one.takes
    end
    redis.call('MSET', unpack(writes))
    redis.call('ZADD', ready, unpack(scores))
    for _, answer in ipairs(round) do answers[#answers + 1] = answer end
    given = given + sum
  end
  return given
end
