-- Runs before the takes of an account on each new connection: has this Redis forgotten any that were granted? Then a fence is set,
-- and for each IP whose record was not written since, the rest of the hour that ran at its instant counts as used up.
-- KEYS[1] marks the slot                   warmline:{acct}:account
-- ARGV[1] prefix of the account's keys     warmline:{acct}:
-- ARGV[2] durable                          1: whatever this Redis answers is on its disk (appendfsync always); 0: it may forget;
--                                          empty: who asks does not know
-- ARGV[3] test clock                       1: engine time does not pass by itself; else 0
-- Key warmline:{acct}:awake is a hash of the Redis that served the account last: run (its run id), history (of its replication),
--   node (of a cluster), durable.
-- Returns the instant of the fence when this call has set one, else 0. It writes only when something has changed.
--
-- A Redis that started again may have forgotten, unless it was durable and still has its file. A replica that was promoted has
-- not seen what its master acknowledged last, whatever the settings. Nothing was lost by a master that has got the slot from
-- another one which is well, nor by one that gave up its history because it has no replicas.
--- @include "now"
local prefix = ARGV[1]
local server = redis.pcall('INFO', 'server')
if type(server) == 'table' then
  return redis.error_reply('NOPERM the user of Redis may not call INFO, without which nothing is granted; allow it with +info')
end
local replication = redis.call('INFO', 'replication')
local run = string.match(server, 'run_id:(%w+)') or ''
local history = string.match(replication, 'master_replid:(%w+)') or ''
local earlier = string.match(replication, 'master_replid2:(%w+)') or '0'
local is_cluster = string.find(server, '_mode:cluster', 1, true) ~= nil

-- A user who may not ask (an ACL) does not learn that a slot has moved, and loses an hour by it.
local function ask_cluster(question)
  local answer = is_cluster and redis.pcall('CLUSTER', question)
  return type(answer) == 'string' and answer or ''
end
local node = ask_cluster('MYID')

local before = redis.call('HMGET', prefix .. 'awake', 'run', 'history', 'node', 'durable')
local durable = ARGV[2] ~= '' and ARGV[2] or before[4] or '0'
if before[1] == run and before[2] == history and before[3] == node and before[4] == durable then return 0 end

local restarted = before[1] ~= run
local promoted = before[2] ~= history and string.find(earlier, '[^0]') ~= nil
local function has_moved()
  if node == '' or before[3] == '' or before[3] == node or earlier == before[2] then return false end
  local flags = string.match('\n' .. ask_cluster('NODES'), '\n' .. before[3] .. ' %S+ (%S+)') or ''
  return string.find(flags, 'master', 1, true) ~= nil and string.find(flags, 'fail', 1, true) == nil
end
local function may_have_forgotten()
  if not before[1] then return false end -- the first time
  if has_moved() then return false end
  if promoted or not restarted then return promoted end
  -- Settings that were made while it ran and written nowhere are gone with a restart, and with them what was in the file.
  local has_file = string.find(redis.call('INFO', 'persistence'), 'aof_enabled:1', 1, true) ~= nil
  return not (before[4] == '1' and durable == '1' and has_file)
end

-- No record counts so many takes between two fences, and 90 000 fences fit below 2^53.
local TAKES = 100000000000
local at = 0
if may_have_forgotten() then
  -- What a restart may have lost was granted before it. The difference of two rounded seconds is at most one too many, and an
  -- instant before the restart could lie in the hour before.
  local uptime = (promoted or ARGV[3] == '1') and 0 or math.max(0, tonumber(string.match(server, 'uptime_in_seconds:(%d+)') or 0) - 1)
  at = engine_now() - uptime * 1000
  local last = redis.call('GET', prefix .. 'fence')
  local seq, last_at = 0, 0
  if last then seq, last_at = struct.unpack('<dd', last) end
  at = math.max(at, last_at)
  redis.call('SET', prefix .. 'fence', struct.pack('<dd', seq + TAKES, at))
end
redis.call('HSET', prefix .. 'awake', 'run', run, 'history', history, 'node', node, 'durable', durable)
return at
