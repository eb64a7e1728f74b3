/** Realistic mistakes, each a change of one place. A simulation that does not find one of them proves less than it says. */
export type Mutant = {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
};

const lua = (name: string) => `src/redis/lua/${name}.lua`;

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a day ends a millisecond too late',
    file: 'src/warmup/quota.ts',
    from: 'const toMs = dayBeginsAt(calendar, day + 1);',
    to: 'const toMs = dayBeginsAt(calendar, day + 1) + 1;',
  },
  {
    name: 'a clock that steps back refills the bucket again',
    file: lua('counter'),
    from: 'local at = max(now, c.at)\n  local from, to, daily, hourly, burst, flags = window_at(c, at)',
    to: 'local at = now\n  local from, to, daily, hourly, burst, flags = window_at(c, at)',
  },
  {
    name: 'what flows in while nobody takes is lost',
    file: lua('counter'),
    from: 'local segment = min(at, max(c.at, at - 3 * DAY, c.from))',
    to: 'local segment = at',
  },
  {
    name: 'a receipt is credited as often as it comes',
    file: lua('refund'),
    from: "function() return redis.call('SADD', prefix .. 'refunded:' .. id, number(seq)) == 1 end",
    to: "function() redis.call('SADD', prefix .. 'refunded:' .. id, number(seq)) return true end",
  },
  {
    name: 'what a lease gives back is credited as often as it comes',
    file: lua('lease'),
    from: 'if sends > 0 and (late or seq > last) then',
    to: 'if sends > 0 then',
  },
  {
    name: 'a change is written whatever came before it',
    file: lua('transact'),
    from: 'if revision ~= check[2] then return false end',
    to: 'if revision < 0 then return false end',
  },
  {
    name: 'a publish begins to count anew',
    file: lua('transact'),
    from: 'c.day_used, c.hour_used = used_day, used_hour',
    to: 'c.day_used, c.hour_used = 0, 0',
  },
  {
    name: 'the hourly cap lets one more through',
    file: lua('fast'),
    from: 'left, limit, resets = hourly - hour_used, hourly,',
    to: 'left, limit, resets = hourly - hour_used + 1, hourly,',
  },
  {
    name: 'an IP that got room back is not found by its pool',
    file: lua('credit'),
    from: 'if c.gate ~= CLOSED then place_everywhere(prefix, address, c) end',
    to: '',
  },
  {
    name: 'an hour that begins does not wake the IPs of a pool',
    file: lua('pool'),
    from: "'-inf', number(now), 'LIMIT'",
    to: "'-inf', number(now - HOUR), 'LIMIT'",
  },
  {
    name: 'a warm-up ends a day early',
    file: 'src/warmup/decide.ts',
    from: 'warmup }, nowMs) > warmup.totalDays;',
    to: 'warmup }, nowMs) >= warmup.totalDays;',
  },
  {
    name: 'the day that begins when a hold ends is held',
    file: 'src/warmup/calendar.ts',
    from: 'calendarDayAt(calendar, toMs - 1)',
    to: 'calendarDayAt(calendar, toMs)',
  },
  {
    name: 'an hour that comes twice is the later one',
    file: 'src/warmup/calendar.ts',
    from: 'Math.min(...valid)',
    to: 'Math.max(...valid)',
  },
  {
    name: 'the end of a warm-up is published ahead',
    file: 'src/warmup/quota.ts',
    from: 'limitsOn(plan, Math.min(warmupDayAt({ ...ip, warmup: ip.warmup }, atMs), ip.warmup.totalDays))',
    to: 'warmupDayAt({ ...ip, warmup: ip.warmup }, atMs) > ip.warmup.totalDays ? UNLIMITED : limitsOn(plan, warmupDayAt({ ...ip, warmup: ip.warmup }, atMs))',
  },
  {
    name: 'a released IP goes on until its cooldown is over',
    file: 'src/warmup/quota.ts',
    from: "ip.status === 'warming' || ip.status === 'active' ? ip.status : 'closed'",
    to: "ip.status === 'warming' || ip.status === 'active' ? ip.status : ip.status === 'cooldown' ? 'active' : 'closed'",
  },
  {
    name: 'an allocation that lost its process is always undone',
    file: 'src/fleet/inventory.ts',
    from: "await close(engine, allocationId, buried ? 'undo' : 'confirm');",
    to: "await close(engine, allocationId, 'undo');",
  },
  {
    name: 'what is leased outlives its hour',
    file: 'src/sender/lease.ts',
    from: 'sentAtMs + Math.min(VALID_MS, hourEndsInMs[index]!)',
    to: 'sentAtMs + VALID_MS',
  },
  {
    name: 'what is leased may be spent for five seconds',
    file: 'src/sender/lease.ts',
    from: 'const VALID_MS = 1_000;',
    to: 'const VALID_MS = 5_000;',
  },
  {
    name: 'whoever comes too late with an allocation is let in',
    file: lua('transact'),
    from: "if item.allocation and redis.call('ZSCORE', prefix .. 'tombstones', item.allocation) then return false end",
    to: '',
  },
];
