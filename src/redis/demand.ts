/**
 * What senders wanted, what they were granted, and what was held, by what they named. Each process sums it up in memory and
 * hands it in every ten seconds and when it closes, so that asking costs nothing more (`lua/demand.lua` adds it up). For
 * people who look: it decides nothing, and what a killed process had not handed in, ten seconds at most, is not counted.
 */
import type { BecauseCode, TakeAnswer } from './answer.ts';
import { type AccountRef, accountKeys } from './keys.ts';
import type { Scripts } from './scripts.ts';

/** What a sender named: an IP by address or id, or a pool by id or name; `pool ` where it named neither. */
export type Named = `ip ${string}` | `pool ${string}`;

type Denied = { sends: number; takes: number; ipId: string };

/** The sums of one target since the last hand-in. Whoever asks much keeps it, so that counting is an addition. */
export class Tally {
  readonly named: Named;
  wanted = 0;
  granted = 0;
  denied: Map<BecauseCode, Denied> | null = null;
  /** It stands in the list of what is to be handed in. */
  isListed = false;

  constructor(named: Named) {
    this.named = named;
  }
}

/** Real time. */
const HANDED_IN_EVERY_MS = 10_000;
/** Between two hand-ins; what comes after is counted for the account alone. About 2 MB. */
const MOST_TARGETS = 10_000;
/** In one script call: about a millisecond of Redis. */
const AT_ONCE = 128;
/** Targets that are remembered for those who do not keep them. */
const MOST_REMEMBERED = 10_000;

export type Demand = ReturnType<typeof createDemand>;

export function createDemand(scripts: Scripts, account: AccountRef) {
  const keys = accountKeys(account);
  const remembered = new Map<Named, Tally>();
  /** No pool has so long a name, so this is of no target. */
  const others = new Tally(`pool ${'-'.repeat(65)}`);
  let listed: Tally[] = [];
  let timer: NodeJS.Timeout | null = null;
  let handingIn: Promise<void> = Promise.resolve();

  /** Takes of one size. @param ipId of a denial: the IP that has room soonest */
  function note(
    given: Tally,
    takes: number,
    wanted: number,
    granted: number,
    because: BecauseCode | null,
    ipId = '',
  ): void {
    let tally = given;
    if (!tally.isListed) {
      if (listed.length >= MOST_TARGETS) tally = others;
      if (!tally.isListed) list(tally);
    }
    tally.wanted += wanted;
    tally.granted += granted;
    const held = wanted - granted;
    if (held <= 0 || because === null) return;
    // So many of them were not granted whole.
    const deniedTakes = Math.ceil((held * takes) / wanted);
    tally.denied ??= new Map();
    const known = tally.denied.get(because);
    if (known) {
      known.sends += held;
      known.takes += deniedTakes;
      known.ipId = ipId;
    } else {
      tally.denied.set(because, { sends: held, takes: deniedTakes, ipId });
    }
  }

  function list(tally: Tally): void {
    tally.isListed = true;
    listed.push(tally);
    timer ??= setTimeout(() => void handIn(), HANDED_IN_EVERY_MS).unref();
  }

  function tallyOf(named: Named): Tally {
    let tally = remembered.get(named);
    if (!tally) {
      if (remembered.size >= MOST_REMEMBERED) remembered.clear();
      tally = new Tally(named);
      remembered.set(named, tally);
    }
    return tally;
  }

  /** Resolves once all that was counted before is in Redis, or lost with a connection. */
  function handIn(): Promise<void> {
    if (timer) clearTimeout(timer);
    timer = null;
    handingIn = handingIn.then(handInNow);
    return handingIn;
  }

  async function handInNow(): Promise<void> {
    if (listed.length === 0) return;
    // What cannot be sent at all waits, unless somebody has hung up for good. What was sent and not answered may have been
    // counted: it is not sent again.
    if (scripts.redis.status === 'end') {
      takeLines(listed);
      listed = [];
      return;
    }
    if (scripts.redis.status !== 'ready') {
      timer ??= setTimeout(() => void handIn(), HANDED_IN_EVERY_MS).unref();
      return;
    }
    const lines = takeLines(listed);
    listed = [];
    for (let at = 0; at < lines.length; at += AT_ONCE) {
      const some = lines.slice(at, at + AT_ONCE).flat();
      await scripts.run('demand', [keys.account, keys.prefix, ...some]).catch(() => {});
    }
  }

  return {
    note,
    tallyOf,
    handIn,

    /** A take that was answered. */
    noteAnswer(tally: Tally, count: number, { granted, because }: TakeAnswer): void {
      let sends = 0;
      for (const grant of granted) sends += grant.count;
      note(tally, 1, count, sends, because?.code ?? null, because?.ipId ?? '');
    },
  };
}

/** For those whose takes nobody looks at: nothing is counted. */
export const NO_DEMAND: Pick<Demand, 'note' | 'noteAnswer' | 'tallyOf'> = {
  note() {},
  noteAnswer() {},
  tallyOf: (named) => new Tally(named),
};

/** What was counted, as the script reads it; the tallies begin anew. Some may mean the same: the script adds them up. */
function takeLines(tallies: readonly Tally[]): (string | number)[][] {
  return tallies.map((tally) => {
    const { named, wanted, granted, denied } = tally;
    const reasons = [...(denied ?? [])].map(([code, one]) => `${code}=${one.sends}:${one.takes}:${one.ipId}`);
    tally.wanted = 0;
    tally.granted = 0;
    tally.denied = null;
    tally.isListed = false;
    return [named, wanted, granted, reasons.join(' ')];
  });
}
