/** Four mail senders on connections of their own that take as fast as they are answered, and a book of what they were granted. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sender } from '../../src/sender/index.ts';
import type { Fleet } from '../support/fleet.ts';
import type { FakedClock } from './faked-clock.ts';

/** When a grant was asked for and when it was there; it happened in between. `even`: no move of the clock fell in between. */
type Entry = { askedAt: number; givenAt: number; even: boolean; sends: number };

/** Adds up grants by plain intervals of time; it knows no limiter, no window and no receipt. */
export class Book {
  readonly entries: Entry[] = [];

  get total(): number {
    return this.entries.reduce((sum, { sends }) => sum + sends, 0);
  }

  /** The sends that surely fell into the interval, and those that perhaps did: asked for in it, and answered after it, or so. */
  between(from: number, to: number): { surely: number; perhaps: number } {
    let [surely, perhaps] = [0, 0];
    for (const { askedAt, givenAt, even, sends } of this.entries) {
      if (even && askedAt >= from && givenAt < to) surely += sends;
      else if (Math.max(askedAt, givenAt) >= from && Math.min(askedAt, givenAt) < to) perhaps += sends;
    }
    return { surely, perhaps };
  }
}

export type Senders = {
  readonly book: Book;
  /** All four at once until this much real time has passed. */
  run(ms: number): Promise<void>;
  /** All four until each of them is denied with nothing to be had within `patienceMs`. */
  drain(patienceMs?: number): Promise<void>;
};

/** So many sends each of them asks for at a time. */
const COUNTS = [1, 2, 3, 7];

export async function startSenders(fleet: Fleet, clock: FakedClock, ip: string): Promise<Senders> {
  const senders = await Promise.all(COUNTS.map(() => fleet.sender()));
  const book = new Book();

  /** @returns how long there is nothing; 0: something was granted */
  async function take(sender: Sender, count: number): Promise<number> {
    const [askedAt, moves] = [clock.now(), clock.moves];
    const { granted, retryAfterMs } = await sender.take({ ip, count, partial: true });
    const sends = granted.reduce((sum, grant) => sum + grant.count, 0);
    if (sends === 0) return retryAfterMs ?? Number.POSITIVE_INFINITY;
    book.entries.push({ askedAt, givenAt: clock.now(), even: clock.moves === moves, sends });
    return 0;
  }
  const each = (task: (sender: Sender, count: number) => Promise<void>) =>
    Promise.all(senders.map((sender, index) => task(sender, COUNTS[index]!))).then(() => {});

  return {
    book,
    run(ms) {
      const endsAt = performance.now() + ms;
      return each(async (sender, count) => {
        while (performance.now() < endsAt) if ((await take(sender, count)) > 0) await sleep(2);
      });
    },
    drain: (patienceMs = 0) =>
      each(async (sender, count) => {
        for (;;) {
          const waitMs = await take(sender, count);
          if (waitMs > patienceMs) return;
          if (waitMs > 0) await sleep(waitMs);
        }
      }),
  };
}
