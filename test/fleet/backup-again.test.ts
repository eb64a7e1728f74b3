import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createAccount } from '../../src/fleet/accounts.ts';
import { createApiKey, revokeApiKey, verifyApiKey } from '../../src/fleet/api-keys.ts';
import { type Backup, linesOf, readBackup, sealing } from '../../src/fleet/backup/format.ts';
import { restoreBackup } from '../../src/fleet/backup/restore.ts';
import { takeBackup } from '../../src/fleet/backup/take.ts';
import { isBefore, readChanges } from '../../src/fleet/changes.ts';
import { judgeFleet, readFleet } from '../../src/fleet/checkup/fleet.ts';
import { type Tenant, tenantOf } from '../../src/fleet/engine.ts';
import { accountHold, holdAll, resumeAll } from '../../src/fleet/hold-all.ts';
import { bringIps } from '../../src/fleet/inventory.ts';
import { getIp, historyOf, holdIp, releaseIp, startWarmup } from '../../src/fleet/ips.ts';
import { createPool, deletePool, listPools } from '../../src/fleet/pools.ts';
import { relayChanges } from '../../src/fleet/webhook-events.ts';
import { createWebhook } from '../../src/fleet/webhooks.ts';
import { type Fleet, MONDAY, startFleet } from '../support/fleet.ts';
import { engineWatched } from '../support/watched.ts';

// A restore meets what was recorded here: before it, and between an attempt that was cut off and the next.

let fleet: Fleet;
let other: Fleet;
let acme: Tenant;
let ids: string[];
let keyId: string;
let key: string;
let file: Backup;

beforeAll(async () => {
  [fleet, other] = await Promise.all([startFleet(), startFleet()]);
  const { engine } = fleet;
  acme = tenantOf(engine, await createAccount(engine, 'acme'), 'test');
  ids = (await bringIps(acme, { addresses: ['198.51.100.7', '198.51.100.8'], status: 'provisioning' })).map(
    ({ id }) => id,
  );
  await startWarmup(acme, ids[0]!, {});
  await createPool(acme, { name: 'marketing', ips: ids });
  const made = await createApiKey(engine, { account: 'acme' });
  [key, keyId] = [made.key, made.apiKey.id];
  file = await backup('acme');
});
beforeEach(() => other.reset());
afterAll(() => Promise.all([fleet.stop(), other.stop()]));

async function backup(account: string): Promise<Backup> {
  const { head, lines } = await takeBackup(fleet.engine, account);
  const seal = sealing();
  return readBackup([seal.line(head), ...lines.map((line) => seal.line(line)), seal.end()].join(''));
}
const there = () => tenantOf(other.engine, acme.account, 'test');
const changesOf = async (tenant: Tenant) =>
  (await readChanges(tenant, { after: null, fromMs: null, limit: 1_000 })).changes;
const stop = { sending: true, advance: false, because: 'a leaked password', untilMs: null };
/** No worker runs here, and some of the accounts are stopped. */
const wellKept = async () =>
  expect(
    judgeFleet(await readFleet(other.engine), String).filter(
      ({ level, check }) => level !== 'ok' && check !== 'due work' && check !== 'stops',
    ),
  ).toEqual([]);

/** An attempt that ends where a script is called with a key of that name. */
async function attemptThatEndsAt(name: string): Promise<void> {
  const { engine } = other;
  const dying: Fleet['engine'] = {
    ...engine,
    scripts: {
      ...engine.scripts,
      run: (script, args) =>
        args.some((arg) => String(arg).includes(name))
          ? Promise.reject(new Error('killed here'))
          : engine.scripts.run(script, args),
    },
  };
  await expect(restoreBackup(dying, file)).rejects.toThrow('killed here');
}

test('what was recorded here before stays in the stream, each change in its place', async () => {
  const at = tenantOf(other.engine, other.tenant.account, 'test');
  await createPool(at, { name: 'tried' });
  const ip = await fleet.bring({ status: 'active' });
  await deletePool(at, 'tried');
  const [was, here] = [await changesOf(fleet.tenant), await changesOf(at)];
  expect(await restoreBackup(other.engine, await backup('default'))).toMatchObject({ ips: 1 });
  const all = await changesOf(at);
  expect(all.slice(0, -1)).toEqual([...was, ...here].sort((a, b) => (isBefore(a.id, b.id) ? -1 : 1)));
  expect(all.at(-1)).toMatchObject({ what: 'account', to: 'restored' });
  expect(await getIp(at, ip.id)).toEqual(await getIp(fleet.tenant, ip.id));
  await releaseIp(fleet.tenant, ip.id);
});

test.each([
  ['nothing was recorded here', false],
  ['something was', true],
])('what is recorded while the stream is put together, where %s before, is not lost', async (_, before) => {
  const at = tenantOf(other.engine, other.tenant.account, 'test');
  if (before) await createPool(at, { name: 'before' }).then(() => deletePool(at, 'before'));
  await createPool(fleet.tenant, { name: `pool-${before}` });
  let recorded = 0;
  const busy = engineWatched(other.engine, async (name, answer) => {
    if (name === 'del' && recorded === 0) {
      recorded += 1;
      await holdAll(at, stop);
    }
    return answer();
  });
  await restoreBackup(busy, await backup('default'));
  expect(recorded).toBe(1);
  const all = await changesOf(at);
  expect(all.map(({ id }) => id)).toEqual([...new Set(all.map(({ id }) => id))]);
  for (const change of await changesOf(fleet.tenant)) expect(all).toContainEqual(change);
  expect(all.filter(({ what }) => what === 'hold')).toMatchObject([{ because: stop.because }]);
  expect(all.filter(({ to }) => to === 'before')).toHaveLength(before ? 1 : 0);
});

test('a stop that is in force here holds what comes, and is not lifted by the file', async () => {
  const ip = await fleet.bring({ status: 'active' });
  await holdAll(fleet.tenant, stop);
  await resumeAll(fleet.tenant);
  await holdAll(other.tenant, { ...stop, because: 'until we have looked at it' });
  await restoreBackup(other.engine, await backup('default'));
  expect(await accountHold(other.tenant)).toMatchObject({ because: 'until we have looked at it' });
  expect(await getIp(other.tenant, ip.id)).toMatchObject({
    holds: [{ because: 'until we have looked at it' }],
  });
  expect((await other.limiter.take({ ip: ip.id, count: 1 })).allowed).toBe(false);
  await resumeAll(other.tenant);
  expect((await other.limiter.take({ ip: ip.id, count: 1 })).allowed).toBe(true);
  await wellKept();
  await releaseIp(fleet.tenant, ip.id);
});

test('webhooks that are here already are told nothing of the file', async () => {
  const at = tenantOf(other.engine, other.tenant.account, 'test');
  await createWebhook(at, { url: 'https://example.com/here' }, { allowPrivate: false });
  const ip = await fleet.bring({ status: 'active' });
  await restoreBackup(other.engine, await backup('default'));
  await holdIp(at, ip.id, stop);
  const told: string[] = [];
  await relayChanges(at, async (events) => void told.push(...events.map(({ event }) => event.type)));
  expect(told).toEqual(['ip.hold_changed']);
  await releaseIp(fleet.tenant, ip.id);
});

test.each<[what: string, endsAt: () => string, isStopped: boolean]>([
  ['its IPs', () => `ip:${ids[0]}`, false],
  ['its IPs, and then stopped,', () => `ip:${ids[0]}`, true],
  ['its pools', () => ':pool-names', false],
  ['its keys', () => ':key-order', false],
  ['its end', () => 'brought back from a backup', false],
])(
  'an attempt that was cut off before %s goes on, whatever was recorded meanwhile',
  async (_, endsAt, isStopped) => {
    await attemptThatEndsAt(endsAt());
    if (isStopped) await holdAll(there(), stop);
    await createPool(there(), { name: 'meanwhile' });
    await deletePool(there(), 'meanwhile');
    const meanwhile = (await changesOf(there())).slice(
      file.lines.filter(({ kind }) => kind === 'change').length,
    );
    expect(meanwhile.map(({ what }) => what)).toContain('pool');
    expect(await restoreBackup(other.engine, file)).toMatchObject({ ips: 2, pools: 1, keys: 1 });
    const all = await changesOf(there());
    for (const change of [...(await changesOf(acme)), ...meanwhile]) expect(all).toContainEqual(change);
    expect(all.at(-1)).toMatchObject({ to: 'restored' });
    expect((await listPools(there())).map(({ name, ipCount }) => [name, ipCount])).toEqual([
      ['marketing', 2],
    ]);
    expect(await verifyApiKey(other.engine, key)).not.toBe(null);
    expect((await getIp(there(), ids[0]!)).holds).toHaveLength(isStopped ? 1 : 0);
    await wellKept();
  },
);

test('what was changed between two attempts stays changed', async () => {
  await attemptThatEndsAt(':pool-names');
  await releaseIp(there(), ids[0]!);
  await holdIp(there(), ids[1]!, stop);
  await restoreBackup(other.engine, file);
  expect((await getIp(there(), ids[0]!)).status).toBe('cooldown');
  expect((await getIp(there(), ids[1]!)).holds).toMatchObject([{ because: stop.because }]);
  expect((await listPools(there()))[0]).toMatchObject({ name: 'marketing', ipCount: 1 });
  await wellKept();

  await other.reset();
  await attemptThatEndsAt('brought back from a backup');
  await deletePool(there(), 'marketing');
  await revokeApiKey(other.engine, keyId);
  await restoreBackup(other.engine, file);
  expect(await listPools(there())).toEqual([]);
  expect(await verifyApiKey(other.engine, key)).toBe(null);
});

function signal() {
  let give = () => {};
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { give, given };
}

/** An attempt that waits where a script is called with such an argument, or a command with such a key, until it is told to go on. */
async function attemptThatWaitsAt(name: string, command = 'run', of = file) {
  const { engine } = other;
  const [waits, goesOn] = [signal(), signal()];
  const at = async (called: string, args: readonly unknown[]) => {
    if (called !== command || !args.some((arg) => String(arg).includes(name))) return;
    waits.give();
    await goesOn.given;
  };
  const watched = engineWatched(engine, async (called, answer, args) => {
    await at(called, args);
    return answer();
  });
  const run: Fleet['engine']['scripts']['run'] = async (script, args) => {
    await at('run', args);
    return engine.scripts.run(script, args);
  };
  const end = restoreBackup({ ...watched, scripts: { ...watched.scripts, run } }, of);
  end.catch(() => {});
  await Promise.race([waits.given, end.catch(() => {})]);
  return () => {
    goesOn.give();
    return end;
  };
}
const isAnothers = /^account acme is being restored by another call, or is whole by now; wait for that one/;

test.each<[what: string, name: () => string, command?: string]>([
  ['its addresses', () => 'warmline:{inventory}:entries'],
  ['its mark', () => ':restoring'],
  ['its changes', () => ':changes-restored', 'del'],
  ['its IPs', () => `ip:${ids[0]}`],
  ['its pools', () => ':pool-names'],
])(
  'one that waits before %s does nothing more once another call has brought the account back',
  async (_, name, command) => {
    const goOn = await attemptThatWaitsAt(name(), command);
    await restoreBackup(other.engine, file);
    await revokeApiKey(other.engine, keyId);
    await deletePool(there(), 'marketing');
    const whole = await other.dump();
    await expect(goOn()).rejects.toThrow(isAnothers);
    expect(await other.dump()).toEqual(whole);
  },
);

test('one that went on late takes the restore over, and the one before ends', async () => {
  const goOn = await attemptThatWaitsAt(':pool-names');
  const goOnLater = await attemptThatWaitsAt('brought back from a backup');
  await expect(goOn()).rejects.toThrow(isAnothers);
  expect(await goOnLater()).toMatchObject({ ips: 2, pools: 1, keys: 1 });
  await wellKept();
});

test('what was filed since another call brought the account back stays', async () => {
  const lines = structuredClone(file.lines);
  const [field, before] = [`h${MONDAY}`, Buffer.from([5])];
  for (const line of linesOf(lines, 'ip')) line.sent = { [field]: before.toString('base64') };
  const of = { ...file, lines };
  const { sent } = there().keys;
  for (const command of ['hset', 'hsetnx']) {
    await other.reset();
    const goOn = await attemptThatWaitsAt(sent(ids[0]!), command, of);
    await restoreBackup(other.engine, of).catch(() => {});
    const since = Buffer.from([5, 7]);
    await other.redis.hset(sent(ids[0]!), field, since);
    await goOn().catch(() => {});
    expect(await other.redis.hgetBuffer(sent(ids[0]!), field)).toEqual(since);
  }
});

test('of two at once one brings it back, and nothing says afterwards that it is half restored', async () => {
  for (let round = 0; round < 20; round += 1) {
    await other.reset();
    const ends = await Promise.allSettled([1, 2].map(() => restoreBackup(other.engine, file)));
    const failed = ends.filter((end) => end.status === 'rejected');
    expect(failed.map(({ reason }) => String(reason.message))).toEqual([expect.stringMatching(isAnothers)]);
    expect(await other.redis.exists(there().keys.restoring)).toBe(0);
    await wellKept();
  }
});

test('an attempt of an earlier build goes on', async () => {
  await attemptThatEndsAt(':pool-names');
  await other.redis.set(there().keys.restoring, `${file.sha256} ips`);
  expect(await restoreBackup(other.engine, file)).toMatchObject({ ips: 2, pools: 1, keys: 1 });
  await wellKept();
});

test('of an account that is half restored no backup is made, and the check says what to do', async () => {
  await attemptThatEndsAt(':pool-names');
  await expect(takeBackup(other.engine, 'acme')).rejects.toThrow(
    'account acme is half restored; call warmline restore again with the same file; no backup was made',
  );
  const restores = async () =>
    judgeFleet(await readFleet(other.engine), String).find(({ check }) => check === 'restores');
  expect(await restores()).toMatchObject({ level: 'failure', found: 'half restored: acme' });
  await restoreBackup(other.engine, file);
  expect(await restores()).toMatchObject({ level: 'ok' });
  const { lines } = await takeBackup(other.engine, 'acme');
  for (const kind of ['pool', 'key', 'ip'] as const)
    expect(linesOf(lines, kind)).toHaveLength(linesOf(file.lines, kind).length);
});

test('no backup is made of an account whose restore begins while it is read', async () => {
  const { redis } = fleet;
  const beginning = engineWatched(fleet.engine, async (name, answer) => {
    if (name === 'mget') await redis.set(acme.keys.restoring, 'a-sum ips');
    return answer();
  });
  const taken = takeBackup(beginning, 'acme').finally(() => redis.del(acme.keys.restoring));
  await expect(taken).rejects.toThrow(/is half restored/);
});

test('a pool of the same name that was made between two attempts is named', async () => {
  await attemptThatEndsAt(':pool-names');
  await createPool(there(), { name: 'marketing' });
  await expect(restoreBackup(other.engine, file)).rejects.toThrow(
    /a pool "marketing" was made here meanwhile; rename or delete it, and call it again with the same file/,
  );
  await deletePool(there(), 'marketing');
  expect(await restoreBackup(other.engine, file)).toMatchObject({ pools: 1 });
});

test('the history of an IP that an earlier version wrote comes back with it', async () => {
  const { redis } = fleet;
  const [id, record] = [ids[0]!, await redis.get(acme.keys.ip(ids[0]!))];
  const [{ rev, history: __, ...ip }, history] = [await getIp(acme, id), await historyOf(acme, id)];
  await redis.set(acme.keys.ip(id), JSON.stringify({ rev, ...ip, version: 1 }));
  await redis.rpush(acme.keys.history(id), ...history.map((change) => JSON.stringify(change)));
  expect(history.length).toBeGreaterThan(1);
  expect(await historyOf(acme, id)).toEqual(history);
  await restoreBackup(other.engine, await backup('acme'));
  expect(await historyOf(there(), id)).toEqual(history);
  expect(await getIp(there(), id)).toMatchObject({ ...ip, version: 2 });
  await redis.set(acme.keys.ip(id), record!);
  await redis.del(acme.keys.history(id));
});
