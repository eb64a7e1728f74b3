/**
 * What senders wanted, as far as this process saw it: the takes that came to it over HTTP. What was granted is counted
 * exactly in Redis; what was denied is counted nowhere, so that asking costs nothing, and this is the one place that knows
 * some of it. In memory, bounded, and said to be so wherever it is shown.
 */
import type { BecauseCode, TakeAnswer } from '../redis/answer.ts';

/** What a sender named: one IP, a pool, or nothing, which is counted as the pool ''. */
export type Target = { ip?: string | undefined; pool?: string | undefined };

/** So many takes, the sends that they wanted, and those that they were granted. */
export type Tally = { takes: number; wanted: number; granted: number };

/** Takes of one target that one limit denied. */
export type Denial = Tally & {
  readonly target: Target;
  readonly code: BecauseCode;
  /** Of the last one: the IP that has room soonest, and when it had. */
  readonly ipId: string | null;
  readonly retryAfterMs: number | null;
  readonly lastAtMs: number;
};

type Hour = Tally & { hour: number };
type Kept = Omit<Denial, keyof Tally> & { hours: Hour[] };

type OfAccount = {
  all: Hour[];
  byTarget: Map<string, Hour[]>;
  denials: Map<string, Kept>;
};

const HOUR_MS = 3_600_000;
const MOST_ACCOUNTS = 1_000;
/** Of an account. */
const MOST_DENIALS = 100;
/** Of all accounts: about 20 MB. */
const MOST_TARGETS = 100_000;

export type Demand = ReturnType<typeof createDemand>;

/** @param clock real time in ms: what was wanted when is for people, and decides nothing */
export function createDemand(clock: () => number = Date.now) {
  const accounts = new Map<string, OfAccount>();
  let targets = 0;
  const sinceMs = clock();
  const hourNow = () => Math.floor(clock() / HOUR_MS);

  function of(accountId: string): OfAccount {
    let one = accounts.get(accountId);
    if (!one) {
      if (accounts.size >= MOST_ACCOUNTS) accounts.clear();
      one = { all: [], byTarget: new Map(), denials: new Map() };
      accounts.set(accountId, one);
    }
    return one;
  }

  function hoursOf({ byTarget }: OfAccount, key: string): Hour[] {
    let hours = byTarget.get(key);
    if (!hours) {
      if (targets >= MOST_TARGETS) {
        for (const one of accounts.values()) one.byTarget.clear();
        targets = 0;
      }
      hours = [];
      byTarget.set(key, hours);
      targets += 1;
    }
    return hours;
  }

  return {
    sinceMs,

    /** To be called for every take that was answered. */
    note(
      accountId: string,
      { ip, pool, count = 1 }: Target & { count?: number | undefined },
      answer: TakeAnswer,
    ): void {
      const one = of(accountId);
      const hour = hourNow();
      let granted = 0;
      for (const grant of answer.granted) granted += grant.count;
      add(one.all, hour, count, granted);
      add(hoursOf(one, keyOf({ ip, pool })), hour, count, granted);
      if (answer.allowed || !answer.because) return;
      const { code, ipId } = answer.because;
      const { retryAfterMs } = answer;
      const key = `${keyOf({ ip, pool })} ${code}`;
      const hours = one.denials.get(key)?.hours ?? [];
      add(hours, hour, count, 0);
      // The last one stands last, so that the first is the one to forget.
      one.denials.delete(key);
      one.denials.set(key, { target: { ip, pool }, code, ipId, retryAfterMs, lastAtMs: clock(), hours });
      if (one.denials.size > MOST_DENIALS) one.denials.delete(one.denials.keys().next().value!);
    },

    /** What was denied in this hour and the one before it, the latest first. */
    denialsOf(accountId: string): Denial[] {
      const denials = [...(accounts.get(accountId)?.denials.values() ?? [])].reverse();
      return denials
        .map(({ hours, ...denial }) => ({ ...denial, ...sumOf(hours, hourNow()) }))
        .filter(({ takes }) => takes > 0);
    },

    /** This hour and the one before it: of the account, or of what senders named. */
    wantedOf(accountId: string, named: readonly Target[] = []): Tally {
      const one = accounts.get(accountId);
      const hours =
        named.length === 0 ? one?.all : named.flatMap((target) => one?.byTarget.get(keyOf(target)) ?? []);
      return sumOf(hours ?? [], hourNow());
    },
  };
}

const keyOf = ({ ip, pool }: Target) => (ip === undefined ? `pool ${pool ?? ''}` : `ip ${ip}`);

/** Two hours are kept: the running one, and one that is whole. */
function add(hours: Hour[], hour: number, wanted: number, granted: number): void {
  let last = hours.at(-1);
  if (last?.hour !== hour) {
    last = { hour, takes: 0, wanted: 0, granted: 0 };
    hours.push(last);
    if (hours.length > 2) hours.shift();
  }
  last.takes += 1;
  last.wanted += wanted;
  last.granted += granted;
}

function sumOf(hours: readonly Hour[], hourNow: number): Tally {
  const sum = { takes: 0, wanted: 0, granted: 0 };
  for (const one of hours) {
    if (one.hour < hourNow - 1) continue;
    sum.takes += one.takes;
    sum.wanted += one.wanted;
    sum.granted += one.granted;
  }
  return sum;
}
