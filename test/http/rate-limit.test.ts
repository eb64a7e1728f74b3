import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import { createApi } from '../../src/http/server.ts';
import { RATE_LIMIT_PREFIX } from '../../src/redis/keys.ts';
import { type Answer, useApi } from './support.ts';

// So many requests a minute and key, counted for all processes together; taking quota is not counted.

const LIMIT = 5;
const api = useApi({ api: { rateLimitPerMinute: LIMIT } });
beforeEach(async () => {
  // A new minute.
  const counts = await api.redis.keys(`${RATE_LIMIT_PREFIX}*`);
  if (counts.length > 0) await api.redis.del(counts);
});

const limits = ({ headers }: Answer) =>
  ['limit', 'remaining', 'reset'].map((name) => Number(headers[`x-ratelimit-${name}`]));

/** Somebody who has not asked yet. */
const someone = () => api.key('acct_default', ['read', 'send', 'write', 'admin']);

test('each answer says how many requests are left and until when', async () => {
  const ask = api.askAs(await someone());
  for (let left = LIMIT - 1; left >= 0; left -= 1) {
    const answer = await ask('GET', '/v1/dedicated-ips');
    expect(answer.status).toBe(200);
    const [limit, remaining, reset] = limits(answer);
    expect([limit, remaining]).toEqual([LIMIT, left]);
    const seconds = reset! - Date.now() / 1000;
    expect(seconds).toBeGreaterThan(50);
    expect(seconds).toBeLessThan(62);
    expect(answer.headers['ratelimit-policy']).toBe(`"key";q=${LIMIT};w=60`);
    expect(answer.headers.ratelimit).toMatch(new RegExp(`^"key";r=${left};t=(60|59)$`));
  }
  const over = await ask('GET', '/v1/dedicated-ips');
  expect(over.status).toBe(429);
  expect(over.body.error).toMatchObject({ code: 'rate_limit', param: null });
  expect(Number(over.headers['retry-after'])).toBeGreaterThan(50);
  expect(limits(over).slice(0, 2)).toEqual([LIMIT, 0]);
  expect(limits(over)[2]).toBeGreaterThan(Date.now() / 1000);
});

test('refusals count and show it too, and so does what does not exist', async () => {
  const ask = api.askAs(await someone());
  expect(limits(await ask('GET', '/v1/dedicated-ips/192.0.2.1'))).toEqual([
    LIMIT,
    LIMIT - 1,
    expect.any(Number),
  ]);
  expect(limits(await ask('GET', '/v1/nowhere'))).toEqual([LIMIT, LIMIT - 2, expect.any(Number)]);
  expect(limits(await ask('POST', '/v1/dedicated-ips', '{'))).toEqual([LIMIT, LIMIT - 3, expect.any(Number)]);
});

test('a key that may not do it is told how many requests are left, in both dialects, until none are', async () => {
  const ask = api.askAs(await api.key('acct_default', ['read']));
  const refused = [
    await ask('POST', '/v1/dedicated-ips'),
    await ask('POST', '/v3/ips/pools', { name: 'marketing' }),
    await ask('POST', '/v3/send_ips/pools', { name: 'marketing' }),
    await ask('POST', '/v1/dedicated-ips'),
    await ask('GET', '/v1/keys'),
    await ask('POST', '/v1/dedicated-ips'),
  ];
  expect(refused.map(({ status }) => status)).toEqual([403, 403, 401, 403, 403, 429]);
  expect(refused.map((answer) => limits(answer)[1])).toEqual([4, 3, 2, 1, 0, 0]);
});

test('over the limit nothing is done', async () => {
  const ask = api.askAs(await someone());
  for (let n = 0; n < LIMIT; n += 1) await ask('GET', '/v1/dedicated-ips');
  expect((await ask('POST', '/v1/accounts', { name: 'never' })).status).toBe(429);
  expect((await api.askAs(await someone())('GET', '/v1/accounts/never')).status).toBe(404);
});

test('the v3 dialect says it in its own words', async () => {
  const ask = api.askAs(await someone());
  for (let n = 0; n < LIMIT; n += 1) await ask('GET', '/v3/ips/pools');
  const over = await ask('GET', '/v3/ips/pools');
  expect(over.status).toBe(429);
  expect(over.body).toEqual({ errors: [{ field: null, message: 'too many requests' }] });
  expect(Number.isInteger(limits(over)[2])).toBe(true);
  expect(over.headers['retry-after']).toMatch(/^\d+$/);
});

test('keys do not count for each other', async () => {
  const [first, second] = [api.askAs(await someone()), api.askAs(await someone())];
  for (let n = 0; n <= LIMIT; n += 1) await first('GET', '/v1/dedicated-ips');
  expect((await first('GET', '/v1/dedicated-ips')).status).toBe(429);
  expect((await second('GET', '/v1/dedicated-ips')).status).toBe(200);
});

test('quota, the test clock and health are not counted', async () => {
  const ask = api.askAs(await someone());
  for (let n = 0; n < LIMIT + 3; n += 1) {
    expect((await ask('POST', '/v1/quota/refund', { refunds: [] })).status).toBe(422);
    expect((await ask('GET', '/v1/test-clock')).status).toBe(200);
    const health = await ask('GET', '/healthz');
    expect(health.status).toBe(200);
    expect(health.headers['x-ratelimit-limit']).toBeUndefined();
  }
  expect(limits(await ask('GET', '/v1/dedicated-ips'))[1]).toBe(LIMIT - 1);
});

test('two processes count together', async () => {
  const log = pino({ level: 'silent' });
  const other = await createApi({ engine: await api.anotherEngine(), log, rateLimitPerMinute: LIMIT });
  const key = await someone();
  const headers = { authorization: `Bearer ${key}` };
  const askOther = async () => (await other.inject({ url: '/v1/dedicated-ips', headers })).statusCode;
  const askHere = async () => (await api.askAs(key)('GET', '/v1/dedicated-ips')).status;
  const statuses = await Promise.all(
    Array.from({ length: LIMIT + 4 }, (_, n) => (n % 2 ? askOther() : askHere())),
  );
  expect(statuses.filter((status) => status === 200)).toHaveLength(LIMIT);
  expect(statuses.filter((status) => status === 429)).toHaveLength(4);
  expect([await askOther(), await askHere()]).toEqual([429, 429]);
  await other.close();
});

test('no limit is no header and no question', async () => {
  const app = await createApi({ engine: api.engine, log: pino({ level: 'silent' }), rateLimitPerMinute: 0 });
  const headers = { authorization: `Bearer ${await someone()}` };
  for (let n = 0; n < LIMIT + 3; n += 1) {
    const answer = await app.inject({ url: '/v1/dedicated-ips', headers });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['x-ratelimit-limit']).toBeUndefined();
  }
  expect(await api.redis.keys(`${RATE_LIMIT_PREFIX}*`)).toEqual([]);
  await app.close();
});

test('while Redis does not count, the process does, and nobody waits', async () => {
  const ask = api.askAs(await someone());
  await ask('GET', '/v1/dedicated-ips');
  // The counter is answered an error; the rest of Redis goes on.
  const [name] = await api.redis.keys(`${RATE_LIMIT_PREFIX}*`);
  await api.redis.del(name!);
  await api.redis.lpush(name!, 'no counter');
  const began = performance.now();
  const answers: Answer[] = [];
  for (let n = 0; n <= LIMIT; n += 1) answers.push(await ask('GET', '/v1/dedicated-ips'));
  expect(answers.map(({ status }) => status)).toEqual([...Array(LIMIT).fill(200), 429]);
  expect(performance.now() - began).toBeLessThan(1_000);
});
