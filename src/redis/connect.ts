/**
 * Connections, each with the settings that its use needs, to one Redis or to a cluster. One that debits quota never sends a
 * command again whose outcome is unknown: ioredis does so by default after a reconnect, and one call would then cost two
 * debits.
 */
import { once } from 'node:events';
import { Cluster, type Command, Redis, type RedisOptions } from 'ioredis';
import { hideSecrets, nodeUrls } from './node-urls.ts';

export type RedisConnection = Redis | Cluster;

/** Certificates for `rediss://`, as the text of their PEM files. */
export type RedisTls = {
  /** Who has signed the certificate of the server, where it is nobody whom the machine trusts already. */
  ca?: string;
  /** The certificate that shows who we are, and its key; for a server that asks for one. */
  cert?: string;
  key?: string;
};

/** Settings that a connection to one Redis and those to the nodes of a cluster have in common. */
type Settings = Omit<RedisOptions, 'replyMapping' | 'himportFieldsets'>;

/** Reconnects quickly and for ever: 50 ms, doubling to 1 s. (ioredis 6 would wait up to 5 s.) */
const retryStrategy = (times: number) => Math.min(50 * 2 ** Math.min(times, 10), 1000);

const COMMON = { retryStrategy, connectTimeout: 5_000 } satisfies Settings;

const DEBITING = {
  ...COMMON,
  lazyConnect: true,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  socketTimeout: 5_000,
} satisfies Settings;

/** A machine that is gone without a word is found by asking the others who serves its slots now. */
const SLOTS_REFRESH_MS = 5_000;

/**
 * For everything but the queue. An unanswered command fails at once when the connection breaks, and after 5 s when it
 * hangs; whoever took counts it as spent, and whoever changed something looks whether it was done.
 * @param url one Redis, which may be a node of a cluster, or several nodes between commas
 */
export async function connect(
  url: string,
  { tls }: { tls?: RedisTls | undefined } = {},
): Promise<RedisConnection> {
  const urls = nodeUrls(url ?? '');
  if (urls.length === 0 || !urls.every((each) => /^rediss?:\/\//.test(each))) {
    throw new Error('no Redis is named; give its URL (example: redis://127.0.0.1:6379)');
  }
  if (tls && !urls[0]!.startsWith('rediss:')) {
    throw new Error(
      `certificates are given, but ${hideSecrets(urls[0]!)} uses no TLS; write rediss:// or leave them out`,
    );
  }
  const settings = tls ? { ...DEBITING, tls } : DEBITING;
  if (urls.length > 1) return connectToCluster(urls, settings);
  const redis = await connectToOne(urls[0]!, settings);
  if (!(await isNodeOfCluster(redis))) return redis;
  redis.disconnect();
  return connectToCluster(urls, settings);
}

async function connectToOne(url: string, settings: Settings): Promise<Redis> {
  const redis = new Redis(url, settings);
  // A broken connection shows in the command that it fails; without a listener ioredis would print each attempt.
  let cause: Error | undefined;
  redis.on('error', (error: Error) => {
    cause = error;
  });
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    // ioredis rejects with "Connection is closed"; why it was closed comes by the event.
    const { message } = cause ?? (error as Error);
    throw unreachable(`Redis at ${hideSecrets(url)}`, message);
  }
  return redis;
}

/** Redis is there and does not want us, or we do not trust it: waiting changes nothing. */
export class RedisRefused extends Error {}

function unreachable(what: string, message: string): Error {
  const why = message.trim();
  if (/^(WRONGPASS|NOAUTH|NOPERM)/.test(why)) {
    return new RedisRefused(
      `${what} refuses us (${why}); are the user and the password in the URL right, and percent-encoded?`,
    );
  }
  if (/alert (certificate|bad certificate|unknown ca)/i.test(why)) {
    return new RedisRefused(
      `${what} wants a certificate of ours that it trusts (${why}); name its file in REDIS_CERT, and that of its key in REDIS_KEY`,
    );
  }
  if (/certificate|altnames/i.test(why)) {
    return new RedisRefused(
      `${what} is not trusted (${why}); name the file of its CA in REDIS_CA, and the host as its certificate has it`,
    );
  }
  return new Error(`cannot reach ${what} (${why}); is it running?`);
}

/** A user who may not ask (an ACL) is believed to have named all nodes, if there are several. */
const isNodeOfCluster = async (redis: Redis) =>
  /^cluster_enabled:1/m.test(await redis.info('cluster').catch(() => ''));

async function connectToCluster(urls: readonly string[], settings: Settings): Promise<Cluster> {
  const cluster = new DebitingCluster(startupNodes(urls), {
    ...clusterOptions(urls, settings),
    lazyConnect: true,
    // What a broken connection left unanswered may have been done, so it is not sent again. What is sent again all the
    // same was not done: a node that answers MOVED, ASK, TRYAGAIN or CLUSTERDOWN has not begun.
    retryDelayOnFailover: 0,
  });
  let cause: Error | undefined;
  const remember = (error: Error) => {
    cause = error;
  };
  cluster.on('error', () => {}).on('node error', remember);
  try {
    // A cluster that does not serve all its slots closes after it connected, and `connect` would wait on.
    await Promise.race([
      cluster.connect(),
      once(cluster, 'close').then(() => Promise.reject(new Error('some of its slots are served by no node'))),
    ]);
  } catch (error) {
    cluster.disconnect();
    const { message } = cause ?? (error as Error);
    const names = hideSecrets(urls.join(','));
    if (message.includes('cluster support disabled')) {
      throw new Error(
        `${names} names several nodes, but they are no cluster; name the one Redis that is meant`,
      );
    }
    throw unreachable(`the Redis Cluster at ${names}`, message);
  }
  cluster.off('node error', remember);
  return cluster;
}

/** While no node is known, ioredis would keep commands until one is; whoever wants to send has to hear it now. */
class DebitingCluster extends Cluster {
  override sendCommand(command: Command, ...rest: [stream?: never, node?: never]): unknown {
    // Its own questions about the cluster are how it becomes ready.
    if (this.status === 'ready' || command.name === 'cluster') return super.sendCommand(command, ...rest);
    command.reject(new Error('Connection is closed.'));
    return command.promise;
  }
}

/** A command of the queue that finds no master is tried again every 100 ms; after an error BullMQ would pause for 15 s. */
const RIDES_OUT_A_FAILOVER = 300;

/**
 * For BullMQ, which retries for ever by itself and must never share a connection that debits.
 * @param beside the connection of the same process, which has found out whether this is a cluster, and has the certificates
 */
export function connectForQueue(url: string, beside: RedisConnection): RedisConnection {
  const { tls } = beside instanceof Cluster ? (beside.options.redisOptions ?? {}) : beside.options;
  const options = { ...COMMON, maxRetriesPerRequest: null, ...(tls && { tls }) };
  const urls = nodeUrls(url);
  const redis =
    beside instanceof Cluster
      ? new Cluster(startupNodes(urls), {
          ...clusterOptions(urls, options),
          maxRedirections: RIDES_OUT_A_FAILOVER,
          // In a failover the check fails, `connect` then never settles, and BullMQ would wait for it for ever.
          enableReadyCheck: false,
        })
      : new Redis(url, options);
  redis.on('error', () => {});
  return redis;
}

/** One more connection to the same place, not yet connected, with other settings for its commands. */
export function connectionLike(redis: RedisConnection, options: Settings): RedisConnection {
  const { enableOfflineQueue = true } = options;
  return redis instanceof Cluster
    ? redis.duplicate([], {
        lazyConnect: true,
        enableReadyCheck: false, // else `connect` may never settle (see connectForQueue)
        enableOfflineQueue,
        redisOptions: options,
      })
    : redis.duplicate({ ...options, lazyConnect: true });
}

/** Each Redis that takes writes: the one there is, or the masters of a cluster. */
export const mastersOf = (redis: RedisConnection): Redis[] =>
  redis instanceof Cluster ? redis.nodes('master') : [redis];

const startupNodes = (urls: readonly string[]) =>
  urls.map((url) => {
    const { hostname, port } = new URL(url);
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) };
  });

/** Nodes tell only addresses of each other, so user, password and TLS of the first URL hold for all. */
function clusterOptions(urls: readonly string[], options: Settings) {
  const { protocol, username, password } = new URL(urls[0]!);
  return {
    clusterRetryStrategy: retryStrategy,
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    // Names are looked up by each connection: a certificate is for the name, not for the address.
    dnsLookup: (host: string, callback: (error: null, address: string) => void) => callback(null, host),
    redisOptions: {
      ...options,
      ...(username ? { username: decodeURIComponent(username) } : {}),
      ...(password ? { password: decodeURIComponent(password) } : {}),
      ...(protocol === 'rediss:' ? { tls: options.tls ?? {} } : {}),
    },
  };
}
