import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ConnectionError,
  ServerError,
  TimeoutError,
  Warmline,
  WarmlineApiError,
} from '../../src/client/index.ts';
import { breakOff, drop, hang, json, refusal, startMisbehaving } from './support.ts';

// What a client does when the API, or the way to it, is in trouble: it tries again what may be tried again, under one key,
// and what it must not repeat it sends once.

let server: Awaited<ReturnType<typeof startMisbehaving>>;
beforeAll(async () => {
  server = await startMisbehaving();
});
afterAll(() => server.stop());

const IP = { id: 'ip_1', ipAddress: '203.0.113.1' };
const at = (name: string) => server.seen.map(({ headers }) => headers[name]);

test('a lost answer, a broken one and a 503 are each tried again', async () => {
  server.behave(drop, breakOff, refusal(503, 'server_error', { 'retry-after': '0' }), json(200, IP));
  await expect(server.client().dedicatedIps.get('ip_1')).resolves.toEqual(IP);
  expect(server.seen).toHaveLength(4);
  expect(new Set(at('x-request-id')).size).toBe(1);
});

test('a create is tried again under one key', async () => {
  server.behave(drop, refusal(503, 'server_error', { 'retry-after': '0' }), json(201, IP));
  await server.client().dedicatedIps.create();
  expect(server.seen).toHaveLength(3);
  expect(new Set(at('idempotency-key')).size).toBe(1);
  expect(at('idempotency-key')[0]).toMatch(/^[0-9a-f-]{36}$/);
  expect(new Set(server.seen.map(({ body }) => body))).toEqual(new Set(['']));
});

test('each call has a key of its own, or the one that it was given', async () => {
  server.behave(json(201, IP));
  const { dedicatedIps } = server.client();
  await dedicatedIps.create();
  await dedicatedIps.create();
  await dedicatedIps.create({ idempotencyKey: 'order-17' });
  const [first, second, third] = at('idempotency-key');
  expect(first).not.toBe(second);
  expect(third).toBe('order-17');
});

test('while its first attempt is under way, a repeated create waits as the API says', async () => {
  server.behave(drop, refusal(409, 'conflict', { 'retry-after': '0' }), json(201, IP));
  await expect(server.client().dedicatedIps.create()).resolves.toEqual(IP);
  server.behave(refusal(409, 'conflict'));
  await expect(server.client().dedicatedIps.create()).rejects.toMatchObject({ status: 409 });
  expect(server.seen).toHaveLength(1);
});

const ONCE: [string, (client: Warmline) => PromiseLike<unknown>][] = [
  ['a take', ({ quota }) => quota.take({ ip: '203.0.113.1' })],
  ['a refund', ({ quota }) => quota.refund({ refunds: [{ receipt: 'r' }] })],
  ['a new key', ({ keys }) => keys.create({ account: 'acme' })],
  ['a move of the test clock', ({ testClock }) => testClock.advance({ by: 'P1D' })],
];
test.each(ONCE)('%s is sent one time and without a key, whatever happens', async (_name, call) => {
  const troubles = [
    drop,
    breakOff,
    refusal(503, 'server_error', { 'retry-after': '0' }),
    refusal(429, 'rate_limit'),
  ];
  for (const trouble of troubles) {
    server.behave(trouble);
    await expect(call(server.client({ maxRetries: 5 }))).rejects.toBeInstanceOf(WarmlineApiError);
    expect(server.seen).toHaveLength(1);
    expect(at('idempotency-key')).toEqual([undefined]);
  }
});

test('a POST that is known by a key: everything that creates or changes', async () => {
  server.behave(json(200, { data: [], hasMore: false, nextCursor: null }));
  const { dedicatedIps: ips, inventory, accounts } = server.client();
  await ips.create();
  await ips.startWarmup('ip_1', { startDay: 3 });
  await ips.restore('ip_1');
  await ips.hold('ip_1', { because: 'a test' });
  await ips.createPool({ name: 'a' });
  await ips.addIpToPool('pool_1', { ipId: 'ip_1' });
  await ips.holdPool('pool_1');
  await inventory.add({ addresses: ['203.0.113.9'] });
  await accounts.create({ name: 'acme' });
  expect(server.seen.map(({ url }) => url)).toEqual([
    '/v1/dedicated-ips',
    '/v1/dedicated-ips/ip_1/warmup',
    '/v1/dedicated-ips/ip_1/restore',
    '/v1/dedicated-ips/ip_1/hold',
    '/v1/dedicated-ips/pools',
    '/v1/dedicated-ips/pools/pool_1/ips',
    '/v1/dedicated-ips/pools/pool_1/hold',
    '/v1/inventory',
    '/v1/accounts',
  ]);
  expect(at('idempotency-key').filter((key) => key !== undefined)).toHaveLength(9);
  expect(server.seen[1]).toMatchObject({
    body: '{"startDay":3}',
    headers: { 'content-type': 'application/json' },
  });
  expect(server.seen[0]!.headers).not.toHaveProperty('content-type');
});

test('a release whose answer was lost is done when the API says that it was released', async () => {
  const gone = { error: { code: 'conflict', message: 'released already', details: { status: 'cooldown' } } };
  server.behave(drop, json(409, gone));
  await expect(server.client().dedicatedIps.release('ip_1')).resolves.toBeUndefined();
  // Without an attempt before it, the same answer is what somebody else did.
  server.behave(json(409, gone));
  await expect(server.client().dedicatedIps.release('ip_1')).rejects.toMatchObject({ code: 'conflict' });
  server.behave(drop, refusal(404, 'not_found'));
  await expect(server.client().dedicatedIps.deletePool('pool_1')).resolves.toBeUndefined();
});

test('what is refused for a reason is not tried again', async () => {
  for (const status of [400, 401, 403, 404, 422]) {
    server.behave(refusal(status, 'some_code'));
    await expect(server.client().dedicatedIps.get('ip_1')).rejects.toMatchObject({
      status,
      code: 'some_code',
    });
    expect(server.seen).toHaveLength(1);
  }
});

test('it gives up after as many retries as it may make, with the last answer', async () => {
  server.behave(refusal(503, 'server_error', { 'retry-after': '0' }));
  const error = await server
    .client({ maxRetries: 2 })
    .dedicatedIps.get('ip_1')
    .catch((e) => e);
  expect(error).toBeInstanceOf(ServerError);
  expect(error).toMatchObject({ status: 503, retryAfterMs: 0 });
  expect(server.seen).toHaveLength(3);
  server.behave(refusal(503, 'server_error'));
  await expect(server.client().dedicatedIps.get('ip_1', { maxRetries: 0 })).rejects.toThrow();
  expect(server.seen).toHaveLength(1);
});

test('Retry-After is waited for, and handed over when it is too long', async () => {
  server.behave(refusal(429, 'rate_limit', { 'retry-after': '1' }), json(200, IP));
  const began = performance.now();
  await server.client().dedicatedIps.get('ip_1');
  expect(performance.now() - began).toBeGreaterThan(990);
  server.behave(refusal(429, 'rate_limit', { 'retry-after': '3600' }));
  await expect(server.client().dedicatedIps.get('ip_1')).rejects.toMatchObject({
    name: 'RateLimitError',
    retryAfterMs: 3_600_000,
  });
  expect(server.seen).toHaveLength(1);
});

test('a silent server is left after the time-out, also in the middle of its answer', async () => {
  const halfway = (response: import('node:http').ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":');
  };
  for (const silence of [hang, halfway]) {
    server.behave(silence, json(200, IP));
    await expect(server.client({ timeoutMs: 80 }).dedicatedIps.get('ip_1')).resolves.toEqual(IP);
  }
  server.behave(hang);
  const error = await server
    .client()
    .quota.take({}, { timeoutMs: 80 })
    .catch((e) => e);
  expect(error).toBeInstanceOf(TimeoutError);
  expect(error).toBeInstanceOf(ConnectionError);
  expect(error).toMatchObject({ status: null, code: 'timeout' });
  expect(error.requestId).toBe(at('x-request-id')[0]);
});

test('a signal ends a call, with its waiting', async () => {
  const reason = new Error('the user went home');
  const inFlight = new AbortController();
  server.behave((_response) => inFlight.abort(reason));
  await expect(server.client().dedicatedIps.get('ip_1', { signal: inFlight.signal })).rejects.toBe(reason);
  const waiting = new AbortController();
  server.behave((...args) => {
    refusal(503, 'server_error', { 'retry-after': '60' })(...args);
    setTimeout(() => waiting.abort(reason), 30);
  });
  await expect(server.client().dedicatedIps.get('ip_1', { signal: waiting.signal })).rejects.toBe(reason);
  await expect(server.client().dedicatedIps.get('ip_1', { signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  );
  expect(server.seen).toHaveLength(1);
});

test('nobody there: an error that says where and why, and no secret', async () => {
  const gone = await startMisbehaving();
  await gone.stop();
  const client = new Warmline({ baseUrl: gone.url, apiKey: 'wl_secret_key', maxRetries: 1 });
  const error = await client.dedicatedIps.get('ip_1').catch((e) => e);
  expect(error).toBeInstanceOf(ConnectionError);
  expect(error.message).toBe(`GET ${gone.url}: no answer (ECONNREFUSED)`);
});

test('no error and no inspection shows the key', async () => {
  const { inspect } = await import('node:util');
  const shown: string[] = [inspect(server.client(), { depth: 9, showHidden: true })];
  for (const trouble of [drop, hang, breakOff, refusal(401, 'authentication_error'), json(500, {})]) {
    server.behave(trouble);
    const error = await server
      .client({ maxRetries: 0, timeoutMs: 80 })
      .dedicatedIps.create()
      .catch((e) => e);
    shown.push(inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error));
  }
  expect(() => new Warmline({ apiKey: 'wl_secret key' })).toThrow(/^apiKey holds blanks/);
  expect(() => new Warmline({ apiKey: 'k', baseUrl: 'http://user:wl_secret@h' })).toThrow(
    /^baseUrl must not/,
  );
  expect(shown.filter((text) => text.includes('wl_secret'))).toEqual([]);
});

test('what is not Warmline is told', async () => {
  server.behave((response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>It works</h1>'),
  );
  await expect(server.client().dedicatedIps.get('ip_1')).rejects.toMatchObject({ code: 'unexpected_answer' });
  server.behave((response) => response.writeHead(302, { location: 'https://elsewhere.example/' }).end());
  await expect(server.client().dedicatedIps.get('ip_1')).rejects.toMatchObject({ status: 302 });
  server.behave((response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad</h1>'));
  await expect(server.client({ maxRetries: 0 }).dedicatedIps.get('ip_1')).rejects.toMatchObject({
    name: 'ServerError',
    code: 'server_error',
  });
  expect(server.seen).toHaveLength(1);
});

test('bodies are bounded in both directions', async () => {
  server.behave(json(200, {}));
  const huge = { labels: { note: 'x'.repeat(1024 * 1024) } };
  await expect(server.client().dedicatedIps.update('ip_1', huge)).rejects.toMatchObject({
    name: 'ValidationError',
  });
  expect(server.seen).toHaveLength(0);
  const chunk = Buffer.alloc(1024 * 1024, ' ');
  server.behave((response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  });
  await expect(server.client().dedicatedIps.get('ip_1')).rejects.toMatchObject({ code: 'answer_too_large' });
  expect(server.seen).toHaveLength(1);
});

test('what names nothing, or a time-out that is none, is refused before anything is sent', async () => {
  server.behave(json(200, {}));
  const { dedicatedIps } = server.client();
  for (const id of ['', '.', '..', undefined as unknown as string]) {
    await expect(dedicatedIps.release(id)).rejects.toThrow(TypeError);
    await expect(dedicatedIps.removeIpFromPool('pool_1', id)).rejects.toThrow(TypeError);
  }
  await expect(dedicatedIps.create({ idempotencyKey: 'two\nlines' })).rejects.toThrow(TypeError);
  expect(() => server.client({ timeoutMs: 0 })).toThrow(TypeError);
  expect(() => server.client({ maxRetries: -1 })).toThrow(TypeError);
  expect(() => server.client({ baseUrl: 'ftp://h' })).toThrow(TypeError);
  expect(server.seen).toHaveLength(0);
  await dedicatedIps.getPool('News / EU');
  expect(server.seen[0]!.url).toBe('/v1/dedicated-ips/pools/News%20%2F%20EU');
});

test('the address may have a path, and fetch may be another one', async () => {
  server.behave(json(200, IP));
  const asked: string[] = [];
  const client = server.client({
    baseUrl: `${server.url}/warmline/`,
    fetch: (url, init) => {
      asked.push(String(url));
      return fetch(url, init);
    },
  });
  await client.dedicatedIps.get('ip_1');
  expect(asked).toEqual([`${server.url}/warmline/v1/dedicated-ips/ip_1`]);
});
