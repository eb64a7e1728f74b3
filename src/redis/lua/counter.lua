-- The arithmetic of the limiter; src/warmup/counter.ts does the same, operation for operation, and explains it.
--
-- The hot record of an IP, key warmline:{acct}:hot:<address>, is one string of little-endian doubles and a text:
--    0 layout (1)
--    8 dayFrom  dayUsed  hourFrom  hourUsed  level  at  seq            the state: what a take writes (56 bytes)
--   64 gate (0 closed, 1 warming, 2 active)  heldUntil                 published by the worker from here on
--   80 from  to  daily  hourly  burst  flags                           the current window
--  128 nextDaily  nextHourly  nextBurst  nextFlags                     in force from `to` on
--  160 count of edges, then so many edges                              ends of the windows that follow
--      id \n address \n hostname \n bind \n pool,pool,...
-- Instants are in ms, counts in sends, level in sends x 3 600 000; -1 is unlimited (burst: no bucket).
-- flags: 1 the daily limit, 2 the hourly cap comes from the operator's ceiling.

local HOUR, DAY, SEND_UNITS, FULL = 3600000, 86400000, 3600000, 9007199254740991
local HUGE = math.huge
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local HEAD = '<' .. string.rep('d', 21)
local STATE = '<ddddddd'
local EDGES_AT = 169 -- byte of the first edge, counted from 1
local CLOSED, WARMING = 0, 1

-- nil for a record that is too short to be one. All fields at once, so that the table never grows: half the time of one by one.
local function decode(raw)
  if #raw < EDGES_AT - 1 then return nil end
  local _, day_from, day_used, hour_from, hour_used, level, at, seq, gate, held_until, from, to, daily, hourly, burst, flags,
    next_daily, next_hourly, next_burst, next_flags, edges = struct.unpack(HEAD, raw)
  return {
    raw = raw, day_from = day_from, day_used = day_used, hour_from = hour_from, hour_used = hour_used, level = level,
    at = at, seq = seq, gate = gate, held_until = held_until, from = from, to = to, daily = daily, hourly = hourly,
    burst = burst, flags = flags, next_daily = next_daily, next_hourly = next_hourly, next_burst = next_burst,
    next_flags = next_flags, edges = edges,
    now = 0, w_from = 0, w_to = 0, w_daily = 0, w_hourly = 0, w_burst = 0, w_flags = 0, w_hour_to = 0,
  }
end

local function encode_state(c)
  return struct.pack(STATE, c.day_from, c.day_used, c.hour_from, c.hour_used, c.level, c.at, c.seq)
end

-- "id \n address \n hostname \n bind \n pools", as it stands in the record.
local function text_of(c)
  return string.sub(c.raw, EDGES_AT + c.edges * 8)
end

-- id, address, hostname, bind, pools
local function texts(c)
  return string.match(text_of(c), '^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
end

local function is_of(c, id)
  local at = EDGES_AT + c.edges * 8
  return string.sub(c.raw, at, at + #id) == id .. '\n'
end

-- The window in force at an instant: from, to, daily, hourly, burst, flags.
local function window_at(c, at)
  if at < c.to then
    return c.from, c.to, c.daily, c.hourly, c.burst, c.flags
  end
  local from = c.to
  for i = 0, c.edges - 1 do
    local edge = struct.unpack('<d', c.raw, EDGES_AT + i * 8)
    if at < edge then
      return from, edge, c.next_daily, c.next_hourly, c.next_burst, c.next_flags
    end
    from = edge
  end
  from = from + floor((at - from) / DAY) * DAY
  return from, from + DAY, c.next_daily, c.next_hourly, c.next_burst, c.next_flags
end

-- A window has no length when the clock went back behind the start of a warm-up.
local function seconds_of(from, to)
  return max(1, ceil((to - from) / 1000))
end

-- What has flowed in since the beginning of a window at the rate of its daily limit.
local function flowed(from, to, daily, at)
  local seconds = seconds_of(from, to)
  local units = max(daily, 0) * 3600
  local elapsed = max(0, at - from)
  return elapsed * floor(units / seconds) + floor(elapsed * (units % seconds) / seconds)
end

-- Units that flow in within a part of a window.
local function refill(from, to, daily, hourly, start, ends)
  if hourly >= 0 then
    return min(ends - start, HOUR) * hourly
  end
  return flowed(from, to, daily, ends) - flowed(from, to, daily, start)
end

-- Moves a counter on to an instant: new windows opened, the bucket filled. The window stays in c.w_*, the instant in c.now
-- (c.at is later when the clock stepped back).
local function settle(c, now)
  local at = max(now, c.at)
  local from, to, daily, hourly, burst, flags = window_at(c, at)
  local hour = from + max(0, floor((at - from) / HOUR)) * HOUR
  local level = c.level
  local segment = min(at, max(c.at, at - 3 * DAY, c.from))
  if segment >= from then
    if burst < 0 then
      level = FULL
    else
      if level ~= FULL then level = level + refill(from, to, daily, hourly, segment, at) end
      level = min(burst * SEND_UNITS, level)
    end
  else
    while true do
      local p_from, p_to, p_daily, p_hourly, p_burst = window_at(c, segment)
      local ends = min(p_to, at)
      if p_burst < 0 then
        level = FULL
      else
        if level ~= FULL then level = level + refill(p_from, p_to, p_daily, p_hourly, segment, ends) end
        level = min(p_burst * SEND_UNITS, level)
      end
      if ends >= at then break end
      segment = ends
    end
    if burst < 0 then level = FULL else level = min(level, burst * SEND_UNITS) end
  end
  if c.day_from ~= from then
    c.day_from, c.day_used = from, 0
  end
  if c.hour_from ~= hour then
    c.hour_from, c.hour_used = hour, 0
  end
  c.level, c.at, c.now = level, at, now
  c.w_from, c.w_to, c.w_daily, c.w_hourly, c.w_burst, c.w_flags = from, to, daily, hourly, burst, flags
  c.w_hour_to = min(hour + HOUR, to)
end

-- Settled counters: what may be granted within the rest of the hour counts as granted. A plan without hourly caps loses the even
-- share of an hour in its day, or what is in the bucket if that is less.
local function use_up(c)
  local sends = 0
  if c.w_hourly >= 0 then
    sends = max(0, c.w_hourly - c.hour_used)
    if c.w_burst >= 0 then c.level = 0 end
  elseif c.w_daily >= 0 then
    sends = ceil(c.w_daily / 24)
    if c.w_burst >= 0 then
      sends = min(sends, floor(c.level / SEND_UNITS))
      c.level = c.level - sends * SEND_UNITS
    end
  end
  c.hour_used = c.hour_used + sends
  c.day_used = c.day_used + (c.w_daily >= 0 and min(sends, max(0, c.w_daily - c.day_used)) or sends)
end

-- Settles a counter as it was read: one from before the fence (fence.lua) first loses the rest of the hour that ran then. What
-- was forgotten may have been granted on both sides of an hour's turn, so shortly after it the hour before is lost, too. Without
-- a bucket two whole caps may have gone around a turn, however long Redis was away since: then always.
local TURN_MS = 60000
local function settle_known(c, now)
  if c.seq < first_seq then
    local _, _, _, hourly, burst = window_at(c, fenced_at)
    settle(c, fenced_at - (hourly >= 0 and burst < 0 and HOUR or TURN_MS))
    if c.w_hour_to <= fenced_at then use_up(c) end
    settle(c, fenced_at)
    use_up(c)
    c.seq = first_seq
  end
  settle(c, now)
end

-- The fewest whole milliseconds in which `units` flow into the bucket of a settled counter, as if its window had no end.
local function ms_until(c, units)
  if units <= 0 then return 0 end
  if c.w_hourly >= 0 then return ceil(units / c.w_hourly) end
  local from, to, daily, at = c.w_from, c.w_to, c.w_daily, c.at
  local seconds = seconds_of(from, to)
  local total = flowed(from, to, daily, at) + units
  local ms = max(0, from - at + ceil((total / (max(daily, 0) * 3600)) * seconds))
  while flowed(from, to, daily, at + ms) < total do ms = ms + 1 end
  while ms > 0 and flowed(from, to, daily, at + ms - 1) >= total do ms = ms - 1 end
  return ms
end

-- What binds, as a number in the answers: src/redis/answer.ts has the words.
local NOTHING, BY_STATUS, BY_HOLD, BY_DAY, BY_HOUR, BY_BURST, BY_CEILING, BY_COUNT = 0, 1, 2, 3, 4, 5, 6, 7

-- Of a settled counter: room, binds, limit, remaining, resets_at. The tightest limit; of equals the one that frees last.
local function read(c)
  local room, binds, limit, remaining, resets = HUGE, NOTHING, -1, -1, c.w_to
  if c.w_daily >= 0 then
    room = max(0, c.w_daily - c.day_used)
    binds, limit, remaining = (c.w_flags % 2 == 1) and BY_CEILING or BY_DAY, c.w_daily, room
  end
  if c.w_hourly >= 0 then
    local left = max(0, c.w_hourly - c.hour_used)
    if left < room then
      room, binds, limit, remaining, resets = left, (c.w_flags >= 2) and BY_CEILING or BY_HOUR, c.w_hourly, left, c.w_hour_to
    end
  end
  if c.w_burst >= 0 then
    local left = floor(c.level / SEND_UNITS)
    if left < room then
      room, binds, limit, remaining = left, BY_BURST, c.w_burst, left
      resets = c.at + ms_until(c, c.w_burst * SEND_UNITS - c.level)
    end
  end
  if c.gate == CLOSED then
    room, binds, limit, remaining = 0, BY_STATUS, 0, 0
  elseif c.now < c.held_until then
    room, binds, limit, remaining = 0, BY_HOLD, 0, 0
  end
  return room, binds, limit, remaining, resets
end

local function allows(daily, hourly, burst, count)
  return (daily < 0 or count <= daily) and (hourly < 0 or count <= hourly) and (burst < 0 or count <= burst)
end

local function copy(c)
  local twin = {}
  for name, value in pairs(c) do twin[name] = value end
  return twin
end

-- The earliest instant at which `count` sends would be granted if nobody else took; false when that is never.
-- The counter must be settled; it is left as it was.
local function room_at(settled, count)
  if settled.gate == CLOSED or settled.held_until == HUGE then return false end
  if not allows(settled.w_daily, settled.w_hourly, settled.w_burst, count)
    and not allows(settled.next_daily, settled.next_hourly, settled.next_burst, count) then
    return false
  end
  local c = copy(settled)
  for _ = 1, 64 do
    if read(c) >= count then return c.now end
    local wait = max(c.now + 1, c.held_until)
    if not allows(c.w_daily, c.w_hourly, c.w_burst, count) then wait = max(wait, c.w_to) end
    if c.w_daily >= 0 and c.w_daily - c.day_used < count then wait = max(wait, c.w_to) end
    if c.w_hourly >= 0 and c.w_hourly - c.hour_used < count then wait = max(wait, c.w_hour_to) end
    if c.w_burst >= 0 and c.level < count * SEND_UNITS then
      wait = max(wait, min(c.at + ms_until(c, count * SEND_UNITS - c.level), c.w_to))
    end
    settle(c, wait)
  end
  return false
end

-- Room of a settled counter at a later instant; the counter is left as it was.
local function room_then(settled, at)
  local c = copy(settled)
  settle(c, at)
  return (read(c))
end

local function charge(c, sends, takes)
  c.day_used = c.day_used + sends
  c.hour_used = c.hour_used + sends
  if c.level ~= FULL then c.level = c.level - sends * SEND_UNITS end
  c.seq = c.seq + takes
end

-- What was sent is filed by the first take of a new hour: key warmline:{acct}:sent:<ipId>, a hash of short fields, which
-- Redis keeps packed while none is longer than 64 bytes (48 hours and 14 days in 256 bytes):
--   h<from>, d<from>  a run of hours, of days: <from> is where the first begins (ms), each next one begins an hour, 24 hours
--                     later. The sends of each in 1 to 5 bytes: 7 bits a byte, the lowest first, all but its last byte + 128
--   closed            a number: receipts up to this seq credit nothing any more
--   hours, days       as earlier builds filed them, 12 bytes each: from as a double, sends as four bytes. The next filing
--                     takes them over
-- What is older than the last 48 slots of hours or 128 of days is dropped.
local HOURS = { letter = 'h', step = HOUR, keep = 48, older = 'hours' }
local DAYS = { letter = 'd', step = DAY, keep = 128, older = 'days' }
local LONGEST_RUN = 60 -- bytes; a sum that grows by a byte later still fits
local LONGEST_GAP = 16 -- slots without sends, a byte each; a run of its own costs more

local function pack_sends(sends)
  local packed = ''
  while sends >= 128 do
    packed = packed .. string.char(128 + sends % 128)
    sends = floor(sends / 128)
  end
  return packed .. string.char(sends)
end
local function unpack_run(packed)
  local slots, sends, unit = {}, 0, 1
  for at = 1, #packed do
    local byte = string.byte(packed, at)
    sends = sends + byte % 128 * unit
    unit = unit * 128
    if byte < 128 then
      slots[#slots + 1] = sends
      sends, unit = 0, 1
    end
  end
  return slots
end

-- The runs of one kind, oldest first, and what an earlier build filed.
local function runs_of(key, kind)
  local runs, older, all = {}, '', redis.call('HGETALL', key)
  for at = 1, #all, 2 do
    local from = string.match(all[at], '^' .. kind.letter .. '(%d+)$')
    if from then
      runs[#runs + 1] = { from = tonumber(from), slots = unpack_run(all[at + 1]), bytes = #all[at + 1] }
    elseif all[at] == kind.older then
      older = all[at + 1]
    end
  end
  table.sort(runs, function(a, b) return a.from < b.from end)
  return runs, older
end

local function add_to_runs(runs, step, from, sends)
  local last, bytes = runs[#runs], #pack_sends(sends)
  local gap = last and (from - last.from) / step - #last.slots
  if last and gap >= 0 and gap <= LONGEST_GAP and gap % 1 == 0 and last.bytes + gap + bytes <= LONGEST_RUN then
    for _ = 1, gap do last.slots[#last.slots + 1] = 0 end
    last.slots[#last.slots + 1] = sends
    last.bytes, last.changed = last.bytes + gap + bytes, true
    return
  end
  -- Redis's clock went back: this hour was counted before.
  for _, run in ipairs(runs) do
    if run.from == from then
      run.slots[1], run.changed = min(run.slots[1] + sends, 4294967295), true
      return
    end
  end
  runs[#runs + 1] = { from = from, slots = { sends }, bytes = bytes, changed = true }
  table.sort(runs, function(a, b) return a.from < b.from end)
end

local function file_entry(key, kind, from, sends)
  local runs, older = runs_of(key, kind)
  for at = 1, #older, 12 do add_to_runs(runs, kind.step, struct.unpack('<dI4', older, at)) end
  if older ~= '' then redis.call('HDEL', key, kind.older) end
  add_to_runs(runs, kind.step, from, min(sends, 4294967295))
  local surplus = -kind.keep
  for _, run in ipairs(runs) do surplus = surplus + #run.slots end
  for _, run in ipairs(runs) do
    local field = kind.letter .. string.format('%d', run.from)
    local dropped = max(0, min(surplus, #run.slots))
    surplus = surplus - dropped
    if dropped > 0 then
      redis.call('HDEL', key, field)
      field = kind.letter .. string.format('%d', run.from + dropped * kind.step)
    end
    if dropped < #run.slots and (dropped > 0 or run.changed) then
      local packed = {}
      for slot = dropped + 1, #run.slots do packed[#packed + 1] = pack_sends(run.slots[slot]) end
      redis.call('HSET', key, field, table.concat(packed))
    end
  end
end

-- What is filed of one kind, oldest first: { { from, sends } }.
local function filed(key, kind)
  local runs, older = runs_of(key, kind)
  for at = 1, #older, 12 do add_to_runs(runs, kind.step, struct.unpack('<dI4', older, at)) end
  local entries = {}
  for _, run in ipairs(runs) do
    for slot, sends in ipairs(run.slots) do
      if sends > 0 then entries[#entries + 1] = { run.from + (slot - 1) * kind.step, sends } end
    end
  end
  table.sort(entries, function(a, b) return a[1] < b[1] end)
  return entries
end

local function file_past(prefix, id, before, c)
  local key = prefix .. 'sent:' .. id
  if before.hour_from ~= c.hour_from and before.hour_used > 0 then
    file_entry(key, HOURS, before.hour_from, before.hour_used)
  end
  if before.day_from ~= c.day_from then
    if before.day_used > 0 then file_entry(key, DAYS, before.day_from, before.day_used) end
    -- Receipts of a day that is over credit nothing any more, not even when the clock steps back into it: `closed` is the
    -- last seq of that day. Without a take there is no receipt.
    if before.seq > 0 then
      redis.call('HSET', key, 'closed', before.seq)
      redis.call('DEL', prefix .. 'refunded:' .. id, prefix .. 'returned:' .. id)
    end
  end
end

-- Settles for a write and files what is past. Callers keep the counter and write its state.
local function settle_and_file(c, now)
  local before = { day_from = c.day_from, day_used = c.day_used, hour_from = c.hour_from, hour_used = c.hour_used, seq = c.seq }
  settle_known(c, now)
  if before.hour_from ~= 0 and before.hour_from ~= c.hour_from then
    c.past = before
  end
end
local function file(prefix, c)
  if c.past then file_past(prefix, (texts(c)), c.past, c) end
  c.past = nil
end
local function write_state(prefix, key, c)
  file(prefix, c)
  redis.call('SETRANGE', key, 8, encode_state(c))
end
