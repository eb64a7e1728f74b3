import { beforeEach, describe, expect, test } from 'vitest';
import { addToInventory, bringIps } from '../../../src/fleet/inventory.ts';
import { releaseIp } from '../../../src/fleet/ips.ts';
import { type Ask, useApi } from '../support.ts';

// What the documents leave to the reader, case by case: each refusal with its field and sentence, and nothing changed by it.

const api = useApi();
let ask: Ask;
let pool: { name: string; id: string };
/** In the pool, not in it, warming. */
let inside: string;
let outside: string;
let warming: string;
let made = 0;

/** An account of its own for each test. */
beforeEach(async () => {
  made += 1;
  const house = await api.house(`edges-${made}`);
  ask = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
  inside = (await house.bring({ status: 'active' })).address;
  outside = (await house.bring({ status: 'active' })).address;
  warming = (await house.bring()).address;
  await ask('POST', '/v3/ips/warmup', { ip: warming });
  const created = await ask('POST', '/v3/send_ips/pools', { name: 'marketing_pool', ips: [inside] });
  pool = created.body;
  await ask('POST', '/v3/ips/pools', { name: 'taken' });
});

const fill = (text: string) =>
  text
    .replaceAll('{id}', pool.id)
    .replaceAll('{in}', inside)
    .replaceAll('{out}', outside)
    .replaceAll('{warm}', warming);
const filled = (body: unknown) => (body === undefined ? undefined : JSON.parse(fill(JSON.stringify(body))));
const LONG = 'é'.repeat(65);
const NAME_LENGTH = 'needs to be between 2 to 64 characters long';
const BETWEEN = 'the number of IPs must be between 1 and 100';
const UNKNOWN_POOL = 'Unable to locate specified IPs Pool';
const NOT_PARSED = 'failed to parse the request body as a JSON payload';

/** All but the directory, which notes when a key was used. */
const ofAccounts = async () =>
  Object.entries(await api.dump()).filter(([key]) => !key.startsWith('warmline:{directory}'));

type Row = [
  method: string,
  path: string,
  body: unknown,
  status: number,
  field: string | null,
  message: string,
];

test.each<Row>([
  // pools by name
  ['GET', '/v3/ips/pools/none', undefined, 404, 'error', UNKNOWN_POOL],
  ['PUT', '/v3/ips/pools/none', { name: 'x' }, 404, null, 'ip pool not found'],
  ['DELETE', '/v3/ips/pools/none', undefined, 404, null, UNKNOWN_POOL],
  ['POST', '/v3/ips/pools/none/ips', { ip: '{out}' }, 404, null, 'resource not found'],
  ['DELETE', '/v3/ips/pools/none/ips/{in}', undefined, 404, null, UNKNOWN_POOL],
  ['DELETE', '/v3/ips/pools/marketing_pool/ips/{out}', undefined, 404, null, UNKNOWN_POOL],
  ['DELETE', '/v3/ips/pools/marketing_pool/ips/192.0.2.1', undefined, 404, null, UNKNOWN_POOL],
  ['POST', '/v3/ips/pools', {}, 400, 'name', 'not found in the request body'],
  ['POST', '/v3/ips/pools', { name: 7 }, 400, 'name', 'must be a string'],
  ['POST', '/v3/ips/pools', { name: '' }, 400, 'name', NAME_LENGTH],
  ['POST', '/v3/ips/pools', { name: LONG }, 400, 'name', NAME_LENGTH],
  ['POST', '/v3/ips/pools', { name: '.x' }, 400, 'name', 'cannot start with a dot or a space'],
  ['POST', '/v3/ips/pools', { name: 'taken' }, 400, 'name', 'already exists'],
  ['PUT', '/v3/ips/pools/marketing_pool', { name: 'taken' }, 400, 'name', 'already exists'],
  ['PUT', '/v3/ips/pools/marketing_pool', {}, 400, 'name', 'not found in the request body'],
  ['POST', '/v3/ips/pools/marketing_pool/ips', {}, 400, 'ip', 'not found in the request body'],
  ['POST', '/v3/ips/pools/marketing_pool/ips', { ip: 7 }, 400, 'ip', 'must be a string'],
  ['POST', '/v3/ips/pools/marketing_pool/ips', { ip: '192.0.2.1' }, 404, null, 'resource not found'],
  // pools by number
  ['GET', '/v3/send_ips/pools/99999', undefined, 400, 'poolid', 'not found'],
  ['GET', '/v3/send_ips/pools/x', undefined, 400, 'poolid', 'must be a numeric value'],
  ['PUT', '/v3/send_ips/pools/99999', { name: 'xy' }, 400, 'poolid', 'not found'],
  ['DELETE', '/v3/send_ips/pools/99999', undefined, 400, 'poolid', 'not found'],
  ['GET', '/v3/send_ips/pools/99999/ips', undefined, 400, 'poolid', 'not found'],
  ['POST', '/v3/send_ips/pools/99999/ips:batchAdd', { ips: ['{out}'] }, 400, 'poolid', 'not found'],
  ['POST', '/v3/send_ips/pools/99999/ips:batchDelete', { ips: ['{out}'] }, 400, 'poolid', 'not found'],
  ['POST', '/v3/send_ips/pools', { name: 'x' }, 400, 'name', NAME_LENGTH],
  ['POST', '/v3/send_ips/pools', { name: LONG }, 400, 'name', NAME_LENGTH],
  ['POST', '/v3/send_ips/pools', { name: ' xy' }, 400, 'name', 'cannot start with a dot or a space'],
  ['POST', '/v3/send_ips/pools', { ips: [] }, 400, 'name', 'not found in the request body'],
  ['POST', '/v3/send_ips/pools', { name: 'taken' }, 400, 'name', 'already exists'],
  ['PUT', '/v3/send_ips/pools/{id}', { name: 'taken' }, 400, 'name', 'already exists'],
  [
    'POST',
    '/v3/send_ips/pools',
    { name: 'ab', ips: ['{out}', 'x', '01.2.3.4'] },
    400,
    'ips',
    'unable to verify IPs assignability: x, 01.2.3.4',
  ],
  ['POST', '/v3/send_ips/pools/{id}/ips:batchAdd', {}, 400, 'ips', 'not found in the request body'],
  ['POST', '/v3/send_ips/pools/{id}/ips:batchAdd', { ips: [] }, 400, 'ips', BETWEEN],
  ['POST', '/v3/send_ips/pools/{id}/ips:batchAdd', { ips: Array(101).fill('{out}') }, 400, 'ips', BETWEEN],
  [
    'POST',
    '/v3/send_ips/pools/{id}/ips:batchAdd',
    { ips: ['{out}', '10.9.9.9'] },
    400,
    'ips',
    'unable to verify IPs assignability: 10.9.9.9',
  ],
  [
    'POST',
    '/v3/send_ips/pools/{id}/ips:batchAdd',
    { ips: ['{out}', '::1'] },
    400,
    'ips',
    'invalid IP address',
  ],
  [
    'POST',
    '/v3/send_ips/pools/{id}/ips:batchDelete',
    { ips: ['{in}', '{out}', '127.0.0.2'] },
    400,
    'ips',
    'not found in pool ‘marketing_pool’: {out}, 127.0.0.2',
  ],
  ['GET', '/v3/send_ips/pools?limit=0', undefined, 400, 'limit', 'should be > 0 and <= 100'],
  ['GET', '/v3/send_ips/pools?limit=101', undefined, 400, 'limit', 'should be > 0 and <= 100'],
  ['GET', '/v3/send_ips/pools?after_key=x', undefined, 400, 'after_key', 'must be a numeric value'],
  ['GET', '/v3/send_ips/pools?after_key=-1', undefined, 400, 'after_key', 'must be >= 0'],
  [
    'GET',
    '/v3/send_ips/pools?region=ap',
    undefined,
    400,
    'region',
    'must be one of the following: all, us, eu',
  ],
  // warm-up
  ['POST', '/v3/ips/warmup', {}, 400, 'ip', 'not found in the request body'],
  ['POST', '/v3/ips/warmup', { ip: '10.9.9.9' }, 404, null, 'resource not found'],
  ['GET', '/v3/ips/warmup/{out}', undefined, 404, null, 'resource not found'],
  ['DELETE', '/v3/ips/warmup/{out}', undefined, 404, null, 'resource not found'],
  // IPs
  ['GET', '/v3/ips/10.9.9.9', undefined, 404, null, 'resource not found'],
  ['GET', '/v3/ips?limit=0', undefined, 400, 'limit', 'should be > 0 and ≤ 5000'],
  ['GET', '/v3/ips?offset=-1', undefined, 400, 'offset', 'must be a whole number, 0 or more'],
  [
    'GET',
    '/v3/ips?sort_by_direction=up',
    undefined,
    400,
    'sort_by_direction',
    'must be one of the following: asc, desc',
  ],
  ['POST', '/v3/ips', {}, 400, 'count', 'not found in the request body'],
  ['POST', '/v3/ips', { count: '1' }, 400, 'count', 'must be a whole number from 1 to 256'],
  ['POST', '/v3/ips', { count: 0 }, 400, 'count', 'must be a whole number from 1 to 256'],
  ['POST', '/v3/ips', { count: 1 }, 400, null, 'no IPs remaining'],
  [
    'POST',
    '/v3/ips',
    { count: 1, subusers: ['x'] },
    400,
    null,
    'one or more subusers do not belong to this user',
  ],
  ['GET', '/v3/send_ips/ips/10.9.9.9', undefined, 400, 'ip', 'not found'],
  ['GET', '/v3/send_ips/ips/x', undefined, 400, 'ip', 'invalid IP address'],
  ['PATCH', '/v3/send_ips/ips/x', { is_enabled: true }, 400, 'ip', 'invalid IP address'],
  ['PATCH', '/v3/send_ips/ips/10.9.9.9', { is_enabled: true }, 400, 'ip', 'unable to verify IP ownership'],
  [
    'PATCH',
    '/v3/send_ips/ips/{out}',
    {},
    400,
    '',
    'at least one of the following is required: is_enabled, is_auto_warmup, is_parent_assigned',
  ],
  ['PATCH', '/v3/send_ips/ips/{out}', [], 400, '', NOT_PARSED],
  ['PATCH', '/v3/send_ips/ips/{out}', { is_enabled: 'no' }, 400, 'is_enabled', 'must be true or false'],
  [
    'POST',
    '/v3/send_ips/ips',
    { is_auto_warmup: true },
    400,
    'is_parent_assigned',
    'not found in the request body',
  ],
  [
    'POST',
    '/v3/send_ips/ips',
    { is_auto_warmup: true, is_parent_assigned: true },
    400,
    '',
    'No IPs remaining',
  ],
  [
    'POST',
    '/v3/send_ips/ips',
    { is_auto_warmup: true, is_parent_assigned: true, subusers: ['123', '456'] },
    400,
    'subusers',
    'unverified subusers: 123, 456',
  ],
  [
    'POST',
    '/v3/send_ips/ips/{out}/subusers:batchAdd',
    { subusers: [] },
    400,
    'subusers',
    'must not be empty',
  ],
  [
    'POST',
    '/v3/send_ips/ips/{out}/subusers:batchAdd',
    { subusers: ['123'] },
    400,
    'subusers',
    'unverified subusers: 123',
  ],
  [
    'POST',
    '/v3/send_ips/ips/{out}/subusers:batchDelete',
    { subusers: ['123'] },
    400,
    'subusers',
    'unverified subusers: 123',
  ],
  ['POST', '/v3/send_ips/ips/x/subusers:batchAdd', { subusers: ['123'] }, 400, '', 'invalid IP address'],
  ['GET', '/v3/send_ips/ips/x/subusers', undefined, 400, '', 'invalid IP address'],
  ['GET', '/v3/send_ips/ips/{out}/subusers?limit=101', undefined, 400, 'limit', 'should be > 0 and <= 100'],
  [
    'GET',
    '/v3/send_ips/ips/{out}/subusers?after_key=x',
    undefined,
    400,
    'after_key',
    'must be a numeric value',
  ],
  // the list
  ['GET', '/v3/send_ips/ips?limit=0', undefined, 400, 'limit', 'should be > 0 and ≤ 5000'],
  ['GET', '/v3/send_ips/ips?limit=5001', undefined, 400, 'limit', 'should be > 0 and ≤ 5000'],
  ['GET', '/v3/send_ips/ips?limit=1&limit=2', undefined, 400, 'limit', 'should be > 0 and ≤ 5000'],
  ['GET', '/v3/send_ips/ips?after_key=x', undefined, 400, 'after_key', 'invalid IP address'],
  ['GET', '/v3/send_ips/ips?after_key=4294967296', undefined, 400, 'after_key', 'invalid IP address'],
  ['GET', '/v3/send_ips/ips?before_key=x', undefined, 400, 'before_key', 'invalid IP address'],
  [
    'GET',
    '/v3/send_ips/ips?before_key=1.1.1.1&after_key=1.1.1.1',
    undefined,
    400,
    'after_key',
    'cannot be used with ‘before_key’',
  ],
  [
    'GET',
    '/v3/send_ips/ips?is_leased=yes',
    undefined,
    400,
    'is_leased',
    'must be one of the following: true, false',
  ],
  ['GET', '/v3/send_ips/ips?pool=x', undefined, 400, 'pool', 'must be numeric'],
  ['GET', '/v3/send_ips/ips?pool=99999', undefined, 400, 'pool', 'not found'],
  [
    'GET',
    '/v3/send_ips/ips?pool=1&is_parent_assigned=true',
    undefined,
    400,
    'pool',
    'cannot be used with ‘is_parent_assigned’',
  ],
  ['GET', '/v3/send_ips/ips?start_added_at=x', undefined, 400, 'start_added_at', 'must be numeric'],
])('%s %s %j: %i %s %s', async (method, path, body, status, field, message) => {
  const before = await ofAccounts();
  const answer = await ask(method, fill(path), filled(body));
  expect({ status: answer.status, error: answer.body.errors[0] }).toEqual({
    status,
    error: { field, message: fill(message) },
  });
  expect(await ofAccounts()).toEqual(before);
});

describe('an address that is none of IPv4 is malformed everywhere', () => {
  test.each([
    '2001:db8::1',
    '::ffff:1.2.3.4',
    '010.0.0.1',
    '10.0.0.1/32',
    ' 10.0.0.1',
    '0x0a000001',
    '167772161',
    '10.0.1',
  ])('%s', async (ip) => {
    const named = encodeURIComponent(ip);
    const malformed = (field: string) => ({
      status: 400,
      body: { errors: [{ field, message: 'invalid IP address' }] },
    });
    expect(await ask('POST', '/v3/ips/warmup', { ip })).toMatchObject(malformed('ip'));
    expect(await ask('POST', '/v3/ips/pools/taken/ips', { ip })).toMatchObject(malformed('ip'));
    expect(await ask('GET', `/v3/ips/${named}`)).toMatchObject(malformed('ip'));
    expect(await ask('GET', `/v3/send_ips/ips/${named}`)).toMatchObject(malformed('ip'));
    expect(await ask('GET', `/v3/send_ips/ips?ip=${named}`)).toMatchObject(malformed('ip'));
    expect(await ask('POST', `/v3/send_ips/pools/${pool.id}/ips:batchDelete`, { ips: [ip] })).toMatchObject(
      malformed('ips'),
    );
  });
});

test('what succeeds at the edges', async () => {
  const long = '✉'.repeat(64);
  for (const name of ['x', long]) expect((await ask('POST', '/v3/ips/pools', { name })).status).toBe(200);
  expect((await ask('POST', '/v3/send_ips/pools', { name: 'ok' })).body.ips).toEqual([]);
  expect(
    (await ask('POST', '/v3/send_ips/pools', { name: 'ok 2', ips: [outside, outside] })).body.ips,
  ).toEqual([outside]);
  // Its own name again.
  expect(await ask('PUT', '/v3/ips/pools/taken', { name: 'taken' })).toMatchObject({
    status: 200,
    body: { name: 'taken' },
  });
  expect((await ask('PUT', `/v3/send_ips/pools/${pool.id}`, { name: pool.name })).body).toEqual({
    name: pool.name,
    id: pool.id,
  });
  // A member again.
  const again = await ask('POST', '/v3/ips/pools/marketing_pool/ips', { ip: inside });
  expect(again).toMatchObject({ status: 200, body: { pools: ['marketing_pool'] } });
  expect(
    (await ask('POST', `/v3/send_ips/pools/${pool.id}/ips:batchAdd`, { ips: [inside, warming, warming] }))
      .body,
  ).toEqual({
    ...{ name: pool.name, id: pool.id },
    ips: [inside, warming],
  });
  // Into and out of warm-up where it is already.
  expect(
    (await ask('PATCH', `/v3/send_ips/ips/${warming}`, { is_auto_warmup: true })).body.is_auto_warmup,
  ).toBe(true);
  expect((await ask('PATCH', `/v3/send_ips/ips/${outside}`, { is_auto_warmup: false })).status).toBe(200);
});

test('an IP in several pools: all names in the order in which it joined, and v1 shows the last', async () => {
  await ask('POST', '/v3/ips/pools/taken/ips', { ip: inside });
  expect((await ask('GET', `/v3/ips/${inside}`)).body.pools).toEqual(['marketing_pool', 'taken']);
  const { body } = await ask('GET', `/v3/send_ips/ips/${inside}`);
  expect(body.pools.map(({ name }: { name: string }) => name)).toEqual(['marketing_pool', 'taken']);
  const shown = (await ask('GET', `/v1/dedicated-ips/${inside}`)).body;
  const pools = (await ask('GET', '/v1/dedicated-ips/pools')).body.data;
  expect(shown.poolId).toBe(pools.find(({ name }: { name: string }) => name === 'taken').id);
});

test('PATCH: into warm-up, out of it, off and on', async () => {
  const url = `/v3/send_ips/ips/${outside}`;
  expect((await ask('PATCH', url, { is_auto_warmup: true })).body).toEqual({
    ip: outside,
    is_auto_warmup: true,
    is_parent_assigned: true,
    is_enabled: true,
  });
  expect((await ask('GET', '/v3/ips/warmup')).body).toHaveLength(2);
  expect((await ask('PATCH', url, { is_auto_warmup: false })).body.is_auto_warmup).toBe(false);
  expect((await ask('PATCH', url, { is_enabled: false, is_parent_assigned: false })).body).toMatchObject({
    is_parent_assigned: false,
    is_enabled: false,
  });
  const held = (await ask('GET', `/v1/dedicated-ips/${outside}`)).body;
  expect(held).toMatchObject({ status: 'active', hold: { sending: true, advance: false } });
  expect((await ask('PATCH', url, { is_enabled: true })).body.is_enabled).toBe(true);
  expect((await ask('GET', `/v1/dedicated-ips/${outside}`)).body.hold).toBeNull();
});

test('an IP that was released is no longer on the account, though it cools down', async () => {
  const house = await api.house();
  const key = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
  const ip = await house.warming();
  expect((await key('GET', '/v3/send_ips/ips')).body.result).toHaveLength(1);
  await releaseIp(house.tenant, ip.id);
  for (const url of ['/v3/ips', '/v3/ips/warmup', '/v3/ips/assigned'])
    expect((await key('GET', url)).body).toEqual([]);
  expect((await key('GET', '/v3/send_ips/ips')).body.result).toEqual([]);
  expect((await key('GET', `/v3/ips/${ip.address}`)).status).toBe(404);
  expect((await key('POST', '/v3/ips/warmup', { ip: ip.address })).status).toBe(404);
  await key('POST', `/v1/dedicated-ips/${ip.id}/restore`);
  expect((await key('GET', '/v3/ips/warmup')).body).toHaveLength(1);
});

test('an IPv6 address is listed, and a page may begin behind it', async () => {
  const house = await api.house();
  const key = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
  await bringIps(house.tenant, {
    addresses: ['2001:db8:1::1', '2001:db8:1::2', '192.0.2.77'],
    status: 'active',
  });
  const { body } = await key('GET', '/v3/send_ips/ips?limit=2');
  expect(body.result.map(({ ip }: { ip: string }) => ip)).toEqual(['192.0.2.77', '2001:db8:1::1']);
  expect(body._metadata.after_key).toBe('2001:db8:1::1');
  const next = await key('GET', `/v3/send_ips/ips?limit=2&after_key=${body._metadata.after_key}`);
  expect(next.body.result.map(({ ip }: { ip: string }) => ip)).toEqual(['2001:db8:1::2']);
  // For clients that were typed by the documents: the value of 192.0.2.77 as an integer.
  const typed = await key('GET', `/v3/send_ips/ips?after_key=${((192 * 256 + 0) * 256 + 2) * 256 + 77}`);
  expect(typed.body.result).toHaveLength(2);
});

test('an IPv6 address of the account is no address in a request', async () => {
  const house = await api.house();
  const key = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
  await bringIps(house.tenant, { addresses: ['2001:db8:2::1'], status: 'active' });
  const { id } = (await key('POST', '/v3/send_ips/pools', { name: 'four' })).body;
  const ips = ['2001:db8:2::1'];
  expect(await key('POST', '/v3/send_ips/pools', { name: 'six', ips })).toMatchObject({
    status: 400,
    body: { errors: [{ field: 'ips', message: 'unable to verify IPs assignability: 2001:db8:2::1' }] },
  });
  const invalid = (field: string) => ({
    status: 400,
    body: { errors: [{ field, message: 'invalid IP address' }] },
  });
  expect(await key('POST', `/v3/send_ips/pools/${id}/ips:batchAdd`, { ips })).toMatchObject(invalid('ips'));
  expect(await key('GET', `/v3/send_ips/ips/${ips[0]}`)).toMatchObject(invalid('ip'));
  expect(await key('POST', '/v3/ips/pools/four/ips', { ip: ips[0] })).toMatchObject(invalid('ip'));
  expect((await key('GET', '/v3/ips/pools')).body).toEqual([{ name: 'four' }]);
});

test('without reverse DNS an IP is in no pool', async () => {
  const house = await api.house();
  const key = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
  await bringIps(house.tenant, { addresses: ['192.0.2.78'], status: 'active', whitelabeled: false });
  await key('POST', '/v3/ips/pools', { name: 'p1' });
  expect((await key('POST', '/v3/ips/pools/p1/ips', { ip: '192.0.2.78' })).body.errors[0]).toEqual({
    field: 'ip',
    message: 'IP pools can only be used with whitelabeled IP addresses',
  });
  expect(
    (await key('POST', '/v3/send_ips/pools', { name: 'p2', ips: ['192.0.2.78'] })).body.errors[0].message,
  ).toBe('unable to verify IPs assignability: 192.0.2.78');
});

test('an address that this dialect cannot name is never given to it, however long it was free', async () => {
  await addToInventory(api.engine, { addresses: ['2001:db8:9::1'], region: 'eu' });
  await addToInventory(api.engine, { addresses: ['198.51.100.90', '198.51.100.91'], region: 'eu' });
  expect((await ask('GET', '/v3/ips/remaining')).body.results[0].remaining).toBe(2);

  const legacy = await ask('POST', '/v3/ips', { count: 1 });
  expect(legacy).toMatchObject({ status: 201, body: { ips: [{ ip: '198.51.100.90' }], remaining_ips: 1 } });
  const sendIp = { is_auto_warmup: false, is_parent_assigned: true, region: 'eu' };
  expect((await ask('POST', '/v3/send_ips/ips', sendIp)).body.ip).toBe('198.51.100.91');
  for (const [path, body] of [
    ['/v3/ips', { count: 1 }],
    ['/v3/send_ips/ips', sendIp],
  ] as const) {
    expect((await ask('POST', path, body)).status).toBe(400);
  }
  // The other dialect takes it.
  expect((await ask('POST', '/v1/dedicated-ips')).body.ipAddress).toBe('2001:db8:9::1');
});

test('a name with a line break stands on one line of a refusal', async () => {
  const { body } = await ask('POST', '/v3/send_ips/pools', { name: 'first\r\nsecond' });
  const answer = await ask('POST', `/v3/send_ips/pools/${body.id}/ips:batchDelete`, { ips: [outside] });
  expect(answer.status).toBe(400);
  expect(answer.body.errors).toEqual([
    { field: 'ips', message: `not found in pool ‘first second’: ${outside}` },
  ]);
});

test('a name that nobody has is quoted by its beginning, however long it is', async () => {
  const body = { is_auto_warmup: false, is_parent_assigned: true, subusers: ['x'.repeat(50_000)] };
  const answer = await ask('POST', '/v3/send_ips/ips', body);
  expect(answer.status).toBe(400);
  expect(answer.body.errors).toEqual([
    { field: 'subusers', message: `unverified subusers: ${'x'.repeat(63)}…` },
  ]);
});
