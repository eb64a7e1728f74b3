import { beforeEach, describe, expect, test } from 'vitest';
import { MOST_IPS_PER_POOL } from '../../src/fleet/pool.ts';
import { ok, useNewApi } from './support.ts';

// Every mistake an operator makes gets one sentence that names the value and the rule, and changes nothing at all: every key
// in Redis is compared before and after.

const api = useNewApi();
let ids: Record<'warming' | 'cooldown' | 'pool', string>;
beforeEach(async () => {
  const bring = async (address: string) =>
    ok(await api.ask('POST', '/v1/inventory', { addresses: [address], account: 'default' }), 201).data[0].id;
  const [warming, cooldown] = [await bring('192.0.2.1'), await bring('192.0.2.2')];
  await bring('192.0.2.3');
  await api.ask('POST', `/v1/dedicated-ips/${warming}/warmup`);
  await api.ask('DELETE', `/v1/dedicated-ips/${cooldown}`);
  const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Bulk' }), 201).id;
  ids = { warming, cooldown, pool };
});

type Row = [
  what: string,
  request: () => [string, string, unknown?],
  status: number,
  code: string,
  param: string | null,
  says: RegExp,
];
const inventory = (body: object) => (): [string, string, unknown] => ['POST', '/v1/inventory', body];
const start = (body: object) => (): [string, string, unknown] => [
  'POST',
  '/v1/dedicated-ips/192.0.2.3/warmup',
  body,
];
const hold = (body: object) => (): [string, string, unknown] => [
  'POST',
  '/v1/dedicated-ips/192.0.2.1/hold',
  body,
];
const pool = (body: object) => (): [string, string, unknown] => ['POST', '/v1/dedicated-ips/pools', body];
const advance = (body: object) => (): [string, string, unknown] => ['POST', '/v1/test-clock/advance', body];
const ceiling = (value: unknown) => (): [string, string, unknown] => [
  'PATCH',
  '/v1/dedicated-ips/192.0.2.1',
  { ceiling: value },
];
const V = 'validation_error';

const ROWS: Row[] = [
  [
    'a malformed address',
    inventory({ addresses: ['203.0.113.999'] }),
    422,
    V,
    'addresses',
    /"203\.0\.113\.999" is not an IP address/,
  ],
  ['a malformed range', inventory({ addresses: ['203.0.113.0/33'] }), 422, V, 'addresses', /not a range/],
  [
    'a range that does not begin there',
    inventory({ addresses: ['203.0.113.5/28'] }),
    422,
    V,
    'addresses',
    /did you mean 203\.0\.113\.0\/28/,
  ],
  ['a huge range', inventory({ addresses: ['10.0.0.0/8'] }), 422, V, 'addresses', /more than 4096/],
  [
    'a duplicate in the request',
    inventory({ addresses: ['203.0.113.1', '203.0.113.0/30'] }),
    422,
    V,
    'addresses',
    /named twice/,
  ],
  [
    'an address that is known',
    inventory({ addresses: ['203.0.113.1', '192.0.2.1'] }),
    409,
    'conflict',
    null,
    /192\.0\.2\.1 is in the inventory already/,
  ],
  [
    'the same for an account',
    inventory({ addresses: ['203.0.113.1', '192.0.2.1'], account: 'default' }),
    409,
    'conflict',
    null,
    /already/,
  ],
  ['no address', inventory({ addresses: [] }), 422, V, 'addresses', /list of 1 to 4096/],
  ['addresses left out', inventory({}), 422, V, 'addresses', /missing/],
  ['multicast', inventory({ addresses: ['224.0.0.1'] }), 422, V, 'addresses', /multicast/],
  [
    'one host name for two',
    inventory({ addresses: ['203.0.113.0/31'], hostname: 'a.example.com' }),
    422,
    V,
    'hostname',
    /cannot share/,
  ],
  [
    'a bare host name',
    inventory({ addresses: ['203.0.113.1'], hostname: 'mta7' }),
    422,
    V,
    'hostname',
    /full host name/,
  ],
  [
    'a malformed bind',
    inventory({ addresses: ['203.0.113.1'], bind: 'eth0' }),
    422,
    V,
    'bind',
    /not an IP address/,
  ],
  [
    'an unknown account',
    inventory({ addresses: ['203.0.113.1'], account: 'nobody' }),
    404,
    'not_found',
    'account',
    /no account "nobody"/,
  ],
  [
    'a status without an account',
    inventory({ addresses: ['203.0.113.1'], status: 'active' }),
    422,
    V,
    'status',
    /account/,
  ],
  [
    'a brought one without an account',
    inventory({ addresses: ['203.0.113.1'], leased: false }),
    422,
    V,
    'leased',
    /account/,
  ],
  [
    'an unknown status',
    inventory({ addresses: ['203.0.113.1'], account: 'default', status: 'warming' }),
    422,
    V,
    'status',
    /one of provisioning, active/,
  ],
  ['an unknown field', inventory({ adresses: ['203.0.113.1'] }), 422, V, 'adresses', /known are addresses/],

  [
    'an empty inventory',
    () => ['POST', '/v1/dedicated-ips'],
    422,
    'quota_exceeded',
    null,
    /inventory has no free address/,
  ],
  [
    'a body where none is known',
    () => ['POST', '/v1/dedicated-ips', { count: 2 }],
    422,
    V,
    'count',
    /no field "count"/,
  ],

  [
    'an unknown plan',
    start({ plan: 'fourteen-days' }),
    422,
    V,
    'plan',
    /no schedule "fourteen-days"; known are fourteen-day/,
  ],
  ['a schedule twice', start({ plan: 'fourteen-day+fourteen-day' }), 422, V, 'plan', /twice/],
  ['an unknown zone', start({ zone: 'Berlin' }), 422, V, 'zone', /"Berlin" is not an IANA time zone/],
  ['a malformed time of day', start({ dayStartsAt: '4:00' }), 422, V, 'dayStartsAt', /HH:MM/],
  ['day 0', start({ startDay: 0 }), 422, V, 'startDay', /startDay is 0/],
  ['day 15 of 14', start({ startDay: 15 }), 422, V, 'startDay', /has the days 1 to 14/],
  ['burst 0', start({ burst: 0 }), 422, V, 'burst', /burst is 0/],
  ['burst 1.5', start({ burst: 1.5 }), 422, V, 'burst', /whole number/],
  [
    'a start in cooldown',
    () => ['POST', `/v1/dedicated-ips/${ids.cooldown}/warmup`],
    409,
    'conflict',
    null,
    /in cooldown after its release/,
  ],
  [
    'an unknown IP',
    () => ['POST', '/v1/dedicated-ips/ip_nobody/warmup'],
    404,
    'not_found',
    'ip',
    /no IP ip_nobody/,
  ],
  [
    'an unknown address',
    () => ['POST', '/v1/dedicated-ips/203.0.113.1/warmup'],
    404,
    'not_found',
    'ip',
    /no IP 203/,
  ],
  [
    'what is neither id nor address',
    () => ['GET', '/v1/dedicated-ips/nonsense'],
    404,
    'not_found',
    'ip',
    /no IP "nonsense"/,
  ],
  [
    'a bad zone on an IP that warms already',
    () => ['POST', `/v1/dedicated-ips/${ids.warming}/warmup`, { zone: 'Mars/Olympus' }],
    422,
    V,
    'zone',
    /Mars/,
  ],
  [
    'a restore of what is not in cooldown',
    () => ['POST', '/v1/dedicated-ips/192.0.2.1/restore'],
    409,
    'conflict',
    null,
    /warming/,
  ],
  [
    'a second release',
    () => ['DELETE', `/v1/dedicated-ips/${ids.cooldown}`],
    409,
    'conflict',
    null,
    /released already/,
  ],

  [
    'a hold of nothing',
    hold({ sending: false, advance: false }),
    422,
    V,
    'sending',
    /stops sending, advance or both/,
  ],
  ['a hold until yesterday', hold({ until: '2026-01-09T10:00:00Z' }), 422, V, 'until', /past/],
  ['a malformed date', hold({ until: '2026-13-01T10:00:00Z' }), 422, V, 'until', /ISO 8601/],
  ['the 30th of February', hold({ until: '2026-02-30T10:00:00Z' }), 422, V, 'until', /ISO 8601/],
  ['a date without a zone', hold({ until: '2026-02-01T10:00:00' }), 422, V, 'until', /Z or an offset/],
  [
    'a hold in cooldown',
    () => ['POST', `/v1/dedicated-ips/${ids.cooldown}/hold`],
    409,
    'conflict',
    null,
    /nothing to hold/,
  ],
  [
    'a hold of an empty pool until yesterday',
    () => ['POST', `/v1/dedicated-ips/pools/${ids.pool}/hold`, { until: '2026-01-09T10:00:00Z' }],
    422,
    V,
    'until',
    /past/,
  ],
  [
    'a hold of an unknown pool',
    () => ['POST', '/v1/dedicated-ips/pools/nobody/hold'],
    404,
    'not_found',
    'pool',
    /no pool "nobody"/,
  ],

  ['ceiling 0', ceiling({ perDay: 0 }), 422, V, 'ceiling.perDay', /from 1 to/],
  [
    'a ceiling by the week',
    ceiling({ perWeek: 1 }),
    422,
    V,
    'ceiling.perWeek',
    /no field "perWeek" in ceiling/,
  ],
  ['a ceiling of text', ceiling('100'), 422, V, 'ceiling', /./],
  ['an empty change', () => ['PATCH', '/v1/dedicated-ips/192.0.2.1', {}], 422, V, null, /nothing to change/],

  ['a pool without a name', pool({}), 422, V, 'name', /missing/],
  ['an empty name', pool({ name: '' }), 422, V, 'name', /1 to 64/],
  ['65 characters', pool({ name: '💥'.repeat(65) }), 422, V, 'name', /65 characters/],
  ['a leading space', pool({ name: ' Bulk' }), 422, V, 'name', /begins with a space/],
  ['a leading period', pool({ name: '.Bulk' }), 422, V, 'name', /period/],
  ['a name twice', pool({ name: 'Bulk' }), 409, 'conflict', 'name', /already/],
  ['a share of 2', pool({ name: 'Two', warmingShare: 2 }), 422, V, 'warmingShare', /0 to 1/],
  [
    'a pool of nobody',
    () => ['POST', '/v1/dedicated-ips/pools/nobody/ips', { ipId: ids.warming }],
    404,
    'not_found',
    'pool',
    /no pool/,
  ],
  [
    'nobody into a pool',
    () => ['POST', `/v1/dedicated-ips/pools/${ids.pool}/ips`, { ipId: 'ip_nobody' }],
    404,
    'not_found',
    'ip',
    /no IP/,
  ],
  [
    'an IP in cooldown into a pool',
    () => ['POST', `/v1/dedicated-ips/pools/${ids.pool}/ips`, { ipId: ids.cooldown }],
    409,
    'conflict',
    null,
    /cannot join/,
  ],
  [
    'one out of a pool that it is not in',
    () => ['DELETE', `/v1/dedicated-ips/pools/${ids.pool}/ips/${ids.warming}`],
    404,
    'not_found',
    'ip',
    /is not in pool/,
  ],

  ['an account without a name', () => ['POST', '/v1/accounts', {}], 422, V, 'name', /missing/],
  ['a name with a slash', () => ['POST', '/v1/accounts', { name: 'a/b' }], 422, V, 'name', /no account name/],
  ['an account twice', () => ['POST', '/v1/accounts', { name: 'default' }], 409, 'conflict', null, /already/],

  ['neither by nor to', advance({}), 422, V, 'by', /either/],
  ['both', advance({ by: 'P1D', to: '2026-02-01T00:00:00Z' }), 422, V, 'by', /either/],
  ['no duration', advance({ by: '1 day' }), 422, V, 'by', /ISO 8601 duration/],
  ['backwards', advance({ by: '-P1D' }), 422, V, 'by', /forward/],
  ['to yesterday', advance({ to: '2026-01-09T10:00:00Z' }), 422, V, 'to', /only moves forward/],
  ['by centuries', advance({ by: 'P100Y' }), 422, V, 'by', /10 years/],
  ['by more than a calendar has', advance({ by: 'P999999999Y' }), 422, V, 'by', /10 years/],
  ['work in words', advance({ by: 'P1D', work: 'no' }), 422, V, 'work', /true or false/],
  ['no body', () => ['POST', '/v1/test-clock/advance'], 422, V, null, /JSON object/],
];

describe('refused, with nothing changed', () => {
  test.each(ROWS)('%s', async (_, request, status, code, param, says) => {
    const before = await api.dump();
    const [method, url, body] = request();
    const answer = await api.ask(method, url, body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    const { error } = answer.body;
    expect(error).toMatchObject({ code, param });
    expect(error.message).toMatch(says);
    expect(error.message).toMatch(/^[^\n]{10,400}$/);
    expect(await api.dump()).toEqual(before);
  });

  test('a full pool', async () => {
    const { data } = ok(
      await api.ask('POST', '/v1/inventory', { addresses: ['10.0.0.0/25'], account: 'default' }),
      201,
    );
    for (const { id } of data.slice(0, MOST_IPS_PER_POOL)) {
      await api.ask('POST', `/v1/dedicated-ips/pools/${ids.pool}/ips`, { ipId: id });
    }
    const before = await api.dump();
    const one = await api.ask('POST', `/v1/dedicated-ips/pools/${ids.pool}/ips`, {
      ipId: data[MOST_IPS_PER_POOL].id,
    });
    expect(ok(one, 409).error.message).toContain('100 is the most');
    expect(await api.dump()).toEqual(before);
  });
});

describe('accounts never see each other', () => {
  test('not by id, not by address, not in a list, not in a pool, not in a take', async () => {
    const { id: acmeId } = ok(await api.ask('POST', '/v1/accounts', { name: 'acme' }), 201);
    const acme = api.askAs(await api.key(acmeId, ['read', 'write', 'send']));
    ok(
      await api.ask('POST', '/v1/inventory', {
        addresses: ['198.51.100.7'],
        account: 'acme',
        status: 'active',
      }),
      201,
    );
    // When a key was used last is noted, whatever it asked.
    const dump = async () => ({ ...(await api.dump()), 'warmline:{directory}:key-uses': '' });
    const before = await dump();

    for (const named of [ids.warming, '192.0.2.1']) {
      for (const [method, path, body] of [
        ['GET', ''],
        ['GET', '/quota'],
        ['GET', '/ledger'],
        ['PATCH', '', { ceiling: { perDay: 1 } }],
        ['DELETE', ''],
        ['POST', '/warmup'],
        ['POST', '/restore'],
        ['POST', '/hold'],
        ['DELETE', '/hold'],
      ] as const) {
        expect(ok(await acme(method, `/v1/dedicated-ips/${named}${path}`, body), 404).error.code).toBe(
          'not_found',
        );
      }
      ok(await acme('POST', '/v1/quota/take', { ip: named }), 404);
      expect(ok(await acme('GET', `/v1/dedicated-ips?address=${named}`)).data).toEqual([]);
    }
    for (const named of [ids.pool, 'Bulk']) {
      ok(await acme('GET', `/v1/dedicated-ips/pools/${named}`), 404);
      ok(await acme('GET', `/v1/dedicated-ips/pools/${named}/quota`), 404);
      ok(await acme('POST', `/v1/dedicated-ips/pools/${named}/hold`), 404);
      ok(await acme('POST', '/v1/quota/take', { pool: named }), 404);
      ok(await acme('POST', `/v1/dedicated-ips/pools/${named}/ips`, { ipId: '198.51.100.7' }), 404);
    }
    expect(
      ok(await acme('GET', '/v1/dedicated-ips')).data.map(
        ({ ipAddress }: { ipAddress: string }) => ipAddress,
      ),
    ).toEqual(['198.51.100.7']);
    expect(ok(await acme('GET', '/v1/dedicated-ips/pools')).data).toEqual([]);
    expect(ok(await acme('POST', '/v1/quota/take', { among: ['192.0.2.1'] })).allowed).toBe(false);
    expect(await dump()).toEqual(before);

    expect(ok(await acme('POST', '/v1/quota/take', {})).granted).toMatchObject([{ ip: '198.51.100.7' }]);
    expect(ok(await api.ask('GET', '/v1/dedicated-ips')).data).toHaveLength(3);
    // The operator's key is a key of its own account, and sees no other either.
    ok(await api.ask('GET', '/v1/dedicated-ips/198.51.100.7'), 404);
  });

  test('an address can be held by one of them only', async () => {
    ok(await api.ask('POST', '/v1/accounts', { name: 'acme' }), 201);
    const answer = await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.1'], account: 'acme' });
    expect(ok(answer, 409).error).toMatchObject({ code: 'conflict', details: { addresses: ['192.0.2.1'] } });
  });
});

test('an IP that was released long ago refuses each change, with a status that the document names', async () => {
  const { id } = await api.bring();
  ok(await api.ask('POST', `/v1/dedicated-ips/${id}/hold`, { because: 'a blocklist' }));
  ok(await api.ask('DELETE', `/v1/dedicated-ips/${id}`), 204);
  ok(await api.ask('POST', '/v1/test-clock/advance', { by: 'P31D' }));
  expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).status).toBe('released');
  for (const [method, path, body] of [
    ['POST', '/warmup'],
    ['POST', '/restore'],
    ['POST', '/hold'],
    ['DELETE', '/hold'],
    ['PATCH', '', { hostname: 'mta1.example.com' }],
    ['PATCH', '', { ceiling: { perDay: 1, perHour: null } }],
  ] as const) {
    // What is asked here is held against the document, too.
    expect(ok(await api.ask(method, `/v1/dedicated-ips/${id}${path}`, body), 409).error.code).toBe(
      'conflict',
    );
  }
});
