/** The others, each used as its own documentation says: on a plain `new Redis(url)` with default options. */
import Bottleneck from 'bottleneck';
import { Redis } from 'ioredis';
import { RateLimiter } from 'limiter';
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible';

const NEVER_REACHED = 1_000_000_000;
const [SECOND, HOUR, DAY] = [1, 3_600, 86_400];

export type Peers = Awaited<ReturnType<typeof openPeers>>;

/** @param names what is limited: as many keys as Warmline has IPs, used in the same order */
export async function openPeers(url: string, names: readonly string[]) {
  const [noopOn, limiterOn] = [new Redis(url), new Redis(url)];
  const sha = String(await noopOn.script('LOAD', 'return 1'));
  const per = (duration: number) =>
    new RateLimiterRedis({
      storeClient: limiterOn,
      keyPrefix: `rlf${duration}`,
      points: NEVER_REACHED,
      duration,
    });
  const [second, hour, day] = [per(SECOND), per(HOUR), per(DAY)];
  const nameAt = (turn: number) => names[turn % names.length]!;
  return {
    /** N: what the client library, the socket and Redis cost before anything is decided. */
    noop: (turn: number) => noopOn.evalsha(sha, 1, nameAt(turn)),
    /** R: one fixed window. */
    flexible: (turn: number) => hour.consume(nameAt(turn)),
    /** R3: what it takes to limit a second, an hour and a day; neither atomic, nor undone when one of them refuses. */
    threeFlexible: (turn: number) => {
      const name = nameAt(turn);
      return Promise.all([second.consume(name), hour.consume(name), day.consume(name)]);
    },
    close() {
      noopOn.disconnect();
      limiterOn.disconnect();
    },
  };
}

/** A scheduler of jobs with a datastore in Redis: more than a limiter, so a floor rather than a rival. */
export async function openBottleneck(url: string) {
  const { hostname, port } = new URL(url);
  const bottleneck = new Bottleneck({
    id: 'bench',
    datastore: 'ioredis',
    clearDatastore: true,
    Redis,
    clientOptions: { host: hostname, port: Number(port) },
    reservoir: NEVER_REACHED,
  } as Bottleneck.ConstructorOptions);
  await bottleneck.ready();
  const job = async () => {};
  return { schedule: () => bottleneck.schedule(job), close: () => bottleneck.disconnect() };
}

/** Inside one process and shared with nobody: what a limiter costs without Redis. */
export function inProcessPeers(names: readonly string[]) {
  const memory = new RateLimiterMemory({ points: NEVER_REACHED, duration: HOUR });
  const buckets = names.map(() => new RateLimiter({ tokensPerInterval: NEVER_REACHED, interval: 'hour' }));
  return {
    memory: (turn: number) => memory.consume(names[turn % names.length]!),
    limiter: (turn: number) => buckets[turn % buckets.length]!.tryRemoveTokens(1),
  };
}
