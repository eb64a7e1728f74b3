/**
 * A Redis Cluster for one test file: three masters, each with a replica, on free loopback ports. It is formed over the
 * protocol, as a machine with redis-server need not have redis-cli.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Redis } from 'ioredis';
import { eventually } from './processes.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

const MASTERS = 3;
/** A comma in it, as a comma is also what divides the nodes. */
const PASSWORD = 'one,for all';
const SLOTS = 16_384;
/** So long nothing is heard of a node until it counts as failed. Shorter, and a busy machine makes failovers of its own. */
const NODE_TIMEOUT_MS = 1_500;

export interface ClusterNode {
  readonly id: string;
  readonly server: RedisServer;
  /** A connection to this node alone. */
  readonly redis: Redis;
}

export interface RedisCluster {
  /** As `REDIS_URL` names it: the three first masters, the password with the first. */
  readonly url: string;
  /** All six; the first three were masters at the start. */
  readonly nodes: readonly ClusterNode[];
  /** The master that serves the slot of a key now. */
  masterOf(key: string): Promise<ClusterNode>;
  /** Moves the slot of a key to another master as `redis-cli --cluster reshard` does, ten keys at a time. */
  moveSlot(key: string, to: ClusterNode, options?: { onKeysMoved?: () => Promise<void> }): Promise<void>;
  /** Ends a master with SIGKILL. */
  kill(node: ClusterNode): Promise<void>;
  /** Waits until a replica serves the slots that a node had; says which and how long it took. */
  failover(from: ClusterNode, key: string): Promise<ClusterNode>;
  stop(): Promise<void>;
}

export async function startRedisCluster({
  config = [],
}: {
  config?: readonly string[];
} = {}): Promise<RedisCluster> {
  const servers = await Promise.all(Array.from({ length: 2 * MASTERS }, () => startClusterNode(config)));
  const stop = async (nodes: readonly { redis: Redis }[] = []) => {
    for (const { redis } of nodes) redis.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    const nodes = await Promise.all(servers.map(openNode));
    await form(nodes).catch(async (error) => {
      await stop(nodes);
      throw error;
    });
    return clusterOf(nodes, () => stop(nodes));
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A port of the cluster bus besides its own: the default, 10 000 higher, may be none or somebody else's. */
export async function startClusterNode(config: readonly string[] = []): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const bus = await freePort();
    try {
      return await startRedisServer({
        config: [
          ...['--cluster-enabled', 'yes', '--cluster-port', String(bus)],
          ...['--cluster-node-timeout', String(NODE_TIMEOUT_MS)],
          // Without waiting for a full minute of silence and other caution that a test has no time for.
          ...['--repl-diskless-sync-delay', '0', '--cluster-replica-validity-factor', '0'],
          ...['--requirepass', PASSWORD, '--masterauth', PASSWORD],
          ...['--maxmemory-policy', 'noeviction', '--appendonly', 'no', ...config],
        ],
      });
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

async function openNode(server: RedisServer): Promise<ClusterNode> {
  const redis = new Redis(server.url, { retryStrategy: () => 100, maxRetriesPerRequest: 1 });
  redis.on('error', () => {});
  return { id: String(await redis.cluster('MYID')), server, redis };
}

async function form(nodes: readonly ClusterNode[]): Promise<void> {
  const [first, ...others] = nodes as [ClusterNode, ...ClusterNode[]];
  const masters = nodes.slice(0, MASTERS);
  await Promise.all(
    masters.map(({ redis }, index) =>
      redis.cluster(
        'ADDSLOTSRANGE',
        Math.floor((SLOTS * index) / MASTERS),
        Math.floor((SLOTS * (index + 1)) / MASTERS) - 1,
      ),
    ),
  );
  // Different epochs from the start, instead of a second or two of settling collisions.
  await Promise.all(masters.map(({ redis }, index) => redis.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)));
  for (const { server, redis } of others) {
    const [, busPort] = (await redis.config('GET', 'cluster-port')) as [string, string];
    await first.redis.call('CLUSTER', 'MEET', '127.0.0.1', server.port, busPort);
  }
  await eventually(
    'all nodes know each other',
    async () =>
      (await Promise.all(nodes.map(({ redis }) => redis.call('CLUSTER', 'NODES')))).every(
        (list) => String(list).trim().split('\n').length === nodes.length && !/handshake/.test(String(list)),
      ),
    20_000,
  );
  await Promise.all(
    nodes.slice(MASTERS).map(({ redis }, index) => redis.call('CLUSTER', 'REPLICATE', masters[index]!.id)),
  );
  await eventually(
    'all slots are served and each master has its replica',
    async () => {
      const states = await Promise.all(
        nodes.map(async ({ redis }, index) => {
          const state = String(await redis.cluster('INFO'));
          const replication = await redis.info('replication');
          return (
            /cluster_state:ok/.test(state) &&
            (index < MASTERS ? /state=online/.test(replication) : /master_link_status:up/.test(replication))
          );
        }),
      );
      return states.every(Boolean);
    },
    20_000,
  );
}

function clusterOf(nodes: readonly ClusterNode[], stop: () => Promise<void>): RedisCluster {
  const dead = new Set<ClusterNode>();
  const alive = () => nodes.filter((node) => !dead.has(node));

  const slotOf = async (key: string) => Number(await alive()[0]!.redis.cluster('KEYSLOT', key));

  /** Who serves a slot, as one node sees it. */
  async function servedBy(slot: number, seenBy: ClusterNode): Promise<string | undefined> {
    const ranges = await seenBy.redis.cluster('SLOTS');
    return ranges.find(([from, to]) => slot >= from && slot <= to)?.[2]?.[2];
  }

  async function masterOf(key: string): Promise<ClusterNode> {
    const id = await servedBy(await slotOf(key), alive()[0]!);
    return nodes.find((node) => node.id === id)!;
  }

  return {
    url: [
      nodes[0]!.server.url,
      ...nodes.slice(1, MASTERS).map(({ server }) => `127.0.0.1:${server.port}`),
    ].join(','),
    nodes,
    masterOf,
    async moveSlot(key, to, { onKeysMoved } = {}) {
      const slot = await slotOf(key);
      const from = await masterOf(key);
      await to.redis.cluster('SETSLOT', slot, 'IMPORTING', from.id);
      await from.redis.cluster('SETSLOT', slot, 'MIGRATING', to.id);
      for (;;) {
        const keys = (await from.redis.cluster('GETKEYSINSLOT', slot, 10)) as string[];
        if (keys.length === 0) break;
        const target = ['127.0.0.1', to.server.port, '', 0, 5_000, 'AUTH', PASSWORD];
        await from.redis.call('MIGRATE', ...target, 'KEYS', ...keys);
        await onKeysMoved?.();
      }
      // The new owner first, so that at no moment nobody has it.
      await to.redis.cluster('SETSLOT', slot, 'NODE', to.id);
      await from.redis.cluster('SETSLOT', slot, 'NODE', to.id);
      for (const { redis } of alive())
        await redis.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id).catch(() => {});
      await eventually('all nodes know who serves the slot', async () => {
        const seen = await Promise.all(alive().map((node) => servedBy(slot, node)));
        return seen.every((id) => id === to.id);
      });
    },
    async kill(node) {
      dead.add(node);
      await node.server.kill9();
      node.redis.disconnect();
    },
    async failover(from, key) {
      const slot = await slotOf(key);
      let heir: string | undefined;
      await eventually(
        `a replica serves the slots of ${from.server.port}`,
        async () => {
          const seen = await Promise.all(alive().map((node) => servedBy(slot, node)));
          const states = await Promise.all(alive().map(({ redis }) => redis.cluster('INFO')));
          heir = seen[0];
          return (
            heir !== undefined &&
            heir !== from.id &&
            seen.every((id) => id === heir) &&
            states.every((state) => /cluster_state:ok/.test(String(state)))
          );
        },
        30_000,
      );
      return nodes.find(({ id }) => id === heir)!;
    },
    stop,
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('No loopback port is free.');
  return address.port;
}
