-- Engine time in milliseconds: the clock of Redis, the same for every sender and worker.
local function engine_now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
