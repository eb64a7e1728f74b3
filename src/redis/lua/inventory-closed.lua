-- What has ended and may be asked for again by a client that lost the answer. Kept for a week, on real time: longer than
-- such a request is remembered, and than any process could still come with it.
local function keep_closed(closed, member)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZADD', closed, now, member)
  redis.call('ZREMRANGEBYSCORE', closed, '-inf', now - 7 * 24 * 3600000)
end
