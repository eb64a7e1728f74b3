/**
 * What was granted to whom, kept by those who were granted it: sends by IP and by hour. In the end it is held against the
 * limits of the plan and against what Redis has counted.
 */
import { HOUR_MS } from '../../src/warmup/units.ts';

/** `net`: granted less what was credited. `loose`: of what is known, so many may stand on either side of the hour's edge. */
export type Entry = { net: number; loose: number };
/** Under `<ipId>.<beginning of the hour>`. */
export type Books = Map<string, Entry>;

/** Whoever leases is not told the hour of a send; so close to an edge it is not guessed. */
const NEAR_AN_EDGE_MS = 100;

export const openBooks = (): Books => new Map();

function entryOf(books: Books, key: string): Entry {
  let entry = books.get(key);
  if (!entry) {
    entry = { net: 0, loose: 0 };
    books.set(key, entry);
  }
  return entry;
}

/** `<ipId>.<day>.<hour>.<count>.<seq>` and whatever signs it. */
function keyOf(receipt: string): string {
  const id = receipt.indexOf('.');
  const day = receipt.indexOf('.', id + 1);
  return receipt.slice(0, id) + receipt.slice(day, receipt.indexOf('.', day + 1));
}

export function noteGrant(books: Books, { receipt, count }: { receipt: string; count: number }): void {
  entryOf(books, keyOf(receipt)).net += count;
}

/** What was credited of a grant. Across the edge of an hour it is credited to the day alone. */
export function noteRefund(books: Books, receipt: string, credited: number, nowMs: number): void {
  const key = keyOf(receipt);
  const entry = entryOf(books, key);
  entry.net -= credited;
  if (nowMs >= Number(key.slice(key.indexOf('.') + 1)) + HOUR_MS) entry.loose += credited;
}

/** A send out of a lease, in the hour of now. @param hourlyFromMs an instant at which an hour of the IP begins */
export function noteSpent(
  books: Books,
  ipId: string,
  hourlyFromMs: number,
  nowMs: number,
  count: number,
): void {
  const hour = hourlyFromMs + Math.floor((nowMs - hourlyFromMs) / HOUR_MS) * HOUR_MS;
  const entry = entryOf(books, `${ipId}.${hour}`);
  const near = nowMs - hour < NEAR_AN_EDGE_MS || hour + HOUR_MS - nowMs < NEAR_AN_EDGE_MS;
  if (near) entry.loose += count;
  else entry.net += count;
}

/** As lines between processes. */
export const asList = (books: Books): [string, Entry][] => [...books];

export function addBooks(into: Books, list: readonly [string, Entry][]): void {
  for (const [key, { net, loose }] of list) {
    const entry = entryOf(into, key);
    entry.net += net;
    entry.loose += loose;
  }
}

/** What Redis has counted for an IP, by the beginning of the hour. */
export type Ledger = { ipId: string; hours: ReadonlyMap<number, number> };

export type BookCheck = {
  hours: number;
  granted: number;
  /** Sends beyond an hourly cap or a daily limit, by either book. Must be 0. */
  over: number;
  /** Sends that one book has and the other has not. Must be 0. */
  unbalanced: number;
  /** Taken ahead, charged, and spent by nobody: what leases lose at an edge. */
  unspent: number;
  /** The first few that are wrong, in words. */
  wrong: string[];
};

export type BookedIp = {
  ipId: string;
  /** Leased ahead: Redis may have counted more than was sent, and never less. */
  leased: boolean;
  startedAtMs: number;
  limitsOn(warmupDay: number): { dailyLimit: number | null; hourlyCap: number | null };
};

const MOST_TOLD = 5;
const DAY_HOURS = 24;

/** Days here have 24 hours: everything that is booked warms up in UTC. */
export function checkBooks(books: Books, ledgers: readonly Ledger[], ips: readonly BookedIp[]): BookCheck {
  const ours = new Map<string, Map<number, Entry>>();
  for (const [key, entry] of books) {
    const at = key.indexOf('.');
    const hours = ours.get(key.slice(0, at)) ?? new Map<number, Entry>();
    hours.set(Number(key.slice(at + 1)), entry);
    ours.set(key.slice(0, at), hours);
  }
  const theirs = new Map(ledgers.map(({ ipId, hours }) => [ipId, hours]));
  const check: BookCheck = { hours: 0, granted: 0, over: 0, unbalanced: 0, unspent: 0, wrong: [] };
  const tell = (sentence: string) => {
    if (check.wrong.length < MOST_TOLD) check.wrong.push(sentence);
  };

  for (const ip of ips) {
    const own = ours.get(ip.ipId) ?? new Map<number, Entry>();
    const counted = theirs.get(ip.ipId) ?? new Map<number, number>();
    const days = new Map<number, number>();
    for (const hour of new Set([...own.keys(), ...counted.keys()])) {
      const { net, loose } = own.get(hour) ?? { net: 0, loose: 0 };
      const charged = counted.get(hour) ?? 0;
      const warmupDay = Math.floor((hour - ip.startedAtMs) / (DAY_HOURS * HOUR_MS)) + 1;
      const most = Math.max(net, charged);
      const { hourlyCap } = ip.limitsOn(warmupDay);
      check.hours += 1;
      check.granted += net;
      days.set(warmupDay, (days.get(warmupDay) ?? 0) + most);
      if (hourlyCap !== null && most > hourlyCap) {
        check.over += most - hourlyCap;
        tell(
          `${ip.ipId} sent ${most} in the hour from ${new Date(hour).toISOString()}, the cap is ${hourlyCap}`,
        );
      }
      const missing = net - charged;
      const tooMuch = ip.leased ? 0 : charged - net - loose;
      if (missing > loose || tooMuch > 0) {
        check.unbalanced += missing > loose ? missing - loose : tooMuch;
        tell(
          `${ip.ipId} was granted ${net} in the hour from ${new Date(hour).toISOString()}, Redis counts ${charged}`,
        );
      }
      if (ip.leased) check.unspent += Math.max(0, charged - net - loose);
    }
    for (const [warmupDay, sent] of days) {
      const { dailyLimit } = ip.limitsOn(warmupDay);
      if (dailyLimit === null || sent <= dailyLimit) continue;
      check.over += sent - dailyLimit;
      tell(`${ip.ipId} sent ${sent} on warm-up day ${warmupDay}, the limit is ${dailyLimit}`);
    }
  }
  return check;
}
