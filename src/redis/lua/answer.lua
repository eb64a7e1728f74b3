-- The answers of a take, packed: little-endian doubles and texts.
--   8 doubles: so many parts, what binds (a BY_ number), granted, limit, remaining, resetAfterMs, retryAfterMs, untilMs
--     limit and remaining -1 for unlimited; retryAfterMs 0 for now, -1 for never; untilMs an instant, -1 for unknown
--   each part, an IP: 5 doubles: sends granted, dayFrom, hourFrom, seq of its last take, length of its text; its text,
--     "id \n address \n hostname \n bind \n pools"
-- What was denied names the IP with room soonest in a part of 0 sends (without a text when there is none).
-- A receipt is <ipId>.<dayFrom>.<hourFrom>.<count>.<seq>: all that a refund needs, and seq makes it unique.
-- answer_fast (fast.lua) is shorter, for what was granted whole by one IP; it begins with 0.
local function part(c, sends)
  if not c then return struct.pack('<ddddd', 0, 0, 0, 0, 0) end
  local text = text_of(c)
  return struct.pack('<ddddd', sends, c.day_from, c.hour_from, c.seq, #text) .. text
end

local function answer(now, binds, granted, limit, remaining, resets, retry_at, until_ms, parts)
  local retry_after = retry_at and max(0, retry_at - now) or -1
  return struct.pack('<dddddddd', #parts, binds, granted, limit, remaining, max(0, resets - now), retry_after, until_ms)
    .. table.concat(parts)
end

-- Until when it binds: a hold to its end, a limit until there is room again.
local function until_of(c, binds, room_again)
  if binds == BY_HOLD then return c.held_until == HUGE and -1 or c.held_until end
  if binds == BY_STATUS then return -1 end
  return room_again or -1
end

-- `c` is the counter after the grant, of the first IP granted. A partial grant says what bound and when there is more;
-- `cut` is the counter that made it partial when that is not the IP's own (its pool's).
-- `now` is the clock, and not the instant of the counter: one that saw a later time before the clock stepped back waits longer.
local function allowed(now, c, granted, count, parts, cut)
  local binding = cut or c
  local _, binds, limit, remaining, resets = read(binding)
  if granted >= count then return answer(now, NOTHING, granted, limit, remaining, resets, now, -1, parts) end
  if binds == NOTHING then binds = BY_COUNT end
  return answer(now, binds, granted, limit, remaining, resets, now, until_of(binding, binds, room_at(binding, 1)), parts)
end

-- `c` is the IP with room soonest; `binding` the counter that denies (the IP itself, or its pool).
local function denied(now, c, binding, retry_at)
  local _, binds, limit, remaining, resets = read(binding)
  if binds == NOTHING or (not retry_at and binds ~= BY_STATUS and binds ~= BY_HOLD) then binds = BY_COUNT end
  return answer(now, binds, 0, limit, remaining, resets, retry_at, until_of(binding, binds, retry_at), { part(c, 0) })
end
