/** Accounts: made whole and once, found by name and id, numbered, and one that is damaged fails alone. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  type Account,
  createAccount,
  eachAccount,
  ensureDefaultAccount,
  findAccount,
  pageOfAccounts,
} from '../../src/fleet/accounts.ts';
import { startWarmup } from '../../src/fleet/ips.ts';
import { tick } from '../../src/fleet/tick.ts';
import { resolveAccount } from '../../src/redis/directory.ts';
import { directoryKeys } from '../../src/redis/keys.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());
beforeEach(() => fleet.reset());

async function everyAccount(): Promise<Account[]> {
  const all: Account[] = [];
  for await (const account of eachAccount(fleet.engine)) all.push(account);
  return all.sort((a, b) => a.number - b.number);
}

test('the default account has a number, and further starts change nothing', async () => {
  const before = await findAccount(fleet.engine, 'default');
  expect(before.number).toBeGreaterThan(0);
  const dump = await fleet.dump();
  await Promise.all([ensureDefaultAccount(fleet.engine), ensureDefaultAccount(fleet.engine)]);
  expect(await fleet.dump()).toEqual(dump);
});

test('an account of before there were numbers is given one by the next start', async () => {
  const { number: _, ...old } = await findAccount(fleet.engine, 'default');
  await fleet.redis.hset(directoryKeys.accounts, old.id, JSON.stringify(old));
  await fleet.redis.del(directoryKeys.accountOrder);
  await ensureDefaultAccount(fleet.engine);
  expect((await findAccount(fleet.engine, 'default')).number).toBeGreaterThan(0);
  const { accounts } = await pageOfAccounts(fleet.engine, { limit: 10, afterNumber: 0 });
  expect(accounts.map(({ name }) => name)).toEqual(['default']);
});

test('of twenty who want one name at once one gets it, and the others leave nothing', async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => createAccount(fleet.engine, 'acme')),
  );
  const made = results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  expect(made).toHaveLength(1);
  for (const one of results) {
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'conflict' });
  }
  expect((await everyAccount()).map(({ name }) => name)).toEqual(['default', 'acme']);
  expect(await findAccount(fleet.engine, made[0]!.id)).toEqual(made[0]);
  expect(await fleet.redis.zcard(directoryKeys.accountOrder)).toBe(2);
});

test('numbers are given once, in order, however many are made at once', async () => {
  const made = await Promise.all(Array.from({ length: 30 }, (_, n) => createAccount(fleet.engine, `a${n}`)));
  const numbers = made.map(({ number }) => number);
  expect(new Set(numbers).size).toBe(30);
  let [afterNumber, listed] = [0, [] as string[]];
  for (let more = true; more; ) {
    const page = await pageOfAccounts(fleet.engine, { limit: 7, afterNumber });
    listed = [...listed, ...page.accounts.map(({ name }) => name)];
    afterNumber = page.accounts.at(-1)!.number;
    more = page.more;
  }
  const inOrder = made.sort((a, b) => a.number - b.number).map(({ name }) => name);
  expect(listed).toEqual(['default', ...inOrder]);
});

test('a subuser lives in the slot of its parent, and has none of its own', async () => {
  const parent = await createAccount(fleet.engine, 'acme');
  const child = await createAccount(fleet.engine, 'acme-news', { parent: 'acme' });
  expect(child.parentId).toBe(parent.id);
  expect(await resolveAccount(fleet.redis, 'acme-news')).toEqual({ id: child.id, parentId: parent.id });
  await expect(createAccount(fleet.engine, 'deeper', { parent: child.id })).rejects.toMatchObject({
    code: 'invalid',
    param: 'parent',
  });
  await expect(createAccount(fleet.engine, 'lost', { parent: 'nobody' })).rejects.toMatchObject({
    code: 'not_found',
    param: 'parent',
  });
  expect((await everyAccount()).map(({ name }) => name)).toEqual(['default', 'acme', 'acme-news']);
});

test.each(['', '-a', 'a b', 'a'.repeat(65), 'acct_x', 'ä', 'a/b', 'a\n'])(
  'no account is called %j',
  async (name) => {
    await expect(createAccount(fleet.engine, name)).rejects.toMatchObject({ code: 'invalid', param: 'name' });
  },
);

test.each(['ouch', '{}', '{"id":7}', 'null'])(
  'an account whose record is %s is reported, and holds up nobody else',
  async (record) => {
    const house = await fleet.house('acme');
    const ip = await house.bring();
    await startWarmup(house.tenant, ip.id, {});
    await fleet.redis.hset(directoryKeys.accounts, 'acct_bad', record);
    await fleet.advance({ days: 1, work: false });
    const { failed, published } = await tick(fleet.engine);
    expect(failed.map((one) => one.ip)).toEqual(['acct_bad']);
    expect(published).toBe(1);
    const dueMs = Number(await fleet.redis.zscore(house.tenant.keys.due, ip.id));
    expect(dueMs).toBeGreaterThan(await fleet.now());
    // Of several workers that share the sweep, one reports it.
    expect((await tick(fleet.engine, { shard: { index: 1, of: 2 } })).failed).toEqual([]);
  },
);
