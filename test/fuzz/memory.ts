/** What may not grow, however long a run is: the heap of the process, the keys in Redis, and what it uses. */
import { heapAfterCollection } from '../support/heap.ts';
import type { Stage } from './stage.ts';

export type Measured = { heapMb: number; keys: number; redisMb: number };

export async function measure({ fleet }: Stage): Promise<Measured> {
  const [, bytes = '0'] = /used_memory:(\d+)/.exec(await fleet.redis.info('memory')) ?? [];
  return {
    heapMb: inMb(heapAfterCollection()),
    keys: await fleet.redis.dbsize(),
    redisMb: inMb(Number(bytes)),
  };
}

const inMb = (bytes: number) => Math.round((bytes / 2 ** 20) * 10) / 10;

/** Caches and compiled code still grow a little after a tenth of a long run; what leaks grows with every request. */
const HEAP_SLACK_MB = 8;
/** Repeated requests leave marks for a day of real time, which no run lasts. */
const KEYS_PER_REQUEST = 0.05;

/** @returns sentences; none when all is flat */
export function growthBetween(before: Measured, after: Measured, requests: number): string[] {
  const mostKeys = before.keys + 500 + KEYS_PER_REQUEST * requests;
  return [
    ...(after.heapMb > before.heapMb + HEAP_SLACK_MB
      ? [`the heap has grown from ${before.heapMb} to ${after.heapMb} MB`]
      : []),
    ...(after.keys > mostKeys ? [`the keys in Redis have grown from ${before.keys} to ${after.keys}`] : []),
  ];
}
