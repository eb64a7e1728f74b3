import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { startReceiver } from '../support/webhook-receiver.ts';
import { PATIENCE_MS, runWarmline, type WarmlineProcess } from './warmline-process.ts';

// A real process that logs all it can, asked with secrets in every place where a careless client may put one: none of them
// may be in anything that it says.

const MARK = 'GEHEIM';
const ADMIN_KEY = `wl_${MARK}_admin_0123456789`;
/** Of nobody. */
const WRONG_KEY = `wl_${MARK}_wrong_0123456789`;
const REDIS_PASSWORD = `${MARK}@redis:password`;

let server: RedisServer;
let served: WarmlineProcess;
let url: string;
/** What the process made itself and showed once: keys, secrets of webhooks, sessions. */
const secrets: string[] = [];
const env = () => ({ REDIS_URL: server.url, WARMLINE_API_KEY: ADMIN_KEY, WARMLINE_WEBHOOK_PRIVATE: 'allow' });

beforeAll(async () => {
  server = await startRedisServer({
    config: ['--requirepass', REDIS_PASSWORD, '--maxmemory-policy', 'noeviction'],
  });
  served = runWarmline(['serve'], { ...env(), LOG_LEVEL: 'trace', METRICS_PORT: '0' });
  [, url] = (await served.says(/Warmline answers at (http:[^;"]+);/)) as unknown as [string, string];
}, PATIENCE_MS);
afterAll(async () => {
  await served?.stop();
  await server?.stop();
});

async function ask(method: string, path: string, headers: Record<string, string> = {}, body?: string) {
  const answer = await fetch(`${url}${path}`, {
    ...{ method, headers, redirect: 'manual' },
    ...(body !== undefined && { body }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}
const asAdmin = (body?: string) => ({
  authorization: `Bearer ${ADMIN_KEY}`,
  ...(body !== undefined && { 'content-type': 'application/json' }),
});
const json = async (method: string, path: string, body: unknown) => {
  const text = JSON.stringify(body);
  const answer = await ask(method, path, asAdmin(text), text);
  expect(answer.status, answer.text).toBeLessThan(300);
  return JSON.parse(answer.text);
};

function expectNoSecretIn(text: string): void {
  for (const secret of [...secrets, MARK, encodeURIComponent(REDIS_PASSWORD)]) {
    const at = text.indexOf(secret);
    expect(at === -1 ? null : text.slice(Math.max(0, at - 200), at + 60), `a secret was said`).toBeNull();
  }
}

test('a key in any place of a request is in no line of the log, also not when it fails', async () => {
  const paths = [
    ...[
      '/v1/dedicated-ips',
      '/v1/none',
      '/v3/ips/warmup',
      '/v1/keys',
      '/openapi.json',
      '/readyz',
      '/metrics',
    ],
    ...['/', '/ips/none', '/assets/none.css'],
  ];
  for (const path of paths) {
    for (const key of [ADMIN_KEY, WRONG_KEY]) {
      await ask('GET', path, { authorization: `Bearer ${key}` });
      await ask('GET', path, { authorization: `Basic ${btoa(`api:${key}`)}`, 'x-api-key': key });
      await ask('GET', path, {
        authorization: key,
        'api-key': key,
        cookie: `warmline_session=${key}; key=${key}`,
      });
      await ask('GET', `${path}?api_key=${key}&key=${key}&access_token=${key}`, asAdmin());
      await ask('GET', path, { 'x-request-id': 'a b', 'idempotency-key': key, referer: `http://x/${key}` });
    }
  }
  for (const body of [`{"key":"${WRONG_KEY}"`, `{"apiKey":"${WRONG_KEY}"}`, `"${WRONG_KEY}"`, WRONG_KEY]) {
    for (const path of ['/v1/quota/take', '/v1/dedicated-ips', '/v1/keys', '/v3/ips/pools', '/v1/webhooks']) {
      await ask('POST', path, asAdmin(body), body);
    }
  }
  expectNoSecretIn(served.said());
});

test('what is no HTTP at all, with a key in it, neither', async () => {
  const { hostname, port } = new URL(url);
  for (const text of [
    `NONSENSE ${ADMIN_KEY}\r\n\r\n`,
    `GET / HTTP/1.1\r\nauthorization ${ADMIN_KEY}\r\n\r\n`,
  ]) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.end(text);
    socket.resume();
    await once(socket, 'close');
  }
  expectNoSecretIn(served.said());
});

test('keys that are made, secrets of webhooks and sessions are shown once and logged never', async () => {
  const receiver = await startReceiver();
  try {
    const made = await json('POST', '/v1/keys', { account: 'default', scopes: ['read', 'send', 'write'] });
    const hook = await json('POST', '/v1/webhooks', { url: `${receiver.url}?token=${MARK}` });
    const rotated = await json('POST', `/v1/webhooks/${hook.id}/rotate-secret`, {});
    secrets.push(made.key, hook.secret, rotated.secret);
    await json('POST', `/v1/webhooks/${hook.id}/test`, {});
    receiver.answer = { status: 500 };
    await ask('GET', '/v1/dedicated-ips', { authorization: `Bearer ${made.key}` });

    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await ask('POST', '/sign-in', form, `key=${WRONG_KEY}`)).status).toBe(401);
    const signed = await ask('POST', '/sign-in', form, `key=${made.key}&next=/`);
    const cookie = signed.headers.get('set-cookie')!.split(';')[0]!;
    secrets.push(cookie.split('=')[1]!);
    const page = await ask('GET', '/', { cookie });
    expect(page.status).toBe(200);
    const [, csrf] = /name="csrf" value="([^"]+)"/.exec(page.text)!;
    secrets.push(csrf!);
    await ask('POST', '/stop', { ...form, cookie }, `csrf=${csrf}&because=trial&key=${made.key}`);
    await ask('POST', '/ips/none/hold', { ...form, cookie }, `csrf=${csrf}`);
    await ask('POST', '/sign-out', { ...form, cookie }, `csrf=${csrf}`);
    for (const one of JSON.parse((await ask('GET', '/v1/webhooks', asAdmin())).text).data) {
      expect(JSON.stringify(one)).not.toContain(rotated.secret);
    }
    expect((await ask('GET', '/v1/keys', asAdmin())).text).not.toContain(made.key);
  } finally {
    await receiver.close();
  }
  expectNoSecretIn(served.said());
});

test(
  'the command line says no key and no password, whatever goes wrong',
  async () => {
    const run = async (args: string[], more: Record<string, string>) => {
      const program = runWarmline(args, { ...env(), LOG_LEVEL: 'trace', ...more });
      await program.ended;
      await program.stop();
      return program.said();
    };
    const wrongPassword = server.url.replace(/:[^:@]+@/, `:${MARK}-wrong@`);
    const said = await Promise.all([
      run(['ips', 'list'], { WARMLINE_URL: url, WARMLINE_API_KEY: WRONG_KEY }),
      run(['api'], {
        REDIS_URL: `redis://:${MARK}/${MARK}@127.0.0.1:1,${MARK}@h`,
        WARMLINE_API_KEY: `${MARK} short`,
      }),
      run(['worker'], { REDIS_URL: wrongPassword }),
    ]);
    expect(said[0]).toContain('API key');
    expect(said[1]).toContain('REDIS_URL: (not shown, as it holds a password)');
    expect(said[2]).toContain('are the user and the password in the URL right');
    expectNoSecretIn(said.join(''));
  },
  PATIENCE_MS,
);

test('Redis going away in the middle is told without its password', async () => {
  await server.kill9();
  expect((await ask('GET', '/v1/dedicated-ips', asAdmin())).status).toBe(503);
  expectNoSecretIn((await ask('GET', '/readyz')).text);
  expectNoSecretIn(served.said());
  expect(served.said()).toMatch(/request could not be answered/);
});

test('the files that it keeps are for nobody else, and have no key that was given from outside', () => {
  for (const name of readdirSync(served.dataDir)) {
    expectNoSecretIn(readFileSync(join(served.dataDir, name), 'utf8'));
  }
});
