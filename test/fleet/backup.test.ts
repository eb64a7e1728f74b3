import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAccount, DEFAULT_ACCOUNT } from '../../src/fleet/accounts.ts';
import { createApiKey, verifyApiKey } from '../../src/fleet/api-keys.ts';
import { readBackup, sealing } from '../../src/fleet/backup/format.ts';
import { restoreBackup } from '../../src/fleet/backup/restore.ts';
import { takeBackup } from '../../src/fleet/backup/take.ts';
import { readChanges } from '../../src/fleet/changes.ts';
import { judgeFleet, readFleet } from '../../src/fleet/checkup/fleet.ts';
import { examineInventory } from '../../src/fleet/checkup/inventory.ts';
import { type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { accountHold, holdAll } from '../../src/fleet/hold-all.ts';
import { addToInventory, bringIps, createIps } from '../../src/fleet/inventory.ts';
import { getIp, holdIp, releaseIp, startWarmup } from '../../src/fleet/ips.ts';
import { createPool, listPools } from '../../src/fleet/pools.ts';
import { createWebhook, listWebhooks } from '../../src/fleet/webhooks.ts';
import { inventoryKeys } from '../../src/redis/keys.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { type Fleet, MONDAY, startFleet } from '../support/fleet.ts';
import { engineWatched } from '../support/watched.ts';

// An account goes into a file and comes back on another Redis: the same to whoever asks, and never a send too many.

let fleet: Fleet;
let other: Fleet;
let acme: Tenant;
let key: string;
let ids: string[];
let text: string;

beforeAll(async () => {
  [fleet, other] = await Promise.all([startFleet(), startFleet({ clock: MONDAY + 30 * HOUR_MS })]);
  const { engine } = fleet;
  acme = tenantOf(engine, await createAccount(engine, 'acme'), 'test');
  await createAccount(engine, 'acme-news', { parent: 'acme' });
  await addToInventory(engine, { addresses: ['203.0.113.0/29'], region: 'eu' });
  const ips = await createIps(acme, { count: 4 });
  ids = ips.map(({ id }) => id);
  await startWarmup(acme, ids[0]!, {});
  await startWarmup(acme, ids[1]!, { plan: 'fourteen-day', zone: 'Asia/Tokyo' });
  await holdIp(acme, ids[1]!, { sending: false, advance: true, because: 'a quiet week', untilMs: null });
  await releaseIp(acme, ids[2]!);
  const [active] = await bringIps(acme, {
    addresses: ['198.51.100.7'],
    status: 'active',
    hostname: 'mail7.example.com',
  });
  ids.push(active!.id);
  await createPool(acme, {
    name: 'marketing',
    isDefault: true,
    ips: [ids[0]!, active!.id],
    ceiling: { perDay: 90, perHour: null },
  });
  await createWebhook(acme, { url: 'https://example.com/hook' }, { allowPrivate: false });
  ({ key } = await createApiKey(engine, { account: 'acme', name: 'mail' }));
  const limiter = createLimiter(engine.scripts, acme.account);
  await limiter.take({ ip: ids[0]!, count: 7 });
  await fleet.advance({ hours: 1 });
  await limiter.take({ ip: ids[0]!, count: 5 });
  text = await backup(fleet, 'acme');
});
afterAll(() => Promise.all([fleet.stop(), other.stop()]));

async function backup({ engine }: Fleet, account: string): Promise<string> {
  const { head, lines } = await takeBackup(engine, account);
  const seal = sealing();
  return [seal.line(head), ...lines.map((line) => seal.line(line)), seal.end()].join('');
}
const there = ({ engine }: Fleet) => tenantOf(engine, acme.account, 'test');

/** What the API tells about an account. */
async function told(tenant: Tenant) {
  const ips = await Promise.all(ids.map((id) => getIp(tenant, id)));
  const { changes } = await readChanges(tenant, { after: null, fromMs: null, limit: 1_000 });
  const ledgers = await Promise.all(
    ips.map(({ address, id }) => createLimiter(tenant.engine.scripts, tenant.account).look(address, id)),
  );
  return {
    ips,
    pools: await listPools(tenant),
    webhooks: (await listWebhooks(tenant)).map(({ after: _, ...rest }) => rest),
    changes: changes.filter(({ what }) => what !== 'account'),
    sent: ledgers.map(({ sent }) => sent),
  };
}

test('nothing in the file opens anything, and it is sealed', () => {
  expect(text).not.toContain(key);
  expect(text).toContain(createHash('sha256').update(key).digest('hex'));
  const { head, lines } = readBackup(text);
  expect(head).toMatchObject({ version: 1, clock: 'test', account: { name: 'acme' } });
  expect(lines.filter(({ kind }) => kind === 'ip')).toHaveLength(5);
});

test.each<[what: string, spoil: (text: string) => string, says: RegExp]>([
  ['cut off in a line', (all) => all.slice(0, -20), /ends in the middle of a line/],
  [
    'cut off behind a line',
    (all) => all.split('\n').slice(0, -2).join('\n').concat('\n'),
    /last line of the file is missing/,
  ],
  ['tampered with', (all) => all.replace('203.0.113.0', '203.0.113.9'), /checksum differs/],
  [
    'without a line',
    (all) =>
      all
        .split('\n')
        .filter((_, index) => index !== 2)
        .join('\n'),
    /checksum differs/,
  ],
  [
    'of another format',
    (all) => all.replace('"version":1', '"version":2'),
    /has format 2, and this version of Warmline reads 1/,
  ],
  ['something else', () => '{"hello":1}\n', /this is no backup of an account/],
])('a file that is %s is refused in one sentence', async (_, spoil, says) => {
  expect(() => readBackup(spoil(text))).toThrow(says);
});

test('a line that means nothing is named, although the checksum is right', () => {
  const { head, lines } = readBackup(text);
  const seal = sealing();
  const all = [head, { ...lines[0], kind: 'sorcery' } as never, ...lines.slice(1)];
  expect(() => readBackup([...all.map((line) => seal.line(line)), seal.end()].join(''))).toThrow(
    /^line 2 of the file cannot be read/,
  );
});

test('what belongs to somebody else is refused, and nothing is done', async () => {
  const { engine } = other;
  const before = await other.dump();
  await expect(restoreBackup(fleet.engine, readBackup(text))).rejects.toThrow(
    /account acme .* is here and has 5 IPs/,
  );
  const bob = tenantOf(engine, await createAccount(engine, 'bob'), 'test');
  await bringIps(bob, { addresses: ['203.0.113.3'], status: 'active' });
  const held = await other.dump();
  await expect(restoreBackup(engine, readBackup(text))).rejects.toThrow(
    /203\.0\.113\.3 is held by acct_\w+ here/,
  );
  expect(await other.dump()).toEqual(held);
  expect(before).not.toEqual(held);
  await other.reset();
  await createAccount(engine, 'someone');
  await expect(restoreBackup(engine, readBackup(text))).rejects.toThrow(/the account number \d+ belongs to/);
  await other.reset();
});

test('on another Redis the account is the same to whoever asks', async () => {
  const { engine } = other;
  await addToInventory(engine, { addresses: ['203.0.113.0/29'], region: 'eu' }); // as WARMLINE_INVENTORY does
  expect(await restoreBackup(engine, readBackup(text))).toMatchObject({
    ips: 5,
    pools: 1,
    keys: 1,
    webhooks: 1,
  });
  const [was, is] = [await told(acme), await told(there(other))];
  expect(is).toEqual(was);
  expect(await verifyApiKey(engine, key)).toMatchObject({
    account: { name: 'acme' },
    apiKey: { name: 'mail' },
  });
  expect(
    readBackup(await backup(other, 'acme')).lines.filter(({ kind }) => kind === 'ip' || kind === 'pool'),
  ).toEqual(readBackup(text).lines.filter(({ kind }) => kind === 'ip' || kind === 'pool'));
});

test('and all is as it must be: quotas, indexes, the inventory', async () => {
  const findings = [
    ...judgeFleet(await readFleet(other.engine), String),
    ...(await examineInventory(other.engine)),
  ].filter(({ level, check }) => level !== 'ok' && check !== 'due work');
  expect(findings).toEqual([]);
});

test('today counts as used up, tomorrow is whole; what has no limit goes on', async () => {
  const limiter = createLimiter(other.engine.scripts, acme.account);
  expect(await limiter.take({ ip: ids[0]!, count: 1 })).toMatchObject({
    allowed: false,
    because: { code: 'day' },
  });
  expect(await limiter.take({ ip: ids[1]!, count: 1 })).toMatchObject({
    allowed: false,
    because: { code: 'day' },
  });
  expect((await limiter.take({ ip: ids[4]!, count: 1 })).allowed).toBe(true);
  expect((await limiter.take({ pool: 'marketing', count: 1 })).allowed, 'the ceiling of the pool').toBe(
    false,
  );
  await other.advance({ days: 1 });
  expect(await limiter.take({ ip: ids[0]!, count: 39 })).toMatchObject({ allowed: true });
});

test('an attempt that was cut off goes on with the same file, and with no other', async () => {
  await other.reset();
  const { engine } = other;
  const { run } = engine.scripts;
  let calls = 0;
  const dying: Fleet['engine'] = {
    ...engine,
    scripts: {
      ...engine.scripts,
      run: (name, args) => {
        calls += 1;
        return name === 'transact' && args.some((arg) => String(arg).includes(':ip:'))
          ? Promise.reject(new Error('killed here'))
          : run(name, args);
      },
    },
  };
  await expect(restoreBackup(dying, readBackup(text))).rejects.toThrow('killed here');
  expect(calls).toBeGreaterThan(2);
  const { head, lines } = readBackup(text);
  await expect(restoreBackup(engine, { head, lines, sha256: 'another' })).rejects.toThrow(
    /being restored from another file/,
  );
  expect(await restoreBackup(engine, readBackup(text))).toMatchObject({ ips: 5 });
  expect(await told(there(other))).toEqual(await told(acme));
});

test('what is changed while it is read is in the file as it is in the end', async () => {
  const { redis } = fleet;
  let moved = 0;
  const busy = engineWatched(fleet.engine, async (name, answer) => {
    const answered = await answer();
    if (name !== 'mget' || moved === 2) return answered;
    moved += 1;
    await holdIp(acme, ids[moved - 1]!, {
      sending: true,
      advance: false,
      because: `turn ${moved}`,
      untilMs: null,
    });
    return answered;
  });
  const { lines } = await takeBackup(busy, 'acme');
  expect(moved).toBe(2);
  for (const id of ids.slice(0, 2)) {
    const line = lines.find((one) => one.kind === 'ip' && one.id === id);
    expect(line).toMatchObject({ record: await redis.get(acme.keys.ip(id)) });
  }
});

test('an IP that the inventory does not know is told, and not left out', async () => {
  const { redis } = fleet;
  const entry = await redis.hget(inventoryKeys.entries, '203.0.113.0');
  await redis.hdel(inventoryKeys.entries, '203.0.113.0');
  const taken = backup(fleet, 'acme').finally(() => redis.hset(inventoryKeys.entries, '203.0.113.0', entry!));
  await expect(taken).rejects.toThrow(/is not in the inventory; see: warmline check/);
});

test('the account of the operator goes into an installation that has just begun', async () => {
  await other.reset();
  await fleet.bring({ status: 'active' });
  const stop = { sending: true, advance: true, because: 'a leaked password', untilMs: null };
  await holdAll(fleet.tenant, stop);
  await restoreBackup(other.engine, readBackup(await backup(fleet, 'default')));
  expect(await accountHold(other.tenant), 'its stop, for IPs that come later').toMatchObject(stop);
  expect(await other.redis.zcard(tenantOf(other.engine, DEFAULT_ACCOUNT, 'test').keys.ips)).toBe(1);
});
