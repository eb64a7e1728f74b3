-- The place of an IP in the order of choice, lowest first: warming ones by the part of their limit that is used most, then
-- (from BAND on) active ones by the same; without limits by their sends of the hour in 10^12.
local BAND = 2
local function score(warming, daily, day_used, hourly, hour_used)
  local ratio = daily >= 0 and day_used / daily or 0
  if hourly >= 0 then ratio = math.max(ratio, hour_used / hourly) end
  if daily < 0 and hourly < 0 then return BAND + hour_used / 1e12 end
  return warming and ratio or BAND + ratio
end
