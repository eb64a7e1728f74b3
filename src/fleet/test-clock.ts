/**
 * The test clock: the whole engine on a time that is moved by hand, and only forward. On the way everything that falls due
 * is done, in order, instant by instant, so that a fortnight passes as it would have passed.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { clockKeys } from '../redis/keys.ts';
import { conflict, invalid } from '../warmup/errors.ts';
import { eachAccount } from './accounts.ts';
import { type Engine, nowOf, tenantOf } from './engine.ts';
import { type TickResult, tickUntilDone } from './tick.ts';

export function checkTestClock(engine: Engine): void {
  if (!engine.scripts.testClock) {
    throw conflict(
      'there is no test clock here; start with WARMLINE_TEST_CLOCK and an empty database to have one',
    );
  }
}

/**
 * Moves the clock to an instant.
 * @param work false: time passes as if no worker ran
 * @returns what the work on the way changed
 */
export async function advanceTo(
  engine: Engine,
  toMs: number,
  { work }: { work: boolean },
): Promise<TickResult['changes']> {
  checkTestClock(engine);
  const nowMs = await nowOf(engine);
  if (toMs < nowMs) {
    throw invalid(
      'to',
      `${iso(toMs)} is before the clock's time, ${iso(nowMs)}; a test clock only moves forward`,
    );
  }
  const changes: TickResult['changes'] = [];
  if (work) {
    changes.push(...(await tickUntilDone(engine)).changes);
    for (let dueMs = await nextDue(engine); dueMs !== null && dueMs <= toMs; dueMs = await nextDue(engine)) {
      await set(engine, dueMs);
      changes.push(...(await tickUntilDone(engine)).changes);
    }
  }
  await set(engine, toMs);
  return changes;
}

const iso = (ms: number) => new Date(ms).toISOString();

/** Never back, also when two move it at once. */
async function set(engine: Engine, toMs: number): Promise<void> {
  const senders = await endLeases(engine);
  await engine.scripts.run('move-clock', [clockKeys.now, toMs]);
  if (senders > 0) await engine.scripts.redis.publish(clockKeys.moves, 'moved');
}

/** So long a lease is good anyway, should a sender not answer. */
const LEASES_END_MS = 1_000;

/** What was leased before belongs to the hour before. Returns how many senders have leases. */
async function endLeases({ scripts: { redis } }: Engine): Promise<number> {
  const id = randomUUID();
  const senders = await redis.publish(clockKeys.moves, `ending ${id}`);
  if (senders === 0) return 0;
  const deadlineMs = performance.now() + LEASES_END_MS;
  const ended = clockKeys.ended(id);
  while (performance.now() < deadlineMs && Number(await redis.get(ended)) < senders) await sleep(1);
  await redis.del(ended);
  return senders;
}

/** The next instant after now at which anything is due in any account. */
async function nextDue(engine: Engine): Promise<number | null> {
  const nowMs = await nowOf(engine);
  let first: number | null = null;
  for await (const account of eachAccount(engine)) {
    const { due } = tenantOf(engine, account, 'engine').keys;
    const [, score] = await engine.scripts.redis.zrangebyscore(
      due,
      `(${nowMs}`,
      '+inf',
      'WITHSCORES',
      'LIMIT',
      0,
      1,
    );
    if (score !== undefined && (first === null || Number(score) < first)) first = Number(score);
  }
  return first;
}
