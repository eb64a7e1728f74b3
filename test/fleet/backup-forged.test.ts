import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createAccount } from '../../src/fleet/accounts.ts';
import { createApiKey, hashOf, verifyApiKey } from '../../src/fleet/api-keys.ts';
import {
  type Backup,
  type Line,
  type LineOf,
  linesOf,
  readBackup,
  sealing,
} from '../../src/fleet/backup/format.ts';
import { restoreBackup } from '../../src/fleet/backup/restore.ts';
import { takeBackup } from '../../src/fleet/backup/take.ts';
import { type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { bringIps } from '../../src/fleet/inventory.ts';
import { startWarmup } from '../../src/fleet/ips.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { tick } from '../../src/fleet/tick.ts';
import { createWebhook } from '../../src/fleet/webhooks.ts';
import { directoryKeys } from '../../src/redis/keys.ts';
import { LAST_INSTANT_MS } from '../../src/warmup/dedicated-ip.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';
import { type Fleet, MONDAY, startFleet } from '../support/fleet.ts';

// The checksum of a backup tells that it is whole, and not who wrote it: whoever changes a line can seal it anew. So a file
// brings back what is its account's own, or nothing.

let fleet: Fleet;
let other: Fleet;
let acme: Tenant;
let taken: Pick<Backup, 'head' | 'lines'>;
let key: string;
let foreignKey: string;
/** Before anything was restored. */
let before: Record<string, string>;

beforeAll(async () => {
  [fleet, other] = await Promise.all([startFleet(), startFleet()]);
  const { engine } = fleet;
  acme = tenantOf(engine, await createAccount(engine, 'acme'), 'test');
  await createAccount(engine, 'acme-news', { parent: 'acme' });
  const ips = await bringIps(acme, { addresses: ['198.51.100.7', '198.51.100.8'], status: 'provisioning' });
  await startWarmup(acme, ips[0]!.id, {});
  ({ key } = await createApiKey(engine, { account: 'acme' }));
  await createWebhook(acme, { url: 'https://example.com/hook' }, { allowPrivate: false });
  await createPool(acme, { name: 'marketing', ips: [ips[0]!.id] });
  taken = await takeBackup(engine, 'acme');
});
beforeEach(async () => {
  await other.reset();
  ({ key: foreignKey } = await createApiKey(other.engine, { account: 'default', scopes: ['admin'] }));
  before = await other.dump();
});
afterAll(() => Promise.all([fleet.stop(), other.stop()]));

/** The file as somebody else would write it, with a checksum that is right. */
function forged(change: (lines: Line[], head: Backup['head']) => void): string {
  const { head, lines } = structuredClone(taken);
  change(lines, head);
  const seal = sealing();
  return [seal.line(head), ...lines.map((line) => seal.line(line)), seal.end()].join('');
}
const restored = async (text: string) => restoreBackup(other.engine, readBackup(text));

const mine = 'wl_a-key-that-somebody-made-up';
const addKey = (record: object, hash = hashOf(mine)) =>
  forged((lines) => {
    const line = lines.find((one) => one.kind === 'key')!;
    lines.push({ kind: 'key', hash, record: { ...line.record, id: 'key_new', ...record } });
  });
const everyIp = (change: (record: Record<string, unknown>, index: number) => object) =>
  forged((lines) => {
    for (const [index, line] of lines.filter((one) => one.kind === 'ip').entries()) {
      const { rev, ...rest } = JSON.parse(line.record);
      line.record = JSON.stringify({ rev, ...rest, ...change(rest, index) });
    }
  });

const everyLine = <Kind extends Line['kind']>(kind: Kind, change: (line: LineOf<Kind>) => void) =>
  forged((lines) => {
    for (const line of linesOf(lines, kind)) change(line);
  });
const base64 = (...bytes: number[]) => Buffer.from(bytes).toString('base64');
const textOf = (text: string) => Buffer.from(text).toString('base64');
const entry = (fromMs: number) => {
  const packed = Buffer.alloc(12);
  packed.writeDoubleLE(fromMs, 0);
  return packed.toString('base64');
};
/** What no filing of what was sent has ever written. */
const NOT_SENT: [what: string, sent: Record<string, string>][] = [
  ['hours that end in the middle of an entry', { hours: textOf('abcde') }],
  ['days that end in the middle of an entry', { days: textOf('abcde') }],
  ['an hour that begins nowhere', { hours: entry(Number.NaN) }],
  ['a day that begins never', { days: entry(1e300) }],
  ['a run that ends in the middle of a count', { [`h${MONDAY}`]: base64(5, 128) }],
  ['a run without a count', { [`h${MONDAY}`]: '' }],
  ['a count of six bytes', { [`d${MONDAY}`]: base64(128, 128, 128, 128, 128, 1) }],
  ['a count beyond four bytes', { [`d${MONDAY}`]: base64(128, 128, 128, 128, 16) }],
  ['a run that begins too late', { [`h${LAST_INSTANT_MS + 1}`]: base64(5) }],
  ['a run of a name that is not written so', { h007: base64(5) }],
  ['hours of years', Object.fromEntries(Array.from({ length: 257 }, (_, at) => [`h${at}`, base64(5)]))],
  ['a last receipt that is no number', { closed: textOf('nobody') }],
  ['a last receipt beyond all receipts', { closed: textOf('1e300') }],
  ['a field that nobody reads', { minutes: base64(5) }],
  ['what is no base64', { [`h${MONDAY}`]: '*' }],
];

test.each<[what: string, file: () => string, says: RegExp]>([
  [
    'an admin key of the operator',
    () => addKey({ account: 'acct_default', scopes: ['admin'] }),
    /key_new in the file is one of acct_default, and the file is of acme/,
  ],
  ['a scope that its account cannot have', () => addKey({ scopes: ['read', 'admin'] }), /scope admin/],
  ['a key that says less than a key does', () => addKey({ scopes: undefined }), /line \d+ of the file/],
  ['a key that passes for that of the environment', () => addKey({ name: 'environment' }), /would pass for/],
  [
    'the key of the environment itself',
    () => addKey({ id: 'key_environment' }),
    /key_environment in the file is not of this account/,
  ],
  [
    'a key that is one of another account here',
    () => addKey({}, hashOf(foreignKey)),
    /key_new is another one here, or belongs to another account/,
  ],
  [
    'a subuser of somebody else',
    () =>
      forged((lines) => {
        for (const line of lines) if (line.kind === 'subuser') line.account.parentId = 'acct_default';
      }),
    /acme-news .* is no subuser of acme/,
  ],
  [
    'itself as a subuser of an account that is not here',
    () =>
      forged((_, head) => {
        head.account.parentId = 'acct_gone';
      }),
    /no subuser of|subuser of acct_gone, which is not here/,
  ],
  [
    'rows under the name of others',
    () =>
      forged((lines) => {
        for (const line of lines)
          if (line.kind === 'plan') line.plan.days = [{ dailyLimit: null, hourlyCap: null }];
      }),
    /the rows of plan .* are not those that \w+ names/,
  ],
  [
    'no rows for a warm-up',
    () =>
      forged(
        (lines) =>
          void lines.splice(
            lines.findIndex(({ kind }) => kind === 'plan'),
            1,
          ),
      ),
    /the rows of the plan of ip_\w+ are not in the file/,
  ],
  [
    'a label of an account that is no subuser',
    () => everyIp(() => ({ subusers: ['acct_default'] })),
    /carries the label of acct_default/,
  ],
  ['one address twice', () => everyIp(() => ({ address: '198.51.100.9' })), /198\.51\.100\.9 .*twice/],
  ['an IP under the id of another', () => everyIp(() => ({ id: 'ip_other' })), /is that of ip_other/],
  [
    'changes that are out of order',
    () => forged((lines) => void lines.push(lines.find(({ kind }) => kind === 'change')!)),
    /changes in the file are not in order/,
  ],
  [
    'a change behind which there is no other',
    () =>
      forged((lines) => {
        const line = lines.findLast((one) => one.kind === 'change')!;
        line.id = '18446744073709551615-18446744073709551615';
      }),
    /line \d+ of the file cannot be read \(id/,
  ],
  [
    'a number of its account behind which there is none',
    () =>
      forged((_, head) => {
        head.account.number = Number.MAX_SAFE_INTEGER;
      }),
    /line 1 of the file cannot be read \(account\.number/,
  ],
  [
    'such a number of a subuser',
    () =>
      everyLine('subuser', (line) => {
        line.account.number = Number.MAX_SAFE_INTEGER;
      }),
    /line \d+ of the file cannot be read \(account\.number/,
  ],
  [
    'such a number of a pool',
    () =>
      everyLine('pool', (line) => {
        line.pool.number = Number.MAX_SAFE_INTEGER;
      }),
    /line \d+ of the file cannot be read \(pool\.number/,
  ],
  ...[1e300, LAST_INSTANT_MS + 1, -1, 0.5].flatMap((ms): [string, () => string, RegExp][] => [
    [
      `an account of the instant ${ms}`,
      () =>
        forged((_, head) => {
          head.account.createdAtMs = ms;
        }),
      /line 1 of the file cannot be read \(account\.createdAtMs/,
    ],
    [
      `a head of the instant ${ms}`,
      () =>
        forged((_, head) => {
          head.takenAtMs = ms;
        }),
      /line 1 of the file cannot be read \(takenAtMs/,
    ],
    [
      `a subuser of the instant ${ms}`,
      () =>
        everyLine('subuser', (line) => {
          line.account.createdAtMs = ms;
        }),
      /line \d+ of the file cannot be read \(account\.createdAtMs/,
    ],
    [
      `a key of the instant ${ms}`,
      () => addKey({ createdAtMs: ms }),
      /line \d+ of the file cannot be read \(record\.createdAtMs/,
    ],
    [
      `a key that ends at ${ms}`,
      () => addKey({ expiresAtMs: ms }),
      /line \d+ of the file cannot be read \(record\.expiresAtMs/,
    ],
    [
      `a webhook of the instant ${ms}`,
      () =>
        everyLine('webhook', (line) => {
          line.webhook.createdAtMs = ms;
        }),
      /line \d+ of the file cannot be read \(webhook\.createdAtMs/,
    ],
    [
      `a pool that was changed at ${ms}`,
      () =>
        everyLine('pool', (line) => {
          line.pool.updatedAtMs = ms;
        }),
      /line \d+ of the file cannot be read \(pool\.updatedAtMs/,
    ],
    [
      `an IP of the instant ${ms}`,
      () => everyIp(() => ({ createdAtMs: ms })),
      /the record of ip_\w+ in the file cannot be used/,
    ],
  ]),
  ...NOT_SENT.map(([what, sent]): [string, () => string, RegExp] => [
    what,
    () =>
      everyLine('ip', (line) => {
        line.sent = sent;
      }),
    /line \d+ of the file cannot be read \(sent\./,
  ]),
  [
    'a warm-up behind whose start there are no days',
    () => everyIp(({ warmup }) => (warmup ? { warmup: { ...warmup, startedAtMs: 8.64e15 } } : {})),
    /the record of ip_\w+ in the file cannot be used/,
  ],
  [
    'days of a zone that is nowhere',
    () => everyIp(({ warmup }) => (warmup ? { warmup: { ...warmup, zone: 'Nowhere/Else' } } : {})),
    /the record of ip_\w+ in the file cannot be used: "Nowhere\/Else" is not an IANA time zone/,
  ],
])('a file with %s is refused, and nothing is done', async (_, file, says) => {
  await expect(restored(file())).rejects.toThrow(says);
  expect(await other.dump()).toEqual(before);
});

test('what every build has filed of what was sent comes back as it was', async () => {
  const id = linesOf(taken.lines, 'ip')[0]!.id;
  const sent = {
    [`h${MONDAY - HOUR_MS}`]: base64(5, 0, 200, 1),
    [`d${MONDAY - 3 * DAY_MS}`]: base64(255, 255, 255, 255, 15),
    hours: entry(MONDAY - DAY_MS),
    days: '',
    closed: textOf('123456789012'),
  };
  await restored(
    everyLine('ip', (line) => {
      if (line.id === id) line.sent = sent;
    }),
  );
  const back = await other.redis.hgetallBuffer(tenantOf(other.engine, acme.account, 'test').keys.sent(id));
  const read = Object.entries(back).map(([field, value]) => [field, value.toString('base64')]);
  expect(Object.fromEntries(read)).toEqual(sent);
});

test('an account that a script stumbles over ends the tick of no other', async () => {
  const { redis, engine } = other;
  await restored(forged(() => {}));
  const { keys } = tenantOf(engine, acme.account, 'test');
  const ids = linesOf(taken.lines, 'ip').map(({ id }) => id);
  // As an earlier version brought it back from a file that somebody had changed.
  for (const id of ids) await redis.hset(keys.sent(id), 'closed', 'nobody', 'hours', 'abcde');
  await redis.del(linesOf(taken.lines, 'ip').map((line) => keys.hot(JSON.parse(line.record).address)));
  const houses = await Promise.all(['bob', 'carol', 'dave'].map((name) => other.house(name)));
  await Promise.all(houses.map((house) => house.warming()));
  await other.setClock((await other.now()) + 2 * DAY_MS);
  const { failed, published } = await tick(engine);
  expect(failed).toMatchObject([
    { ip: acme.account.id, error: { message: expect.stringMatching(/script/) } },
  ]);
  expect(published).toBe(houses.length);
});

test('more keys than an account may have are refused while there is still nothing of it', async () => {
  const { redis } = other;
  const list = directoryKeys.keysOf(acme.account.id);
  await redis.zadd(list, ...Array.from({ length: 1_000 }, (_, at) => [at, `key_of_before${at}`]).flat());
  await expect(restored(forged(() => {}))).rejects.toThrow(/has 1000 API keys here and 1 more in the file/);
  await redis.del(list);
  expect(await other.dump()).toEqual(before);
});

test('a key that could not be brought back is not counted as one that was', async () => {
  const { engine } = other;
  const list = directoryKeys.keysOf(acme.account.id);
  const full = Array.from({ length: 1_000 }, (_, at) => [at, `key_of_before${at}`]).flat();
  const filling: Fleet['engine'] = {
    ...engine,
    scripts: {
      ...engine.scripts,
      run: async (name, args) => {
        if (name === 'key-create') await other.redis.zadd(list, ...full);
        return engine.scripts.run(name, args);
      },
    },
  };
  const file = readBackup(forged(() => {}));
  await expect(restoreBackup(filling, file)).rejects.toThrow(/1000 API keys by now.*with the same file/);
  await other.redis.del(list);
  expect(await restoreBackup(engine, file)).toMatchObject({ keys: 1, ips: 2 });
  expect(await verifyApiKey(engine, key)).toMatchObject({ account: { name: 'acme' } });
  expect(await verifyApiKey(engine, mine)).toBe(null);
});
