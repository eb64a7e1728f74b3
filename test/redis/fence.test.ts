// Redis comes back with less than it had acknowledged: what it may have forgotten counts as used up. Each test loses the
// writes of a real redis-server for certain, while senders are connected and go on by themselves.
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { explain } from '../../src/fleet/explain.ts';
import { setCeiling } from '../../src/fleet/ips.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { connect } from '../../src/redis/connect.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import type { Sender, TakeRequest } from '../../src/sender/index.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts';
import { bookOf, type Fleet, startFleet, table } from '../support/fleet.ts';
import { eventually } from '../support/processes.ts';
import { startRedisServer } from '../support/redis-server.ts';

const BOOK = bookOf(
  table('twenty', 'hourly', [20, 40]),
  table('plenty', 'hourly', [2_000, 4_000]),
  table('daily', 'daily', [480, 960]),
);

async function fleetWith(appendfsync: 'always' | 'everysec'): Promise<Fleet> {
  const config = ['--appendonly', 'yes', '--appendfsync', appendfsync];
  const fleet = await startFleet({ book: BOOK, config });
  onTestFinished(() => fleet.stop());
  return fleet;
}

/** What is acknowledged in the middle is on no disk when Redis comes back. */
async function losing({ server }: Fleet, inBetween: () => Promise<unknown>): Promise<void> {
  const [files, kept] = [join(server.dir, 'appendonlydir'), join(server.dir, 'kept')];
  cpSync(files, kept, { recursive: true });
  await inBetween();
  await server.kill9();
  rmSync(files, { recursive: true });
  cpSync(kept, files, { recursive: true });
  rmSync(kept, { recursive: true });
  await server.restart();
}

async function connectedTo({ server }: Fleet) {
  const redis = await connect(server.url);
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** The first answer of a sender that finds Redis again by itself. */
async function answerOf(sender: Sender, request: TakeRequest) {
  let answer = await sender.take(request);
  await eventually('Redis answers', async () => {
    if (answer.because?.code !== 'unreachable') return true;
    answer = await sender.take(request);
    return answer.because?.code !== 'unreachable';
  });
  return answer;
}

test('an hour of which grants were forgotten is used up, and the next one is exact', async () => {
  const fleet = await fleetWith('everysec');
  const { address, id } = await fleet.warming({ plan: 'twenty' });
  const free = await fleet.bring({ status: 'active' });
  const [first, second] = [await fleet.sender(), await fleet.sender()];
  const [early] = (await first.take({ ip: address, count: 5 })).granted;
  let late = early;
  await losing(fleet, async () => {
    [late] = (await second.take({ ip: address, count: 10 })).granted;
  });

  // Both ask at once, through one call and through several.
  const answers = await Promise.all([
    answerOf(first, { ip: address }),
    answerOf(first, { ip: address, count: 2, partial: true }),
    answerOf(second, { among: [address] }),
  ]);
  for (const { allowed, because, remaining, retryAfterMs } of answers) {
    expect({ allowed, remaining, retryAfterMs }).toEqual({
      allowed: false,
      remaining: 0,
      retryAfterMs: HOUR_MS,
    });
    expect(because).toMatchObject({ code: 'hour', ipId: id });
  }
  expect((await first.peek({ ip: address })).because?.code).toBe('hour');
  await eventually('the engine is connected again', () => fleet.redis.status === 'ready');
  const { explanation } = await explain(fleet.tenant, fleet.limiter, { ip: address });
  expect(explanation.ips[0]!.hour).toMatchObject({ limit: 20, used: 20 });
  expect((await fleet.limiter.look(address, id)).counter!.state).toMatchObject({ hourUsed: 20 });
  expect((await answerOf(second, { ip: free.address, count: 1_000 })).allowed).toBe(true);

  // Receipts of then give nothing back: the one may have been credited already, the other is not known any more.
  expect(await first.refund([{ receipt: early!.receipt }, { receipt: late!.receipt }])).toEqual({
    refunded: 0,
  });
  expect((await first.take({ ip: address })).allowed).toBe(false);

  await fleet.advance({ hours: 1 });
  expect((await first.take({ ip: address, count: 20 })).allowed).toBe(true);
  expect((await second.take({ ip: address })).because?.code).toBe('hour');
  const [again] = (await answerOf(first, { ip: free.address })).granted;
  expect(await first.refund({ receipt: again!.receipt })).toEqual({ refunded: 1 });
});

test('senders that never stop asking send no more than the cap in the hour of the loss', async () => {
  const fleet = await fleetWith('everysec');
  const ips = await Promise.all([fleet.warming({ plan: 'plenty' }), fleet.warming({ plan: 'plenty' })]);
  await createPool(fleet.tenant, { name: 'mail', ips: ips.map(({ id }) => id) });
  const cap = 2_000;
  let granted = new Map<string, number>();
  const all = () => [...granted.values()].reduce((sum, count) => sum + count, 0);
  const denied = [0, 0, 0, 0];
  let stopped = false;
  const senders = await Promise.all([fleet.sender(), fleet.sender(), fleet.sender()]);
  const lease = senders[0]!.lease({ pool: 'mail' });
  const loops = [
    () => senders[0]!.take({ ip: ips[0]!.address, count: 7 }),
    () => senders[1]!.take({ pool: 'mail' }),
    () => senders[2]!.take({ pool: 'mail', count: 11, partial: true }),
    () => lease.take(),
  ].map(async (take, index) => {
    while (!stopped) {
      const answer = await take();
      for (const { ip, count } of 'granted' in answer ? answer.granted : [{ ip: answer.ip, count: 1 }]) {
        granted.set(ip, (granted.get(ip) ?? 0) + count);
      }
      if ('because' in answer && answer.because?.code === 'hour') denied[index]! += 1;
      await sleep(5);
    }
  });
  await eventually('they are under way', () => all() > 400);
  await losing(fleet, () => eventually('much is granted that is forgotten', () => all() > 1_400));
  denied.fill(0);
  // A lease waits for what comes instead of asking again.
  await eventually('all are denied', () => denied.slice(0, 3).every((count) => count > 2));
  for (const [ip, count] of granted) expect(count, ip).toBeLessThanOrEqual(cap);
  expect(all()).toBeGreaterThan(1_400);

  granted = new Map();
  await eventually('the engine is connected again', () => fleet.redis.status === 'ready');
  await fleet.setClock((await fleet.now()) + HOUR_MS);
  await eventually('the next hour is used', () => all() > 2 * cap - 40);
  stopped = true;
  await Promise.all(loops);
  for (const [ip, count] of granted) expect(count, ip).toBeLessThanOrEqual(cap);
});

test('each account has a fence of its own, whoever asks first; ceilings of pools and daily limits heed it', async () => {
  const fleet = await fleetWith('everysec');
  const other = await fleet.house('other');
  const mine = await fleet.warming({ plan: 'twenty' });
  const theirs = await other.warming({ plan: 'twenty' });
  const daily = await fleet.warming({ plan: 'daily' });
  const warm = await fleet.bring({ status: 'active' });
  await setCeiling(fleet.tenant, warm.id, { perDay: 240, perHour: 30 });
  const unlimited = await fleet.bring({ status: 'active' });
  const ceiling = { perDay: null, perHour: 100 };
  await createPool(fleet.tenant, { name: 'bulk', ceiling, ips: [unlimited.id] });
  const [ours, another] = [await fleet.sender(), await fleet.sender({ account: 'other' })];
  const takes = [{ ip: mine.address }, { ip: daily.address }, { ip: warm.address }, { pool: 'bulk' }];
  for (const one of takes) await ours.take(one);
  await another.take({ ip: theirs.address });
  await losing(fleet, () => another.take({ ip: theirs.address, count: 19 }));

  // The scripts are known again when the second account asks.
  expect((await answerOf(ours, { ip: mine.address })).because?.code).toBe('hour');
  expect((await answerOf(another, { ip: theirs.address })).because?.code).toBe('hour');
  expect((await ours.take({ ip: warm.address })).because?.code).toBe('ceiling');
  expect((await ours.take({ pool: 'bulk' })).because?.code).toBe('ceiling');
  // Of a day without hours a twenty-fourth.
  expect(await ours.take({ ip: daily.address })).toMatchObject({
    allowed: true,
    remaining: 480 - 1 - 20 - 1,
  });
  // What is new knows nothing of it.
  await createPool(fleet.tenant, {
    name: 'new',
    ceiling,
    ips: [(await fleet.bring({ status: 'active' })).id],
  });
  expect((await ours.take({ pool: 'new', count: 100 })).allowed).toBe(true);
  const fresh = await fleet.warming({ plan: 'twenty' });
  const [grant] = (await ours.take({ ip: fresh.address, count: 20 })).granted;
  expect(await ours.refund({ receipt: grant!.receipt })).toEqual({ refunded: 20 });
});

test('around the turn of an hour a pool without a bucket may have granted two caps: both are taken off its day', async () => {
  const fleet = await fleetWith('everysec');
  const { id } = await fleet.bring({ status: 'active' });
  const ceiling = { perDay: 50, perHour: 20 };
  await createPool(fleet.tenant, { name: 'bulk', ceiling, ips: [id] });
  const sender = await fleet.sender();
  const turnMs = Math.ceil(((await fleet.now()) + 1) / HOUR_MS) * HOUR_MS;
  await fleet.setClock(turnMs - 1_000);
  let sent = 0;
  const take = async (count: number) => {
    const { granted } = await answerOf(sender, { pool: 'bulk', count, partial: true });
    for (const part of granted) sent += part.count;
  };
  await take(1);
  await losing(fleet, async () => {
    await take(20);
    await fleet.setClock(turnMs + 500);
    await take(20);
  });
  expect(sent).toBe(40);
  await eventually('the engine is connected again', () => fleet.redis.status === 'ready');
  await fleet.setClock(turnMs + 90_000);
  for (let hour = 0; hour < 5; hour += 1) {
    await take(20);
    await fleet.setClock((await fleet.now()) + HOUR_MS);
  }
  expect(sent).toBe(50);
});

test('appendfsync always: a kill costs nothing', async () => {
  const fleet = await fleetWith('always');
  const { address } = await fleet.warming({ plan: 'twenty' });
  const sender = await fleet.sender();
  const [grant] = (await sender.take({ ip: address, count: 5 })).granted;
  await fleet.server.kill9();
  await fleet.server.restart();
  expect(await answerOf(sender, { ip: address, count: 10 })).toMatchObject({ allowed: true, remaining: 5 });
  expect(await sender.refund({ receipt: grant!.receipt })).toEqual({ refunded: 5 });
  expect(await fleet.redis.exists(fleet.tenant.keys.fence)).toBe(0);
  expect(await fleet.redis.hget(fleet.tenant.keys.awake, 'durable')).toBe('1');
});

test('appendfsync always that was set while it ran, and is gone with the restart: the hour is used up', async () => {
  const fleet = await startFleet({ book: BOOK, config: ['--appendonly', 'no'] });
  onTestFinished(() => fleet.stop());
  const { address } = await fleet.warming({ plan: 'twenty' });
  const sender = await fleet.sender();
  await fleet.redis.config('SET', 'appendfsync', 'always');
  await fleet.redis.config('SET', 'appendonly', 'yes');
  expect((await sender.take({ ip: address, count: 5 })).allowed).toBe(true);
  await fleet.redis.save();
  // As it is a while after the settings were made.
  await createLimiter(
    createScripts(await connectedTo(fleet), { testClock: true }),
    fleet.tenant.account,
  ).take({
    ip: address,
    count: 1,
  });
  expect(await fleet.redis.hget(fleet.tenant.keys.awake, 'durable')).toBe('1');
  await fleet.redis.save();
  expect((await sender.take({ ip: address, count: 10 })).allowed).toBe(true);
  await fleet.server.kill9();
  await fleet.server.restart();
  expect((await answerOf(sender, { ip: address })).because?.code).toBe('hour');
});

test('an IP whose record was lost has its day used up; what it grants on the next can be given back', async () => {
  const fleet = await fleetWith('always');
  const { address, id } = await fleet.warming({ plan: 'twenty' });
  const sender = await fleet.sender();
  for (let take = 0; take < 3; take += 1) await sender.take({ ip: address });
  // A day that is over closes the receipts of its takes.
  await fleet.advance({ days: 1 });
  await sender.take({ ip: address });
  await fleet.redis.del(fleet.tenant.keys.hot(address));
  await setCeiling(fleet.tenant, id, { perDay: 1_000, perHour: null });
  expect((await sender.take({ ip: address })).allowed).toBe(false);
  await fleet.advance({ days: 1 });
  const [grant] = (await sender.take({ ip: address, count: 3 })).granted;
  expect(await sender.refund({ receipt: grant!.receipt })).toEqual({ refunded: 3 });
});

test('no fence: a first use of what an earlier build wrote, forgotten scripts, a new connection', async () => {
  const fleet = await fleetWith('everysec');
  const { address } = await fleet.warming({ plan: 'twenty' });
  await fleet.redis.del(fleet.tenant.keys.awake);
  const sender = await fleet.sender();
  expect(await sender.take({ ip: address })).toMatchObject({ remaining: 19 });
  await fleet.redis.script('FLUSH');
  expect(await sender.take({ ip: address })).toMatchObject({ remaining: 18 });
  expect(await (await fleet.sender()).take({ ip: address })).toMatchObject({ remaining: 17 });
  await fleet.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  expect(await answerOf(sender, { ip: address })).toMatchObject({ remaining: 16 });
});

test('a replica that is promoted has missed what was granted last, also with appendfsync always', async () => {
  const fleet = await fleetWith('always');
  const { address } = await fleet.warming({ plan: 'twenty' });
  const replica = await startRedisServer({ config: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  onTestFinished(() => replica.stop());
  const heir = await connect(replica.url);
  onTestFinished(() => heir.disconnect());
  const proxy: CuttingProxy = await startCuttingProxy(fleet.server.port);
  onTestFinished(() => proxy.stop());
  const sender = await fleet.sender({ url: proxy.url });
  await heir.call('REPLICAOF', '127.0.0.1', fleet.server.port);
  await eventually('it follows', async () => /master_link_status:up/.test(await heir.info('replication')));
  expect(await sender.take({ ip: address, count: 5 })).toMatchObject({ remaining: 15 });
  await fleet.redis.wait(1, 5_000);
  await heir.call('REPLICAOF', '127.0.0.1', '1'); // cut off: still a replica, of what it has
  expect(await sender.take({ ip: address, count: 10 })).toMatchObject({ remaining: 5 });

  // A replica decides nothing, not even a denial.
  proxy.leadTo(replica.port);
  await eventually(
    'it is reached',
    async () => (await sender.peek({ ip: address })).because?.code !== 'hour',
  );
  expect((await sender.take({ ip: address, count: 21 })).because?.code).toBe('unreachable');
  await heir.call('REPLICAOF', 'NO', 'ONE');
  expect((await answerOf(sender, { ip: address })).because?.code).toBe('hour');
  // Already counted: whoever comes next finds the same fence.
  const limiter = createLimiter(createScripts(heir, { testClock: true }), fleet.tenant.account);
  const fence = await heir.getBuffer(fleet.tenant.keys.fence);
  expect((await limiter.take({ ip: address })).because?.code).toBe('hour');
  expect(await heir.getBuffer(fleet.tenant.keys.fence)).toEqual(fence);
});

test('a master that was a replica in between is noticed on a connection that never broke', async () => {
  const fleet = await fleetWith('always');
  const { address } = await fleet.warming({ plan: 'twenty' });
  const sender = await fleet.sender();
  expect((await sender.take({ ip: address })).allowed).toBe(true);
  await fleet.redis.call('REPLICAOF', '127.0.0.1', '1');
  expect((await sender.take({ ip: address })).because?.code).toBe('unreachable');
  await fleet.redis.call('REPLICAOF', 'NO', 'ONE');
  expect((await sender.take({ ip: address })).because?.code).toBe('hour');
});

test('a user of Redis who may not call INFO gets nothing, and is told why', async () => {
  const fleet = await fleetWith('always');
  const { address } = await fleet.warming({ plan: 'twenty' });
  await fleet.redis.call('ACL', 'SETUSER', 'blind', 'on', '>secret', '~*', '&*', '+@all', '-info');
  const sender = await fleet.sender({ url: `redis://blind:secret@127.0.0.1:${fleet.server.port}` });
  await expect(sender.take({ ip: address })).rejects.toThrow(/may not call INFO.* allow it with \+info/);
  await fleet.redis.call('ACL', 'SETUSER', 'blind', '+info');
  expect(await sender.take({ ip: address })).toMatchObject({ allowed: true, remaining: 19 });
});
