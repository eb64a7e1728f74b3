/**
 * A Redis that comes back with less than it had acknowledged would grant it again. So no take runs on a connection before
 * `lua/wake.lua` has run on it for the account: a Redis that has started again is only reached by new connections, and one
 * connection leads to one life of one Redis. (Not through a proxy that keeps connections while the Redis behind them is
 * replaced: do not put one there.)
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';
import type { RedisConnection } from './connect.ts';
import { findServing, servingNode } from './serving.ts';

/** Runs the script that is to be sent on a node, by its hash or with its text. */
export type Run = (node: Redis, how: 'EVALSHA' | 'EVAL') => Promise<unknown>;
/** Runs `wake.lua` for an account. @param durable as its ARGV[2] */
type WakeOf = (prefix: string, durable: '1' | '0' | '') => Run;

/**
 * A Redis that hung or was cut off may become a replica and a master again while a connection to it is open and idle. So it
 * is woken again after a while, in front of a take and without waiting: that costs two takes.
 */
const AGAIN_AFTER_MS = 5_000;

/** The answers of a node that has not begun, and where it is of use to ask again: as ioredis does it, for 1.6 s in all. */
const MOVED = /^(MOVED|CLUSTERDOWN)\b/;
const ON_THE_WAY = /^(ASK|TRYAGAIN)\b/;
const MOST_ATTEMPTS = 16;
const RETRY_MS = 100;

export type Awake = { send(prefix: string, run: Run): Promise<unknown> };

export function createAwake(redis: RedisConnection, wakeOf: WakeOf): Awake {
  /** By the socket: for which accounts it is awake, and since when. */
  const wokenAtMs = new WeakMap<object, Map<string, number>>();
  const waking = new WeakMap<Redis, Map<string, Promise<void>>>();
  const durable = new WeakMap<Redis, '1' | '0' | ''>();

  const wokenAt = ({ stream }: Redis, prefix: string) => stream && wokenAtMs.get(stream)?.get(prefix);
  function remember({ stream }: Redis, prefix: string): void {
    const woken = wokenAtMs.get(stream) ?? new Map<string, number>();
    wokenAtMs.set(stream, woken.set(prefix, performance.now()));
  }
  const forget = ({ stream }: Redis) => stream && wokenAtMs.delete(stream);

  /** By far the most: awake, and nothing to be waited for. */
  function send(prefix: string, run: Run): Promise<unknown> {
    if (redis instanceof Cluster && redis.status !== 'ready') return Promise.reject(closed());
    const node = servingNode(redis, `${prefix}account`);
    const woken = node && wokenAt(node, prefix);
    if (woken === undefined) return sendWithCare(prefix, run);
    if (performance.now() - woken > AGAIN_AFTER_MS) wakeAgain(node!, prefix);
    return run(node!, 'EVALSHA').catch((error) => {
      if (!hasNotBegun(error)) throw error;
      if (!isUnknown(error)) forget(node!);
      return sendWithCare(prefix, run, error);
    });
  }

  async function sendWithCare(prefix: string, run: Run, refusal?: Error): Promise<unknown> {
    let refused = refusal;
    for (let attempt = 1; ; attempt += 1) {
      if (refused) await beforeNext(prefix, refused);
      try {
        const node = await awakeNode(prefix);
        // What is sent now goes the way that `wake.lua` went: no other connection can have taken its place meanwhile.
        return await run(node, refused && isUnknown(refused) ? 'EVAL' : 'EVALSHA').catch((error) => {
          if (hasNotBegun(error) && !isUnknown(error)) forget(node);
          throw error;
        });
      } catch (error) {
        if (!hasNotBegun(error) || attempt >= MOST_ATTEMPTS) throw error;
        refused = error;
      }
    }
  }

  /** @throws what cannot be helped by asking again */
  async function beforeNext(prefix: string, refused: Error): Promise<void> {
    if (isUnknown(refused)) return;
    if (!(redis instanceof Cluster)) throw refused;
    if (ON_THE_WAY.test(refused.message)) await sleep(RETRY_MS);
    else await findServing(redis, `${prefix}account`);
  }

  async function awakeNode(prefix: string): Promise<Redis> {
    for (;;) {
      let node = servingNode(redis, `${prefix}account`);
      if (!node) {
        await findServing(redis as Cluster, `${prefix}account`);
        node = servingNode(redis, `${prefix}account`);
      }
      if (!node) throw closed();
      if (wokenAt(node, prefix) !== undefined) return node;
      await wakeOnce(node, prefix);
    }
  }

  /** Takes that come together wait for one. */
  function wakeOnce(node: Redis, prefix: string): Promise<void> {
    const all = waking.get(node) ?? new Map<string, Promise<void>>();
    waking.set(node, all);
    let underWay = all.get(prefix);
    if (!underWay) {
      underWay = wake(node, prefix).finally(() => all.delete(prefix));
      all.set(prefix, underWay);
    }
    return underWay;
  }

  async function wake(node: Redis, prefix: string): Promise<void> {
    durable.set(node, await isDurable(node));
    await runWake(node, prefix);
    // Answered: the socket is still the one that it went through.
    remember(node, prefix);
  }

  function wakeAgain(node: Redis, prefix: string): void {
    remember(node, prefix);
    runWake(node, prefix).catch(() => forget(node));
    isDurable(node).then(
      (known) => durable.set(node, known),
      () => {},
    );
  }

  async function runWake(node: Redis, prefix: string): Promise<void> {
    const run = wakeOf(prefix, durable.get(node) ?? '');
    await run(node, 'EVALSHA').catch((error) => {
      if (!isUnknown(error)) throw error;
      return run(node, 'EVAL');
    });
  }

  return { send };
}

/** As ioredis says it when nobody is there. */
const closed = () => new Error('Connection is closed.');

const isUnknown = (error: unknown) => error instanceof Error && error.message.startsWith('NOSCRIPT');
/** Nothing was done, and the same may be asked again, perhaps elsewhere. */
const hasNotBegun = (error: unknown): error is Error =>
  error instanceof Error &&
  (isUnknown(error) ||
    /^READONLY\b/.test(error.message) ||
    MOVED.test(error.message) ||
    ON_THE_WAY.test(error.message));

/** Is what this Redis answers on its disk? Empty when it is not told (an ACL, a service that hides its settings). */
async function isDurable(node: Redis): Promise<'1' | '0' | ''> {
  try {
    const found = await node.config('GET', 'appendonly', 'appendfsync', 'no-appendfsync-on-rewrite');
    const settings = (found as unknown[]).map(String);
    const is = (name: string, value: string) => settings[settings.indexOf(name) + 1] === value;
    return is('appendonly', 'yes') && is('appendfsync', 'always') && is('no-appendfsync-on-rewrite', 'no')
      ? '1'
      : '0';
  } catch (error) {
    if (error instanceof Error && error.name === 'ReplyError') return '';
    throw error;
  }
}
