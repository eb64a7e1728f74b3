import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Warmline } from '../../src/client/index.ts';
import { createSender } from '../../src/sender/index.ts';
import { PYTHON } from '../support/python.ts';
import { startRedisServer } from '../support/redis-server.ts';
import { startReceiver } from '../support/webhook-receiver.ts';
import { block, root } from './page.ts';
import { redisCliFolder, type Served, serve } from './served.ts';

// The commands and the programs of docs/, as they stand there, against a `warmline serve` of their own.

const REDIS_CLI = redisCliFolder();

let warmline: Served;
let client: Warmline;

beforeAll(async () => {
  warmline = await serve({ WARMLINE_WEBHOOK_PRIVATE: 'allow' });
  client = new Warmline({ baseUrl: warmline.url, apiKey: warmline.key });
  warmline.env.REDIS_URL = warmline.redisUrl.replace('//:', '//default:');
  if (REDIS_CLI) warmline.env.PATH = `${REDIS_CLI}${delimiter}${process.env.PATH}`;
  // What the pages speak of as if it were there.
  await client.inventory.add({
    addresses: ['192.0.2.7', '203.0.113.0', '203.0.113.7'],
    account: 'default',
  });
  for (const [address, name] of [
    ['203.0.113.0', 'marketing'],
    ['192.0.2.7', 'Newsletters'],
  ] as const) {
    const ip = await client.dedicatedIps.startWarmup(address);
    const pool = await client.dedicatedIps.createPool({ name });
    await client.dedicatedIps.addIpToPool(pool.id, { ipId: ip.id });
  }
  await client.dedicatedIps.startWarmup('203.0.113.7');
});

afterAll(() => warmline.stop());

/** What stands in a page for an id is known only when the lines before it have run. */
async function shellWithId(script: string, placeholder: string, id: () => Promise<string>): Promise<string> {
  const lines = script.trimEnd().split('\n');
  const first = lines.findIndex((line) => line.includes(placeholder));
  const before = await warmline.shell(lines.slice(0, first).join('\n'));
  const known = await id();
  return before + (await warmline.shell(lines.slice(first).join('\n').replaceAll(placeholder, known)));
}

const stateOf = async (address: string) => {
  const { status, hostname, bind, warmup } = await client.dedicatedIps.get(address);
  return { status, hostname, bind, day: warmup.currentDay };
};

test('docs/ips.md names the hosts of IPs', async () => {
  await warmline.shell(block('docs/ips.md', 'hostname'));
  expect(await stateOf('203.0.113.17')).toMatchObject({ hostname: 'mail17.example.com', bind: null });
  expect(await stateOf('203.0.113.18')).toMatchObject({ hostname: null, bind: '10.0.1.18' });
});

test('docs/ips.md brings IPs that have sent before', async () => {
  await warmline.shell(block('docs/ips.md', 'import'));
  expect(await stateOf('198.51.100.20')).toMatchObject({ status: 'warming', day: 5 });
  expect(await stateOf('198.51.100.21')).toMatchObject({ status: 'active' });
  writeFileSync(join(warmline.home, 'ips.txt'), '198.51.100.31 3\n198.51.100.32 9\n');
  await warmline.shell(block('docs/ips.md', 'import-many'));
  expect(await stateOf('198.51.100.31')).toMatchObject({ status: 'warming', day: 3 });
  expect(await stateOf('198.51.100.32')).toMatchObject({ status: 'warming', day: 9 });
});

test('docs/ips.md: an IP in pools is refused without reverse DNS', async () => {
  await client.inventory.add({ addresses: ['203.0.113.19'], account: 'default', whitelabeled: false });
  await expect(warmline.shell('warmline pools add marketing 203.0.113.19')).rejects.toThrow(/no reverse DNS/);
});

test('docs/ips.md gives an IP back and takes it again', async () => {
  await warmline.shell(block('docs/ips.md', 'release'));
  expect(await stateOf('198.51.100.20')).toMatchObject({ status: 'warming', day: 5 });
});

test('docs/operate.md watches', async () => {
  const out = await warmline.shell(block('docs/operate.md', 'watch'));
  expect(out).toMatch(/^\{"ok":true/);
  expect(out).toContain('203.0.113.0');
  expect(out).toMatch(/1 send may go now/);
});

test('docs/operate.md checks', async () => {
  const out = await warmline.shell(block('docs/operate.md', 'check'));
  expect(out).toMatch(/^ok +eviction +noeviction$/m);
  expect(out).toMatch(/^0 failures, 0 warnings$/m);
});

test('docs/operate.md holds and resumes', async () => {
  const lines = block('docs/operate.md', 'hold').trimEnd().split('\n');
  await warmline.shell(lines.slice(0, 2).join('\n'));
  expect((await client.quota.take({ pool: 'marketing' })).because?.code).toBe('hold');
  await warmline.shell(lines.slice(2).join('\n'));
  expect((await client.quota.take({ pool: 'marketing' })).allowed).toBe(true);
});

test('docs/operate.md backs up an account', async () => {
  const script = block('docs/operate.md', 'backup-account').replaceAll('acme', 'default');
  expect(await warmline.shell(script)).toMatch(/^\{"kind":"end","lines":\d+,"sha256":"[0-9a-f]{64}"\}$/m);
  await expect(warmline.shell('warmline restore default.jsonl')).rejects.toThrow(
    /account default .* is here/,
  );
});

test.skipIf(!REDIS_CLI)(
  'docs/operate.md backs up, and what is restored has counted the same (skipped only where there is no redis-cli)',
  async () => {
    expect((await client.quota.take({ ip: '203.0.113.7', count: 3 })).allowed).toBe(true);
    await warmline.shell(block('docs/operate.md', 'backup'));
    const dir = join(warmline.home, 'restored');
    mkdirSync(dir);
    cpSync(join(warmline.home, 'backup'), join(dir, 'appendonlydir'), { recursive: true });
    const redis = await startRedisServer({ config: ['--dir', dir, '--appendonly', 'yes'] });
    const sender = await createSender({ redisUrl: redis.url });
    try {
      const denied = await sender.take({ ip: '203.0.113.7', count: 18 });
      expect(denied).toMatchObject({ allowed: false, because: { code: 'hour' } });
      expect((await sender.take({ ip: '203.0.113.7', count: 17 })).allowed).toBe(true);
    } finally {
      await sender.close();
      await redis.stop();
    }
  },
);

test.skipIf(!REDIS_CLI)(
  'docs/other-languages.md looks with plain Redis (skipped only where there is no redis-cli)',
  async () => {
    const out = await warmline.shell(block('docs/other-languages.md', 'look'));
    expect(out).toMatch(/^dailyLimit\n50$/m);
    expect(out).toMatch(/^status\nwarming$/m);
  },
);

test('docs/keys.md makes a key and revokes it', async () => {
  const script = block('docs/keys.md', 'keys').replace(/^KEY=.*$/m, '$&\necho "KEY is $KEY"');
  const out = await shellWithId(script, 'key_1x2y3z', async () => {
    const { data } = await client.keys.list();
    return data.find(({ account }) => account === 'acme')!.id;
  });
  const [, key] = /^KEY is (\S+)$/m.exec(out)!;
  const revoked = new Warmline({ baseUrl: warmline.url, apiKey: key! });
  await expect(revoked.dedicatedIps.list()).rejects.toMatchObject({ status: 401 });
});

test('docs/metrics.md asks for the metrics', async () => {
  const here = block('docs/metrics.md', 'curl')
    .replace('http://127.0.0.1:8080', warmline.url)
    .replace('https://warmline.example.com', warmline.url);
  const out = await warmline.shell(here);
  expect(out.match(/^warmline_redis_up 1$/gm)).toHaveLength(2);
});

test('docs/webhooks.md makes a webhook, tries it and deletes it', async () => {
  const receiver = await startReceiver();
  try {
    const script = block('docs/webhooks.md', 'commands').replace(
      'https://example.com/warmline',
      receiver.url,
    );
    await shellWithId(script, 'hook_1x2y3z', async () => (await client.webhooks.list()).data[0]!.id);
    expect(receiver.received.length).toBeGreaterThan(0);
    expect((await client.webhooks.list()).data).toEqual([]);
  } finally {
    await receiver.close();
  }
});

const OF_CLIENTS = ['many', 'explain', 'lists'] as const;
/** `'many-node'`, `'many-python'`, `'explain-node'`, `'explain-python'`, `'lists-node'`, `'lists-python'` after the one that opens. */
const programOf = (name: (typeof OF_CLIENTS)[number], language: 'node' | 'python') =>
  block('docs/clients.md', language === 'node' ? 'open-node' : 'open-python') +
  block('docs/clients.md', `${name}-${language}`);

test.each(OF_CLIENTS)('docs/clients.md, %s: the TypeScript runs', async (name) => {
  const out = await warmline.program(programOf(name, 'node'));
  if (name === 'explain') expect(out).toContain('192.0.2.7');
  if (name === 'lists') expect(out).toContain('203.0.113.7\n');
});

test.skipIf(!PYTHON).each(OF_CLIENTS)(
  'docs/clients.md, %s: the Python runs (skipped only where there is no Python)',
  (name) => {
    const env = {
      ...warmline.env,
      PYTHONPATH: join(root, 'clients/python'),
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const out = execFileSync(PYTHON!, ['-c', programOf(name, 'python')], { env }).toString();
    if (name === 'explain') expect(out).toContain('192.0.2.7');
    if (name === 'lists') expect(out).toContain('203.0.113.7\n');
  },
);
