import type { LookupAddress, lookup } from 'node:dns';
import { Job } from 'bullmq';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { holdAll } from '../../src/fleet/hold-all.ts';
import { holdIp, releaseIp } from '../../src/fleet/ips.ts';
import { createPool, holdPool } from '../../src/fleet/pools.ts';
import {
  askForTest,
  createWebhook,
  deleteWebhook,
  deliveriesOf,
  getWebhook,
  rotateSecret,
  updateWebhook,
} from '../../src/fleet/webhooks.ts';
import { backoffMs, MOST_ATTEMPTS, openWebhookQueue } from '../../src/queue/webhooks.ts';
import { startWebhooks, type WebhooksOptions } from '../../src/worker/webhooks.ts';
import { bookOf, type Fleet, startFleet, table } from '../support/fleet.ts';
import { eventually, killPrograms, startProgram } from '../support/processes.ts';
import { isSigned, type Receiver, startReceiver } from '../support/webhook-receiver.ts';

// Real BullMQ, a real receiver, real processes that are really killed. Waits between attempts are short by option.

let fleet: Fleet;
let receiver: Receiver;
const closing: (() => unknown)[] = [];
beforeEach(async () => {
  [fleet, receiver] = await Promise.all([
    startFleet({ book: bookOf(table('ten', 'daily', [10, 10, 10])) }),
    startReceiver(),
  ]);
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  killPrograms();
  await receiver.close();
  await fleet.stop();
});

const PRIVATE = { allowPrivate: true };
const make = (given: Partial<Parameters<typeof createWebhook>[1]> = {}, tenant = fleet.tenant) =>
  createWebhook(tenant, { url: receiver.url, ...given }, PRIVATE);

async function start(options: Partial<WebhooksOptions> = {}) {
  const registry = new Registry();
  const running = await startWebhooks({
    engine: fleet.engine,
    redisUrl: fleet.server.url,
    log: pino({ level: 'silent' }),
    allowPrivate: true,
    registry,
    changesEveryMs: 30,
    quotasEveryMs: 30,
    backoffMs: () => 30,
    ...options,
  });
  closing.push(() => running.stop());
  return { ...running, registry };
}

const worker = () =>
  startProgram(new URL('./fixtures/webhooks-process.ts', import.meta.url), [fleet.server.url]);
const came = (count: number) =>
  eventually(`${count} requests came`, () => receiver.received.length >= count, 20_000);
const idsOf = () => receiver.received.map(({ event }) => event.id as string);
/** Long enough for a few rounds, in which nothing more is to come. */
const aFewRounds = () => new Promise((resolve) => setTimeout(resolve, 300));

test('a change of status is told once, signed, to those who want it', async () => {
  await start();
  const { secret, id } = await make({ events: ['ip.status_changed'] });
  await make({ url: `${receiver.url}/quota`, events: ['ip.quota_used'] });
  const ip = await fleet.warming();
  await came(2);
  await aFewRounds();
  expect(receiver.received).toHaveLength(2);
  const [first, second] = receiver.received.toSorted((a) => (a.event.data.from === null ? -1 : 1));
  expect(first!.event).toEqual({
    id: expect.stringMatching(/^evt_[0-9a-f]{32}$/),
    type: 'ip.status_changed',
    at: '2026-03-02T09:00:00Z',
    accountId: 'acct_default',
    data: {
      ip: ip.address,
      ipId: ip.id,
      from: null,
      to: 'provisioning',
      because: 'an address was taken from the inventory',
      by: 'test',
    },
  });
  expect(second!.event.data).toMatchObject({ ipId: ip.id, from: 'provisioning', to: 'warming' });
  expect(second!.headers).toMatchObject({
    'content-type': 'application/json',
    'warmline-event-id': second!.event.id,
    'warmline-event-type': 'ip.status_changed',
    'warmline-attempt': '1',
  });
  for (const one of receiver.received) {
    expect(isSigned(one, secret)).toBe(true);
    expect(isSigned(one, `${secret}x`)).toBe(false);
    expect(isSigned({ ...one, body: `${one.body} ` }, secret)).toBe(false);
  }
  const [delivery] = await deliveriesOf(fleet.tenant, id, 100);
  expect(delivery).toMatchObject({ outcome: 'delivered', status: 200, attempt: 1, error: null });
  expect(JSON.stringify(await fleet.redis.lrange(fleet.tenant.keys.webhookLog(id), 0, -1))).not.toContain(
    secret,
  );
});

test('holds of IPs and pools are told; what was before a webhook is not', async () => {
  const ip = await fleet.warming();
  const pool = await createPool(fleet.tenant, { name: 'News' });
  await start();
  await make({ events: ['ip.hold_changed', 'pool.hold_changed'] });
  const hold = { sending: true, advance: true, because: 'a bounce storm', untilMs: null };
  await holdIp(fleet.tenant, ip.id, hold);
  await holdPool(fleet.tenant, pool.id, hold);
  await came(2);
  const byType = Object.fromEntries(receiver.received.map(({ event }) => [event.type, event.data]));
  expect(byType['ip.hold_changed']).toMatchObject({ ipId: ip.id, from: null, because: 'a bounce storm' });
  expect(byType['ip.hold_changed'].to).toMatchObject({ sending: true, scope: 'ip', until: null });
  expect(byType['pool.hold_changed']).toMatchObject({ poolId: pool.id, from: null });
  await aFewRounds();
  expect(receiver.received).toHaveLength(2);
});

test('what waits for a receiver that does not answer waits in turn, and costs little; another is told meanwhile', async () => {
  const fast = await startReceiver();
  closing.push(() => fast.close());
  receiver.answer = 'hang';
  await fleet.bringMany(400, 'active');
  await start({ timeoutMs: 400 });
  await make();
  await make({ url: fast.url });
  const comesBack = vi.spyOn(Job.prototype, 'moveToDelayed');
  closing.push(() => comesBack.mockRestore());
  await holdAll(fleet.tenant, { sending: true, advance: true, because: 'a bounce storm', untilMs: null });
  await eventually('the fast one was told', () => fast.received.length === 400, 45_000);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  comesBack.mockClear();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  // All 400 came back every 0.75 s.
  expect(comesBack.mock.calls.length).toBeLessThan(300);
});

test('each account is told of its own', async () => {
  await start();
  const acme = await fleet.house('acme');
  await make({}, acme.tenant);
  await fleet.warming();
  const theirs = await acme.bring({ status: 'active' });
  await came(1);
  await aFewRounds();
  expect(receiver.received.map(({ event }) => event.data.ipId)).toEqual([theirs.id]);
});

describe('quotas', () => {
  test('80, 90 and 100 % of a day are told once each, and again the next day', async () => {
    await start();
    await make({ events: ['ip.quota_used'] });
    const ip = await fleet.warming({ plan: 'ten' });
    const take = (count: number) => fleet.limiter.take({ ip: ip.address, count });
    await take(7);
    await aFewRounds();
    expect(receiver.received).toEqual([]);
    await take(1);
    await came(1);
    expect(receiver.received[0]!.event.data).toEqual({
      ip: ip.address,
      ipId: ip.id,
      percent: 80,
      used: 8,
      dailyLimit: 10,
      dayFrom: '2026-03-02T09:00:00Z',
      dayTo: '2026-03-03T09:00:00Z',
    });
    await take(2);
    await came(3);
    await aFewRounds();
    expect(receiver.received.map(({ event }) => event.data.percent).sort((a, b) => a - b)).toEqual([
      80, 90, 100,
    ]);

    await fleet.advance({ days: 1 });
    await aFewRounds();
    expect(receiver.received).toHaveLength(3);
    await take(9);
    await came(5);
    await aFewRounds();
    expect(receiver.received).toHaveLength(5);
    expect(new Set(idsOf()).size).toBe(5);
  });

  test('what was told of an IP is forgotten when it warms up no more', async () => {
    await start();
    await make();
    const ip = await fleet.warming({ plan: 'ten' });
    await fleet.limiter.take({ ip: ip.address, count: 10 });
    const told = () => fleet.redis.hlen(fleet.tenant.keys.webhookTold);
    await eventually('it was told', async () => (await told()) === 1);
    await releaseIp(fleet.tenant, ip.id);
    await eventually('it was forgotten', async () => (await told()) === 0);
  });
});

describe('what fails', () => {
  test('a receiver that fails and heals gets everything, under the same ids', async () => {
    await start();
    const { id } = await make({ events: ['ip.status_changed'] });
    receiver.answer = { status: 503 };
    await fleet.warming();
    await came(6);
    expect((await getWebhook(fleet.tenant, id)).failingSinceMs).not.toBeNull();
    receiver.answer = { status: 204 };
    const delivered = async () =>
      (await deliveriesOf(fleet.tenant, id, 100)).filter(({ outcome }) => outcome === 'delivered');
    await eventually('both were delivered', async () => (await delivered()).length === 2);
    expect(new Set(idsOf()).size).toBe(2);
    expect((await getWebhook(fleet.tenant, id)).failingSinceMs).toBeNull();
    const log = await deliveriesOf(fleet.tenant, id, 100);
    expect(log.filter(({ outcome }) => outcome === 'failed').length).toBeGreaterThanOrEqual(4);
    expect(log.find(({ outcome }) => outcome === 'failed')).toMatchObject({
      status: 503,
      error: 'it answered 503',
      nextAttemptAt: expect.any(String),
    });
    const attempts = receiver.received.map(({ headers }) => Number(headers['warmline-attempt']));
    expect(Math.max(...attempts)).toBeGreaterThanOrEqual(3);
  });

  test('after fifteen attempts an event is given up', async () => {
    await start({ backoffMs: () => 1 });
    const { id } = await make();
    receiver.answer = { status: 500 };
    await fleet.bring({ status: 'active' });
    const last = async () => (await deliveriesOf(fleet.tenant, id, 1))[0];
    await eventually('it was given up', async () => (await last())?.outcome === 'given_up', 20_000);
    expect(receiver.received).toHaveLength(MOST_ATTEMPTS);
  });

  test('one that is slow is not waited for longer than is said, and holds up nobody else', async () => {
    await start({ timeoutMs: 2_000, backoffMs: () => 60_000 });
    const other = await startReceiver();
    closing.push(() => other.close());
    const { id } = await make();
    await make({ url: other.url });
    receiver.answer = 'hang';
    for (let n = 0; n < 12; n += 1) await fleet.bring({ status: 'active' });
    await eventually('the other got all', () => other.received.length === 12);
    expect(receiver.received.length).toBeLessThanOrEqual(4);
    await eventually('it was logged', async () => (await deliveriesOf(fleet.tenant, id, 1)).length === 1);
    expect((await deliveriesOf(fleet.tenant, id, 1))[0]).toMatchObject({
      status: null,
      error: 'no answer within 2 s',
    });
  });

  test('one that answers 410, or that fails for days, is switched off and says why', async () => {
    await start({ failsForMs: 200 });
    const gone = await make();
    receiver.answer = { status: 410 };
    await fleet.bring({ status: 'active' });
    const isOff = async (id: string) => !(await getWebhook(fleet.tenant, id)).enabled;
    await eventually('it is off', () => isOff(gone.id));
    expect(await getWebhook(fleet.tenant, gone.id)).toMatchObject({
      disabledBecause: 'it answered 410: it wants no more',
    });
    receiver.answer = { status: 500 };
    const { id } = await make();
    await fleet.bring({ status: 'active' });
    await eventually('it is off', () => isOff(id));
    expect((await getWebhook(fleet.tenant, id)).disabledBecause).toMatch(
      /^nothing got through since .*; the last time it answered 500$/,
    );
    const before = receiver.received.length;
    await fleet.bring({ status: 'active' });
    await aFewRounds();
    expect(receiver.received).toHaveLength(before);

    // On again, it is told what comes from then on.
    receiver.answer = { status: 200 };
    await updateWebhook(fleet.tenant, id, { enabled: true }, PRIVATE);
    const ip = await fleet.bring({ status: 'active' });
    await came(before + 1);
    expect(receiver.received.at(-1)!.event.data.ipId).toBe(ip.id);
  });

  test('what is on its way to one that is deleted is dropped', async () => {
    const { registry } = await start({ backoffMs: () => 100 });
    const { id } = await make();
    receiver.answer = { status: 500 };
    await fleet.bring({ status: 'active' });
    await came(1);
    await deleteWebhook(fleet.tenant, id);
    const before = receiver.received.length;
    await aFewRounds();
    expect(receiver.received.length).toBeLessThanOrEqual(before + 1);
    expect(await fleet.redis.keys(`${fleet.tenant.keys.prefix}webhook-log:*`)).toEqual([]);
    expect(await registry.metrics()).toContain('warmline_queue_jobs{queue="deliveries",state="delayed"} 0');
  });
});

describe('private addresses are refused', () => {
  /** A resolver for which every name means these. */
  const means = (...addresses: string[]) =>
    ((_name: string, _options: object, done: (error: null, found: LookupAddress[]) => void) =>
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )) as unknown as typeof lookup;
  const errorOf = async (id: string) => {
    await eventually('it was tried', async () => (await deliveriesOf(fleet.tenant, id, 1)).length === 1);
    return (await deliveriesOf(fleet.tenant, id, 1))[0]!.error;
  };

  test('when a webhook is made', async () => {
    const urls = [
      'https://127.0.0.1/x',
      'https://10.1.2.3/x',
      'https://[::1]/x',
      'https://[::ffff:192.168.0.1]/x',
      'https://169.254.169.254/latest',
      'https://0x7f.1/x',
      'https://2130706433/x',
      'https://[64:ff9b::7f00:1]/x',
      'https://localhost/x',
      'https://100.64.0.1/x',
      'https://[::7f00:1]/x',
      'https://[fec0::1]/x',
      'https://[fd00::1]/x',
      'https://[fe80::1]/x',
      'https://198.18.0.1/x',
      'https://0.0.0.0/x',
      'https://224.0.0.1/x',
    ];
    for (const url of urls) {
      const making = createWebhook(fleet.tenant, { url }, { allowPrivate: false });
      await expect(making, url).rejects.toMatchObject({ code: 'invalid', param: 'url' });
    }
    await expect(
      createWebhook(fleet.tenant, { url: 'http://example.com/x' }, { allowPrivate: false }),
    ).rejects.toThrow('url begins with http://');
    await createWebhook(fleet.tenant, { url: 'https://example.com/x' }, { allowPrivate: false });
  });

  test('when a name turns out to mean one, in whatever company', async () => {
    await start({ allowPrivate: false, resolve: means('127.0.0.1', '::1', '10.0.0.1', '::ffff:127.0.0.1') });
    const { port } = new URL(receiver.url);
    const { id } = await make({ url: `https://rebound.example:${port}/` });
    await fleet.bring({ status: 'active' });
    expect(await errorOf(id)).toBe('rebound.example is no public address');
    expect(receiver.received).toEqual([]);
  });

  test('when the name is localhost and the resolver is that of the machine', async () => {
    await start({ allowPrivate: false });
    const { port } = new URL(receiver.url);
    const { id } = await make({ url: `https://localhost:${port}/` });
    await fleet.bring({ status: 'active' });
    expect(await errorOf(id)).toBe('localhost is no public address');
  });

  test('also when they were allowed before', async () => {
    const { id } = await make();
    await start({ allowPrivate: false });
    await fleet.bring({ status: 'active' });
    expect(await errorOf(id)).toBe('events are only sent over https');
    expect(receiver.received).toEqual([]);
  });

  test('a redirect is not followed', async () => {
    const other = await startReceiver();
    closing.push(() => other.close());
    await start();
    receiver.answer = { status: 307, headers: { location: other.url } };
    const { id } = await make();
    await fleet.bring({ status: 'active' });
    expect(await errorOf(id)).toBe('it answered with a redirect, which is not followed; give the final URL');
    expect(other.received).toEqual([]);
  });
});

test('a new secret signs at once, and the old one beside it for a day', async () => {
  await start();
  const { id, secret } = await make();
  const { secret: second } = await rotateSecret(fleet.tenant, id);
  await fleet.bring({ status: 'active' });
  await came(1);
  expect(isSigned(receiver.received[0]!, secret)).toBe(true);
  expect(isSigned(receiver.received[0]!, second)).toBe(true);
  await rotateSecret(fleet.tenant, id, Date.now() - 25 * 3_600_000);
  await fleet.bring({ status: 'active' });
  await came(2);
  expect(isSigned(receiver.received[1]!, second)).toBe(false);
});

test('a test event comes to the one that asked', async () => {
  await start();
  const { id } = await make({ events: ['ip.quota_used'] });
  await make({ url: `${receiver.url}/other` });
  const eventId = await askForTest(fleet.tenant, id);
  await came(1);
  await aFewRounds();
  expect(receiver.received.map(({ event, path }) => [event.id, event.type, path])).toEqual([
    [eventId, 'webhook.test', '/hooks'],
  ]);
});

describe('nothing is lost with a worker', () => {
  test('changes that were made while no worker ran are told by the next', async () => {
    await make({ events: ['ip.status_changed'] });
    for (let n = 0; n < 20; n += 1) await fleet.bring({ status: 'active' });
    await start();
    await came(20);
    expect(new Set(idsOf()).size).toBe(20);
  });

  test('killed in the middle of sending: another one sends the rest, under the same ids', async () => {
    await make({ events: ['ip.status_changed'] });
    const victim = worker();
    expect(await victim.line()).toBe('ready');
    const ips = await fleet.bringMany(200, 'active');
    await came(20);
    receiver.answer = 'hang';
    process.kill(victim.pid, 'SIGKILL');
    await victim.ended;
    const before = new Set(idsOf()).size;
    expect(before, 'it was killed in the middle').toBeLessThan(200);
    receiver.answer = { status: 200 };
    const heir = worker();
    const told = () => new Set(receiver.received.map(({ event }) => event.data.ipId as string));
    await eventually('all were told', () => told().size === 200, 30_000);
    expect(told()).toEqual(new Set(ips.map(({ id }) => id)));
    // One event is one id, however often it came.
    expect(new Set(idsOf()).size).toBe(200);
    process.kill(heir.pid, 'SIGTERM');
    expect(await heir.ended).toBe(0);
  });

  test('killed between the queue and its place in the stream: what is queued again is sent once', async () => {
    await make({ events: ['ip.status_changed'] });
    const queue = openWebhookQueue(fleet.server.url, fleet.redis);
    const { relayChanges } = await import('../../src/fleet/webhook-events.ts');
    for (let n = 0; n < 5; n += 1) await fleet.bring({ status: 'active' });
    const dies = async (outgoing: Parameters<typeof queue.add>[0]) => {
      await queue.add(outgoing);
      throw new Error('killed');
    };
    await expect(relayChanges(fleet.tenant, dies)).rejects.toThrow('killed');
    await start();
    await came(5);
    await aFewRounds();
    expect(receiver.received).toHaveLength(5);
    await queue.close();
  });

  test('three workers tell each change once', async () => {
    await make({ events: ['ip.status_changed'] });
    await Promise.all([start(), start(), start()]);
    await fleet.bringMany(60, 'active');
    await came(60);
    await aFewRounds();
    expect(receiver.received).toHaveLength(60);
  });

  test('one that is told to stop does not wait for a receiver, and the next one sends it', async () => {
    const { stop } = await start();
    receiver.answer = 'hang';
    await make();
    await fleet.bring({ status: 'active' });
    await came(1);
    const begun = performance.now();
    await stop();
    expect(performance.now() - begun).toBeLessThan(5_000);
    receiver.answer = { status: 200 };
    await start();
    await came(2);
    expect(new Set(idsOf()).size).toBe(1);
    expect(receiver.received[1]!.headers['warmline-attempt']).toBe('1');
  });
});

test('attempts are further and further apart, for about five and a half hours', () => {
  const waits = Array.from({ length: MOST_ATTEMPTS - 1 }, (_, index) => backoffMs(index + 1, 0.5));
  expect(waits.slice(0, 4)).toEqual([5_000, 10_000, 20_000, 40_000]);
  const hours = waits.reduce((sum, ms) => sum + ms) / 3_600_000;
  expect(hours).toBeGreaterThan(5);
  expect(hours).toBeLessThan(6);
  expect(backoffMs(1, 0)).toBe(3_750);
  expect(backoffMs(40, 1)).toBe(4_500_000);
});
