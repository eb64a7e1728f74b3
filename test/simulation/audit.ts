/** What a script of the hot path did, held against the model: before it runs what it must answer, and after it what it wrote. */
import type { Redis } from 'ioredis';
import { type Books, Broken, verdictOf } from './books.ts';
import { HOUR_MS } from './model/calendar.ts';
import type { ModelIp } from './model/ip.ts';

type Arg = string | number | Buffer;
/** Called with the reply and the records as they are now. @returns the sends granted */
type Check = (reply: unknown, changed: ReturnType<Books['changedRecords']>, nowMs: number) => number;

/** A choice looks at so many IPs at most; beyond that a take may find less than there is. */
const MOST_EXACT = 100;

const grantOf = (room: number, count: number, partial: boolean) =>
  room >= count ? count : partial ? room : 0;

/** What was granted is just what the records were charged. */
function chargeAll(
  books: Books,
  granted: number,
  changed: ReturnType<Books['changedRecords']>,
  nowMs: number,
): void {
  let charged = 0;
  for (const { ip, counter, address, raw } of changed) {
    const { day } = ip.look(nowMs);
    if (counter.dayFromMs !== day.fromMs)
      throw new Broken(
        'exact',
        `${address} counts the day from ${counter.dayFromMs}, and it is ${day.fromMs}`,
      );
    const sends = counter.dayUsed - day.used;
    if (sends > 0) books.charge(ip, counter, sends, nowMs);
    charged += sends;
    books.agrees(ip, counter, `after it granted ${sends}`);
    books.raws.set(address, raw);
  }
  if (charged !== granted)
    throw new Broken('never over', `${granted} sends were granted and ${charged} charged`);
}

/** KEYS[1] hot record; ARGV count, how, id. */
export function takeIp(books: Books, args: readonly Arg[], nowMs: number): Check {
  const [key, count, how, id] = [String(args[0]), Number(args[1]), String(args[2] ?? ''), args[3]];
  const ip = books.at(key.slice(key.indexOf(':hot:') + 5));
  const isMeant = ip && (id === undefined || ip.id === id);
  const { room, exact } = isMeant ? ip.roomAt(nowMs) : { room: 0, exact: true };
  const partial = how.endsWith('partial');
  const peek = how.startsWith('peek');
  return (reply, changed) => {
    if (reply === null) {
      if (isMeant && ip.published) throw new Broken('exact', `nothing is published for ${ip.address}`);
      return 0;
    }
    const verdict = verdictOf(reply as Buffer, count);
    expectGrant(
      ip!,
      verdict.granted,
      [room - (exact ? 0 : 1), room, room + (exact ? 0 : 1)].map((each) => grantOf(each, count, partial)),
      room,
      count,
    );
    if (verdict.granted === 0) expectBecause(ip!, verdict.because, verdict.retryAfterMs, nowMs);
    chargeAll(books, peek ? 0 : verdict.granted, changed, nowMs);
    return peek ? 0 : verdict.granted;
  };
}

function expectGrant(
  ip: ModelIp,
  granted: number,
  expected: readonly number[],
  room: number,
  count: number,
): void {
  if (expected.includes(granted)) return;
  const promise = granted > Math.max(...expected) ? 'never over' : 'exact';
  throw new Broken(
    promise,
    `${ip.address} granted ${granted} of ${count} with room for ${room} (${ip.count.day.used} used in the day, ${ip.count.hour.used} in the hour, ${ip.count.level} in the bucket)`,
  );
}

function expectBecause(
  ip: ModelIp,
  because: string | null,
  retryAfterMs: number | null,
  nowMs: number,
): void {
  const closed = ip.closedBecause(nowMs);
  if (closed && because !== closed)
    throw new Broken('explains itself', `${ip.address} is denied because of ${closed}, and says ${because}`);
  if (!closed && (because === 'status' || because === 'hold'))
    throw new Broken('explains itself', `${ip.address} may send, and says ${because}`);
  if (closed === 'status' && retryAfterMs !== null)
    throw new Broken('explains itself', `${ip.address} gives nothing, and says to ask in ${retryAfterMs} ms`);
}

/**
 * KEYS[1] the account; ARGV prefix, count, how, pool, family, among ...
 * @param inOrder a clock that goes back leaves turns of hours and days in the index that come later than they should: until
 *   they have passed, the order among IPs with room is not promised
 */
export async function takePool(
  books: Books,
  redis: Redis,
  limited: ReadonlySet<string>,
  args: readonly Arg[],
  nowMs: number,
  inOrder: boolean,
): Promise<Check> {
  const [, , count, how, pool, family, ...among] = args.map(String) as string[];
  const { keys } = books;
  let scope: string | null = await redis.get(keys.defaultPool);
  if (pool !== '')
    scope =
      (await redis.hget(keys.poolNames, pool!)) ??
      ((await redis.exists(keys.pool(pool!))) === 1 ? pool! : 'none');
  const wanted = Number(count);
  const partial = how!.endsWith('partial');
  const peek = how!.startsWith('peek');
  const isV6 = (address: string) => address.includes(':');
  const members = books
    .choosable()
    .filter(
      (ip) =>
        ip.published &&
        (scope === null || ip.pools.has(scope)) &&
        (!family || isV6(ip.address) === (family === '6')) &&
        (among.length === 0 || among.includes(ip.address)),
    );
  const rooms = members.map((ip) => ({ ip, ...ip.roomAt(nowMs), place: ip.placeAt(nowMs) }));
  const sum = rooms.reduce((total, { room }) => total + room, 0);
  const slack = rooms.filter(({ exact }) => !exact).length;
  const isExact = !(scope && limited.has(scope)) && members.length <= MOST_EXACT;
  return (reply, changed) => {
    if (reply === null) {
      if (scope !== 'none')
        throw new Broken('exact', `there is a pool "${pool}", and the take says there is none`);
      return 0;
    }
    const { granted, parts } = verdictOf(reply as Buffer, wanted);
    for (const { ip } of parts) {
      if (granted > 0 && !members.some(({ id }) => id === ip.ipId))
        throw new Broken(
          'no quota, no mail',
          `${ip.ip} granted for pool "${pool}", of which it is no member`,
        );
    }
    if (isExact) {
      const [most, fewest] = [grantOf(sum + slack, wanted, partial), grantOf(sum - slack, wanted, partial)];
      if (granted > most || granted < fewest) {
        throw new Broken(
          granted > most ? 'never over' : 'exact',
          `pool "${pool}" granted ${granted} of ${wanted} with room for ${sum} in ${members.length} IPs`,
        );
      }
      if (inOrder && granted === 1 && wanted === 1) expectFirst(rooms, parts[0]!.ip.ip);
    }
    chargeAll(books, peek ? 0 : granted, changed, nowMs);
    return peek ? 0 : granted;
  };
}

type Placed = { ip: ModelIp; room: number; exact: boolean; place: ReturnType<ModelIp['placeAt']> };
/** Warming IPs first; among equals the one that has used least of its limit. */
function expectFirst(rooms: readonly Placed[], chosen: string): void {
  const first = rooms.find(({ ip }) => ip.address === chosen)!;
  for (const other of rooms) {
    if (other.room < 1 || !other.exact || !first.exact) continue;
    const earlier =
      other.place.warming !== first.place.warming
        ? other.place.warming
        : !other.place.unlimited && !first.place.unlimited && other.place.ratio < first.place.ratio - 1e-9;
    if (earlier)
      throw new Broken(
        'order of choice',
        `${chosen} (${first.place.ratio} used) was chosen before ${other.ip.address} (${other.place.ratio} used)`,
      );
  }
}

/** Takes of many callers in one call: each record within its limits. What is granted to whom is known when they are told. */
export function takeMany(books: Books): Check {
  return (_, changed, nowMs) => {
    let granted = 0;
    for (const { ip, counter } of changed) {
      granted += Math.max(0, counter.dayUsed - ip.look(nowMs).day.used);
    }
    chargeAll(books, granted, changed, nowMs);
    return granted;
  };
}

/** KEYS[1] the account; ARGV prefix, then groups of six: address, id, dayFrom, hourFrom, seq, count. */
export function refund(books: Books, args: readonly Arg[], nowMs: number): Check {
  let expected = 0;
  for (let at = 2; at < args.length; at += 6) {
    const [id, dayFromMs, hourFromMs, seq, count] = [
      String(args[at + 1]),
      ...args.slice(at + 2, at + 6).map(Number),
    ] as [string, number, number, number, number];
    const ip = books.ips.get(id);
    if (ip) expected += ip.credit({ dayFromMs, hourFromMs, seq, count }, nowMs);
  }
  return (reply, changed) => {
    if (Number(reply) !== expected)
      throw new Broken('refund', `${reply} sends were credited, and ${expected} were to be`);
    books.sums.credited += expected;
    for (const { ip, counter, address, raw } of changed) {
      books.agrees(ip, counter, 'after a refund');
      books.raws.set(address, raw);
    }
    return 0;
  };
}

/** The grants of leases, and what of each has come back: unused when it ended, and late. */
export type Leased = Map<string, { sends: number; isBack: boolean; late: number }>;

/** KEYS[1] the account; ARGV prefix, holder, verb, want, least, waitedMs, kind, name, family, then groups of six that come back. */
export function lease(books: Books, leased: Leased, args: readonly Arg[]): Check {
  const want = Number(args[4]);
  const back = new Map<string, number>();
  for (let at = 10; at < args.length; at += 6) {
    const id = String(args[at + 1]);
    const [seq, sends] = [Number(args[at + 4]), Number(args[at + 5])];
    const grant = leased.get(`${id}.${Math.abs(seq)}`);
    if (!grant)
      throw new Broken('refund', `a lease gives back grant ${seq} of ${id}, which no lease was given`);
    // Each is credited once, however often it comes; what comes late is told as a sum.
    const due = seq < 0 ? Math.max(0, sends - grant.late) : grant.isBack ? 0 : sends;
    if (seq < 0) grant.late = Math.max(grant.late, sends);
    else grant.isBack = true;
    back.set(id, (back.get(id) ?? 0) + due);
  }
  return (reply, changed, nowMs) => {
    const verdict =
      reply === null || (reply as Buffer).length === 0 ? null : verdictOf(reply as Buffer, want);
    const granted = new Map<string, number>();
    for (const { ip, sends, seq } of verdict?.parts ?? []) {
      if (sends === 0) continue;
      granted.set(ip.ipId, (granted.get(ip.ipId) ?? 0) + sends);
      leased.set(`${ip.ipId}.${seq}`, { sends, isBack: false, late: 0 });
    }
    for (const { ip, counter, address, raw } of changed) {
      const { day, hour } = ip.look(nowMs);
      if (counter.dayFromMs !== day.fromMs) {
        throw new Broken(
          'exact',
          `${address} counts the day from ${counter.dayFromMs}, and it is ${day.fromMs}`,
        );
      }
      const grants = granted.get(ip.id) ?? 0;
      granted.delete(ip.id);
      const credited = day.used + grants - counter.dayUsed;
      const due = back.get(ip.id) ?? 0;
      if (credited < 0 || credited > due) {
        throw new Broken('refund', `${address} was credited ${credited} of ${due} that leases gave back`);
      }
      books.sums.credited += credited;
      // Of several grants that come back some may be of the hour before. Also what credits nothing moves the counter on: a grant
      // of a day that a clock which went back has made come twice.
      const ofHour = hour.used - (counter.hourUsed - grants);
      if (due > 0) ip.giveBack(credited, Math.max(0, Math.min(credited, ofHour)), nowMs);
      if (grants > 0) books.charge(ip, counter, grants, nowMs);
      books.agrees(ip, counter, `after a lease took ${grants} and gave back ${credited}`);
      books.raws.set(address, raw);
    }
    for (const [id, sends] of granted) {
      throw new Broken('never over', `a lease was granted ${sends} of ${id}, and nothing was charged`);
    }
    books.sums.leased += verdict?.granted ?? 0;
    return verdict?.granted ?? 0;
  };
}

/** What a lease spends it spends in the hour of the grant, and at most a second after the IP was stopped. */
export function spend(
  ip: ModelIp,
  grant: { hourFromMs: number },
  stoppedSinceMs: number | undefined,
  nowMs: number,
): void {
  const [hour, now] = [grant.hourFromMs, nowMs].map((ms) => new Date(ms).toISOString());
  if (nowMs >= grant.hourFromMs + HOUR_MS) {
    throw new Broken('never over', `a lease spent sends of ${ip.address} of the hour from ${hour} at ${now}`);
  }
  if (stoppedSinceMs !== undefined && nowMs > stoppedSinceMs + 1_000) {
    throw new Broken(
      'no quota, no mail',
      `a lease spent sends of ${ip.address} ${nowMs - stoppedSinceMs} ms after it was stopped`,
    );
  }
}
