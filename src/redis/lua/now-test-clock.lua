-- Engine time in milliseconds on a database with a test clock: it stands still until somebody moves it.
local function engine_now()
  return tonumber(redis.call('GET', 'warmline:{clock}:now'))
end
