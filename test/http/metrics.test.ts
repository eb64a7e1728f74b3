import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, test } from 'vitest';
import { createAccount } from '../../src/fleet/accounts.ts';
import { startWarmup } from '../../src/fleet/ips.ts';
import { createApi } from '../../src/http/server.ts';
import { timeRoundTrips } from '../../src/redis/round-trip.ts';
import { roundTripHistogram, serveMetrics } from '../../src/runtime/metrics.ts';
import { ADMIN_KEY, type Api, useNewApi } from './support.ts';

// What Prometheus reads, from a real engine, and who may read it.

const api = useNewApi();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A fresh process on the same fleet: it has counted nothing yet. */
async function fresh({ engine }: Api = api) {
  const registry = new Registry();
  const app = await createApi({ engine, log: pino({ level: 'silent' }), registry });
  closing.push(() => app.close());
  return {
    registry,
    ask: (url: string, payload?: object) =>
      app.inject({
        method: payload ? 'POST' : 'GET',
        url,
        headers: { authorization: `Bearer ${ADMIN_KEY}` },
        ...(payload && { payload }),
      }),
    scrape: async () => (await app.inject('/metrics')).body,
    inject: app.inject.bind(app),
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
  };
}

/** The lines of one metric. */
const linesOf = (text: string, name: string) =>
  text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

describe('who may look', () => {
  test('programs of this machine that ask directly need no key', async () => {
    const { inject } = await fresh();
    for (const remoteAddress of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
      const { statusCode, headers, body } = await inject({ url: '/metrics', remoteAddress });
      expect(statusCode).toBe(200);
      expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(body).toContain('# HELP warmline_ips IPs by account and status.');
    }
  });

  test.each([
    ['from another machine', { remoteAddress: '10.0.0.9' }],
    ['through a proxy on this machine', { headers: { 'x-forwarded-for': '198.51.100.7' } }],
    ['through a proxy that names itself', { headers: { via: '1.1 edge' } }],
    ['by a web page whose name points here', { headers: { host: 'evil.example' } }],
  ])('%s a key of the operator is needed', async (_, how) => {
    const { inject } = await fresh();
    const { headers = {}, ...rest } = how as { headers?: Record<string, string> };
    const asked = (key?: string) =>
      inject({
        url: '/metrics',
        ...rest,
        headers: { ...headers, ...(key && { authorization: `Bearer ${key}` }) },
      });
    expect((await asked()).statusCode).toBe(401);
    const reader = await api.key('acct_default', ['read', 'send', 'write']);
    expect((await asked(reader)).statusCode).toBe(403);
    const { statusCode, body } = await asked(ADMIN_KEY);
    expect(statusCode).toBe(200);
    expect(body).toContain('warmline_accounts 1');
  });
});

test('a proxy on this machine that says nothing of itself speaks HTTP/1.0, and is asked for a key', async () => {
  const { listen } = await fresh();
  const { port } = new URL(await listen());
  const socket = connect(Number(port), '127.0.0.1');
  socket.end(`GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  expect(answer).toMatch(/^HTTP\/1\.[01] 401 /);
});

test('IPs by account and status, as they move', async () => {
  const acme = await api.house('acme');
  await api.bring();
  await api.bring({ status: 'active' });
  await api.warming();
  await acme.warming();
  await acme.warming();
  const before = await (await fresh()).scrape();
  const ofDefault = (text: string) =>
    linesOf(text, 'warmline_ips').filter((line) => line.includes('account="default"'));
  expect(ofDefault(before)).toEqual([
    'warmline_ips{account="default",status="provisioning"} 1',
    'warmline_ips{account="default",status="warming"} 1',
    'warmline_ips{account="default",status="active"} 1',
    'warmline_ips{account="default",status="cooldown"} 0',
  ]);
  expect(linesOf(before, 'warmline_ips')).toContain('warmline_ips{account="acme",status="warming"} 2');

  const [first] = (await api.ask('GET', '/v1/dedicated-ips?status=provisioning')).body.data;
  await api.ask('POST', `/v1/dedicated-ips/${first.id}/warmup`, {});
  await api.ask('DELETE', `/v1/dedicated-ips/${first.id}`);
  expect(ofDefault(await (await fresh()).scrape())).toEqual([
    'warmline_ips{account="default",status="provisioning"} 0',
    'warmline_ips{account="default",status="warming"} 1',
    'warmline_ips{account="default",status="active"} 1',
    'warmline_ips{account="default",status="cooldown"} 1',
  ]);
});

test('takes by outcome, and the sends they granted', async () => {
  const ip = await api.warming();
  const { ask, scrape } = await fresh();
  const take = (body: object) => ask('/v1/quota/take', body);
  await take({ ip: ip.address, count: 3 });
  await take({ ip: ip.id, count: 2 });
  await take({ ip: ip.address, count: 1_000 });
  await take({ ip: '192.0.2.99' });
  await take({ takes: [{ ip: ip.address }, { ip: ip.address, count: 900 }, { pool: 'nowhere' }] });
  const text = await scrape();
  expect(linesOf(text, 'warmline_takes_total').sort()).toEqual([
    'warmline_takes_total{account="default",outcome="denied",because="count"} 2',
    'warmline_takes_total{account="default",outcome="granted",because=""} 3',
    'warmline_takes_total{account="default",outcome="refused",because=""} 2',
    'warmline_takes_total{account="other",outcome="failed",because=""} 0',
  ]);
  expect(linesOf(text, 'warmline_sends_granted_total')).toEqual([
    'warmline_sends_granted_total{account="default"} 6',
    'warmline_sends_granted_total{account="other"} 0',
  ]);
});

test('quota used and left, also of what was taken past this process', async () => {
  const ip = await api.warming({ plan: 'fourteen-day' });
  await api.warming({ plan: 'fourteen-day' });
  const active = await api.bring({ status: 'active' });
  await api.limiter.take({ ip: ip.address, count: 10 });
  await api.limiter.take({ ip: active.address, count: 7_000 });
  const text = await (await fresh()).scrape();
  expect(linesOf(text, 'warmline_quota_used_sends')).toContain(
    'warmline_quota_used_sends{account="default",status="warming",window="day"} 10',
  );
  expect(linesOf(text, 'warmline_quota_left_sends')).toContain(
    'warmline_quota_left_sends{account="default",status="warming",window="day"} 90',
  );
  expect(linesOf(text, 'warmline_quota_used_sends')).toContain(
    'warmline_quota_used_sends{account="default",status="active",window="day"} 0',
  );
  expect(linesOf(text, 'warmline_window_sends')).toContain(
    'warmline_window_sends{account="default",status="active",window="hour"} 7000',
  );
  expect(linesOf(text, 'warmline_quota_ips')).toEqual([
    'warmline_quota_ips{account="default",status="warming"} 2',
    'warmline_quota_ips{account="default",status="active"} 1',
  ]);
});

test('how long an IP waits for a worker that is away', async () => {
  await api.warming();
  await api.advance({ days: 1, hours: 2, work: false });
  const [line = ''] = linesOf(await (await fresh()).scrape(), 'warmline_tick_lag_seconds');
  expect(Number(line.split(' ')[1])).toBeGreaterThan(0);
  await api.advance({ ms: 1 });
  expect(linesOf(await (await fresh()).scrape(), 'warmline_tick_lag_seconds')).toEqual([
    'warmline_tick_lag_seconds 0',
  ]);
});

test('more accounts than have a name of their own are summed up', async () => {
  for (let n = 0; n < 101; n += 1) await createAccount(api.engine, `a${n}`);
  const last = await api.house('last');
  const ip = await last.bring({ status: 'active' });
  const { tenant } = last;
  const lines = linesOf(await (await fresh()).scrape(), 'warmline_ips');
  const accounts = new Set(lines.map((line) => /account="([^"]*)"/.exec(line)![1]));
  expect(accounts.size).toBe(101);
  expect(lines).toContain('warmline_ips{account="other",status="active"} 1');
  expect(ip.status, tenant.account.id).toBe('active');
});

test('a large fleet costs a bounded number of commands, and is counted once for all who ask', async () => {
  const most = 2_600;
  const ips = await api.bringMany(most, 'active');
  await startWarmup(api.tenant, ips[0]!.id, {});
  const { scrape } = await fresh();
  const calls = async () =>
    [...(await api.redis.info('commandstats')).matchAll(/calls=(\d+)/g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
  const before = await calls();
  const text = await scrape();
  const first = (await calls()) - before;
  expect(linesOf(text, 'warmline_ips')).toContain(
    `warmline_ips{account="default",status="active"} ${most - 1}`,
  );
  expect(linesOf(text, 'warmline_quota_ips')).toContain(
    'warmline_quota_ips{account="default",status="active"} 499',
  );
  expect(first).toBeLessThan(40);
  await scrape();
  expect((await calls()) - before - first).toBeLessThan(4);
});

test('answers by route, of which an invented path is none', async () => {
  const { ask, scrape } = await fresh();
  await ask('/v1/dedicated-ips/ip_1');
  await ask('/v1/dedicated-ips/ip_2');
  await ask('/made/up');
  expect(linesOf(await scrape(), 'warmline_http_answers_total')).toEqual([
    'warmline_http_answers_total{method="GET",route="/v1/dedicated-ips/:id",status="4xx"} 2',
    'warmline_http_answers_total{method="any",route="none",status="4xx"} 1',
  ]);
});

test('a Redis that is away costs no scrape', async () => {
  const { ask, scrape, registry } = await fresh();
  await api.server.kill9();
  for (let n = 0; n < 3; n += 1) expect((await ask('/v1/quota/take', {})).statusCode).toBe(503);
  const text = await scrape();
  expect(linesOf(text, 'warmline_takes_total')).toEqual([
    'warmline_takes_total{account="other",outcome="failed",because=""} 3',
  ]);
  expect(linesOf(text, 'warmline_redis_up')).toEqual(['warmline_redis_up 0']);
  expect(linesOf(text, 'warmline_ips')).toEqual([]);
  expect(linesOf(text, 'warmline_accounts')).toEqual(['warmline_accounts Nan']);
  await api.server.restart();
  await expect.poll(() => api.redis.status).toBe('ready');
  await expect
    .poll(async () => linesOf(await registry.metrics(), 'warmline_redis_up'), { timeout: 5_000 })
    .toEqual(['warmline_redis_up 1']);
});

test('one call in 64 is timed, and a door of its own shows it', async () => {
  const registry = new Registry();
  const { scripts, stop } = timeRoundTrips(api.engine.scripts, roundTripHistogram(registry));
  closing.push(stop);
  for (let n = 0; n < 128; n += 1) await scripts.run('now', ['warmline:{clock}:now']);
  const { url, close } = await serveMetrics(registry, { host: '127.0.0.1', port: 0 });
  closing.push(close);
  const text = await (await fetch(url)).text();
  expect(linesOf(text, 'warmline_redis_round_trip_seconds_count')).toEqual([
    'warmline_redis_round_trip_seconds_count 2',
  ]);
  expect((await fetch(url.replace('/metrics', '/v1/keys'))).status).toBe(404);
  expect((await fetch(url, { method: 'POST' })).status).toBe(404);
});

test('a port that is taken is a failure to start', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  closing.push(() => other.close());
  const { port } = other.address() as AddressInfo;
  await expect(serveMetrics(new Registry(), { host: '127.0.0.1', port })).rejects.toThrow('EADDRINUSE');
});
