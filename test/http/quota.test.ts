import { createHmac } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { receiptSecret } from '../../src/fleet/accounts.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { DEFAULT_ACCOUNT, ok, useNewApi } from './support.ts';

const api = useNewApi();
let secret: string;
beforeAll(async () => {
  secret = await receiptSecret(api.engine);
});

const take = (body: object = {}) => api.ask('POST', '/v1/quota/take', body);
const takeAll = (...takes: unknown[]) => take({ takes });
const refund = (...refunds: object[]) => api.ask('POST', '/v1/quota/refund', { refunds });

/** An IP of the account `default` that warms up. */
async function warming(address: string, start: object = {}) {
  const { data } = ok(
    await api.ask('POST', '/v1/inventory', { addresses: [address], account: 'default' }),
    201,
  );
  return ok(await api.ask('POST', `/v1/dedicated-ips/${data[0].id}/warmup`, start));
}

describe('take', () => {
  test('grants, and says from where, how many are left and until when', async () => {
    const ip = await warming('192.0.2.7', { plan: 'fourteen-day' });
    const answer = ok(await take({ ip: '192.0.2.7', count: 3 }));
    expect(answer).toEqual({
      allowed: true,
      granted: [
        { ip: '192.0.2.7', ipId: ip.id, count: 3, receipt: expect.any(String), hostname: null, bind: null },
      ],
      limit: 50,
      remaining: 47,
      retryAfterMs: 0,
      resetAfterMs: 24 * HOUR_MS,
      because: null,
    });
  });

  test('over quota is an answer: when there is room again, and why not now', async () => {
    await warming('192.0.2.7');
    ok(await take({ ip: '192.0.2.7', count: 20 }));
    expect(ok(await take({ ip: '192.0.2.7' }))).toMatchObject({
      allowed: false,
      granted: [],
      limit: 20,
      remaining: 0,
      retryAfterMs: HOUR_MS,
      because: { code: 'hour', scope: null, until: '2026-01-10T11:00:00Z' },
    });
    expect(ok(await take({ ip: '192.0.2.7', count: 1000 }))).toMatchObject({
      retryAfterMs: null,
      because: { code: 'count' },
    });
  });

  test('a body may be left out: one send from wherever there is room', async () => {
    await warming('192.0.2.7');
    expect(ok(await api.ask('POST', '/v1/quota/take'))).toMatchObject({
      allowed: true,
      granted: [{ count: 1 }],
    });
    expect(ok(await take())).toMatchObject({ allowed: true });
  });

  test('spreads over a pool, partly where asked, among some, in one family', async () => {
    const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Bulk' }), 201);
    for (const address of ['192.0.2.1', '192.0.2.2', '2001:db8::1']) {
      const { id } = await warming(address);
      await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id });
    }
    const both = ok(await take({ pool: 'Bulk', count: 30, family: 4 }));
    expect(both.granted.map((grant: { count: number }) => grant.count)).toEqual([20, 10]);
    const six = ok(await take({ pool: pool.id, count: 5, family: 6 }));
    expect(six.granted).toMatchObject([{ ip: '2001:db8::1', count: 5 }]);
    const some = ok(await take({ pool: 'Bulk', count: 100, partial: true, among: ['2001:DB8:0::1'] }));
    expect(some.granted).toMatchObject([{ ip: '2001:db8::1', count: 15 }]);
    expect(ok(await take({ pool: 'Bulk', count: 100 }))).toMatchObject({ allowed: false, granted: [] });
  });

  test('a provisioning IP gives nothing, and says that its status is why', async () => {
    await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.7'], account: 'default' });
    expect(ok(await take({ ip: '192.0.2.7' }))).toMatchObject({
      allowed: false,
      limit: 0,
      remaining: 0,
      retryAfterMs: null,
      because: { code: 'status' },
    });
  });

  test('reserved fields are checked and limit nothing yet', async () => {
    await warming('192.0.2.7');
    const reserved = {
      to: 'example.com',
      provider: 'gmail',
      from: 'news.example.org',
      class: 'bulk',
      tenant: 't-1',
      attempt: 2,
      key: 'message-17',
    };
    expect(ok(await take({ ip: '192.0.2.7', ...reserved })).allowed).toBe(true);
    for (const [param, value] of Object.entries({
      to: 'a@b.c',
      class: 'spam',
      attempt: 0,
      key: '',
      provider: 7,
    })) {
      const { error } = ok(await take({ ip: '192.0.2.7', [param]: value }), 422);
      expect(error.param).toBe(param);
    }
  });

  test.each([
    ['an unknown pool', { pool: 'nobody' }, 404, 'pool'],
    ['an empty pool name, which is not the default pool', { pool: '' }, 422, 'pool'],
    ['an unknown address', { ip: '203.0.113.200' }, 404, 'ip'],
    ['an unknown id', { ip: 'ip_nobody' }, 404, 'ip'],
    ['an id that is none', { ip: 'ip_../../x' }, 404, 'ip'],
    ['an unknown id among others', { among: ['ip_nobody'] }, 404, 'ip'],
    ['ip and pool', { ip: '203.0.113.200', pool: 'x' }, 422, 'pool'],
    ['ip and among', { ip: '203.0.113.200', among: ['203.0.113.200'] }, 422, 'among'],
    ['a malformed address', { ip: '203.0.113' }, 422, 'ip'],
    ['a leading zero', { ip: '203.0.113.07' }, 422, 'ip'],
    ['a malformed address among', { among: ['203.0.113.1', 'x'] }, 422, 'among.1'],
    ['among nobody', { among: [] }, 422, 'among'],
    ['among too many', { among: Array.from({ length: 101 }, (_, n) => `10.0.0.${n}`) }, 422, 'among'],
    ['a family of 5', { family: 5 }, 422, 'family'],
    ['the wrong family', { ip: '203.0.113.200', family: 6 }, 422, 'family'],
    ['count 0', { count: 0 }, 422, 'count'],
    ['count 1 000 001', { count: 1_000_001 }, 422, 'count'],
    ['count -1', { count: -1 }, 422, 'count'],
    ['count 1.5', { count: 1.5 }, 422, 'count'],
    ['count as text', { count: '1' }, 422, 'count'],
    ['partial as text', { partial: 'yes' }, 422, 'partial'],
    ['an unknown field', { cuont: 5 }, 422, 'cuont'],
  ])('%s is refused in one sentence', async (_, body, status, param) => {
    await warming('192.0.2.7');
    const before = await api.dump();
    const { error } = ok(await take(body), status);
    expect(error).toMatchObject({ code: status === 404 ? 'not_found' : 'validation_error', param });
    expect(error.message).toMatch(/^[^\n]{10,250}$/);
    expect(await api.dump()).toEqual(before);
  });
});

describe('many takes at once', () => {
  test('each is answered as if it had come alone, in the order in which they were asked', async () => {
    await warming('192.0.2.7', { plan: 'fourteen-day' });
    await warming('2001:db8::7', { plan: 'fourteen-day' });
    const { answers } = ok(
      await takeAll(
        { ip: '192.0.2.7', count: 48 },
        { ip: '2001:DB8:0::7', count: 2 },
        { ip: '192.0.2.7', count: 3 },
        { ip: '192.0.2.7', count: 3, partial: true },
        { ip: '192.0.2.7', class: 'bulk' },
      ),
    );
    expect(answers).toMatchObject([
      { allowed: true, granted: [{ ip: '192.0.2.7', count: 48 }], limit: 50, remaining: 2 },
      { allowed: true, granted: [{ ip: '2001:db8::7', count: 2 }], remaining: 48 },
      { allowed: false, granted: [], because: { code: 'day', until: '2026-01-11T10:00:00Z' } },
      { allowed: true, granted: [{ ip: '192.0.2.7', count: 2 }] },
      { allowed: false, granted: [], because: { code: 'day' } },
    ]);
    const alone = ok(await take({ ip: '192.0.2.7' }));
    expect(answers[4]).toEqual(alone);
    expect(answers[4].because.until).toBe('2026-01-11T10:00:00Z');
  });

  test('from pools, from the whole account, and among some', async () => {
    const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Bulk' }), 201);
    const { id } = await warming('192.0.2.1');
    ok(await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id }));
    await warming('192.0.2.2');
    const { answers } = ok(
      await takeAll({ pool: 'Bulk', count: 2 }, { among: ['192.0.2.2'] }, { pool: pool.id, family: 6 }, {}),
    );
    expect(answers).toMatchObject([
      { granted: [{ ip: '192.0.2.1', count: 2 }] },
      { granted: [{ ip: '192.0.2.2', count: 1 }] },
      { allowed: false },
      { allowed: true },
    ]);
  });

  test('what one alone is refused for is its answer, and costs the others nothing', async () => {
    const { id } = await warming('192.0.2.7');
    const takes = [
      { ip: '192.0.2.7' },
      { ip: '203.0.113.200' },
      { ip: 'ip_nobody' },
      { pool: 'nobody' },
      { among: ['ip_nobody'] },
      { ip: id, family: 6 },
      { ip: id },
    ];
    const { answers } = ok(await takeAll(...takes));
    expect([answers[0].allowed, answers[6].allowed]).toEqual([true, true]);
    for (const [index, param] of [...['ip', 'ip', 'pool', 'ip', 'family'].entries()]) {
      const alone = await take(takes[index + 1]);
      expect(alone.body.error.param).toBe(param);
      expect(answers[index + 1]).toEqual(alone.body);
    }
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).warmup.usedToday).toBe(2);
  });

  test('what is another’s is answered as what nobody has', async () => {
    const { id } = await warming('192.0.2.7');
    ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'theirs' }), 201);
    const acme = ok(await api.ask('POST', '/v1/accounts', { name: 'acme' }), 201);
    const asAcme = api.askAs(await api.key(acme.id, ['send']));
    const ask = (...takes: object[]) => asAcme('POST', '/v1/quota/take', { takes });
    const theirs = ok(await ask({ ip: id }, { ip: '192.0.2.7' }, { pool: 'theirs' }, { among: [id] }));
    const nobodys = ok(
      await ask({ ip: 'ip_nobody' }, { ip: '192.0.2.8' }, { pool: 'nobody' }, { among: ['ip_nobody'] }),
    );
    const text = JSON.stringify(theirs)
      .replaceAll(id, 'ip_nobody')
      .replaceAll('192.0.2.7', '192.0.2.8')
      .replaceAll('theirs', 'nobody');
    expect(JSON.parse(text)).toEqual(nobodys);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).warmup.usedToday).toBe(0);
  });

  const good = { ip: '192.0.2.7' };
  const any = { pool: 'x', count: 128 };
  test.each([
    ['no list', { takes: {} }, 'takes'],
    ['nothing', { takes: null }, 'takes'],
    ['an empty list', { takes: [] }, 'takes'],
    ['more than 1 000', { takes: Array.from({ length: 1_001 }, () => good) }, 'takes'],
    ['a field beside them', { takes: [good], count: 1 }, 'count'],
    ['another beside them', { takes: [good], ip: '192.0.2.7' }, 'ip'],
    ['a text', { takes: [good, 'x'] }, 'takes.1'],
    ['null', { takes: [good, null] }, 'takes.1'],
    ['a list in the list', { takes: [good, []] }, 'takes.1'],
    ['takes in takes', { takes: [good, { takes: [good] }] }, 'takes.1.takes'],
    ['count 0', { takes: [good, good, good, { ...good, count: 0 }] }, 'takes.3.count'],
    ['a malformed address', { takes: [good, { ip: '192.0.2' }] }, 'takes.1.ip'],
    ['a malformed address among', { takes: [good, { among: ['192.0.2.7', 'x'] }] }, 'takes.1.among.1'],
    ['ip and pool', { takes: [good, { ...good, pool: 'x' }] }, 'takes.1.pool'],
    ['ip and among', { takes: [good, { ...good, among: ['192.0.2.7'] }] }, 'takes.1.among'],
    ['an empty pool name', { takes: [good, { pool: '' }] }, 'takes.1.pool'],
    ['a multicast address', { takes: [good, { ip: '224.0.0.1' }] }, 'takes.1.ip'],
    ['an unknown field', { takes: [good, { cuont: 5 }] }, 'takes.1.cuont'],
    ['a reserved field that is wrong', { takes: [good, { to: 'a@b' }] }, 'takes.1.to'],
    ['too many IPs to look at', { takes: [good, ...Array.from({ length: 101 }, () => any)] }, 'takes.101'],
  ])('%s refuses them all, and nothing is taken', async (_, body, param) => {
    await warming('192.0.2.7');
    const before = await api.dump();
    const { error } = ok(await take(body), 422);
    expect(error).toMatchObject({ code: 'validation_error', param });
    expect(error.message).toMatch(/^[^\n]{10,250}$/);
    expect(await api.dump()).toEqual(before);
  });

  test('the largest batches that fit', async () => {
    const { id } = await warming('192.0.2.7', { plan: 'fourteen-day' });
    const many = ok(
      await takeAll(...Array.from({ length: 1_000 }, (_, n) => ({ ip: n % 2 ? id : '192.0.2.7' }))),
    );
    expect(many.answers).toHaveLength(1_000);
    expect(many.answers.filter(({ allowed }: { allowed: boolean }) => allowed)).toHaveLength(50);
    const wide = ok(await takeAll(...Array.from({ length: 100 }, () => ({ count: 1_000_000 }))));
    expect(wide.answers).toHaveLength(100);
    const sent = ok(await takeAll(...Array.from({ length: 1_000 }, () => ({ count: 12 }))));
    expect(sent.answers).toHaveLength(1_000);
  });

  test('many batches at a time never take more than there is, and each receipt is credited once', async () => {
    await warming('192.0.2.7', { plan: 'fourteen-day', startDay: 4 });
    const batch = Array.from({ length: 40 }, (_, n) => ({ ip: '192.0.2.7', count: 1 + (n % 3) }));
    const bodies = await Promise.all(Array.from({ length: 20 }, () => takeAll(...batch)));
    const grants = bodies.flatMap((answer) =>
      ok(answer).answers.flatMap((one: { granted: { count: number; receipt: string }[] }) => one.granted),
    );
    expect(grants.reduce((sum, { count }) => sum + count, 0)).toBe(500);
    const receipts = grants.map(({ receipt }) => ({ receipt }));
    expect(new Set(receipts.map(({ receipt }) => receipt)).size).toBe(receipts.length);
    expect(ok(await refund(...receipts))).toEqual({ refunded: 500 });
    expect(ok(await refund(...receipts))).toEqual({ refunded: 0 });
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.7')).warmup.usedToday).toBe(0);
  });
});

describe('refund', () => {
  test('gives back once, and at most what was granted', async () => {
    await warming('192.0.2.7', { plan: 'fourteen-day' });
    const { granted } = ok(await take({ ip: '192.0.2.7', count: 10 }));
    const { receipt } = granted[0];
    expect(ok(await refund({ receipt, count: 11 }), 422).error.param).toBe('count');
    expect(ok(await refund({ receipt, count: 4 }))).toEqual({ refunded: 4 });
    expect(ok(await refund({ receipt }, { receipt }))).toEqual({ refunded: 0 });
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.7')).warmup.usedToday).toBe(6);
  });

  test('a receipt that an earlier build signed is still credited, once', async () => {
    await warming('192.0.2.7', { plan: 'fourteen-day' });
    const { receipt } = ok(await take({ ip: '192.0.2.7', count: 10 })).granted[0];
    const bare = receipt.slice(0, receipt.lastIndexOf('.'));
    const signature = createHmac('sha256', secret).update(`${DEFAULT_ACCOUNT.id}\n${bare}`).digest();
    const before = `${bare}.${signature.subarray(0, 16).toString('base64url')}`;
    expect(ok(await refund({ receipt: before }))).toEqual({ refunded: 10 });
    expect(ok(await refund({ receipt }))).toEqual({ refunded: 0 });
  });

  test('a receipt of yesterday credits nothing', async () => {
    await warming('192.0.2.7', { plan: 'fourteen-day' });
    const { granted } = ok(await take({ ip: '192.0.2.7', count: 10 }));
    await api.ask('POST', '/v1/test-clock/advance', { by: 'P1D' });
    expect(ok(await refund({ receipt: granted[0].receipt }))).toEqual({ refunded: 0 });
  });

  test('a receipt that was made up, changed, or given to another account is refused, and the whole request with it', async () => {
    await warming('192.0.2.7', { plan: 'fourteen-day' });
    const { receipt } = ok(await take({ ip: '192.0.2.7', count: 10 })).granted[0];
    const { receipt: other } = ok(await take({ ip: '192.0.2.7', count: 10 })).granted[0];
    const acme = ok(await api.ask('POST', '/v1/accounts', { name: 'acme' }), 201);
    const asAcme = api.askAs(await api.key(acme.id, ['send']));

    const signature = receipt.slice(receipt.lastIndexOf('.') + 1);
    const bare = receipt.slice(0, receipt.lastIndexOf('.'));
    expect(Buffer.from(signature, 'base64url')).toHaveLength(16);
    const forged = [
      bare,
      bare.replace(/\.10\./, '.1000.').concat('.', signature),
      `${other.slice(0, other.lastIndexOf('.'))}.${signature}`,
      `${receipt}x`,
      `${bare}.`,
      `${bare}.${'A'.repeat(22)}`,
      'nonsense',
      '.',
      `.${signature}`,
      'ü.é',
    ];
    const before = await api.dump();
    for (const one of forged) {
      const { error } = ok(await refund({ receipt }, { receipt: one }), 422);
      expect(error.param).toBe('refunds.1.receipt');
    }
    expect(ok(await asAcme('POST', '/v1/quota/refund', { refunds: [{ receipt }] }), 422).error.param).toBe(
      'refunds.0.receipt',
    );
    expect(await api.dump()).toEqual(before);
    expect(ok(await refund({ receipt }))).toEqual({ refunded: 10 });
  });

  test.each([
    ['no list', {}],
    ['an empty list', { refunds: [] }],
    ['too many', { refunds: Array.from({ length: 1001 }, () => ({ receipt: 'x' })) }],
    ['no receipt', { refunds: [{}] }],
    ['a number', { refunds: [{ receipt: 7 }] }],
    ['a list as receipt', { refunds: [{ receipt: ['x'] }] }],
    ['count 0', { refunds: [{ receipt: 'x', count: 0 }] }],
    ['an unknown field', { refunds: [{ receipt: 'x', amount: 1 }] }],
    ['no object', [1]],
  ])('%s is refused', async (_, body) => {
    expect(ok(await api.ask('POST', '/v1/quota/refund', body), 422).error.code).toBe('validation_error');
  });
});

describe('a look at a quota takes nothing', () => {
  test('of an IP: day, hour and bucket, which one binds, and when each resets', async () => {
    const ip = await warming('192.0.2.7', { burst: 10 });
    ok(await take({ ip: '192.0.2.7', count: 8 }));
    await api.ask('POST', '/v1/test-clock/advance', { by: 'PT6M' });
    const before = await api.dump();
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${ip.id}/quota`))).toEqual({
      ipId: ip.id,
      ip: '192.0.2.7',
      status: 'warming',
      hold: null,
      allowed: true,
      binds: 'burst',
      limit: 10,
      remaining: 4,
      retryAfterMs: 0,
      resetAfterMs: 18 * 60_000,
      day: {
        limit: 50,
        used: 8,
        remaining: 42,
        from: '2026-01-10T10:00:00Z',
        resetsAt: '2026-01-11T10:00:00Z',
      },
      hour: {
        limit: 20,
        used: 8,
        remaining: 12,
        from: '2026-01-10T10:00:00Z',
        resetsAt: '2026-01-10T11:00:00Z',
      },
      bucket: { size: 10, level: 4, fullAt: '2026-01-10T10:24:00Z' },
      next: { from: '2026-01-11T10:00:00Z', dailyLimit: 100, hourlyCap: 28 },
    });
    expect(await api.dump()).toEqual(before);
  });

  test('it says what the next take says', async () => {
    const ip = await warming('192.0.2.7');
    for (const count of [5, 15]) {
      ok(await take({ ip: ip.id, count }));
      const look = ok(await api.ask('GET', `/v1/dedicated-ips/${ip.id}/quota`));
      const next = ok(await take({ ip: ip.id, count: 1 }));
      expect(look.allowed).toBe(next.allowed);
      if (!next.allowed)
        expect(look).toMatchObject({
          retryAfterMs: next.retryAfterMs,
          binds: next.because.code,
          limit: next.limit,
        });
      else await refund({ receipt: next.granted[0].receipt });
    }
  });

  test('of an IP that gives nothing, and of one without limits', async () => {
    await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.8'], account: 'default' });
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.8/quota'))).toMatchObject({
      allowed: false,
      binds: 'status',
      day: { limit: 0, remaining: 0 },
      retryAfterMs: null,
    });
    await api.ask('POST', '/v1/inventory', {
      addresses: ['192.0.2.9'],
      account: 'default',
      status: 'active',
    });
    ok(await take({ ip: '192.0.2.9', count: 1_000_000 }));
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/192.0.2.9/quota'))).toMatchObject({
      allowed: true,
      binds: null,
      limit: -1,
      remaining: -1,
      day: { limit: -1, used: 1_000_000, remaining: -1 },
      hour: { limit: -1, used: 1_000_000, remaining: -1 },
      bucket: null,
    });
  });

  test('of a pool: the sums, each IP, and when there is room', async () => {
    const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Bulk' }), 201);
    for (const address of ['192.0.2.1', '192.0.2.2']) {
      const { id } = await warming(address);
      await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id });
    }
    ok(await take({ pool: 'Bulk', count: 25 }));
    const look = ok(await api.ask('GET', `/v1/dedicated-ips/pools/${pool.id}/quota`));
    expect(look).toMatchObject({
      poolId: pool.id,
      name: 'Bulk',
      allowed: true,
      remaining: 15,
      day: { limit: 100, used: 25, remaining: 75 },
      hour: { limit: 40, used: 25, remaining: 15 },
    });
    expect(look.ips.map(({ ip }: { ip: string }) => ip).sort()).toEqual(['192.0.2.1', '192.0.2.2']);
    ok(await take({ pool: 'Bulk', count: 15 }));
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/pools/Bulk/quota'))).toMatchObject({
      allowed: false,
      remaining: 0,
      retryAfterMs: HOUR_MS,
      because: { code: 'hour', until: '2026-01-10T11:00:00Z' },
    });
    const empty = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Empty' }), 201);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/pools/${empty.id}/quota`))).toMatchObject({
      allowed: false,
      ips: [],
    });
  });
});

describe('demand', () => {
  test('is told by the hour in which it was wanted, for an IP, a pool and the account', async () => {
    const asked = async (query: string) => ok(await api.ask('GET', `/v1/quota/demand${query}`));
    // What the API counted in the tests before comes into this first hour.
    await asked('');
    const ip = await warming('192.0.2.7');
    const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'News' }), 201);
    ok(await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: ip.id }));
    ok(await take({ ip: '192.0.2.7', count: 20 }));
    ok(await takeAll({ pool: 'News', count: 2 }, { pool: pool.id }));
    ok(await api.ask('POST', '/v1/test-clock/advance', { by: 'PT1H' }));
    ok(await take({ ip: ip.id, count: 4 }));
    expect(await asked('?ip=192.0.2.7')).toMatchObject({
      ...{ ipId: ip.id, poolId: null, wanted: 24, granted: 24, held: 0, heldBy: {} },
      hours: [{ wanted: 20 }, { wanted: 4 }],
    });
    expect(await asked('?pool=News&hours=3')).toMatchObject({
      ...{ ipId: null, poolId: pool.id, wanted: 3, granted: 0, held: 3, heldBy: { hour: 3 } },
      hours: [{ wanted: 0 }, { wanted: 3 }, { wanted: 0 }],
    });
    expect(await asked('?hours=1')).toMatchObject({ wanted: 4, hours: [{ wanted: 4 }] });
    for (const query of ['?ip=192.0.2.7&pool=News', '?hours=49', '?hour=1'])
      expect((await api.ask('GET', `/v1/quota/demand${query}`)).status, query).toBe(422);
  });
});
