-- Makes an account: its record, its name, its number and its place in the list, all or nothing. Doing it twice with the
-- same id changes nothing.
-- KEYS[1] names (hash name -> id)   KEYS[2] accounts (hash id -> JSON)
-- KEYS[3] numbers (counter)         KEYS[4] order (sorted set of ids by number)
-- ARGV[1] id   ARGV[2] name   ARGV[3] its record as JSON, without the number   ARGV[4] id of its parent, or empty
-- Returns { "ok", record }, { "known", record } when this id has that name already, { "taken" },
--   { "no parent" }, or { "subuser" } when the parent is a subuser itself.
local id, name, record, parent = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function keep(json)
  local number = redis.call('INCR', KEYS[3])
  local numbered = string.format('{"number":%d,', number) .. string.sub(json, 2)
  redis.call('HSET', KEYS[2], id, numbered)
  redis.call('HSET', KEYS[1], name, id)
  redis.call('ZADD', KEYS[4], number, id)
  return numbered
end

local holder = redis.call('HGET', KEYS[1], name)
if holder then
  if holder ~= id then return { 'taken' } end
  local stands = redis.call('HGET', KEYS[2], id)
  -- Made before accounts had numbers.
  if stands and not string.match(stands, '"number":') then stands = keep(stands) end
  return { 'known', stands or keep(record) }
end
if parent ~= '' then
  local raw = redis.call('HGET', KEYS[2], parent)
  if not raw then return { 'no parent' } end
  if type(cjson.decode(raw).parentId) == 'string' then return { 'subuser' } end
end
return { 'ok', keep(record) }
