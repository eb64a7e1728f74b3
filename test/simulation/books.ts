/**
 * The witness: sees each command that Redis has done, knows from the stream of changes what has become of every IP, and compares
 * what was granted, charged, credited and published with the model, to the send and to the millisecond.
 */
import { ReplyReader } from '../../src/redis/answer.ts';
import { type AccountRef, accountKeys } from '../../src/redis/keys.ts';
import { type Count, type Held, ModelIp, type Start, type Status, UNITS_PER_SEND } from './model/ip.ts';

/** A promise that was broken. */
export class Broken extends Error {
  override readonly name = 'Broken';
  readonly promise: string;
  constructor(promise: string, message: string) {
    super(`${promise}: ${message}`);
    this.promise = promise;
  }
}

type Entry = {
  at: string;
  ipId?: string;
  address?: string;
  what: string;
  from: unknown;
  to: unknown;
  because: string;
  by: string;
};
type RawHold = { scope: string; sending: boolean; advance: boolean; sinceMs: number; untilMs: number | null };

/** The counter as it stands in Redis, told by its offsets (`lua/counter.lua`). */
type Counter = {
  dayFromMs: number;
  dayUsed: number;
  hourFromMs: number;
  hourUsed: number;
  level: number;
  atMs: number;
  seq: number;
};
const counterOf = (raw: Buffer): Counter => ({
  dayFromMs: raw.readDoubleLE(8),
  dayUsed: raw.readDoubleLE(16),
  hourFromMs: raw.readDoubleLE(24),
  hourUsed: raw.readDoubleLE(32),
  level: raw.readDoubleLE(40),
  atMs: raw.readDoubleLE(48),
  seq: raw.readDoubleLE(56),
});

const iso = (ms: number) => new Date(ms).toISOString();

export class Books {
  readonly ips = new Map<string, ModelIp>();
  readonly account: AccountRef & { readonly name: string };
  readonly keys: ReturnType<typeof accountKeys>;
  readonly cooldownMs: number;
  /** What was asked for at the start of warm-ups, by who asked. */
  readonly starts = new Map<string, Start>();
  readonly raws = new Map<string, Buffer>();
  lastChange = '0';
  /** Who has changed the status of what, by the stream. */
  readonly changedBy = new Map<string, Entry[]>();
  readonly granted = new Map<string, number>();
  readonly sums = { granted: 0, credited: 0, changes: 0, leased: 0 };

  constructor(account: AccountRef & { name: string }, cooldownMs: number) {
    this.account = account;
    this.keys = accountKeys(account);
    this.cooldownMs = cooldownMs;
  }

  /** Those whose address is the account's. */
  living(): ModelIp[] {
    return [...this.ips.values()].filter(({ status }) => status !== 'released');
  }

  choosable(): ModelIp[] {
    return this.living().filter(({ status }) => status !== 'cooldown');
  }

  at(address: string): ModelIp | undefined {
    return this.living().find((ip) => ip.address === address);
  }

  /** One line of the stream, in its order. */
  follow(raw: string): void {
    const entry = JSON.parse(raw) as Entry;
    this.sums.changes += 1;
    const list = this.changedBy.get(entry.by);
    if (list) list.push(entry);
    else this.changedBy.set(entry.by, [entry]);
    if (entry.ipId === undefined) return;
    const atMs = Date.parse(entry.at);
    const known = this.ips.get(entry.ipId);
    if (!known) {
      if (entry.what !== 'status' || entry.from !== null) {
        throw new Broken('once', `the first change of ${entry.address} is ${raw}`);
      }
      const holder = this.at(entry.address!);
      if (holder) throw new Broken('once', `${entry.address} was given out while ${holder.id} had it`);
      this.ips.set(
        entry.ipId,
        new ModelIp(entry.ipId, entry.address!, this.account.id, entry.to as Status, atMs),
      );
      return;
    }
    const change = FOLLOW[entry.what];
    if (change) change(this, known, entry, atMs);
  }

  /** What was published of an IP is what its record asks for, for a day that the calendar has. */
  published(
    id: string,
    hash: Record<string, string>,
    raw: Buffer,
    before: Count | null,
    nowMs: number,
  ): void {
    const ip = this.ips.get(id)!;
    const { address } = ip;
    const differs = (what: string, is: unknown, should: unknown) => {
      throw new Broken(
        'published',
        `${address} has ${what} ${is}, and should have ${should}; at ${iso(nowMs)}, ${ip.status} since ${iso(ip.days.startedAtMs)}, holds ${JSON.stringify([...ip.holds])}`,
      );
    };
    if (hash.ipId !== id) differs('the IP', hash.ipId, id);
    if (hash.status !== ip.status) differs('status', hash.status, ip.status);
    // Of one that gives nothing the hash has no day; it was decided on before the clock went back, perhaps.
    let day = ip.days.dayAt(counterOf(raw).dayFromMs);
    if (ip.status === 'warming' || ip.status === 'active') {
      const [fromMs, toMs] = [Date.parse(hash.from!), Date.parse(hash.to!)];
      day = fromMs === toMs ? 0 : ip.days.dayAt(fromMs);
      if (ip.days.edge(day) !== fromMs)
        differs('a day from', hash.from, new Date(ip.days.edge(day)).toISOString());
      if (ip.days.edge(day + 1) !== toMs)
        differs('a day to', hash.to, new Date(ip.days.edge(day + 1)).toISOString());
      const [current, next] = [ip.limitsOn(day), ip.limitsOn(day + 1)];
      const shown = (limit: number | null) => String(limit ?? -1);
      if (hash.dailyLimit !== shown(current.daily))
        differs('a daily limit of', hash.dailyLimit, current.daily);
      if (hash.hourlyCap !== shown(current.hourly))
        differs('an hourly cap of', hash.hourlyCap, current.hourly);
      if ((hash.burst ?? hash.hourlyCap) !== shown(current.burst))
        differs('a burst of', hash.burst, current.burst);
      if (hash.nextDailyLimit !== shown(next.daily))
        differs('a next daily limit of', hash.nextDailyLimit, next.daily);
      if (hash.nextHourlyCap !== shown(next.hourly))
        differs('a next hourly cap of', hash.nextHourlyCap, next.hourly);
      if ((hash.nextBurst ?? hash.nextHourlyCap) !== shown(next.burst))
        differs('a next burst of', hash.nextBurst, next.burst);
    }
    ip.publish(day, nowMs, before);
    this.raws.set(address, raw);
    const counter = counterOf(raw);
    // A day or an hour that begins before the one that was counted has the sends of the time between, too: of each hour that
    // reaches into it all, which is more than there were, and never less.
    const { day: dayCount, hour: hourCount } = ip.count;
    if (before && dayCount.fromMs < before.day.fromMs)
      dayCount.used = Math.max(dayCount.used, counter.dayUsed);
    if (before && hourCount.fromMs < before.hour.fromMs)
      hourCount.used = Math.max(hourCount.used, counter.hourUsed);
    this.agrees(ip, counter, 'after a publish');
  }

  /** The record of an IP says what the model says. */
  agrees(ip: ModelIp, counter: Counter, when: string): void {
    const differs = (what: string, is: number, should: number) => {
      throw new Broken('exact', `${ip.address} ${when}: ${what} is ${is}, and should be ${should}`);
    };
    if (counter.dayFromMs !== ip.count.day.fromMs)
      differs('the beginning of its day', counter.dayFromMs, ip.count.day.fromMs);
    if (counter.dayUsed !== ip.count.day.used)
      differs('what is used of its day', counter.dayUsed, ip.count.day.used);
    if (counter.hourFromMs !== ip.count.hour.fromMs)
      differs('the beginning of its hour', counter.hourFromMs, ip.count.hour.fromMs);
    if (counter.hourUsed !== ip.count.hour.used)
      differs('what is used of its hour', counter.hourUsed, ip.count.hour.used);
    if (counter.seq !== ip.seq) differs('the number of its grants', counter.seq, ip.seq);
    if (counter.atMs !== ip.count.atMs) differs('the instant of its counts', counter.atMs, ip.count.atMs);
    const level = counter.level === Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : counter.level;
    // What a daily limit lets flow in is rounded down each time.
    if (level !== ip.count.level && !(Math.abs(level - ip.count.level) < UNITS_PER_SEND / 1000)) {
      differs('the level of its bucket', level, ip.count.level);
    }
  }

  /** What a command has charged or credited, by the records themselves. */
  changedRecords(
    addresses: readonly string[],
    raws: readonly (Buffer | null)[],
  ): { ip: ModelIp; counter: Counter; address: string; raw: Buffer }[] {
    return addresses.flatMap((address, index) => {
      const raw = raws[index];
      const before = this.raws.get(address);
      if (!raw || !before || raw.equals(before)) {
        if (!raw && before) throw new Broken('exact', `the record of ${address} is gone`);
        return [];
      }
      const ip = this.at(address)!;
      return [{ ip, counter: counterOf(raw), address, raw }];
    });
  }

  /** Charges the model with what a record says, if the limits allow it. */
  charge(ip: ModelIp, counter: Counter, sends: number, nowMs: number): void {
    const { room, exact } = ip.roomAt(nowMs);
    if (sends > room + (exact ? 0 : 1)) {
      const why = ip.closedBecause(nowMs);
      throw new Broken(
        why ? 'no quota, no mail' : 'never over',
        `${ip.address} granted ${sends} with room for ${room}${why ? ` (${why})` : ''}, ${ip.count.day.used} used in the day, ${ip.count.hour.used} in the hour`,
      );
    }
    ip.charge(sends, counter.seq - ip.seq, nowMs);
    // Never more than the day that the calendar has now would allow, whatever day was published.
    // (A start may be decided just before the clock goes back behind it: then its first day is published, and comes.)
    const day = Math.max(ip.days.dayAt(Math.max(nowMs, ip.count.atMs)), ip.published!.day);
    const { daily, hourly } = ip.limitsOn(day);
    if ((daily !== null && ip.count.day.used > daily) || (hourly !== null && ip.count.hour.used > hourly)) {
      throw new Broken(
        'never over',
        `${ip.address} used ${ip.count.day.used} of ${daily}, ${ip.count.hour.used} of ${hourly} in the hour`,
      );
    }
    this.sums.granted += sends;
    this.granted.set(ip.id, (this.granted.get(ip.id) ?? 0) + sends);
  }
}

const FOLLOW: Record<string, (books: Books, ip: ModelIp, entry: Entry, atMs: number) => void> = {
  status(books, ip, entry, atMs) {
    if (entry.from !== ip.status)
      throw new Broken(
        'once',
        `${ip.address} is ${ip.status}, and the stream says ${entry.from} to ${entry.to}`,
      );
    if (entry.by === 'engine' && entry.to === 'active' && !ip.isComplete(atMs)) {
      throw new Broken(
        'once',
        `${ip.address} became active on day ${ip.warmupDayAt(atMs)} of ${ip.start!.rows.length}`,
      );
    }
    if (entry.to === 'released' && atMs < ip.cooldown!.untilMs)
      throw new Broken('once', `${ip.address} was released before its cooldown was over`);
    const start = books.starts.get(entry.by);
    const wrong = ip.move(entry.to as Status, atMs, {
      cooldownMs: books.cooldownMs,
      ...(start ? { start } : {}),
    });
    if (wrong) throw new Broken('once', wrong);
    if (entry.to === 'cooldown') {
      for (const scope of ip.holds.keys()) if (scope !== 'ip' && scope !== 'v3') ip.holds.delete(scope);
      ip.pools.clear();
    }
    if (entry.to === 'released') books.raws.delete(ip.address);
  },
  hold(_, ip, { from, to }, atMs) {
    if (to === null) return ip.unhold((from as RawHold).scope, atMs);
    const { scope, sending, advance, sinceMs, untilMs } = to as RawHold;
    const held: Held = { sending, advance, sinceMs, untilMs };
    ip.hold(scope, held, atMs);
  },
  pool(_, ip, { from, to }) {
    if (from !== null) ip.pools.delete(from as string);
    if (to !== null) ip.pools.add(to as string);
  },
  ceiling(_, ip, { to }) {
    const { perDay, perHour } = to as { perDay: number | null; perHour: number | null };
    ip.ceiling = { daily: perDay, hourly: perHour };
  },
};

/** The answer of a script, read as a sender reads it. */
export const verdictOf = (reply: Buffer, count: number) => new ReplyReader(reply).answer(count);
