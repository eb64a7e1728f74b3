import { expect, test } from 'vitest';
import { accountKeys } from '../../src/redis/keys.ts';
import { DEFAULT_ACCOUNT, ok, useNewApi } from './support.ts';

// The account's stream: whoever reads from the last change that they have seen misses none and sees none twice.

const api = useNewApi();

const changes = async (query = '') => ok(await api.ask('GET', `/v1/changes${query}`));
const bring = async (...addresses: string[]) =>
  ok(await api.ask('POST', '/v1/inventory', { addresses, account: 'default' }), 201).data;
const path = '/v1/dedicated-ips/192.0.2.1';
type Row = { id: string; at: string; what: string; from: unknown; to: unknown };

test('empty is a page too', async () => {
  expect(await changes()).toEqual({ data: [], hasMore: false, nextCursor: null, gap: false });
});

test('who, what, from, to, because, when', async () => {
  const [ip] = await bring('192.0.2.1');
  ok(await api.ask('POST', `${path}/warmup`));
  ok(await api.ask('POST', `${path}/hold`, { because: 'a blocklist', until: '2026-01-12T10:00:00Z' }));
  ok(await api.ask('PATCH', path, { labels: { team: 'billing' } }));
  const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'One' }), 201);
  ok(await api.ask('POST', '/v1/dedicated-ips/pools/One/ips', { ipId: ip.id }));
  const { data } = await changes();
  const of = (what: string) => data.filter((row: Row) => row.what === what);
  expect(of('status')).toMatchObject([
    { from: null, to: 'provisioning' },
    { from: 'provisioning', to: 'warming', ip: '192.0.2.1', ipId: ip.id, at: '2026-01-10T10:00:00Z' },
  ]);
  // As everywhere else on this wire.
  expect(of('hold')).toMatchObject([
    { from: null, to: { sending: true, since: '2026-01-10T10:00:00Z', until: '2026-01-12T10:00:00Z' } },
  ]);
  expect(of('labels')).toMatchObject([{ from: {}, to: { team: 'billing' } }]);
  expect(of('pool')).toMatchObject([
    { ip: null, ipId: null, to: 'One' },
    { ip: '192.0.2.1', ipId: ip.id, to: pool.id },
  ]);
  for (const row of data) {
    expect(row.because).toMatch(/.{3,}/);
    expect(row.by).toMatch(/.+/);
  }
});

test('what the engine does by itself is in it', async () => {
  await bring('192.0.2.1');
  ok(await api.ask('POST', `${path}/warmup`));
  await api.advance({ days: 14 });
  const { data } = await changes('?since=2026-01-24T10:00:00Z');
  expect(data).toMatchObject([{ what: 'status', from: 'warming', to: 'active', at: '2026-01-24T10:00:00Z' }]);
});

test('page by page, each once and in order, while more come', async () => {
  await bring(...Array.from({ length: 25 }, (_, n) => `192.0.2.${n + 1}`));
  const before = (await changes('?limit=1000')).data.map((row: Row) => row.id);
  const seen: string[] = [];
  let cursor: string | null = '';
  for (let added = 0; cursor !== null; added += 1) {
    const page = await changes(`?limit=4${cursor && `&cursor=${cursor}`}`);
    expect(page.hasMore).toBe(page.nextCursor !== null);
    seen.push(...page.data.map((row: Row) => row.id));
    if (added < 5) await bring(`198.51.100.${added + 1}`);
    cursor = page.nextCursor;
  }
  expect(seen.slice(0, before.length)).toEqual(before);
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toEqual((await changes('?limit=1000')).data.map((row: Row) => row.id));
});

test('following: since the last one that was seen', async () => {
  await bring('192.0.2.1');
  const last = (await changes()).data.at(-1).id;
  expect(await changes(`?since=${last}`)).toMatchObject({ data: [], hasMore: false, gap: false });
  ok(await api.ask('POST', `${path}/warmup`));
  const { data } = await changes(`?since=${last}`);
  expect(data.map((row: Row) => row.to)).toContain('warming');
  expect((await changes(`?since=${data.at(-1).id}`)).data).toEqual([]);
});

test('since an instant, on engine time, over several pages', async () => {
  await bring('192.0.2.1', '192.0.2.2', '192.0.2.3');
  await api.advance({ days: 3 });
  await bring('192.0.2.4', '192.0.2.5', '192.0.2.6');
  const all = (await changes('?since=2026-01-13T10:00:00Z')).data;
  expect(all.length).toBeGreaterThan(2);
  expect(all.every((row: Row) => row.at === '2026-01-13T10:00:00Z')).toBe(true);
  const first = await changes('?since=2026-01-13T10:00:00Z&limit=2');
  const rest = await changes(`?since=2026-01-13T10:00:00Z&cursor=${first.nextCursor}`);
  expect([...first.data, ...rest.data]).toEqual(all);
  expect((await changes('?since=2026-01-13T10:00:01Z')).data).toEqual([]);
});

test('says so when what would have come first was dropped', async () => {
  const { changes: stream } = accountKeys(DEFAULT_ACCOUNT);
  await bring('192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4');
  const { data } = await changes();
  const [first] = data;
  expect((await changes(`?since=${first.id}`)).gap).toBe(false);
  await api.redis.xtrim(stream, 'MAXLEN', 1);
  expect((await changes(`?since=${first.id}`)).gap).toBe(true);
  expect((await changes()).gap).toBe(true);
  expect(await changes(`?since=${data.at(-1).id}`)).toMatchObject({ data: [], gap: false });
});

test('of one account only', async () => {
  await bring('192.0.2.1');
  const { id } = ok(await api.ask('POST', '/v1/accounts', { name: 'acme' }), 201);
  const acme = api.askAs(await api.key(id, ['read']));
  expect(ok(await acme('GET', '/v1/changes')).data).toEqual([]);
});

test.each([
  ['since=yesterday', 'since'],
  ['since=2026-01-10', 'since'],
  ['since=1-2-3', 'since'],
  ['since=', 'since'],
  ['cursor=nonsense', 'cursor'],
  ['limit=0', 'limit'],
  ['limit=1001', 'limit'],
  ['sinse=1-1', 'sinse'],
])('%s is refused, with its name', async (query, param) => {
  const answer = await api.ask('GET', `/v1/changes?${query}`);
  expect(answer.status).toBe(422);
  expect(answer.body.error).toMatchObject({ code: 'validation_error', param });
  expect(answer.body.error.message).toMatch(/^[^\n]{10,200}$/);
});
