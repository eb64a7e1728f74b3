import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examine, whatEnded } from '../../src/cli/check.ts';
import { DEFAULT_ACCOUNT } from '../../src/fleet/accounts.ts';
import { createApiKey } from '../../src/fleet/api-keys.ts';
import type { Finding } from '../../src/fleet/checkup/finding.ts';
import { examineInventory } from '../../src/fleet/checkup/inventory.ts';
import { nowOf } from '../../src/fleet/engine.ts';
import { addToInventory, createIps } from '../../src/fleet/inventory.ts';
import { getIp, holdIp, startWarmup } from '../../src/fleet/ips.ts';
import { addIpToPool, createPool } from '../../src/fleet/pools.ts';
import { createWebhook, noteFailure } from '../../src/fleet/webhooks.ts';
import { clockKeys, directoryKeys, inventoryKeys } from '../../src/redis/keys.ts';
import { createLog } from '../../src/runtime/log.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { type RunningWorker, startWorker } from '../../src/worker/worker.ts';
import { block } from '../docs/page.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { eventually } from '../support/processes.ts';
import { WARMLINE } from '../support/warmline.ts';
import { engineWatched } from '../support/watched.ts';

// A deployment that is well, and then one fault after the other planted in a real Redis: each is found, and only it.

let fleet: Fleet;
let folder: string;
let ips: DedicatedIp[];
let poolId: string;
let worker: RunningWorker;
/** When the worker was stopped: from then on nothing is written but what a test plants. */
let stoppedMs: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warmline-check-'));
  const config = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory', '2gb'];
  fleet = await startFleet({ clock: 'real', config });
  const { engine, tenant } = fleet;
  await addToInventory(engine, { addresses: ['203.0.113.0/29'] });
  ips = await createIps(tenant, { count: 4 });
  await startWarmup(tenant, ips[0]!.id, {});
  await startWarmup(tenant, ips[1]!.id, { plan: 'fourteen-day', zone: 'Asia/Tokyo' });
  await holdIp(tenant, ips[1]!.id, { sending: true, advance: true, because: 'a test', untilMs: null });
  poolId = (await createPool(tenant, { name: 'marketing', ips: [ips[0]!.id] })).id;
  await addIpToPool(tenant, poolId, ips[2]!.id);
  await fleet.limiter.take({ ip: ips[0]!.id, count: 3 });
  await createApiKey(engine, { account: 'default', name: 'mail' });
  worker = await startWorker({
    ...{ engine, redisUrl: fleet.server.url, tickEveryMs: 100 },
    log: createLog({ level: 'silent' }),
  });
  const done = async () => (await fleet.redis.zcard('warmline:{queue}:sweep:completed')) > 0;
  await eventually('the worker has looked', done);
});
afterAll(async () => {
  await fleet?.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Run = { code: number; out: string; err: string };
const check = (args: string[] = [], env: NodeJS.ProcessEnv = { REDIS_URL: fleet.server.url }): Promise<Run> =>
  new Promise((resolve) => {
    const { REDIS_URL: _, ...inherited } = process.env;
    execFile(
      process.execPath,
      [WARMLINE, 'check', ...args],
      { env: { ...inherited, WARMLINE_DATA_DIR: folder, ...env } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });

const found = async (): Promise<Finding[]> => {
  const clock = (await fleet.redis.get(clockKeys.mode)) as 'real' | 'test';
  const { redis, engine, server } = fleet;
  // A database that turned into one on a test clock is still read with the clock of this fleet.
  return examine({ redis, engine, clock, redisUrl: server.url, close() {} }, undefined, undefined, stoppedMs);
};
const notWell = (findings: readonly Finding[]) =>
  findings
    .filter(({ level }) => level !== 'ok')
    .map(({ check: what, level, found: value }) => ({ what, level, value }));

/** Of the output what differs from run to run. */
const steady = (text: string) =>
  text
    .replace(/redis \d[\d.]*|valkey \d[\d.]*/, 'redis <version>')
    .replace(/\d+ MB of 2048 MB/, '<used> MB of 2048 MB')
    .replace(/looked [\w ]+ ago/, 'looked <a while> ago')
    .replace(/\d+ waiting/g, '<some> waiting');

test('a deployment that is well: one line each, all ok, exit 0', async () => {
  const { code, out, err } = await check();
  const golden = readFileSync(new URL('../golden/check.txt', import.meta.url), 'utf8');
  expect(steady(out)).toBe(golden);
  expect({ code, err }).toEqual({ code: 0, err: '' });
});

test('a failure ends it with 1, and programs get it as JSON', async () => {
  const undo = await setting('maxmemory-policy', 'allkeys-lru');
  const { code, out } = await check(['--json', '--sample', '1']).finally(undo);
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({
    ...{ failures: 1, warnings: 0 },
    findings: expect.arrayContaining([
      {
        ...{ check: 'eviction', level: 'failure' },
        found: 'allkeys-lru: a full Redis would forget quotas',
        todo: 'set maxmemory-policy noeviction',
      },
      { check: 'quotas published', level: 'ok', found: '1 of 4 IPs' },
      { check: 'addresses', level: 'ok', found: '1 of 8, 4 free' },
    ]),
  });
});

test.each<[what: string, args: string[], env: NodeJS.ProcessEnv, code: number, says: RegExp]>([
  ['an option', ['--sample', 'many'], {}, 2, /--sample/],
  ['the environment', [], { REDIS_URL: 'http://x' }, 2, /REDIS_URL/],
  ['no Redis', [], {}, 1, /^failure +redis +no Redis is named and none runs in/m],
  [
    'one that is away',
    [],
    { REDIS_URL: 'redis://127.0.0.1:1' },
    1,
    /^failure +redis +cannot reach Redis at redis:/m,
  ],
])('called wrongly, or without a Redis: %s', async (_, args, env, code, says) => {
  const run = await check(args, env);
  expect(run.code).toBe(code);
  expect(code === 2 ? run.err : run.out).toMatch(says);
  expect(code === 2 ? run.out : run.err).toBe('');
});

/** Everything but the mark of the queue that expires by itself. */
const dumpKept = async () => {
  const { 'warmline:{queue}:sweep:stalled-check': _, ...kept } = await fleet.dump();
  return kept;
};

test('it writes nothing', async () => {
  await worker.stop();
  stoppedMs = Date.now();
  const before = await dumpKept();
  expect(notWell(await found())).toEqual([]);
  expect(await dumpKept()).toEqual(before);
});

/** Plants a fault, looks, takes it away again. */
type Fault = [what: string, says: RegExp, plant: () => Promise<() => Promise<unknown>>];
const keys = () => fleet.tenant.keys;
const changed = async (key: string, change: () => Promise<unknown>) => {
  const before = await fleet.redis.dumpBuffer(key);
  await change();
  return () => fleet.redis.restore(key, 0, before, 'REPLACE');
};
const setting = async (name: string, value: string) => {
  const [, before] = (await fleet.redis.config('GET', name)) as string[];
  await fleet.redis.config('SET', name, value);
  return () => fleet.redis.config('SET', name, before!);
};

/** Beside one that is well and gets everything through. */
async function webhookThatIs(damage: (text: string) => string): Promise<() => Promise<unknown>> {
  const url = 'https://example.com/x';
  const { id } = await createWebhook(fleet.tenant, { url }, { allowPrivate: false });
  const text = (await fleet.redis.hget(keys().webhooks, id))!;
  await fleet.redis.hset(keys().webhooks, 'hook_damaged', damage(text.replace(id, 'hook_damaged')));
  return () => fleet.redis.del(keys().webhooks);
}

const FAILURES: Fault[] = [
  ['eviction', /allkeys-lru/, () => setting('maxmemory-policy', 'allkeys-lru')],
  ['append-only file', /off/, () => setting('appendonly', 'no')],
  ['memory', / of \d+ MB/, async () => setting('maxmemory', String(Math.ceil(1.02 * (await usedMemory()))))],
  [
    'restores',
    /^half restored: default$/,
    async () => {
      await fleet.redis.set(keys().restoring, `${'0'.repeat(64)} ips`);
      return () => fleet.redis.del(keys().restoring);
    },
  ],
  [
    'records',
    /has version 99/,
    () =>
      changed(keys().ip(ips[3]!.id), async () => {
        const text = (await fleet.redis.get(keys().ip(ips[3]!.id)))!;
        return fleet.redis.set(keys().ip(ips[3]!.id), text.replace(/"version":\d+/, '"version":99'));
      }),
  ],
  [
    'schedules',
    /203\.0\.113\.1 \(plan fourteen-day,/,
    async () => {
      const { warmup } = JSON.parse((await fleet.redis.get(keys().ip(ips[1]!.id)))!);
      return changed(keys().plan(warmup.digest), () => fleet.redis.del(keys().plan(warmup.digest)));
    },
  ],
  [
    'schedules',
    /203\.0\.113\.1 \(plan fourteen-day, \w+: .*JSON/,
    async () => {
      const { warmup } = JSON.parse((await fleet.redis.get(keys().ip(ips[1]!.id)))!);
      return changed(keys().plan(warmup.digest), () => fleet.redis.set(keys().plan(warmup.digest), '{'));
    },
  ],
  [
    'quotas published',
    /203\.0\.113\.0 has no hot record/,
    () => changed(keys().hot('203.0.113.0'), () => fleet.redis.del(keys().hot('203.0.113.0'))),
  ],
  [
    'quotas published',
    /203\.0\.113\.0 has a hot record that cannot be read/,
    () =>
      changed(keys().hot('203.0.113.0'), async () => {
        const hot = (await fleet.redis.getBuffer(keys().hot('203.0.113.0')))!;
        hot.writeDoubleLE(1_000, 160); // so many edges
        return fleet.redis.set(keys().hot('203.0.113.0'), hot);
      }),
  ],
  [
    'quotas published',
    /203\.0\.113\.0 may send 5000 a day/,
    () =>
      changed(keys().hot('203.0.113.0'), async () => {
        const hot = (await fleet.redis.getBuffer(keys().hot('203.0.113.0')))!;
        hot.writeDoubleLE(5_000, 96);
        return fleet.redis.set(keys().hot('203.0.113.0'), hot);
      }),
  ],
  [
    'quotas published',
    /203\.0\.113\.1 is held, and that is not published/,
    () =>
      changed(keys().hot('203.0.113.1'), async () => {
        const hot = (await fleet.redis.getBuffer(keys().hot('203.0.113.1')))!;
        hot.writeDoubleLE(0, 72);
        return fleet.redis.set(keys().hot('203.0.113.1'), hot);
      }),
  ],
  [
    'quotas published',
    /203\.0\.113\.0 has a quota hash with other limits/,
    () =>
      changed(keys().quota('203.0.113.0'), () =>
        fleet.redis.hset(keys().quota('203.0.113.0'), 'dailyLimit', 51),
      ),
  ],
  [
    'indexes',
    /203\.0\.113\.0 is due, and no worker will ever look at it/,
    () => changed(keys().due, () => fleet.redis.zrem(keys().due, ips[0]!.id)),
  ],
  [
    'indexes',
    /203\.0\.113\.0 is missing in the list of warming IPs/,
    () => changed(keys().warming, () => fleet.redis.zremrangebyrank(keys().warming, 0, 0)),
  ],
  [
    'indexes',
    /203\.0\.113\.2 is missing in pool pool_/,
    () => changed(keys().poolIps(poolId), () => fleet.redis.zrem(keys().poolIps(poolId), ips[2]!.id)),
  ],
  [
    'indexes',
    /5 addresses/,
    () => changed(keys().addresses, () => fleet.redis.hset(keys().addresses, '192.0.2.1', 'ip_nobody')),
  ],
  [
    'inventory of the IPs',
    /203\.0\.113\.3 is not in the inventory/,
    () => changed(inventoryKeys.entries, () => fleet.redis.hdel(inventoryKeys.entries, '203.0.113.3')),
  ],
  [
    'addresses',
    /203\.0\.113\.2 is held, and may be taken once more/,
    () => changed(inventoryKeys.free, () => fleet.redis.zadd(inventoryKeys.free, 1, '203.0.113.2')),
  ],
  [
    'addresses',
    /203\.0\.113\.7 is free, and nobody can take it/,
    () => changed(inventoryKeys.free, () => fleet.redis.zrem(inventoryKeys.free, '203.0.113.7')),
  ],
  [
    'addresses',
    /198\.51\.100\.99 is not in the inventory, and may be taken/,
    () => changed(inventoryKeys.free, () => fleet.redis.zadd(inventoryKeys.free, 1, '198.51.100.99')),
  ],
  [
    'addresses',
    /203\.0\.113\.6 cannot be read/,
    () => changed(inventoryKeys.entries, () => fleet.redis.hset(inventoryKeys.entries, '203.0.113.6', '{')),
  ],
  [
    'allocations',
    /under way for 5 min/,
    async () => {
      await fleet.redis.zadd(inventoryKeys.pending, Date.now() - 300_000, 'alloc_1');
      return () => fleet.redis.del(inventoryKeys.pending);
    },
  ],
  [
    'due work',
    /1 due, the longest for 1 h/,
    () =>
      changed(keys().due, async () =>
        fleet.redis.zadd(keys().due, (await fleet.now()) - 3_600_000, ips[0]!.id),
      ),
  ],
  [
    'accounts',
    /acct_broken cannot be read/,
    () => changed(directoryKeys.accounts, () => fleet.redis.hset(directoryKeys.accounts, 'acct_broken', '{')),
  ],
  [
    'accounts',
    /acct_\w+ cannot be read/,
    () =>
      changed(directoryKeys.accounts, () =>
        fleet.redis.hset(directoryKeys.accounts, fleet.tenant.account.id, '{'),
      ),
  ],
  [
    'API keys',
    /^key key_\w+ cannot be read$/,
    async () => {
      const [[hash]] = Object.entries(await fleet.redis.hgetall(directoryKeys.apiKeys)) as [[string, string]];
      return changed(directoryKeys.apiKeys, () => fleet.redis.hset(directoryKeys.apiKeys, hash, '{'));
    },
  ],
  [
    'API keys',
    /^the key with SHA-256 0badc0de cannot be read$/,
    () => changed(directoryKeys.apiKeys, () => fleet.redis.hset(directoryKeys.apiKeys, '0badc0deff', '{}')),
  ],
  ['webhooks', /^hook_damaged cannot be read$/, () => webhookThatIs(() => '{')],
  ['webhooks', /^hook_damaged cannot be read$/, () => webhookThatIs(() => '{}')],
  [
    'webhooks',
    /^hook_damaged cannot be read$/,
    () => webhookThatIs((text) => text.replace('https://example.com/x', 'nowhere')),
  ],
  [
    'records',
    /^ip_\w+ has a history that cannot be read: .*null/,
    async () => {
      const { id } = ips[3]!;
      const { rev, history: _, ...ip } = await getIp(fleet.tenant, id);
      const undo = await changed(keys().ip(id), () =>
        fleet.redis.set(keys().ip(id), JSON.stringify({ rev, ...ip, version: 1 })),
      );
      await fleet.redis.rpush(keys().history(id), 'null');
      return async () => {
        await undo();
        await fleet.redis.del(keys().history(id));
      };
    },
  ],
  [
    'worker',
    /none has ever looked/,
    () =>
      changed('warmline:{queue}:sweep:completed', () => fleet.redis.del('warmline:{queue}:sweep:completed')),
  ],
];
const usedMemory = async () => Number(/used_memory:(\d+)/.exec(await fleet.redis.info('memory'))![1]);

test.each(FAILURES)('a failure of %s is found: %s', async (what, says, plant) => {
  const undo = await plant();
  const seen = await found().finally(undo);
  expect(notWell(seen)).toEqual([{ what, level: 'failure', value: expect.stringMatching(says) }]);
  expect(seen.find(({ level }) => level !== 'ok')?.todo).toMatch(/\w/);
});

test('an account that somebody has stopped is a warning that says why, and not once the stop is over', async () => {
  const stop = (untilMs: number | null) => ({
    ...{ scope: 'account', sending: true, advance: true, because: 'a bounce storm', by: 'ops' },
    ...{ sinceMs: 1, untilMs },
  });
  const stops = async (record: string) => {
    await fleet.redis.set(keys().accountHold, record);
    return notWell(await found().finally(() => fleet.redis.del(keys().accountHold)));
  };
  const warned = {
    ...{ what: 'stops', level: 'warning' },
    value: `stopped: ${DEFAULT_ACCOUNT.name} (a bounce storm, by ops)`,
  };
  expect(await stops(JSON.stringify({ rev: 1, hold: stop(null) }))).toEqual([warned]);
  expect(await stops(JSON.stringify({ rev: 1, hold: stop(2) }))).toEqual([]);
  expect(await stops(JSON.stringify({ rev: 2, hold: null }))).toEqual([]);
  for (const damaged of ['{', '{"rev":1,"hold":{}}']) {
    expect(await stops(damaged)).toEqual([
      { what: 'accounts', level: 'failure', value: `the stop of ${DEFAULT_ACCOUNT.name} cannot be read` },
    ]);
  }
});

test('a key that cannot be read hides none that ends soon', async () => {
  const before = [
    await changed(directoryKeys.apiKeys, async () => {}),
    await changed(directoryKeys.keyHashes, async () => {}),
  ];
  const expiresAtMs = (await nowOf(fleet.engine)) + 2 * DAY_MS + 5_000;
  await createApiKey(fleet.engine, { account: 'default', name: 'soon', expiresAtMs });
  await fleet.redis.hset(directoryKeys.apiKeys, '0badc0deff', '{');
  const seen = await found().finally(() => Promise.all(before.map((undo) => undo())));
  expect(notWell(seen)).toEqual([
    { what: 'API keys', level: 'failure', value: 'the key with SHA-256 0badc0de cannot be read' },
    { what: 'API keys', level: 'warning', value: 'end soon: soon in 2 d' },
  ]);
});

test('a damaged entry of an address that is held is told as that, and not as a fault of its schedule', async () => {
  const undo = await changed(inventoryKeys.entries, () =>
    fleet.redis.hset(inventoryKeys.entries, '203.0.113.1', '{'),
  );
  expect(notWell(await found().finally(undo))).toEqual([
    {
      ...{ what: 'inventory of the IPs', level: 'failure' },
      value: '203.0.113.1 has an entry there that cannot be read',
    },
    { what: 'addresses', level: 'failure', value: '203.0.113.1 cannot be read' },
  ]);
});

test('a connection that breaks during the looks ends it with one line, and is no fault of an IP', async () => {
  const { warmup } = JSON.parse((await fleet.redis.get(keys().ip(ips[0]!.id)))!);
  const relay = createServer((near) => {
    const far = dial(fleet.server.port, '127.0.0.1');
    near.on('data', (data) => {
      // The question for the rows of the plan is never answered.
      if (data.includes(keys().plan(warmup.digest))) near.destroy();
      else far.write(data);
    });
    near.on('error', () => {}).on('close', () => far.destroy());
    far.on('error', () => {}).on('close', () => near.destroy());
    far.pipe(near);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const { port } = relay.address() as AddressInfo;
  const { code, out, err } = await check(['--json'], { REDIS_URL: `redis://127.0.0.1:${port}` });
  relay.close();
  expect({ code, err }).toEqual({ code: 1, err: '' });
  expect(JSON.parse(out).findings).toEqual([
    {
      ...{ check: 'redis', level: 'failure' },
      found: expect.stringMatching(/^it ended the examination \(.+\)$/),
      todo: expect.stringContaining('call this again'),
    },
  ]);
});

/** The rights of a sender as docs/security.md gives them, and what a person may have who was to see little. */
const SENDER = /^user sender on >SENDER_PASSWORD (.+)$/m;
const USERS: [what: string, rights: () => string][] = [
  [
    'a sender',
    () => SENDER.exec(block('docs/security.md', 'acl'))![1]!.replaceAll('ACCOUNT', 'acct_default'),
  ],
  ['one who may see no key', () => '+@all'],
];

test.each(USERS)(
  'a user of Redis who may not look, %s, is told so, and not to look again',
  async (_, rights) => {
    await fleet.redis.call('ACL', 'SETUSER', 'small', 'reset', 'on', '>secret', ...rights().split(' '));
    const url = fleet.server.url.replace('redis://', 'redis://small:secret@');
    const { code, out, err } = await check(['--json'], { REDIS_URL: url }).finally(() =>
      fleet.redis.call('ACL', 'DELUSER', 'small'),
    );
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(JSON.parse(out).findings).toEqual([
      {
        ...{ check: 'redis', level: 'failure' },
        found: expect.stringMatching(
          /^the user in REDIS_URL may not read all that is examined \(NOPERM .+\)$/,
        ),
        todo: 'name one that may, such as "warmline" in docs/security.md',
      },
    ]);
  },
);

const OF_ANOTHER_TYPE: [key: () => string, plant: (key: string) => Promise<unknown>][] = [
  [() => keys().due, (key) => fleet.redis.set(key, 'x')],
  [() => clockKeys.mode, (key) => fleet.redis.lpush(key, 'real')],
];

test.each(OF_ANOTHER_TYPE)('a key of another type is named, and is no outage: %s', async (keyOf, plant) => {
  const key = keyOf();
  const undo = await changed(key, async () => {
    await fleet.redis.del(key);
    await plant(key);
  });
  const { code, out, err } = await check(['--json']).finally(undo);
  expect({ code, err }).toEqual({ code: 1, err: '' });
  expect(JSON.parse(out).findings).toEqual([
    {
      ...{ check: 'redis', level: 'failure' },
      found: expect.stringMatching(/ is not of the type that it should be \(WRONGTYPE .+\)$/),
      todo: 'find out what wrote there, and restore a backup',
    },
  ]);
  expect(JSON.parse(out).findings[0].found.startsWith(`${key} is not`)).toBe(true);
});

test('what Redis refuses for another reason is told as it says it; what is no matter of Redis stays an error', async () => {
  const { redis } = fleet;
  const refused = await redis.call('NO-SUCH-COMMAND').catch((error: Error) => error);
  expect(whatEnded(refused, redis)).toEqual({
    ...{ check: 'redis', level: 'failure' },
    found: expect.stringMatching(/^it refused a command \(ERR unknown command 'NO-SUCH-COMMAND'.+\)$/),
    todo: 'look at its log; if that does not say why, report it with this line',
  });
  expect(() => whatEnded(new TypeError('a mistake of ours'), redis)).toThrow('a mistake of ours');
});

test('the addresses of a page are looked at together, and of a sample no more than were asked for', async () => {
  const added = Array.from({ length: 40 }, (_, index) => `198.51.100.${index}`);
  const undo = [
    await changed(inventoryKeys.entries, async () => {}),
    await changed(inventoryKeys.free, async () => {}),
  ];
  await addToInventory(fleet.engine, { addresses: added });
  let underWay = 0;
  let most = 0;
  let asked = 0;
  const engine = engineWatched(fleet.engine, async (name, answer) => {
    if (name === 'zscore') asked += 1;
    underWay += 1;
    most = Math.max(most, underWay);
    return answer().finally(() => {
      underWay -= 1;
    });
  });
  const [all] = await examineInventory(engine);
  expect(all).toMatchObject({ level: 'ok', found: '48, 44 free' });
  expect({ most, asked }).toEqual({ most: 48, asked: 48 });
  asked = 0;
  const [some] = await examineInventory(engine, 5);
  for (const one of undo) await one();
  expect(some).toMatchObject({ level: 'ok', found: '5 of 48, 44 free' });
  expect(asked).toBe(5);
});

test('an address that comes while the others are looked at is no fault', async () => {
  const engine = engineWatched(fleet.engine, async (name, answer) => {
    if (name === 'zcard')
      await addToInventory(fleet.engine, { addresses: ['198.51.100.98'] }, { skipKnown: true });
    return answer();
  });
  const undo = [
    await changed(inventoryKeys.entries, async () => {}),
    () => fleet.redis.zrem(inventoryKeys.free, '198.51.100.98'),
  ];
  const [addresses] = await examineInventory(engine);
  for (const one of undo) await one();
  expect(addresses).toMatchObject({ check: 'addresses', level: 'ok' });
});

const WARNINGS: Fault[] = [
  [
    'append-only file',
    /everysec: up to two seconds .*after each restart the rest of the hour/,
    () => setting('appendfsync', 'everysec'),
  ],
  [
    'append-only file',
    /always, but no-appendfsync-on-rewrite yes: .*after each restart the rest of the hour/,
    () => setting('no-appendfsync-on-rewrite', 'yes'),
  ],
  [
    'due work',
    /1 due, the longest for (1 min|5\d s)/,
    () =>
      changed(keys().due, async () => fleet.redis.zadd(keys().due, (await fleet.now()) - 55_000, ips[0]!.id)),
  ],
  [
    'API keys',
    /soon in 2 d/,
    async () => {
      const before = await Promise.all(
        [directoryKeys.apiKeys, directoryKeys.keyHashes].map((key) => fleet.redis.dumpBuffer(key)),
      );
      const expiresAtMs = (await nowOf(fleet.engine)) + 2 * DAY_MS + 5_000;
      await createApiKey(fleet.engine, { account: 'default', name: 'soon', expiresAtMs });
      return async () => {
        await fleet.redis.restore(directoryKeys.apiKeys, 0, before[0]!, 'REPLACE');
        await fleet.redis.restore(directoryKeys.keyHashes, 0, before[1]!, 'REPLACE');
      };
    },
  ],
  [
    'webhooks',
    /nothing gets through to example\.com for 2 h/,
    async () => {
      const hook = await createWebhook(
        fleet.tenant,
        { url: 'https://example.com/x' },
        { allowPrivate: false },
      );
      await noteFailure(fleet.tenant, hook.id, stoppedMs - 2 * 3_600_000);
      return () => fleet.redis.del(keys().webhooks, keys().webhooksFailing);
    },
  ],
  [
    'queue of the worker',
    /150 waiting/,
    async () => {
      const jobs = Array.from({ length: 150 }, (_, index) => `job-${index}`);
      await fleet.redis.lpush('warmline:{queue}:sweep:wait', ...jobs);
      return () => fleet.redis.ltrim('warmline:{queue}:sweep:wait', jobs.length, -1);
    },
  ],
  [
    'database',
    /on a test clock/,
    async () => {
      await fleet.redis.mset(clockKeys.mode, 'test', clockKeys.now, String(Date.now()));
      return async () => {
        await fleet.redis.set(clockKeys.mode, 'real');
        await fleet.redis.del(clockKeys.now);
      };
    },
  ],
];

test.each(WARNINGS)('a warning of %s is found: %s', async (what, says, plant) => {
  const undo = await plant();
  const seen = await found().finally(undo);
  expect(notWell(seen)).toEqual([{ what, level: 'warning', value: expect.stringMatching(says) }]);
});
