import { afterEach, beforeEach, expect, test } from 'vitest';
import { itemFor } from '../../src/fleet/save.ts';
import { countDue } from '../../src/fleet/tick.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { transact } from '../../src/redis/transact.ts';
import { create, startWarmup } from '../../src/warmup/decide.ts';
import { buildPlan, planDigest } from '../../src/warmup/plan.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { bookOf, type Fleet, MONDAY, startFleet, table } from '../support/fleet.ts';
import { eventually, killPrograms, startProgram } from '../support/processes.ts';

// Real BullMQ, real processes, really killed. A job carries no truth, so whatever happens to one, each IP changes once.

let fleet: Fleet;
beforeEach(async () => {
  fleet = await startFleet();
});
afterEach(async () => {
  killPrograms();
  await fleet.stop();
});

const worker = () =>
  startProgram(new URL('./fixtures/worker-process.ts', import.meta.url), [fleet.server.url]);

/** Many IPs whose one-day warm-up is over: each has to become active, once. */
async function manyDue(count: number): Promise<void> {
  const { tenant, engine, redis } = fleet;
  const plan = buildPlan('one-day', bookOf(table('one-day', 'daily', [50])));
  await redis.set(tenant.keys.plan(planDigest(plan)), JSON.stringify(plan));
  const options = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };
  for (let at = 0; at < count; at += 500) {
    const items = Array.from({ length: Math.min(500, count - at) }, (_, index) => {
      const number = at + index;
      const address = `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
      const given = {
        id: `ip_due${number}`,
        address,
        region: null,
        hostname: null,
        bind: null,
        leased: true,
      };
      const made = create({ ...given, status: 'provisioning' }, MONDAY, 'test');
      return itemFor(tenant, null, startWarmup(made.ip, plan, options, MONDAY, 'test'), plan, MONDAY);
    });
    await transact(engine.scripts, tenant.account, items, { whole: true });
  }
  await fleet.setClock(MONDAY + DAY_MS);
}

/** How often each IP became active, by the account's stream. */
async function activations(): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const [, [, json]] of await fleet.redis.xrange(fleet.tenant.keys.changes, '-', '+')) {
    const { ipId, to } = JSON.parse(json!) as { ipId: string; to: unknown };
    if (to === 'active') times.set(ipId, (times.get(ipId) ?? 0) + 1);
  }
  return times;
}

test('a worker killed in the middle of a tick over 10 000 due IPs: another ends it, each IP once, none forgotten', async () => {
  await manyDue(10_000);
  expect(await countDue(fleet.engine)).toBe(10_000);
  const victim = worker();
  await eventually('the tick is under way', async () => (await countDue(fleet.engine)) < 9_500, 30_000);
  process.kill(victim.pid, 'SIGKILL');
  await victim.ended;
  const left = await countDue(fleet.engine);
  expect(left, 'it was killed in the middle').toBeGreaterThan(0);

  const heir = worker();
  await eventually('nothing is due', async () => (await countDue(fleet.engine)) === 0, 45_000);
  const times = await activations();
  expect(times.size).toBe(10_000);
  expect(Math.max(...times.values())).toBe(1);
  process.kill(heir.pid, 'SIGTERM');
  expect(await heir.ended).toBe(0);
});

test('two workers share a large sweep, and each IP changes once', async () => {
  await manyDue(2_500);
  const workers = [worker(), worker()];
  await eventually('nothing is due', async () => (await countDue(fleet.engine)) === 0, 45_000);
  const times = await activations();
  expect(times.size).toBe(2_500);
  expect(Math.max(...times.values())).toBe(1);
  for (const { pid, ended } of workers) {
    process.kill(pid, 'SIGTERM');
    expect(await ended).toBe(0);
  }
});

test('a fleet of four shares a sweep over 6 000 due IPs: each does a part, and each IP changes once', async () => {
  const workers = [worker(), worker(), worker(), worker()];
  for (const { line } of workers) expect(await line()).toBe('ready');
  await manyDue(6_000);
  await eventually('nothing is due', async () => (await countDue(fleet.engine)) === 0, 60_000);
  const times = await activations();
  expect(times.size).toBe(6_000);
  expect(Math.max(...times.values())).toBe(1);
  const made: number[] = [];
  for (const { pid, line, ended } of workers) {
    process.kill(pid, 'SIGTERM');
    made.push(Number((await line()).replace('stopped ', '')));
    expect(await ended).toBe(0);
  }
  // A third of its share at least.
  expect(Math.min(...made), `changes made by each: ${made}`).toBeGreaterThan(500);
  expect(made.reduce((sum, count) => sum + count)).toBe(6_000);
});

test('on SIGTERM a worker ends what it has begun and leaves the rest due', async () => {
  await manyDue(4_000);
  const stopped = worker();
  await eventually('the tick is under way', async () => (await countDue(fleet.engine)) < 3_900, 30_000);
  process.kill(stopped.pid, 'SIGTERM');
  expect(await stopped.ended).toBe(0);
  const left = await countDue(fleet.engine);
  const times = await activations();
  expect(times.size + left).toBe(4_000);
});

test('jobs that are lost are still due: a tick that is scheduled anew finds them', async () => {
  await manyDue(100);
  const queue = openQueue(fleet.server.url, fleet.redis);
  await queue.schedule(3_600_000); // the next tick is far away, and now even that one is lost
  for (const key of await fleet.redis.keys('warmline:{queue}:*')) await fleet.redis.del(key);
  await queue.close();
  const heir = worker();
  await eventually('nothing is due', async () => (await countDue(fleet.engine)) === 0, 30_000);
  expect((await activations()).size).toBe(100);
  process.kill(heir.pid, 'SIGTERM');
  expect(await heir.ended).toBe(0);
});

test('a worker whose queue was lost while it runs goes on', async () => {
  const running = worker();
  const queueKeys = () => fleet.redis.keys('warmline:{queue}:*');
  await eventually(
    'it ticks',
    async () => (await queueKeys()).some((key) => key.endsWith(':completed')),
    30_000,
  );
  await fleet.redis.del(await queueKeys());
  await manyDue(100);
  await eventually('nothing is due', async () => (await countDue(fleet.engine)) === 0, 30_000);
  process.kill(running.pid, 'SIGTERM');
  expect(await running.ended).toBe(0);
});
