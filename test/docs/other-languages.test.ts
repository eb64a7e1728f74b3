import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { demandOf, OF_ALL } from '../../src/fleet/demand.ts';
import * as ips from '../../src/fleet/ips.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { PYTHON } from '../support/python.ts';
import { block } from './page.ts';

// Does what docs/other-languages.md tells a sender in any language to do, with a plain Redis client and none of our code
// but the Lua files that the page names.

const page = readFileSync(new URL('../../docs/other-languages.md', import.meta.url), 'utf8');

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

/** What the Python of the page reads in a reply. */
type Read = {
  granted: { ip: string; id: string; count: number; receipt: string; hostname: string; bind: string }[];
  limit: number;
  remaining: number;
  retry_after_ms: number;
  reset_after_ms: number;
  because: string;
  until_ms: number;
};
function read(reply: Buffer, count: number): Read {
  const program = `${block('docs/other-languages.md', 'read-answer')}
import base64, json, sys
print(json.dumps(read_answer(base64.b64decode(sys.argv[1]), int(sys.argv[2]))))`;
  const output = execFileSync(PYTHON!, ['-c', program, reply.toString('base64'), String(count)]);
  return JSON.parse(output.toString()) as Read;
}

const prefix = 'warmline:{acct_default}:';

test.skipIf(!PYTHON)(
  'takes from an IP and reads the answer with the code of the page (skipped only where there is no Python)',
  async () => {
    const ip = await fleet.warming();
    await ips.updateIp(fleet.tenant, ip.id, { hostname: 'mta7.example.com' });
    const sha = await load('take-ip');
    const take = async (count: number, ...more: string[]) =>
      read(
        (await redis.callBuffer('EVALSHA', sha, 1, `${prefix}hot:${ip.address}`, count, ...more)) as Buffer,
        count,
      );

    const taken = await take(3);
    expect(taken).toMatchObject({ limit: 20, remaining: 17, retry_after_ms: 0, because: '' });
    expect(taken.reset_after_ms).toBeGreaterThan(0);
    const [grant] = taken.granted;
    expect(grant).toMatchObject({
      ip: ip.address,
      id: ip.id,
      count: 3,
      hostname: 'mta7.example.com',
      bind: '',
    });
    expect(grant!.receipt).toMatch(new RegExp(`^${ip.id}\\.\\d+\\.\\d+\\.3\\.1$`));
    expect(await fleet.limiter.refund([{ receipt: grant!.receipt }])).toEqual({ refunded: 3 });

    const denied = await take(21);
    expect(denied).toMatchObject({ granted: [], because: 'hour', limit: 20 });
    const part = await take(25, 'partial', ip.id);
    expect(part).toMatchObject({ because: 'hour', remaining: 0, granted: [{ count: 20 }] });
    expect((await take(1)).retry_after_ms).toBeGreaterThan(0);
  },
);

test.skipIf(!PYTHON)(
  'takes from a pool in the same way (skipped only where there is no Python)',
  async () => {
    const ip = await fleet.warming();
    const sha = await load('take-pool');
    const reply = await redis.callBuffer(
      'EVALSHA',
      sha,
      1,
      `${prefix}account`,
      prefix,
      2,
      '',
      '',
      '',
      ip.address,
    );
    expect(read(reply as Buffer, 2).granted).toMatchObject([{ ip: ip.address, count: 2 }]);
  },
);

test('an address that the account does not hold is answered with nothing', async () => {
  const sha = await load('take-ip');
  expect(await redis.callBuffer('EVALSHA', sha, 1, `${prefix}hot:203.0.113.99`, 1)).toBeNull();
});

test('what was wanted is told as the page says', async () => {
  const ip = await fleet.warming();
  const pool = await createPool(fleet.tenant, { name: 'marketing', ips: [ip.id] });
  const sha = await load('demand');
  const example = /EVALSHA <sha> 1 (\S*account) (\S+) "([^"]+)" (\d+) (\d+) "([^"]+)"/.exec(page)!.slice(1);
  expect(await redis.call('EVALSHA', sha, 1, ...example)).toBe(1);
  expect(await demandOf(fleet.tenant, [pool.id, OF_ALL])).toEqual(
    Array(2).fill({ wanted: 120, granted: 100, held: 20, heldBy: [['hour', 20]] }),
  );
});

test('the published hash has the fields of the page, and no others', async () => {
  const ip = await fleet.warming({ burst: 3 });
  const documented = [...page.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`(\w+)`/g)].map(([, field]) => field!),
  );
  const fields = Object.keys(await redis.hgetall(`warmline:{acct_default}:quota:${ip.address}`));
  expect([...fields, 'heldUntil', 'nextHours'].sort()).toEqual([...documented].sort());
});
