-- The answers of a take. A receipt is <ipId>.<dayFrom>.<hourFrom>.<count>.<seq>: all that a refund needs, and seq makes
-- it unique, so that it is credited at most once.
local function grant(c, count, real)
  local id, address, hostname, bind = texts(c)
  local receipt = ''
  if real then receipt = string.format('%s.%.0f.%.0f.%d.%.0f', id, c.day_from, c.hour_from, count, c.seq) end
  return { address, count, receipt, id, hostname, bind }
end

-- Until when it binds: a hold to its end, a limit until there is room again.
local function until_of(c, binds, room_again)
  if binds == 'hold' then return c.held_until == HUGE and -1 or c.held_until end
  if binds == 'status' then return -1 end
  return room_again or -1
end

-- `c` is the counter after the grant, of the first IP granted. A partial grant says what bound and when there is more;
-- `cut` is the counter that made it partial when that is not the IP's own (its pool's).
-- `now` is the clock, and not the instant of the counter: one that saw a later time before the clock stepped back waits longer.
local function allowed(now, c, granted, count, grants, cut)
  local binding = cut or c
  local _, binds, limit, remaining, resets = read(binding)
  local reason, until_ms = '', -1
  if granted < count then
    reason, until_ms = binds or 'count', until_of(binding, binds, room_at(binding, 1))
  end
  local id = (texts(c))
  local reply = { 'ok', now, granted, limit, remaining, 0, resets, reason, until_ms, id }
  for _, one in ipairs(grants) do
    for _, value in ipairs(one) do reply[#reply + 1] = value end
  end
  return reply
end

-- `c` is the IP with room soonest; `binding` the counter that denies (the IP itself, or its pool).
local function denied(now, c, binding, count, retry_at)
  local _, binds, limit, remaining, resets = read(binding)
  if not retry_at and binds ~= 'status' and binds ~= 'hold' then binds = 'count' end
  local until_ms = until_of(binding, binds, retry_at)
  return { 'ok', now, 0, limit, remaining, retry_at or -1, resets, binds or 'count', until_ms, c and (texts(c)) or '' }
end
