import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, startFleet } from '../support/fleet.ts';

// Does what docs/other-languages.md tells a sender in any language to do, with a plain Redis client and none of our code
// but the Lua files that the page names.

let fleet: Fleet;
let redis: Redis;
beforeAll(async () => {
  fleet = await startFleet({ clock: 'real' });
  redis = new Redis(fleet.server.url);
});
afterAll(async () => {
  redis.disconnect();
  await fleet.stop();
});

const lua = (name: string) =>
  readFileSync(new URL(`../../src/redis/lua/${name}.lua`, import.meta.url), 'utf8');
const load = (name: string) =>
  redis.call(
    'SCRIPT',
    'LOAD',
    lua(name).replace(/^--- @include "(.*)"$/gm, (_, included: string) => lua(included)),
  ) as Promise<string>;

test('takes from an IP with one script call, and reads the answer in the order of the page', async () => {
  const ip = await fleet.warming();
  const prefix = 'warmline:{acct_default}:';
  const sha = await load('take-ip');
  const take = (count: number) =>
    redis.call('EVALSHA', sha, 1, `${prefix}hot:${ip.address}`, prefix, count, 0, 0, '') as Promise<
      (string | number)[]
    >;

  const [ok, now, granted, limit, remaining, retryAt, resetsAt, binds, until, id, ...group] = await take(3);
  expect([ok, granted, limit, remaining, retryAt, binds, until, id]).toEqual([
    ...['ok', 3, 20, 17, 0, '', -1],
    ip.id,
  ]);
  expect(Number(resetsAt)).toBeGreaterThan(Number(now));
  const [address, count, receipt, ipId, hostname, bind] = group;
  expect([address, count, ipId, hostname, bind]).toEqual([ip.address, 3, ip.id, '', '']);
  expect(receipt).toMatch(new RegExp(`^${ip.id}\\.\\d+\\.\\d+\\.3\\.1$`));

  const denied = await take(18);
  expect(denied[2]).toBe(0);
  expect(denied[7]).toBe('hour');
  expect(Number(denied[5])).toBeGreaterThan(Number(denied[1]));
  expect(denied).toHaveLength(10);
});

test('takes from a pool in the same way', async () => {
  const ip = await fleet.warming();
  const prefix = 'warmline:{acct_default}:';
  const sha = await load('take-pool');
  const reply = (await redis.call(
    'EVALSHA',
    sha,
    1,
    `${prefix}account`,
    prefix,
    1,
    0,
    0,
    '',
    '',
    ip.address,
  )) as (string | number)[];
  expect(reply.slice(0, 3)).toEqual(['ok', reply[1], 1]);
  expect(reply[10]).toBe(ip.address);
});

test('an address that the account does not hold is unpublished', async () => {
  const sha = await load('take-ip');
  const prefix = 'warmline:{acct_default}:';
  expect(await redis.call('EVALSHA', sha, 1, `${prefix}hot:203.0.113.99`, prefix, 1, 0, 0, '')).toEqual([
    'unpublished',
  ]);
});

test('the published hash has the fields of the page, and no others', async () => {
  const ip = await fleet.warming({ burst: 3 });
  const page = readFileSync(new URL('../../docs/other-languages.md', import.meta.url), 'utf8');
  const documented = [...page.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`(\w+)`/g)].map(([, field]) => field!),
  );
  const fields = Object.keys(await redis.hgetall(`warmline:{acct_default}:quota:${ip.address}`));
  expect([...fields, 'heldUntil', 'nextHours'].sort()).toEqual([...documented].sort());
});
