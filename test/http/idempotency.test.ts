import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { replaceEnvironmentKey } from '../../src/fleet/api-keys.ts';
import type { Engine } from '../../src/fleet/engine.ts';
import { listInventory, sweepAllocations } from '../../src/fleet/inventory.ts';
import { createApi } from '../../src/http/server.ts';
import { inventoryKeys } from '../../src/redis/keys.ts';
import { killPrograms, startProgram } from '../support/processes.ts';
import { ADMIN_KEY, type Answer, type Api, startApi } from './support.ts';

// A POST that is sent again with its Idempotency-Key is answered again and does nothing twice, whatever was lost, whoever
// crashed, and whoever asks at the same time.

let api: Api;
/** The same API, but it dies before it can write down what it answered. */
let forgetful: (url: string, body?: unknown, headers?: Record<string, string>) => Promise<number>;
let stop: () => Promise<void>;
beforeAll(async () => {
  api = await startApi();
  const { scripts, ...rest } = await api.anotherEngine();
  const engine: Engine = {
    ...rest,
    scripts: {
      ...scripts,
      async run(name, args) {
        if (name === 'request-end') throw new Error('the power went out');
        return scripts.run(name, args);
      },
    },
  };
  const app = await createApi({ engine, log: pino({ level: 'silent' }) });
  forgetful = async (url, body, headers = once) => {
    const all = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', ...headers };
    const answer = await app.inject({
      method: 'POST',
      url,
      headers: all,
      ...(body ? { payload: JSON.stringify(body) } : {}),
    });
    return answer.statusCode;
  };
  stop = () => app.close();
});
afterAll(async () => {
  await stop();
  await api.stop();
});
beforeEach(async () => {
  await api.reset();
  await replaceEnvironmentKey(api.engine, ADMIN_KEY);
});
afterEach(killPrograms);

const once = { 'idempotency-key': 'one' };
const post = (url: string, body?: unknown, headers: Record<string, string> = once) =>
  api.ask('POST', url, body, headers);

/** As if the time had passed after which a process that has not answered is taken for dead. */
async function takenForDead(): Promise<void> {
  const records = await api.redis.keys('*:request:*');
  for (const record of records) {
    if (await api.redis.hexists(record, 'until')) await api.redis.hset(record, 'until', 0);
  }
}

async function held(): Promise<number> {
  const { entries } = await listInventory(api.engine, '0', 10_000);
  return entries.filter(({ state }) => state !== 'free').length;
}

/** Everything but what is remembered of requests. */
async function state(): Promise<Record<string, string>> {
  const dump = await api.dump();
  return Object.fromEntries(
    Object.entries(dump).filter(([name]) => !/:request(-step)?:|key-uses|:closed$/.test(name)),
  );
}

function isSameAnswer(again: Answer, first: Answer): void {
  expect(again.status).toBe(first.status);
  expect(again.body).toEqual(first.body);
  expect(again.headers['idempotent-replayed']).toBe('true');
  expect(again.headers['content-type']).toBe(first.headers['content-type']);
}

type Route = readonly [name: string, url: string, body: object | undefined, prepare?: () => Promise<unknown>];

const SPARE = { addresses: ['203.0.113.0/29'] };
const inventory = () => api.ask('POST', '/v1/inventory', SPARE);
const warm = () =>
  api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.1'], account: 'default', status: 'active' });
const pool = () => api.ask('POST', '/v1/dedicated-ips/pools', { name: 'bulk' });

const ROUTES: Route[] = [
  ['a new IP', '/v1/dedicated-ips', undefined, inventory],
  ['addresses for the inventory', '/v1/inventory', SPARE],
  ['addresses for an account', '/v1/inventory', { ...SPARE, account: 'default' }],
  ['an account', '/v1/accounts', { name: 'acme' }],
  ['a pool', '/v1/dedicated-ips/pools', { name: 'bulk', isDefault: true }],
  ['a start', '/v1/dedicated-ips/192.0.2.1/warmup', {}, warm],
  ['a hold', '/v1/dedicated-ips/192.0.2.1/hold', { because: 'x' }, warm],
  [
    'a restore',
    '/v1/dedicated-ips/192.0.2.1/restore',
    undefined,
    async () => {
      await warm();
      await api.ask('DELETE', '/v1/dedicated-ips/192.0.2.1');
    },
  ],
  [
    'an IP for a pool',
    '/v1/dedicated-ips/pools/bulk/ips',
    { ipId: '192.0.2.1' },
    async () => {
      await warm();
      await pool();
    },
  ],
  ['a hold of a pool', '/v1/dedicated-ips/pools/bulk/hold', { because: 'x' }, pool],
  ['a warm-up of v3', '/v3/ips/warmup', { ip: '192.0.2.1' }, warm],
  ['a pool of v3', '/v3/ips/pools', { name: 'bulk' }],
  ['a pool with IPs of v3', '/v3/send_ips/pools', { name: 'bulk', ips: ['192.0.2.1'] }, warm],
  ['IPs of v3', '/v3/ips', { count: 2 }, inventory],
  ['an IP of v3', '/v3/send_ips/ips', { is_auto_warmup: true, is_parent_assigned: true }, inventory],
];

for (const [name, url, body, prepare] of ROUTES) {
  describe(name, () => {
    test('is made once, and answered the same again', async () => {
      await prepare?.();
      const first = await post(url, body);
      expect(first.status, JSON.stringify(first.body)).toBeLessThan(300);
      const before = await state();
      for (let n = 0; n < 2; n += 1) isSameAnswer(await post(url, body), first);
      expect(await state()).toEqual(before);
    });

    test('is made once when the answer was lost before it was written down', async () => {
      await prepare?.();
      const status = await forgetful(url, body);
      expect(status).toBeLessThan(300);
      const before = await state();
      const running = await post(url, body);
      expect(running.status).toBe(409);
      expect(Number(running.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(Number(running.headers['retry-after'])).toBeLessThanOrEqual(5);
      await takenForDead();
      const again = await post(url, body);
      expect(again.status, JSON.stringify(again.body)).toBe(status);
      expect(await state()).toEqual(before);
      isSameAnswer(await post(url, body), again);
    });

    test('is made once by ten who ask at once', async () => {
      await prepare?.();
      const answers = await Promise.all(Array.from({ length: 10 }, () => post(url, body)));
      const good = answers.filter(({ status }) => status < 300);
      expect(good.length).toBeGreaterThan(0);
      for (const answer of answers) {
        if (answer.status < 300) expect(answer.body).toEqual(good[0]!.body);
        else expect(answer.status).toBe(409);
      }
      isSameAnswer(await post(url, body), good[0]!);
    });

    test('is made once by two who both believe the other to be dead', async () => {
      await prepare?.();
      const both = await Promise.all([
        forgetful(url, body),
        takenForDead().then(() => post(url, body)),
        takenForDead().then(() => forgetful(url, body)),
      ]);
      expect(both.length).toBe(3);
      await takenForDead();
      const answer = await post(url, body);
      expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
      const before = await state();
      await takenForDead();
      isSameAnswer(await post(url, body), answer);
      expect(await state()).toEqual(before);
      expect(await api.redis.hlen(inventoryKeys.journal)).toBe(0);
    });
  });
}

describe('kill -9', () => {
  const STEPS = [
    ['after', 'request-begin'],
    ['before', 'inventory-reserve'],
    ['after', 'inventory-reserve'],
    ['after', 'transact'],
    ['after', 'inventory-close'],
    ['before', 'request-end'],
    ['after', 'request-end'],
  ] as const;

  test.each(STEPS)('%s %s: one address is taken', async (when, script) => {
    await inventory();
    const child = startProgram(new URL('./fixtures/asked-once.ts', import.meta.url), [
      ...[api.server.url, ADMIN_KEY, when, script],
      '/v1/dedicated-ips',
    ]);
    expect(await child.line()).toBe(`${when} ${script}`);
    child.child.kill('SIGKILL');
    await child.ended;
    // Once before the worker has cleaned up, and once after it.
    const answers: Answer[] = [];
    for (const isSwept of [false, true]) {
      if (isSwept) await sweepAllocations(api.engine, 0);
      await takenForDead();
      answers.push(await post('/v1/dedicated-ips'));
    }
    expect(answers[0]!.status, JSON.stringify(answers[0]!.body)).toBe(201);
    expect(answers[1]!.body).toEqual(answers[0]!.body);
    expect(await held()).toBe(1);
    expect((await api.ask('GET', '/v1/dedicated-ips')).body.data).toHaveLength(1);
    expect(await api.redis.zcard(inventoryKeys.pending)).toBe(0);
  });

  test.each(STEPS.slice(2, 5))('%s %s, then the worker: one address is taken', async (when, script) => {
    await inventory();
    const child = startProgram(new URL('./fixtures/asked-once.ts', import.meta.url), [
      ...[api.server.url, ADMIN_KEY, when, script],
      ...['/v1/inventory', JSON.stringify({ addresses: ['192.0.2.0/30'], account: 'default' })],
    ]);
    expect(await child.line()).toBe(`${when} ${script}`);
    child.child.kill('SIGKILL');
    await child.ended;
    await sweepAllocations(api.engine, 0);
    await takenForDead();
    const answer = await post('/v1/inventory', { addresses: ['192.0.2.0/30'], account: 'default' });
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    expect(answer.body.added).toBe(4);
    expect(await held()).toBe(4);
    expect((await api.ask('GET', '/v1/dedicated-ips')).body.data).toHaveLength(4);
  });
});

describe('what a key stands for', () => {
  test('another body, another path, another query: 409, and nothing is done', async () => {
    await inventory();
    await post('/v1/accounts', { name: 'acme' });
    const before = await api.dump();
    expect(await post('/v1/accounts', { name: 'other' })).toMatchObject({
      status: 409,
      body: { error: { code: 'conflict', message: expect.stringContaining('another request') } },
    });
    await warm();
    await post('/v1/dedicated-ips/192.0.2.1/hold', { because: 'x' });
    expect((await post('/v1/dedicated-ips/203.0.113.1/hold', { because: 'x' })).status).toBe(409);
    expect((await post('/v1/accounts?a=b', { name: 'acme' })).status).toBe(409);
    expect(Object.keys(await api.dump())).toEqual(expect.arrayContaining(Object.keys(before)));
  });

  test('the same key on another route, or of another account, is another request', async () => {
    await inventory();
    expect((await post('/v1/accounts', { name: 'acme' })).status).toBe(201);
    expect((await post('/v1/dedicated-ips/pools', { name: 'acme' })).status).toBe(201);
    const { key } = (await api.ask('POST', '/v1/keys', { account: 'acme' })).body;
    const theirs = await api.askAs(key)('POST', '/v1/dedicated-ips/pools', { name: 'acme' }, once);
    expect(theirs.status).toBe(201);
    expect(theirs.headers['idempotent-replayed']).toBeUndefined();
  });

  test('the order of what is written and the spelling of JSON do not matter', async () => {
    const first = await post('/v1/accounts', '{"name":"acme"}');
    isSameAnswer(await post('/v1/accounts', '{ "name" : "acme" }'), first);
  });

  test('a refusal is not kept: what was mended is done', async () => {
    expect((await post('/v1/dedicated-ips')).status).toBe(422);
    expect(await api.redis.keys('*:request:*')).toEqual([]);
    await inventory();
    expect((await post('/v1/dedicated-ips')).status).toBe(201);
    expect((await post('/v1/accounts', { name: '!' })).status).toBe(422);
    expect((await post('/v1/accounts', { name: 'mended' })).status).toBe(201);
  });

  test('a request that is refused at the door is not remembered', async () => {
    const key = await api.key('acct_default', ['read']);
    expect((await api.askAs(key)('POST', '/v1/dedicated-ips', undefined, once)).status).toBe(403);
    expect((await post('/v1/accounts', '{"name":')).status).toBe(400);
    expect(await api.redis.keys('*:request:*')).toEqual([]);
  });

  test.each([
    ['empty', ''],
    ['256 characters', 'x'.repeat(256)],
    ['letters beyond ASCII', 'ключ'],
    ['a tab', 'a\tb'],
  ])('a key that is %s is refused', async (_, key) => {
    const answer = await post('/v1/accounts', { name: 'acme' }, { 'idempotency-key': key });
    expect(answer).toMatchObject({
      status: 422,
      body: { error: { code: 'validation_error', param: 'Idempotency-Key' } },
    });
  });

  test('a key of 255 characters, blanks and signs is good', async () => {
    const key = `${' !~"'.repeat(50)}x`.slice(1);
    const first = await post('/v1/accounts', { name: 'acme' }, { 'idempotency-key': key });
    expect(first.status).toBe(201);
    isSameAnswer(await post('/v1/accounts', { name: 'acme' }, { 'idempotency-key': key }), first);
  });
});

test('keys, quota and the test clock ignore it, and so does what is no POST', async () => {
  await warm();
  const [one, two] = [
    await post('/v1/keys', { account: 'default' }),
    await post('/v1/keys', { account: 'default' }),
  ];
  expect(one.body.key).not.toBe(two.body.key);
  for (let n = 0; n < 2; n += 1) {
    expect(
      (await post('/v1/quota/take', { ip: '192.0.2.1' })).headers['idempotent-replayed'],
    ).toBeUndefined();
  }
  const moved = [
    await post('/v1/test-clock/advance', { by: 'PT1S' }),
    await post('/v1/test-clock/advance', { by: 'PT1S' }),
  ];
  expect(moved[0]!.body.now).not.toBe(moved[1]!.body.now);
  await api.ask('DELETE', '/v1/dedicated-ips/192.0.2.1', undefined, once);
  expect((await api.ask('DELETE', '/v1/dedicated-ips/192.0.2.1', undefined, once)).status).toBe(409);
  expect(await api.redis.keys('*:request:*')).toEqual([]);
});

test('it is remembered for 24 hours of real time, and leaves nothing', async () => {
  await warm();
  await post('/v1/dedicated-ips/192.0.2.1/hold', { because: 'x' });
  for (const name of await api.redis.keys('*:request*')) {
    const ms = await api.redis.pttl(name);
    expect(ms).toBeGreaterThan(23.9 * 3_600_000);
    expect(ms).toBeLessThanOrEqual(25 * 3_600_000);
  }
  // The next day: the hold was lifted, and whoever comes with that key again wants it anew.
  await api.ask('DELETE', '/v1/dedicated-ips/192.0.2.1/hold');
  for (const name of await api.redis.keys('*:request:*')) await api.redis.del(name);
  const again = await post('/v1/dedicated-ips/192.0.2.1/hold', { because: 'x' });
  expect(again.headers['idempotent-replayed']).toBeUndefined();
  expect(again.body.hold).toMatchObject({ because: 'x' });
});

test('an answer that is long is made anew from what is there', async () => {
  const body = { addresses: ['10.0.0.0/24'], account: 'default' };
  const first = await post('/v1/inventory', body);
  expect(first.body.added, JSON.stringify(first.body)).toBe(256);
  const [record] = await api.redis.keys('*:request:*');
  expect(await api.redis.memory('USAGE', record!)).toBeLessThan(64 * 1024);
  const again = await post('/v1/inventory', body);
  expect(again.status).toBe(201);
  expect(again.body).toEqual(first.body);
  expect(await held()).toBe(256);
});
