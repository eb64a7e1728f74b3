import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSender } from '../../src/sender/index.ts';
import { block } from '../docs/page.ts';
import { eventually } from '../support/processes.ts';
import { type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { type Receiver, startReceiver } from '../support/webhook-receiver.ts';
import { ADMIN_KEY, type Deployment, deploy } from './deployment.ts';

// A Redis with the very users that docs/security.md names. Everything that Warmline does goes through, without one refusal in
// the log of Redis; what is not its business does not.

const PASSWORDS = { default: 'of-the-operator', warmline: 'of-warmline', sender: 'of-the-sender' };
type User = keyof typeof PASSWORDS;
const SENDERS_ACCOUNT = 'acct_default';

let dir: string;
let server: RedisServer;
let operator: Redis;
let deployed: Deployment;
let receiver: Receiver;
const closing: (() => unknown)[] = [];

const urlOf = (user: User) => server.url.replace('//', `//${user}:${PASSWORDS[user]}@`);
const as = (user: User) => {
  const redis = new Redis(urlOf(user), { maxRetriesPerRequest: 0 });
  closing.push(() => redis.disconnect());
  return redis;
};
const refusals = async () => (await operator.call('ACL', 'LOG')) as unknown[][];
const objectOf = (entry: unknown[]) => entry[entry.indexOf('object') + 1];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'warmline-acl-'));
  const lines = block('docs/security.md', 'acl')
    .replaceAll('ACCOUNT', SENDERS_ACCOUNT)
    .replace('OPERATOR_PASSWORD', PASSWORDS.default)
    .replace('WARMLINE_PASSWORD', PASSWORDS.warmline)
    .replace('SENDER_PASSWORD', PASSWORDS.sender);
  writeFileSync(join(dir, 'users.acl'), lines);
  server = await startRedisServer({
    config: ['--aclfile', join(dir, 'users.acl'), '--maxmemory-policy', 'noeviction'],
  });
  operator = as('default');
  receiver = await startReceiver();
  closing.push(() => receiver.close());
  deployed = await deploy(urlOf('warmline'));
  closing.push(() => deployed.stop());
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function done(method: string, url: string, body?: unknown) {
  const answer = await deployed.ask(method, url, body);
  expect(answer.status, `${method} ${url}: ${answer.status} ${answer.text}`).toBeLessThan(300);
  return answer.body;
}

test('API, worker and webhooks live through everything, and nothing of it is refused', async () => {
  await done('POST', '/v1/accounts', { name: 'acme' });
  await done('POST', '/v1/accounts', { name: 'acme-news', parent: 'acme' });
  await done('POST', '/v1/inventory', { addresses: ['203.0.113.0/29', '2001:db8::/126'], region: 'eu' });
  const brought = { addresses: ['198.51.100.1', '198.51.100.2'], account: 'default', status: 'active' };
  await done('POST', '/v1/inventory', brought);
  await done('GET', '/v1/inventory');
  const hook = await done('POST', '/v1/webhooks', { url: receiver.url });
  await done('POST', `/v1/webhooks/${hook.id}/test`);

  const created = { 'idempotency-key': 'one', authorization: `Bearer ${ADMIN_KEY}` };
  const ip = (await deployed.request('POST', '/v1/dedicated-ips', created)).body;
  await done('POST', `/v1/dedicated-ips/${ip.id}/warmup`, {});
  const pool = await done('POST', '/v1/dedicated-ips/pools', { name: 'marketing', isDefault: true });
  for (const ipId of [ip.id, '198.51.100.1']) {
    await done('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId });
  }
  const taken = await done('POST', '/v1/quota/take', { pool: 'marketing', count: 30 });
  await done('POST', '/v1/quota/refund', { refunds: [{ receipt: taken.granted[0].receipt }] });
  await done('POST', '/v1/quota/take', { takes: [{ ip: ip.id }, { pool: 'marketing' }, {}] });
  await done('POST', '/v1/quota/explain', { pool: 'marketing' });
  await done('POST', '/v1/forecast', { messages: 100_000, pool: 'marketing' });
  await done('PATCH', `/v1/dedicated-ips/${ip.id}`, { labels: { team: 'a' }, ceiling: { perDay: 40 } });
  for (const url of [
    ...[`/v1/dedicated-ips/${ip.id}/quota`, `/v1/dedicated-ips/${ip.id}/ledger`, '/v1/changes'],
    ...['/v1/dedicated-ips?status=warming', '/v3/ips/warmup', '/v3/ips/pools', '/metrics', '/readyz'],
  ]) {
    await done('GET', url);
  }
  for (const what of [`${ip.id}`, `pools/${pool.id}`]) {
    await done('POST', `/v1/dedicated-ips/${what}/hold`, { because: 'a trial' });
    await done('DELETE', `/v1/dedicated-ips/${what}/hold`);
  }
  await eventually('webhooks were told', () => receiver.received.length > 3);
  await done('GET', `/v1/webhooks/${hook.id}/deliveries`);
  const key = await done('POST', '/v1/keys', { account: 'acme', scopes: ['read'] });
  await done('GET', '/v1/keys');
  await done('DELETE', `/v1/keys/${key.id}`);

  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const signedIn = await deployed.request('POST', '/sign-in', form, `key=${ADMIN_KEY}`);
  const cookie = String(signedIn.headers['set-cookie']).split(';')[0]!;
  for (const url of ['/', '/pools', `/ips/${ip.id}`, '/held', '/changes', '/schedules']) {
    expect((await deployed.request('GET', url, { cookie })).status, url).toBe(200);
  }
  const ticks = await operator.zcard('warmline:{queue}:sweep:completed');
  await eventually(
    'ticks go on',
    async () => (await operator.zcard('warmline:{queue}:sweep:completed')) > ticks,
  );
  await done('DELETE', `/v1/dedicated-ips/${ip.id}`);
  await done('POST', `/v1/dedicated-ips/${ip.id}/restore`);
  expect((await refusals()).map(objectOf)).toEqual([]);
});

test('a sender that speaks Redis takes, leases and gives back, and nothing that it needs is refused', async () => {
  const sender = await createSender({ redisUrl: urlOf('sender'), whenUnreachable: 'deny' });
  const taken = await sender.take({ pool: 'marketing', count: 2 });
  expect(taken.allowed).toBe(true);
  expect(await sender.refund(taken.granted.map(({ receipt }) => ({ receipt })))).toEqual({ refunded: 2 });
  expect((await sender.take({ ip: '198.51.100.1', count: 3 })).allowed).toBe(true);
  const { granted } = await sender.take({ partial: true, count: 100, among: ['198.51.100.1'] });
  expect(granted).toHaveLength(1);
  expect((await sender.take({ ip: granted[0]!.ipId })).allowed).toBe(true);
  expect((await sender.peek({ pool: 'marketing' })).allowed).toBe(true);
  await expect(sender.take({ pool: 'none' })).rejects.toThrow('there is no pool "none"');
  const many = await Promise.all(Array.from({ length: 40 }, () => sender.take({ pool: 'marketing' })));
  expect(many.every(({ allowed }) => allowed)).toBe(true);
  const lease = sender.lease({ pool: 'marketing' });
  expect(await lease.take()).toMatchObject({ ip: expect.any(String) });
  await lease.close();
  await sender.close();
  // It asks whether Redis may forget, and does without the answer.
  expect((await refusals()).map(objectOf)).toEqual(['config|get']);
});

/** To a command, or to one inside a script. */
const REFUSED = /NOPERM|The user executing the script can't/;

describe('what is refused', () => {
  const NOT_FOR_WARMLINE = [
    ...[['CONFIG', 'REWRITE'], ['CONFIG', 'SET', 'dir', '/tmp'], ['FLUSHALL'], ['FLUSHDB'], ['KEYS', '*']],
    ...[['SHUTDOWN'], ['MONITOR'], ['ACL', 'LIST'], ['ACL', 'SETUSER', 'x']],
    ...[
      ['REPLICAOF', 'NO', 'ONE'],
      ['MODULE', 'LIST'],
      ['CLIENT', 'KILL', 'TYPE', 'normal'],
      ['SWAPDB', '0', '1'],
    ],
    ...[
      ['SCRIPT', 'FLUSH'],
      ['FUNCTION', 'FLUSH'],
      ['GET', 'of-another-program'],
      ['SET', 'mine', '1'],
    ],
    ...[
      ['EVAL', "return redis.call('GET', 'of-another-program')", '0'],
      ['SUBSCRIBE', 'news'],
    ],
  ];
  test('to Warmline: what manages the server, and what is not its own', async () => {
    const redis = as('warmline');
    for (const [command, ...args] of NOT_FOR_WARMLINE) {
      await expect(redis.call(command!, ...args), [command, ...args].join(' ')).rejects.toThrow(REFUSED);
    }
  });

  const READ = (key: string) => [
    ...[
      ['GET', key],
      ['HGETALL', key],
      ['ZRANGE', key, '0', '-1'],
    ],
    ...[
      ['EVAL', `return redis.call('HGETALL', '${key}')`, '0'],
      ['EVAL', 'return 1', '1', key],
    ],
  ];
  const NOT_FOR_SENDERS = [
    // Hashes of API keys, what signs receipts, sessions, the inventory, queues.
    ...READ('warmline:{directory}:api-keys'),
    ...READ('warmline:{directory}:receipt-secret'),
    ...READ('warmline:{session}:0000'),
    ...READ('warmline:{inventory}:entries'),
    ...READ('warmline:{queue}:sweep:meta'),
    // What another account has, and the secrets of its own account's webhooks.
    ...READ('warmline:{acct_acme}:hot:203.0.113.9'),
    ...READ('warmline:{acct_acme}:ip:ip_1'),
    ...READ('warmline:{acct_default}:webhooks'),
    ...READ('warmline:{acct_default}:changes'),
    // What it may read it may not change.
    ['SET', 'warmline:{acct_default}:ip:ip_1', '{}'],
    ['HSET', 'warmline:{directory}:names', 'acme', 'acct_default'],
    ['HSET', 'warmline:{acct_default}:addresses', '203.0.113.9', 'ip_1'],
    ['DEL', 'warmline:{acct_default}:pool-names'],
    ['EVAL', "return redis.call('HSET', 'warmline:{acct_default}:quota:203.0.113.9', 'a', 'b')", '0'],
    ...[['KEYS', '*'], ['SCAN', '0'], ['RANDOMKEY'], ['CONFIG', 'GET', 'dir'], ['FLUSHALL'], ['ACL', 'LIST']],
    ...[['SCRIPT', 'FLUSH'], ['MONITOR'], ['CLIENT', 'LIST'], ['PUBLISH', 'warmline:{clock}:moves', 'moved']],
    ...[
      ['SUBSCRIBE', 'warmline:{clock}:moves'],
      ['EXPIRE', 'warmline:{acct_default}:hot:203.0.113.9', '1'],
    ],
  ];
  test('to a sender: keys, secrets, other accounts, and to change what it may read', async () => {
    const redis = as('sender');
    for (const [command, ...args] of NOT_FOR_SENDERS) {
      await expect(redis.call(command!, ...args), [command, ...args].join(' ')).rejects.toThrow(REFUSED);
    }
  });

  test('to whoever has no password, or a wrong one: everything', async () => {
    const nobody = new Redis(server.url, { maxRetriesPerRequest: 0, enableReadyCheck: false });
    nobody.on('error', () => {});
    closing.push(() => nobody.disconnect());
    await expect(nobody.get('warmline:{clock}:mode')).rejects.toThrow('NOAUTH');
    const wrong = urlOf('warmline').replace(PASSWORDS.warmline, 'guessed');
    await expect(createSender({ redisUrl: wrong })).rejects.toThrow(
      /^Redis at redis:\/\/…@127\.0\.0\.1:\d+ refuses us \(WRONGPASS .*\); are the user and the password/,
    );
  });
});
