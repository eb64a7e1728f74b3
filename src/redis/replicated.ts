/**
 * A single Redis keeps what it has acknowledged in its append-only file. A master of a cluster may die with it, and the
 * replica that takes over then knows only what has reached it. So whoever has written what must not be lost (an IP, a hold,
 * a key; never a take, which has no time for it) waits until a replica has it.
 */
import { Cluster, type Redis } from 'ioredis';
import type { RedisConnection } from './connect.ts';
import { servingNode } from './serving.ts';

/** A replica answers within a millisecond or two. */
const ANSWERS_WITHIN_MS = 200;
/** A master whose replica did not answer (after a failover it has none) holds up nobody again for so long. */
const NOT_ASKED_FOR_MS = 5_000;
const notAskedUntil = new WeakMap<Redis, number>();

/** Waits until a replica has what this connection has written in the slot of a key. */
export async function replicated(redis: RedisConnection, key: string): Promise<void> {
  if (!(redis instanceof Cluster)) return;
  const master = servingNode(redis, key);
  // WAIT is about the connection that it comes on, and that to a node is the one that wrote.
  if (!master || performance.now() < (notAskedUntil.get(master) ?? 0)) return;
  const replicas = await master.wait(1, ANSWERS_WITHIN_MS).catch(() => 0);
  if (replicas === 0) notAskedUntil.set(master, performance.now() + NOT_ASKED_FOR_MS);
}
