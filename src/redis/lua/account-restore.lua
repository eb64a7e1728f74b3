-- Brings accounts back under the ids, names and numbers that they had, all or none. One that is here as it was is left alone.
-- KEYS[1] names (hash name -> id)   KEYS[2] accounts (hash id -> JSON)
-- KEYS[3] numbers (counter)         KEYS[4] order (sorted set of ids by number)
-- ARGV[1] the highest number of the backup: none up to it is given again
-- ARGV[2..] for each: id, name, number, its record as JSON
-- Returns { "ok" }, or what is another's: { "name", name }, { "number", number, id } or { "id", id }.
for i = 2, #ARGV, 4 do
  local id, name, number = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local holder = redis.call('HGET', KEYS[1], name)
  if holder and holder ~= id then return { 'name', name } end
  local stands = redis.call('HGET', KEYS[2], id)
  if stands and cjson.decode(stands).name ~= name then return { 'id', id } end
  if not stands then
    local numbered = redis.call('ZRANGEBYSCORE', KEYS[4], number, number)
    if numbered[1] and numbered[1] ~= id then return { 'number', number, numbered[1] } end
  end
end
for i = 2, #ARGV, 4 do
  local id, name, number = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('HSETNX', KEYS[2], id, ARGV[i + 3]) == 1 then
    redis.call('HSET', KEYS[1], name, id)
    redis.call('ZADD', KEYS[4], number, id)
  end
end
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[3], ARGV[1]) end
return { 'ok' }
