import { request as httpRequest } from 'node:http';
import { connect as dial } from 'node:net';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { replaceEnvironmentKey } from '../../src/fleet/api-keys.ts';
import { createApi } from '../../src/http/server.ts';
import { routesOfApi } from './routes.ts';
import { ADMIN_KEY, type Answer, type Api, startApi } from './support.ts';

// Who gets in, and what those hear who knock in a wrong way. Nobody ever sees a stack trace or anything but JSON.

let api: Api;
let url: string;
let logged = '';
beforeAll(async () => {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      logged += String(chunk);
      done();
    },
  });
  api = await startApi({ api: { log: pino({ level: 'debug' }, stream) } });
  url = await api.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => api.stop());
beforeEach(async () => {
  await api.reset();
  await replaceEnvironmentKey(api.engine, ADMIN_KEY);
});

/** The one form of every error. */
function isError(answer: Answer, status: number, code: string, param: string | null = null) {
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(Object.keys(answer.body)).toEqual(['error']);
  expect(answer.body.error).toMatchObject({ code, param });
  expect(Object.keys(answer.body.error)).toEqual(['code', 'message', 'param', 'details']);
  expect(answer.body.error.message).toMatch(/^[^\n]{8,400}$/);
  expect(JSON.stringify(answer.body)).not.toMatch(/node_modules|\.ts:\d|\n\s*at /);
}

describe('keys', () => {
  test.each([
    ['no key', null],
    ['a key that nobody has', 'wl_nobody_0123456789'],
    ['an empty one', ''],
    ['a very long one', 'x'.repeat(5_000)],
  ])('%s: 401, before anything is told about routes or bodies', async (_, key) => {
    const ask = api.askAs(key);
    isError(await ask('GET', '/v1/dedicated-ips'), 401, 'authentication_error');
    isError(await ask('GET', '/v1/dedicated-ips/pools/nobody'), 401, 'authentication_error');
    isError(await ask('GET', '/nowhere'), 401, 'authentication_error');
    isError(await ask('PUT', '/v1/dedicated-ips'), 401, 'authentication_error');
    isError(await ask('POST', '/v1/dedicated-ips', '{"broken'), 401, 'authentication_error');
    expect((await ask('GET', '/v1/inventory')).headers['www-authenticate']).toBe('Bearer');
  });

  test('an unknown key is told so in the words that clients know', async () => {
    const answer = await api.askAs('wl_nobody_0123456789')('GET', '/v1/dedicated-ips');
    expect(answer.body.error.message).toBe('Invalid API key provided');
  });

  test.each(['Basic d2w6eA==', 'Bearer', 'Bearer ', ADMIN_KEY, 'Bearer a b'])(
    '"%s" is no key',
    async (authorization) => {
      isError(
        await api.askAs(null)('GET', '/v1/dedicated-ips', undefined, { authorization }),
        401,
        'authentication_error',
      );
    },
  );

  test('the name of the scheme may be written in any case', async () => {
    const answer = await api.askAs(null)('GET', '/v1/dedicated-ips', undefined, {
      authorization: `bEARER ${ADMIN_KEY}`,
    });
    expect(answer.status).toBe(200);
  });

  test('a revoked key is refused within a second, a new one works at once', async () => {
    const key = 'wl_test_acct_default_90';
    const ask = api.askAs(key);
    expect((await ask('GET', '/v1/dedicated-ips')).status).toBe(401);
    const made = await api.key('acct_default', ['read']);
    expect((await api.askAs(made)('GET', '/v1/dedicated-ips')).status).toBe(200);
    await api.revoke(made);
    api.passRealTime(999);
    expect((await api.askAs(made)('GET', '/v1/dedicated-ips')).status).toBe(401);
  });

  test('a key outlives neither the one that replaces it nor its account', async () => {
    await replaceEnvironmentKey(api.engine, 'wl_the_next_key_0123456789');
    api.passRealTime(1_000);
    expect((await api.ask('GET', '/v1/dedicated-ips')).status).toBe(401);
    expect((await api.askAs('wl_the_next_key_0123456789')('GET', '/v1/dedicated-ips')).status).toBe(200);
    isError(
      await api.askAs(await api.key('acct_gone', ['read']))('GET', '/v1/dedicated-ips'),
      401,
      'authentication_error',
    );
  });
});

describe('scopes', () => {
  const ROUTES = [
    ['GET', '/v1/dedicated-ips', 'read'],
    ['HEAD', '/v1/dedicated-ips', 'read'],
    ['GET', '/v1/dedicated-ips/192.0.2.7', 'read'],
    ['GET', '/v1/dedicated-ips/192.0.2.7/quota', 'read'],
    ['GET', '/v1/dedicated-ips/192.0.2.7/ledger', 'read'],
    ['GET', '/v1/dedicated-ips/pools', 'read'],
    ['GET', '/v1/dedicated-ips/pools/x', 'read'],
    ['GET', '/v1/dedicated-ips/pools/x/quota', 'read'],
    ['GET', '/v1/changes', 'read'],
    ['GET', '/v1/test-clock', 'read'],
    ['POST', '/v1/quota/explain', 'read'],
    ['GET', '/v1/quota/demand', 'read'],
    ['GET', '/v1/hold', 'read'],
    ['POST', '/v1/hold', 'write'],
    ['DELETE', '/v1/hold', 'write'],
    ['POST', '/v1/forecast', 'read'],
    ['GET', '/v1/webhooks', 'read'],
    ['GET', '/v1/webhooks/x', 'read'],
    ['GET', '/v1/webhooks/x/deliveries', 'read'],
    ['POST', '/v1/webhooks', 'write'],
    ['PATCH', '/v1/webhooks/x', 'write'],
    ['DELETE', '/v1/webhooks/x', 'write'],
    ['POST', '/v1/webhooks/x/rotate-secret', 'write'],
    ['POST', '/v1/webhooks/x/test', 'write'],
    ['POST', '/v1/quota/take', 'send'],
    ['POST', '/v1/quota/refund', 'send'],
    ['POST', '/v1/dedicated-ips', 'write'],
    ['PATCH', '/v1/dedicated-ips/192.0.2.7', 'write'],
    ['DELETE', '/v1/dedicated-ips/192.0.2.7', 'write'],
    ['POST', '/v1/dedicated-ips/192.0.2.7/warmup', 'write'],
    ['POST', '/v1/dedicated-ips/192.0.2.7/restore', 'write'],
    ['POST', '/v1/dedicated-ips/192.0.2.7/hold', 'write'],
    ['DELETE', '/v1/dedicated-ips/192.0.2.7/hold', 'write'],
    ['POST', '/v1/dedicated-ips/pools', 'write'],
    ['PATCH', '/v1/dedicated-ips/pools/x', 'write'],
    ['DELETE', '/v1/dedicated-ips/pools/x', 'write'],
    ['POST', '/v1/dedicated-ips/pools/x/ips', 'write'],
    ['DELETE', '/v1/dedicated-ips/pools/x/ips/192.0.2.7', 'write'],
    ['POST', '/v1/dedicated-ips/pools/x/hold', 'write'],
    ['DELETE', '/v1/dedicated-ips/pools/x/hold', 'write'],
    ['GET', '/v1/inventory', 'admin'],
    ['POST', '/v1/inventory', 'admin'],
    ['GET', '/v1/accounts', 'admin'],
    ['POST', '/v1/accounts', 'admin'],
    ['GET', '/v1/accounts/x', 'admin'],
    ['GET', '/v1/keys', 'admin'],
    ['POST', '/v1/keys', 'admin'],
    ['DELETE', '/v1/keys/x', 'admin'],
    ['POST', '/v1/test-clock/advance', 'admin'],
  ] as const;

  test.each(ROUTES)('%s %s needs %s', async (method, path, scope) => {
    for (const given of ['read', 'send', 'write', 'admin'] as const) {
      const answer = await api.askAs(await api.key('acct_default', [given]))(
        method,
        path,
        method === 'POST' ? {} : undefined,
      );
      if (given === scope || given === 'admin') expect(answer.status).not.toBe(403);
      else expect(answer.status).toBe(403);
      if (answer.status === 403 && method !== 'HEAD') isError(answer, 403, 'forbidden');
    }
    expect((await api.askAs(await api.key('acct_default', []))(method, path)).status).toBe(403);
  });

  test('every route of the API is in that table', () => {
    const open = 5; // health, the document and its page, and metrics on this machine
    const ofV3 = 31; // `v3/door.test.ts`
    expect(routesOfApi(api.app)).toHaveLength(
      open + ofV3 + ROUTES.filter(([method]) => method !== 'HEAD').length,
    );
    for (const [method, path] of ROUTES) {
      expect(api.app.findRoute({ method, url: path }), `${method} ${path}`).not.toBeNull();
    }
  });
});

describe('health', () => {
  test('needs no key', async () => {
    const ask = api.askAs(null);
    expect(await ask('GET', '/healthz')).toMatchObject({ status: 200, body: { ok: true } });
    expect(await ask('GET', '/readyz')).toMatchObject({ status: 200, body: { ok: true, problems: [] } });
  });

  test('not ready while the database is not the one that was opened', async () => {
    await api.redis.flushall();
    const answer = await api.askAs(null)('GET', '/readyz');
    expect(answer).toMatchObject({ status: 503, body: { ok: false } });
    expect(answer.body.problems).toHaveLength(1);
  });

  test('whatever the caller of createApi says', async () => {
    const ready = async (): Promise<never> => {
      throw new Error('the disk is full');
    };
    const app = await createApi({
      engine: api.engine,
      log: pino({ level: 'silent' }),
      ready,
      workerIsRunning: () => false,
    });
    const answer = await app.inject('/readyz');
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toEqual({ ok: false, problems: ['the disk is full'], workerIsRunning: false });
    await app.close();
  });
});

describe('what is no proper request', () => {
  test('an unknown route, a wrong method', async () => {
    isError(await api.ask('GET', '/v1/nothing'), 404, 'not_found');
    const wrong = await api.ask('PUT', '/v1/dedicated-ips/192.0.2.7');
    isError(wrong, 405, 'not_found');
    expect(wrong.headers.allow).toBe('GET, PATCH, DELETE');
    isError(await api.ask('GET', `/${'x'.repeat(3_000)}`), 404, 'not_found');
    expect((await api.ask('GET', '/v1/dedicated-ips/')).status).toBe(200);
  });

  test('a broken escape in the path, a part that is too long', async () => {
    isError(await api.ask('GET', '/v1/dedicated-ips/%zz'), 400, 'validation_error');
    isError(await api.ask('GET', '/v1/dedicated-ips/%c3%28'), 400, 'validation_error');
    const long = await api.ask('GET', `/v1/dedicated-ips/${'1'.repeat(2_000)}`);
    expect([404, 414]).toContain(long.status);
    expect(long.body.error.code).toBeDefined();
  });

  const MALFORMED = [
    '{',
    '{"a":}',
    '[1,',
    '{"ip": undefined}',
    "{'ip':'x'}",
    '\u0000',
    '{"a":1}}',
    'NaN',
    '{"count":1e}',
  ];
  test.each(MALFORMED)('malformed JSON: %j is a 400', async (body) => {
    isError(await api.ask('POST', '/v1/quota/take', body), 400, 'validation_error');
  });

  test.each(['[]', '"x"', '7', 'null', 'true'])('a body that is no object: %s is a 422', async (body) => {
    isError(await api.ask('POST', '/v1/quota/take', body), 422, 'validation_error');
    isError(await api.ask('POST', '/v1/dedicated-ips', body), 422, 'validation_error');
  });

  test.each([
    '{"__proto__": {"admin": true}}',
    '{"constructor": {"prototype": {"admin": true}}}',
    '{"count": 1, "\\u005f_proto__": {"x": 1}}',
    '{"ceiling": {"__proto__": {"perDay": 1}}}',
  ])('a key that reaches for a prototype is refused: %s', async (body) => {
    const answer = await api.ask('POST', '/v1/quota/take', body);
    expect([400, 422]).toContain(answer.status);
    isError(answer, answer.status, 'validation_error', answer.body.error.param);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test('a name that every object has is an unknown field like any other', async () => {
    for (const name of ['toString', 'constructor', 'hasOwnProperty']) {
      isError(await api.ask('POST', '/v1/quota/take', `{"${name}": 1}`), 422, 'validation_error', name);
    }
  });

  test('deep nesting, in a moment', async () => {
    const deep = `${'['.repeat(250_000)}${']'.repeat(250_000)}`;
    isError(await api.ask('POST', '/v1/quota/take', deep), 422, 'validation_error');
    isError(await api.ask('POST', '/v1/quota/take', `{"ip":${deep}}`), 422, 'validation_error', 'ip');
    // To be repeatable a request is written down, and this one cannot be.
    const once = { 'idempotency-key': 'deep' };
    const body = `{"name":"deep","unknown":${deep}}`;
    isError(await api.ask('POST', '/v1/dedicated-ips/pools', body, once), 400, 'validation_error');
    const { status, body: refusal } = await api.ask('POST', '/v3/ips/pools', body, once);
    expect(status).toBe(400);
    expect(refusal.errors).toEqual([{ field: null, message: 'the body nests too deeply; send it flat' }]);
    const objects = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    isError(await api.ask('POST', '/v1/quota/take', objects), 422, 'validation_error', 'a');
  });

  test('ten thousand unknown fields, or very long names, make no long answer', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`field${n}`, n]));
    const answer = await api.ask('POST', '/v1/quota/take', many);
    isError(answer, 422, 'validation_error', 'field0');
    expect(JSON.stringify(answer.body).length).toBeLessThan(10_000);
    const long = await api.ask('POST', '/v1/quota/take', { ['x'.repeat(100_000)]: 1 });
    expect(JSON.stringify(long.body).length).toBeLessThan(1_000);
  });

  test('a body of more than a mebibyte', async () => {
    isError(
      await api.ask('POST', '/v1/quota/take', `{"ip":"${'1'.repeat(1024 * 1024)}"}`),
      413,
      'validation_error',
    );
  });

  test('another content type', async () => {
    for (const type of ['text/plain', 'application/xml', 'nonsense']) {
      const answer = await api.ask('POST', '/v1/quota/take', '{}', { 'content-type': type });
      isError(answer, 415, 'validation_error');
    }
    // What curl calls a form when it is given JSON is read as what it is.
    const curl = await api.ask('POST', '/v1/quota/take', '{"count":"x"}', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    isError(curl, 422, 'validation_error', 'count');
    const charset = await api.ask('POST', '/v1/quota/take', '{"count":"x"}', {
      'content-type': 'application/json; charset=utf-8',
    });
    isError(charset, 422, 'validation_error', 'count');
  });

  test('no body where none is needed, as SDKs send it: a content type and nothing else', async () => {
    await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.7'] });
    const json = { 'content-type': 'application/json' };
    const made = await api.ask('POST', '/v1/dedicated-ips', undefined, json);
    expect(made.status).toBe(201);
    expect((await api.ask('POST', `/v1/dedicated-ips/${made.body.id}/warmup`, undefined, json)).status).toBe(
      200,
    );
    expect((await api.ask('GET', '/v1/dedicated-ips', undefined, json)).status).toBe(200);
    expect((await api.ask('DELETE', `/v1/dedicated-ips/${made.body.id}`, undefined, json)).status).toBe(204);
    expect((await api.ask('DELETE', `/v1/dedicated-ips/${made.body.id}`, 'null')).status).toBe(409);
  });

  test('every wrong type in every field is a 422 that names the field, and never a 500', async () => {
    const wrong = [null, true, -1, 1.5, 1e300, '', 'x'.repeat(2_000), [], {}, [[]], { a: 1 }, '\u0000', '💥'];
    const bodies: [string, string, string[]][] = [
      [
        'POST',
        '/v1/quota/take',
        [
          'ip',
          'pool',
          'count',
          'partial',
          'among',
          'family',
          'to',
          'provider',
          'from',
          'class',
          'tenant',
          'attempt',
          'key',
        ],
      ],
      ['POST', '/v1/quota/refund', ['refunds']],
      [
        'POST',
        '/v1/inventory',
        ['addresses', 'region', 'hostname', 'bind', 'account', 'status', 'leased', 'whitelabeled'],
      ],
      ['POST', '/v1/accounts', ['name', 'parent']],
      ['POST', '/v1/keys', ['account', 'scopes', 'prefix', 'name', 'expires', 'poolIps']],
      ['POST', '/v1/test-clock/advance', ['by', 'to', 'work']],
      ['POST', '/v1/dedicated-ips', ['count']],
      ['POST', '/v1/dedicated-ips/192.0.2.7/warmup', ['plan', 'zone', 'burst', 'dayStartsAt', 'startDay']],
      ['POST', '/v1/dedicated-ips/192.0.2.7/hold', ['sending', 'advance', 'because', 'until']],
      ['PATCH', '/v1/dedicated-ips/192.0.2.7', ['hostname', 'bind', 'labels', 'ceiling']],
      ['PATCH', '/v1/dedicated-ips/pools/x', ['name', 'isDefault']],
      ['POST', '/v1/dedicated-ips/pools', ['name', 'isDefault', 'warmingShare', 'ceiling']],
      ['POST', '/v1/dedicated-ips/pools/x/ips', ['ipId']],
    ];
    for (const [method, path, fields] of bodies) {
      for (const field of fields) {
        for (const value of wrong) {
          const answer = await api.ask(method, path, JSON.stringify({ [field]: value }));
          expect(answer.status, `${method} ${path} ${field} ${JSON.stringify(value)}`).toBeLessThan(500);
          if (answer.status === 422) expect(answer.body.error.message).toMatch(/^[^\n]{5,500}$/);
        }
      }
    }
  });

  test('a query with a wrong, doubled or unknown name', async () => {
    for (const [query, param] of [
      ['limit=0', 'limit'],
      ['limit=101', 'limit'],
      ['limit=x', 'limit'],
      ['limit=1&limit=2', 'limit'],
      ['cursor=nonsense', 'cursor'],
      ['cursor=', 'cursor'],
      ['status=sleeping', 'status'],
      ['staus=active', 'staus'],
      ['__proto__=1', '__proto__'],
    ]) {
      const answer = await api.ask('GET', `/v1/dedicated-ips?${query}`);
      if (query === '__proto__=1') expect(answer.status).toBeLessThan(500);
      else isError(answer, 422, 'validation_error', param);
    }
    isError(await api.ask('GET', '/v1/dedicated-ips?pool=nobody'), 404, 'not_found', 'pool');
  });

  /** What comes back on a bare socket. */
  const say = (words: string) =>
    new Promise<string>((resolve) => {
      let text = '';
      const socket = dial(Number(new URL(url).port), '127.0.0.1', () => socket.write(`${words}\r\n\r\n`));
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text));
    });
  const bodyOf = (said: string) => JSON.parse(said.slice(said.indexOf('\r\n\r\n') + 4));

  test('what is not HTTP at all', async () => {
    const said = await say('HELO mail.example.com');
    expect(said).toMatch(/^HTTP\/1\.1 400 /);
    expect(bodyOf(said).error.code).toBe('validation_error');
  });

  test('a method that nobody knows, in the words of the dialect', async () => {
    const message = 'this is no valid HTTP request';
    expect(bodyOf(await say('FROB /v1/dedicated-ips HTTP/1.1')).error.message).toBe(message);
    expect(bodyOf(await say('FROB /v3/ips HTTP/1.1'))).toEqual({ errors: [{ field: null, message }] });
  });

  test('no Host: a sentence in the words of the dialect, where Node alone would answer with nothing', async () => {
    const message = 'the header Host is missing; name the host that is asked';
    const close = '\r\nConnection: close';
    for (const path of ['/v1/quota/take', '/v1/dedicated-ips', '/nowhere']) {
      const said = await say(`GET ${path} HTTP/1.1${close}`);
      expect(said).toMatch(/^HTTP\/1\.1 400 /);
      expect(bodyOf(said).error).toMatchObject({ code: 'validation_error', message });
    }
    expect(bodyOf(await say(`GET /v3/ips HTTP/1.1${close}`))).toEqual({ errors: [{ field: null, message }] });
    const page = await say(`GET /sign-in HTTP/1.1${close}`);
    expect(page).toMatch(/^HTTP\/1\.1 400 [\s\S]*\r\ncontent-security-policy: /);
    expect(page).toContain('The header Host is missing');
    // Before it was asked for there were HTTP/1.0 and programs that still speak it.
    expect(await say('GET /healthz HTTP/1.0')).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('an Expect that nobody can meet: a sentence, where Node alone would answer with nothing', async () => {
    const head = 'HTTP/1.1\r\nHost: x\r\nExpect: a-miracle';
    const said = await say(`GET /v1/dedicated-ips ${head}`);
    expect(said).toMatch(/^HTTP\/1\.1 417 /);
    expect(bodyOf(said).error.message).toContain('the header Expect asks for what this server cannot do');
    expect(bodyOf(await say(`GET /v3/ips ${head}`)).errors).toHaveLength(1);
  });
});

describe('over a real connection', () => {
  test('an answer carries the request id that came in, or one of its own', async () => {
    const authorization = `Bearer ${ADMIN_KEY}`;
    const own = await fetch(`${url}/v1/dedicated-ips`, { headers: { authorization } });
    expect(own.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    const given = await fetch(`${url}/v1/dedicated-ips`, {
      headers: { authorization, 'x-request-id': 'job-17/3' },
    });
    expect(given.headers.get('x-request-id')).toBe('job-17/3');
    const bad = await fetch(`${url}/nowhere`, { headers: { 'x-request-id': 'a b"c' } });
    expect(bad.status).toBe(401);
    expect(bad.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(logged).toContain('job-17/3');
  });

  test('a chunked body is read, a huge one is cut off', async () => {
    const send = (chunks: string[]) =>
      new Promise<number>((resolve, reject) => {
        const { hostname, port } = new URL(url);
        const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' };
        const sent = httpRequest(
          { hostname, port, path: '/v1/accounts', method: 'POST', headers },
          (response) => {
            response.resume();
            response.on('end', () => resolve(response.statusCode ?? 0));
          },
        );
        sent.on('error', reject);
        for (const chunk of chunks) sent.write(chunk);
        sent.end();
      });
    expect(await send(['{"na', 'me":"chunky"', '}'])).toBe(201);
    expect(await send(Array.from({ length: 20 }, () => ' '.repeat(64 * 1024)))).toBe(413);
  });

  test('the log says who asked what, and holds no key', async () => {
    await fetch(`${url}/v1/dedicated-ips?limit=5`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
    expect(logged).toContain('request answered');
    expect(logged).not.toContain(ADMIN_KEY);
  });
});

describe('Redis out of reach', () => {
  test('503 in JSON, with a time to come back, healthy but not ready; and all is well when it is back', async () => {
    await api.ask('POST', '/v1/inventory', {
      addresses: ['192.0.2.7'],
      account: 'default',
      status: 'active',
    });
    api.passRealTime(1_000);
    const gone = new Promise((resolve) => api.redis.once('close', resolve));
    await api.server.kill9();
    await gone;
    const take = await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.7' });
    isError(take, 503, 'server_error');
    expect(take.headers['retry-after']).toBe('1');
    isError(
      await api.ask('POST', '/v1/quota/take', { takes: [{ ip: '192.0.2.7' }, {}] }),
      503,
      'server_error',
    );
    isError(await api.ask('GET', '/v1/dedicated-ips'), 503, 'server_error');
    expect((await api.askAs(null)('GET', '/healthz')).status).toBe(200);
    const unready = await api.askAs(null)('GET', '/readyz');
    expect(unready).toMatchObject({ status: 503, body: { ok: false } });
    expect(unready.body.problems[0]).toContain('Redis');

    const back = new Promise((resolve) => api.redis.once('ready', resolve));
    await api.server.restart();
    await back;
    // This Redis kept nothing: the process says so and goes on refusing.
    expect((await api.askAs(null)('GET', '/readyz')).status).toBe(503);
    await api.reset();
    expect((await api.askAs(null)('GET', '/readyz')).status).toBe(200);
  });
});

test('two who are let in never wait for each other', async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, () => api.ask('GET', '/v1/dedicated-ips')));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
});
