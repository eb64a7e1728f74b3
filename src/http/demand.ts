/**
 * What senders wanted, as far as this process saw it: the takes that came to it over HTTP. What was granted is counted
 * exactly in Redis; what was denied is counted nowhere, so that asking costs nothing, and this is the one place that knows
 * some of it. In memory, bounded, and said to be so wherever it is shown.
 */
import type { BecauseCode, TakeAnswer } from '../redis/answer.ts';

/** What a sender named: one IP, a pool, or nothing, which is counted as the pool ''. */
export type Target = { ip?: string | undefined; pool?: string | undefined };

export type Denial = {
  readonly target: Target;
  readonly code: BecauseCode | 'count';
  /** The IP that has room soonest. */
  ipId: string | null;
  takes: number;
  sends: number;
  lastAtMs: number;
  /** Of the last one. */
  retryAfterMs: number | null;
};

export type Wanted = { wanted: number; granted: number };
type Hour = Wanted & { hour: number };

type OfAccount = {
  denials: Map<string, Denial>;
  /** By target, the last two hours. */
  hours: Map<string, Hour[]>;
};

const HOUR_MS = 3_600_000;
const MOST_ACCOUNTS = 1_000;
const MOST_DENIALS = 100;
const MOST_TARGETS = 2_000;
/** Of all takes of an account together. */
const ALL = '';

export type Demand = ReturnType<typeof createDemand>;

/** @param clock real time in ms: what was wanted when is for people, and decides nothing */
export function createDemand(clock: () => number = Date.now) {
  const accounts = new Map<string, OfAccount>();
  const sinceMs = clock();

  function of(accountId: string): OfAccount {
    let one = accounts.get(accountId);
    if (!one) {
      if (accounts.size >= MOST_ACCOUNTS) accounts.clear();
      one = { denials: new Map(), hours: new Map() };
      accounts.set(accountId, one);
    }
    return one;
  }

  function count(
    hours: OfAccount['hours'],
    key: string,
    hour: number,
    wanted: number,
    granted: number,
  ): void {
    let kept = hours.get(key);
    if (!kept) {
      if (hours.size >= MOST_TARGETS) hours.clear();
      kept = [];
      hours.set(key, kept);
    }
    let last = kept.at(-1);
    if (last?.hour !== hour) {
      last = { hour, wanted: 0, granted: 0 };
      kept.push(last);
      if (kept.length > 2) kept.shift();
    }
    last.wanted += wanted;
    last.granted += granted;
  }

  return {
    sinceMs,

    /** To be called for every take that was answered. */
    note(
      accountId: string,
      { ip, pool, count: wanted = 1 }: Target & { count?: number | undefined },
      answer: TakeAnswer,
    ): void {
      const one = of(accountId);
      const nowMs = clock();
      const hour = Math.floor(nowMs / HOUR_MS);
      let granted = 0;
      for (const grant of answer.granted) granted += grant.count;
      count(one.hours, ALL, hour, wanted, granted);
      if (ip !== undefined) count(one.hours, `ip ${ip}`, hour, wanted, granted);
      else count(one.hours, `pool ${pool ?? ''}`, hour, wanted, granted);
      if (answer.allowed || !answer.because) return;
      const { code, ipId } = answer.because;
      const key = `${ip ?? ''} ${pool ?? ''} ${code}`;
      const denial = one.denials.get(key) ?? {
        target: { ip, pool },
        code,
        ipId,
        takes: 0,
        sends: 0,
        lastAtMs: 0,
        retryAfterMs: null,
      };
      denial.takes += 1;
      denial.sends += wanted;
      denial.lastAtMs = nowMs;
      denial.ipId = ipId;
      denial.retryAfterMs = answer.retryAfterMs;
      // The last one stands last, so that the first is the one to forget.
      one.denials.delete(key);
      one.denials.set(key, denial);
      if (one.denials.size > MOST_DENIALS) one.denials.delete(one.denials.keys().next().value!);
    },

    /** What was denied in the last hour, the latest first. */
    denialsOf(accountId: string): Denial[] {
      const fromMs = clock() - HOUR_MS;
      const denials = [...(accounts.get(accountId)?.denials.values() ?? [])];
      return denials.filter(({ lastAtMs }) => lastAtMs >= fromMs).reverse();
    },

    /** This hour and the one before it: of the account, or of what senders named. */
    wantedOf(accountId: string, named: readonly Target[] = []): Wanted {
      const hours = accounts.get(accountId)?.hours;
      const keys =
        named.length === 0
          ? [ALL]
          : named.map(({ ip, pool }) => (ip === undefined ? `pool ${pool}` : `ip ${ip}`));
      const from = Math.floor(clock() / HOUR_MS) - 1;
      const sum = { wanted: 0, granted: 0 };
      for (const one of keys.flatMap((key) => hours?.get(key) ?? [])) {
        if (one.hour < from) continue;
        sum.wanted += one.wanted;
        sum.granted += one.granted;
      }
      return sum;
    },
  };
}
