/** Bad input: each mistake gets one sentence that names the value and says what to do, and changes nothing in Redis. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAccount, findAccount } from '../../src/fleet/accounts.ts';
import { addToInventory, bringIps, createIp } from '../../src/fleet/inventory.ts';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { type Fleet, startFleet, MONDAY as T0 } from '../support/fleet.ts';

let fleet: Fleet;
let warming: DedicatedIp;
let fresh: DedicatedIp;
let receipt: string;
beforeAll(async () => {
  fleet = await startFleet();
  warming = await fleet.warming();
  fresh = await fleet.bring();
  receipt = (await fleet.limiter.take({ ip: warming.id, count: 5 })).granted[0]!.receipt;
  await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
  await fleet.create();
  await pools.createPool(fleet.tenant, { name: 'marketing' });
});
afterAll(() => fleet.stop());

const bring = (...addresses: string[]) => bringIps(fleet.tenant, { addresses, status: 'active' });
const add = (...addresses: string[]) => addToInventory(fleet.engine, { addresses });
const start = (request: ips.StartRequest) => ips.startWarmup(fleet.tenant, fresh.id, request);
const hold = (request: Partial<ips.HoldRequest>) =>
  ips.holdIp(fleet.tenant, warming.id, {
    sending: true,
    advance: true,
    because: 'a test',
    untilMs: null,
    ...request,
  });
const NOBODY = 'ip_0000000000000000000000000';

type Case = [
  what: string,
  mistake: () => Promise<unknown>,
  code: WarmlineError['code'],
  param: string | null,
];
const cases: Case[] = [
  ...[
    '203.0.113.007',
    '0x7f.1.1.1',
    '203.0.113',
    '203.0.113.256',
    '1.2.3.4.5',
    '3405803783',
    'fe80::1%eth0',
    '',
    ' ',
    '203.0.113.7-9',
    'mta.example.com',
    '2001:db8:::1',
    '::ffff:300.1.1.1',
    '203.0.113.7:25',
    '[2001:db8::1]',
  ].map((address): Case => [`the address "${address}"`, () => add(address), 'invalid', 'addresses']),
  ['an address that sends no mail', () => add('224.0.0.1'), 'invalid', 'addresses'],
  ['no address', () => add(), 'invalid', 'addresses'],
  ['a range with host bits', () => add('203.0.113.9/28'), 'invalid', 'addresses'],
  ['a range that is too large', () => add('10.0.0.0/8'), 'invalid', 'addresses'],
  ['an IPv6 range that is too large', () => add('2001:db8::/64'), 'invalid', 'addresses'],
  ['ranges that are too large together', () => add('10.0.0.0/20', '10.1.0.0/20'), 'invalid', 'addresses'],
  ['a range of /33', () => add('203.0.113.0/33'), 'invalid', 'addresses'],
  ['a range of /x', () => add('203.0.113.0/x'), 'invalid', 'addresses'],
  ['a range with two slashes', () => add('203.0.113.0/28/28'), 'invalid', 'addresses'],
  ['one address twice', () => add('198.51.100.1', '198.51.100.1'), 'invalid', 'addresses'],
  ['one address twice in two spellings', () => add('2001:db8::1', '2001:DB8:0::1'), 'invalid', 'addresses'],
  [
    'an address and a range that has it',
    () => bring('198.51.100.0/30', '198.51.100.2'),
    'invalid',
    'addresses',
  ],
  ['an address of the inventory', () => add('198.51.100.1', '203.0.113.7'), 'conflict', null],
  [
    'an address that is brought although it is known',
    () => bring('198.51.100.1', '203.0.113.7'),
    'conflict',
    null,
  ],
  [
    'one host name for two addresses',
    () => addToInventory(fleet.engine, { addresses: ['198.51.100.0/31'], hostname: 'mta.example.com' }),
    'invalid',
    'hostname',
  ],
  [
    'a host name that is none',
    () => addToInventory(fleet.engine, { addresses: ['198.51.100.1'], hostname: 'mta_7' }),
    'invalid',
    'hostname',
  ],
  [
    'a host name with a line break',
    () => addToInventory(fleet.engine, { addresses: ['198.51.100.1'], hostname: 'mta.example.com\nx' }),
    'invalid',
    'hostname',
  ],
  [
    'a bind address that is none',
    () => addToInventory(fleet.engine, { addresses: ['198.51.100.1'], bind: 'eth0' }),
    'invalid',
    'bind',
  ],
  ['an empty inventory', () => createIp(fleet.tenant), 'exhausted', null],
  ['a zone that there is not', () => start({ zone: 'Berlin' }), 'invalid', 'zone'],
  ['no zone', () => start({ zone: '' }), 'invalid', 'zone'],
  ['a plan that there is not', () => start({ plan: 'forty-day' }), 'invalid', 'plan'],
  ['no plan', () => start({ plan: '' }), 'invalid', 'plan'],
  ['a plan with one schedule twice', () => start({ plan: 'fourteen-day+fourteen-day' }), 'invalid', 'plan'],
  ['a plan of a name that every object has', () => start({ plan: 'constructor' }), 'invalid', 'plan'],
  ...[0, -1, 1.5, 15, Number.NaN, Number.POSITIVE_INFINITY].map(
    (startDay): Case => [`startDay ${startDay}`, () => start({ startDay }), 'invalid', 'startDay'],
  ),
  ...[0, -1, 1.5, 1_000_000_001, 1e20, Number.NaN, Number.POSITIVE_INFINITY].map(
    (burst): Case => [`burst ${burst}`, () => start({ burst }), 'invalid', 'burst'],
  ),
  [
    'a region with half a character',
    () => addToInventory(fleet.engine, { addresses: ['198.51.100.9'], region: '\ud83d' }),
    'invalid',
    'region',
  ],
  ...['4:00', '24:00', '04:60', 'noon', ''].map(
    (dayStartsAt): Case => [
      `dayStartsAt "${dayStartsAt}"`,
      () => start({ dayStartsAt }),
      'invalid',
      'dayStartsAt',
    ],
  ),
  ...[0, -1, 1_000_001, 1.5, Number.NaN, Number.POSITIVE_INFINITY].flatMap((count): Case[] => [
    [`a take of ${count}`, () => fleet.limiter.take({ ip: warming.address, count }), 'invalid', 'count'],
    [`a take of ${count} from any IP`, () => fleet.limiter.take({ count }), 'invalid', 'count'],
    [`a peek of ${count}`, () => fleet.limiter.peek({ pool: 'marketing', count }), 'invalid', 'count'],
  ]),
  ...[NOBODY, 'ip_', '198.51.100.99', '', '203.0.113.007', '*'].map(
    (ip): Case => [`a take from "${ip}"`, () => fleet.limiter.take({ ip }), 'not_found', 'ip'],
  ),
  ...['sales', '', 'Marketing', 'all', '*'].map(
    (pool): Case => [
      `a take from the pool "${pool}"`,
      () => fleet.limiter.take({ pool }),
      'not_found',
      'pool',
    ],
  ),
  ['an IP and a pool', () => fleet.limiter.take({ ip: warming.id, pool: 'marketing' }), 'invalid', 'pool'],
  ['the other family of an IP', () => fleet.limiter.take({ ip: warming.id, family: 6 }), 'invalid', 'family'],
  ['nobody to choose among', () => fleet.limiter.take({ among: [] }), 'invalid', 'among'],
  [
    '101 to choose among',
    () => fleet.limiter.take({ among: Array.from({ length: 101 }, (_, i) => `10.0.0.${i}`) }),
    'invalid',
    'among',
  ],
  [
    'an unknown id to choose among',
    () => fleet.limiter.take({ among: [warming.id, NOBODY] }),
    'not_found',
    'ip',
  ],
  ...['', 'ip_1', 'ip_1.1.1.1', 'ip_1.1.1.x.1', `${'9'.repeat(300)}`].map(
    (bad): Case => [
      `the receipt "${bad.slice(0, 20)}"`,
      () => fleet.limiter.refund([{ receipt: bad }]),
      'invalid',
      'receipt',
    ],
  ),
  ...[0, -1, 1.5, 6].map(
    (count): Case => [
      `a refund of ${count} of 5`,
      () => fleet.limiter.refund([{ receipt, count }]),
      'invalid',
      'count',
    ],
  ),
  [
    'a refund to an IP that there is not',
    () => fleet.limiter.refund([{ receipt: `${NOBODY}.1.1.1.1` }]),
    'not_found',
    'ip',
  ],
  ['a start of an unknown id', () => ips.startWarmup(fleet.tenant, NOBODY, {}), 'not_found', 'ip'],
  [
    'a start of an unknown address',
    () => ips.startWarmup(fleet.tenant, '198.51.100.99', {}),
    'not_found',
    'ip',
  ],
  ['a release of an unknown IP', () => ips.releaseIp(fleet.tenant, NOBODY), 'not_found', 'ip'],
  [
    'a restore of an IP that was not released',
    () => ips.restoreIp(fleet.tenant, warming.id),
    'conflict',
    null,
  ],
  ['the end of a warm-up that there is not', () => ips.endWarmup(fleet.tenant, fresh.id), 'conflict', null],
  ['a hold of nothing', () => hold({ sending: false, advance: false }), 'invalid', 'sending'],
  ['a hold until now', () => hold({ untilMs: T0 }), 'invalid', 'until'],
  ['a hold until an hour ago', () => hold({ untilMs: T0 - HOUR_MS }), 'invalid', 'until'],
  ...[0, -1, 1.5, 1_000_000_001, Number.NaN].flatMap((limit): Case[] => [
    [
      `a ceiling of ${limit}`,
      () => ips.setCeiling(fleet.tenant, warming.id, { perDay: limit, perHour: null }),
      'invalid',
      'ceiling.perDay',
    ],
    [
      `a pool with a ceiling of ${limit}`,
      () => pools.createPool(fleet.tenant, { name: 'low', ceiling: { perDay: null, perHour: limit } }),
      'invalid',
      'ceiling.perHour',
    ],
  ]),
  ...[-0.1, 1.1, Number.NaN].map(
    (warmingShare): Case => [
      `a warmingShare of ${warmingShare}`,
      () => pools.createPool(fleet.tenant, { name: 'low', warmingShare }),
      'invalid',
      'warmingShare',
    ],
  ),
  ...['', ' lead', '.lead', 'x'.repeat(65), 'half \ud83d'].map(
    (name): Case => [
      `a pool named "${name.slice(0, 10)}"`,
      () => pools.createPool(fleet.tenant, { name }),
      'invalid',
      'name',
    ],
  ),
  [
    'a pool of a name that is taken',
    () => pools.createPool(fleet.tenant, { name: 'marketing', warmingShare: 0.5 }),
    'conflict',
    'name',
  ],
  ['an unknown pool', () => pools.getPool(fleet.tenant, 'sales'), 'not_found', 'pool'],
  ['an unknown IP for a pool', () => pools.addIpToPool(fleet.tenant, 'marketing', NOBODY), 'not_found', 'ip'],
  [
    'an unknown pool for an IP',
    () => pools.addIpToPool(fleet.tenant, 'sales', warming.id),
    'not_found',
    'pool',
  ],
  [
    'an IP that is not in the pool',
    () => pools.removeIpFromPool(fleet.tenant, 'marketing', warming.id),
    'not_found',
    'ip',
  ],
  [
    'a hold of an unknown pool',
    () =>
      pools.holdPool(fleet.tenant, 'sales', {
        sending: true,
        advance: true,
        because: 'a test',
        untilMs: null,
      }),
    'not_found',
    'pool',
  ],
  [
    'a hold of a pool until an hour ago',
    () =>
      pools.holdPool(fleet.tenant, 'marketing', {
        sending: true,
        advance: true,
        because: 'a test',
        untilMs: T0 - HOUR_MS,
      }),
    'invalid',
    'until',
  ],
  ...['', 'a b', '-a', 'x'.repeat(65), '{a}'].map(
    (name): Case => [
      `an account named "${name.slice(0, 10)}"`,
      () => createAccount(fleet.engine, name),
      'invalid',
      'name',
    ],
  ),
  ['an account of a name that is taken', () => createAccount(fleet.engine, 'default'), 'conflict', null],
  ['an unknown account', () => findAccount(fleet.engine, 'nobody'), 'not_found', 'account'],
  ['a clock that goes back', () => fleet.advance({ ms: -1 }), 'invalid', 'to'],
];

describe('a mistake is told in one sentence and changes nothing:', () => {
  test.each(cases)('%s', async (_, mistake, code, param) => {
    const before = await fleet.dump();
    const error = await mistake().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(WarmlineError);
    expect(error).toMatchObject({ code, param });
    // One sentence: no line break, no dump of a validator, not longer than anybody reads.
    const { message } = error as WarmlineError;
    expect(message).toMatch(/^[^\n]{15,400}$/);
    expect(message).not.toMatch(/undefined|\[object|ZodError|"code":/);
    expect(await fleet.dump()).toEqual(before);
  });

  test('an IP of another account is unknown, by id, by address and by receipt', async () => {
    const other = await fleet.house('other');
    const before = await fleet.dump();
    for (const ip of [warming.id, warming.address]) {
      await expect(other.limiter.take({ ip })).rejects.toMatchObject({ code: 'not_found' });
      await expect(ips.releaseIp(other.tenant, ip)).rejects.toMatchObject({ code: 'not_found' });
    }
    await expect(other.limiter.refund([{ receipt }])).rejects.toMatchObject({ code: 'not_found' });
    await expect(other.limiter.take({ pool: 'marketing' })).rejects.toMatchObject({ code: 'not_found' });
    expect(await other.limiter.take({ among: [warming.address] })).toMatchObject({ allowed: false });
    expect(await fleet.dump()).toEqual(before);
  });
});
