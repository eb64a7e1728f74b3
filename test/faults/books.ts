/** The books after a fault: what processes were told, beside what Redis knows. Plain arithmetic; no code of the limiter. */

/** All IPs of a round began within it, and it is over within the hour: what an IP gave is of one hour and of one day. */
export type LimitedIp = { id: string; address: string; limit: number; kind: 'hourly' | 'daily' };

const HOURS_OF_A_DAY = 24;

export type Sums = ReadonlyMap<string, number>;

export type Books = {
  /** Sends that processes were granted, and of these beyond the limit, by what kind of limit it was. */
  granted: number;
  over: { hourly: number; daily: number };
  /** Of the grants, those that Redis has forgotten. */
  grantsLost: number;
  /** Charged and not granted to anybody: answers that were lost, leases of the dead. */
  unspent: number;
  /** Sends over a daily limit that what Redis forgot does not explain. */
  unexplained: number;
  /** Acknowledged changes, and of these the ones that are gone. */
  acknowledged: number;
  changesLost: string[];
  /** And of those the ones that were acknowledged before Redis could forget any. */
  lostTooEarly: string[];
};

export function balance({
  limited,
  granted,
  uncounted,
  charged,
  forgettable,
}: {
  limited: readonly LimitedIp[];
  granted: Sums;
  /** Sends that a sender allowed itself without Redis: for an IP with a limit each is one too many. */
  uncounted: Sums;
  /** What Redis has counted. */
  charged: Sums;
  /** Of the grants, those that were made while Redis may have forgotten them. */
  forgettable: Sums;
}): Omit<Books, 'acknowledged' | 'changesLost' | 'lostTooEarly'> {
  const over = { hourly: 0, daily: 0 };
  let unexplained = 0;
  for (const { address, limit, kind } of limited) {
    const more = Math.max(0, (granted.get(address) ?? 0) - limit) + (uncounted.get(address) ?? 0);
    over[kind] += more;
    // A twenty-fourth of the day counts as used up instead.
    const explained = Math.max(0, (forgettable.get(address) ?? 0) - Math.ceil(limit / HOURS_OF_A_DAY));
    if (kind === 'daily') unexplained += Math.max(0, more - explained);
  }
  let [sum, grantsLost, unspent] = [0, 0, 0];
  for (const [address, sends] of charged) {
    const told = granted.get(address) ?? 0;
    sum += told;
    grantsLost += Math.max(0, told - sends);
    unspent += Math.max(0, sends - told);
  }
  return { granted: sum, over, unexplained, grantsLost, unspent };
}

/** A field of an IP, as a client sees it. */
export type Facts = {
  status: string;
  perDay: number | null;
  held: boolean;
  inPool: boolean;
};

/**
 * What an IP may look like: after an acknowledged change its new value and no other; after a change whose outcome nobody
 * knows the new one or the old one.
 */
export type Expected = { [Field in keyof Facts]: Facts[Field][] };

export type Lost = { field: keyof Facts | 'id'; sentence: string };

/** @param found `null`: there is no such IP */
export function changesLost(id: string, expected: Expected, found: Facts | null): Lost[] {
  if (!found) return [{ field: 'id', sentence: `${id} is gone` }];
  const fields = ['status', 'perDay', 'held', 'inPool'] as const;
  return fields
    .filter((field) => !(expected[field] as unknown[]).includes(found[field]))
    .map((field) => ({
      field,
      sentence: `${id}: ${field} is ${found[field]}, acknowledged was ${expected[field].join(' or ')}`,
    }));
}
