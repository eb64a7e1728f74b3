/**
 * A lease is good for a second of real time, in which a test clock may move by days. So on a test clock a sender hears
 * before it moves, gives back what its leases hold, and takes nothing until it has moved.
 */
import { connectionLike, type RedisConnection } from '../redis/connect.ts';
import { clockKeys } from '../redis/keys.ts';
import type { SendLease } from './lease.ts';

/** Whoever moves the clock waits for a second; if it never says that it has moved, it was killed. */
const PAUSE_MS = 2_000;
/** A number that nobody asks for any more. */
const FORGOTTEN_S = 60;

export type ClockMoves = {
  /** From then on no move is missed. */
  readonly heard: Promise<void>;
  /** It is about to move. */
  readonly isNear: boolean;
  close(): void;
};

export function followClock(redis: RedisConnection, leases: ReadonlySet<SendLease>): ClockMoves {
  const listening = connectionLike(redis, { enableOfflineQueue: true });
  // It connects and listens again by itself.
  listening.on('error', () => {});
  let pause: NodeJS.Timeout | undefined;
  const goOn = () => {
    clearTimeout(pause);
    pause = undefined;
    for (const lease of leases) lease.goOn();
  };
  listening.on('message', (_: string, message: string) => {
    const [what, id] = message.split(' ');
    if (what !== 'ending') return goOn();
    clearTimeout(pause);
    pause = setTimeout(goOn, PAUSE_MS).unref();
    const ended = clockKeys.ended(id!);
    Promise.all([...leases].map((lease) => lease.giveAllBack()))
      .then(() => redis.multi().incr(ended).expire(ended, FORGOTTEN_S).exec())
      .catch(() => {});
  });
  return {
    heard: listening.subscribe(clockKeys.moves).then(
      () => {},
      () => {},
    ),
    get isNear() {
      return pause !== undefined;
    },
    close() {
      clearTimeout(pause);
      listening.disconnect();
    },
  };
}
