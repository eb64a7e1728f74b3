/**
 * The connection to the Redis that serves a key now. What has to run where this process believes is sent there, past the
 * cluster's client: that one would bring a command to another node without a word.
 */
import { Cluster, Command, type Redis } from 'ioredis';
import type { RedisConnection } from './connect.ts';
import { neverIn } from './keys.ts';

/** `undefined`: nobody is known to serve it, or there is no connection; `findServing` helps. */
export function servingNode(redis: RedisConnection, key: string): Redis | undefined {
  if (!(redis instanceof Cluster)) return redis;
  const [nodeKey] = redis.slots[slotOf(key)] ?? [];
  return nodeKey === undefined ? undefined : instanceOf(redis, nodeKey);
}

/** Asks for a key that does not exist, so that the cluster's client learns who serves its slot. */
export async function findServing(redis: Cluster, key: string): Promise<void> {
  await redis.exists(neverIn(key));
}

const slots = new Map<string, number>();
function slotOf(key: string): number {
  let slot = slots.get(key);
  if (slot === undefined) {
    slot = new Command('GET', [key]).getSlot()!;
    if (slots.size >= 100_000) slots.clear();
    slots.set(key, slot);
  }
  return slot;
}

/** To a node there is one connection at a time. One that broke has ended for good, and another takes its place. */
const instances = new WeakMap<Cluster, Map<string, Redis>>();
function instanceOf(cluster: Cluster, nodeKey: string): Redis | undefined {
  const known = instances.get(cluster) ?? new Map<string, Redis>();
  instances.set(cluster, known);
  let node = known.get(nodeKey);
  if (!node || node.status === 'end') {
    node = cluster.nodes().find(({ options }) => `${options.host}:${options.port}` === nodeKey);
    if (node) known.set(nodeKey, node);
    else known.delete(nodeKey);
  }
  return node;
}
