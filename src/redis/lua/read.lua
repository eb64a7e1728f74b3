-- Reads what a look at one IP needs, in one round trip and at one instant.
-- KEYS[1] hot record   KEYS[2] what was sent (hash)
-- Returns { now, hot record or false, hours, days }
--- @include "now"
return { engine_now(), redis.call('GET', KEYS[1]), redis.call('HGET', KEYS[2], 'hours'), redis.call('HGET', KEYS[2], 'days') }
