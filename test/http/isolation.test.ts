import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { directoryKeys } from '../../src/redis/keys.ts';
import { routesOfApi } from './routes.ts';
import { type Answer, type Api, type Ask, startApi } from './support.ts';

// Two accounts, and every route that there is: whoever names what is another's is answered as if it had never been, in the
// same words, and nothing changes. The routes come from the API itself, so a new one is tried, or this fails.

/** What a stranger may know of somebody's things. */
type Things = {
  ipId: string;
  address: string;
  poolId: string;
  poolName: string;
  poolNumber: string;
  receipt: string;
  hookId: string;
};

let api: Api;
let mallory: Ask;
let victims: Things;
let own: Things;
let victimId: string;
let paths: Record<string, Record<string, { 'x-scope': string; requestBody?: { required: boolean } }>>;

const GHOSTS: Things = {
  ipId: 'ip_0nobodyeverhadthisone0000',
  address: '198.51.100.250',
  poolId: 'pool_0nobodyeverhadthisone000',
  poolName: 'nobody ever made it',
  poolNumber: '987654321',
  receipt: '1.2.3.4.nobodywasevergiventhis',
  hookId: 'hook_0nobodyeverhadthisone000',
};

beforeAll(async () => {
  api = await startApi();
  // So that a number is no part of anything else.
  await api.redis.set(directoryKeys.numbers, 700_000_000);
  const house = async (name: string, address: string) => {
    await api.ask('POST', '/v1/accounts', { name });
    const scopes = ['read', 'send', 'write'];
    const { key, accountId } = (await api.ask('POST', '/v1/keys', { account: name, scopes })).body;
    const ask = api.askAs(key);
    const { data } = (
      await api.ask('POST', '/v1/inventory', { addresses: [address], account: name, status: 'active' })
    ).body;
    const pool = (await ask('POST', '/v1/dedicated-ips/pools', { name: `pool of ${name}` })).body;
    await ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: data[0].id });
    const listed = (await ask('GET', '/v3/send_ips/pools')).body.result;
    const { granted } = (await ask('POST', '/v1/quota/take', { ip: address })).body;
    const hook = (await ask('POST', '/v1/webhooks', { url: 'https://hooks.example.com/warmline' })).body;
    const things: Things = {
      ipId: data[0].id,
      address,
      poolId: pool.id,
      poolName: pool.name,
      poolNumber: String(listed[0].id),
      receipt: granted[0].receipt,
      hookId: hook.id,
    };
    // What was wanted is handed in by now, and not in the middle of what follows.
    await ask('GET', '/v1/quota/demand');
    return { ask, things, accountId };
  };
  const victim = await house('victim', '192.0.2.1');
  [victims, victimId] = [victim.things, victim.accountId];
  await api.ask('POST', '/v1/accounts', { name: 'victims-subuser', parent: 'victim' });
  const stranger = await house('mallory', '192.0.2.2');
  [mallory, own] = [stranger.ask, stranger.things];
  await api.ask('POST', '/v1/inventory', { addresses: ['203.0.113.0/28'] });
  paths = (await api.ask('GET', '/openapi.json')).body.paths;
});
afterAll(() => api.stop());

/** Everything of the victim, and who has which address. */
async function ofVictim(): Promise<Record<string, string>> {
  const dump = await api.dump();
  const theirs = Object.entries(dump).filter(([name]) => name.includes(`{${victimId}}`));
  expect(theirs.length).toBeGreaterThan(5);
  return Object.fromEntries(theirs);
}

/** What may stand in a place of a path: all the ways in which a thing can be named. */
const IN_PATH: Record<string, (things: Things) => string[]> = {
  id: ({ ipId, address }) => [ipId, address],
  ipId: ({ ipId, address }) => [ipId, address],
  ip: ({ address }) => [address],
  ip_address: ({ address }) => [address],
  poolId: ({ poolId, poolName }) => [poolId, poolName],
  pool_name: ({ poolName }) => [poolName],
  poolid: ({ poolNumber }) => [poolNumber],
};
/** What `{id}` is depends on what the path is about. */
const inPath = (route: string, name: string) =>
  route.includes('/v1/webhooks/') ? ({ hookId }: Things) => [hookId] : IN_PATH[name];

/** Bodies that would do something, were the things one's own. */
const BODIES: Record<string, (things: Things) => (object | undefined)[]> = {
  'POST /v1/quota/take': ({ ipId, address, poolId, poolName }) => [
    { ip: ipId },
    { ip: address },
    { pool: poolId },
    { pool: poolName },
    { among: [ipId] },
  ],
  'POST /v1/quota/explain': ({ ipId, poolId, poolName }) => [
    { ip: ipId },
    { pool: poolId },
    { pool: poolName },
  ],
  'POST /v1/forecast': ({ poolId, poolName }) => [
    { messages: 10, pool: poolId },
    { messages: 10, pool: poolName },
  ],
  'PATCH /v1/webhooks/{id}': () => [{ enabled: false }],
  'POST /v1/quota/refund': ({ receipt }) => [{ refunds: [{ receipt }] }],
  'PATCH /v1/dedicated-ips/{id}': () => [{ ceiling: { perDay: 1 } }],
  'POST /v1/dedicated-ips/{id}/hold': () => [{ because: 'x' }],
  'POST /v1/dedicated-ips/pools/{poolId}/hold': () => [{ because: 'x' }],
  'PATCH /v1/dedicated-ips/pools/{poolId}': () => [{ name: 'mine now' }],
  'POST /v1/dedicated-ips/pools/{poolId}/ips': ({ ipId, address }) => [{ ipId }, { ipId: address }],
  'POST /v3/ips/warmup': ({ address }) => [{ ip: address }],
  'PUT /v3/ips/pools/{pool_name}': () => [{ name: 'mine now' }],
  'POST /v3/ips/pools/{pool_name}/ips': ({ address }) => [{ ip: address }],
  'PATCH /v3/send_ips/ips/{ip}': () => [{ is_enabled: false }, { is_auto_warmup: true }],
  'POST /v3/send_ips/ips/{ip}/subusers:batchAdd': () => [{ subusers: ['1'] }],
  'POST /v3/send_ips/ips/{ip}/subusers:batchDelete': () => [{ subusers: ['1'] }],
  'POST /v3/send_ips/pools': ({ address }) => [{ name: 'with theirs', ips: [address] }],
  'PUT /v3/send_ips/pools/{poolid}': () => [{ name: 'mine now' }],
  'POST /v3/send_ips/pools/{poolid}/ips:batchAdd': ({ address }) => [{ ips: [address] }],
  'POST /v3/send_ips/pools/{poolid}/ips:batchDelete': ({ address }) => [{ ips: [address] }],
};

/** Routes that name nothing of anybody's: they make something new, or are about the caller alone. */
const NAMES_NOTHING = [
  'GET /v1/test-clock',
  'POST /v1/dedicated-ips',
  'POST /v1/dedicated-ips/pools',
  'POST /v1/webhooks',
  'POST /v1/hold',
  'DELETE /v1/hold',
  'POST /v3/ips/pools',
  'POST /v3/ips',
  'POST /v3/send_ips/ips',
];

/** Queries of lists that name a thing: they find nothing. */
const QUERIES: Record<string, (things: Things) => string[]> = {
  'GET /v1/quota/demand': ({ ipId, address, poolId, poolName }) => [
    `?ip=${ipId}`,
    `?ip=${address}`,
    `?pool=${poolId}`,
    `?pool=${encodeURIComponent(poolName)}`,
  ],
  'GET /v1/dedicated-ips': ({ address, poolId }) => [`?address=${address}`, `?pool=${poolId}`],
  'GET /v3/ips': ({ address }) => [`?ip=${address}`],
  'GET /v3/send_ips/ips': ({ address, poolNumber }) => [`?ip=${address}`, `?pool=${poolNumber}`],
  'GET /v3/send_ips/pools': ({ address }) => [`?ip=${address}`],
};

type Try = { method: string; url: string; body: object | undefined };

function triesOf(route: string, things: Things): Try[] {
  const [method, path] = route.split(' ') as [string, string];
  // One place of the path at a time is another's where there are two: the others are the caller's own, or another's too.
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  let urls = [path];
  for (const name of names) {
    const given = inPath(route, name);
    if (!given) throw new Error(`${route}: what stands for {${name}}? Say it in IN_PATH.`);
    const all = [...given(things), ...(names.length > 1 ? given(own) : [])];
    urls = urls.flatMap((url) => all.map((one) => url.replace(`{${name}}`, encodeURIComponent(one))));
  }
  // All of them one's own would be nobody else's business.
  const mine = names.length > 1 ? ownUrls(path, names) : [];
  // Somebody else's IP for a pool of one's own, and the other way round.
  const mixed =
    names.length === 1 && BODIES[route] && /pools.*ips/.test(path)
      ? IN_PATH[names[0]!]!(own).map((one) => path.replace(`{${names[0]}}`, encodeURIComponent(one)))
      : [];
  const bodies = BODIES[route]?.(things) ?? [undefined];
  const queries = QUERIES[route]?.(things) ?? [''];
  return [...urls.filter((url) => !mine.includes(url)), ...mixed].flatMap((url) =>
    bodies.flatMap((body) => queries.map((query) => ({ method, url: url + query, body }))),
  );
}

function ownUrls(path: string, names: string[]): string[] {
  return names.reduce(
    (urls, name) =>
      urls.flatMap((url) =>
        IN_PATH[name]!(own).map((one) => url.replace(`{${name}}`, encodeURIComponent(one))),
      ),
    [path],
  );
}

/** An answer without the names that the request itself brought. */
function withoutNames({ status, body }: Answer, things: Things): string {
  let text = JSON.stringify({ status, body });
  for (const [kind, name] of Object.entries(things)) text = text.replaceAll(name, `<${kind}>`);
  return text;
}

const routes = () =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { 'x-scope': scope }]) => ({
      route: `${method.toUpperCase()} ${path}`,
      scope,
    })),
  );

test('every route of the API is known here', () => {
  const there = routesOfApi(api.app);
  const described = routes();
  const open = described.filter(({ scope }) => scope === 'nobody').length;
  expect(there.length).toBeGreaterThanOrEqual(described.length);
  expect(described.length - open).toBeGreaterThan(40);
  const silent = there.length - described.length;
  // Pages for people are described nowhere; whatever else there is has to be.
  expect(silent).toBeLessThanOrEqual(1);
});

test('what names another’s things is answered as what names nothing, and changes nothing', async () => {
  const before = await ofVictim();
  let tried = 0;
  for (const { route, scope } of routes()) {
    if (scope === 'nobody' || scope === 'admin' || NAMES_NOTHING.includes(route)) continue;
    const [theirs, ghosts] = [triesOf(route, victims), triesOf(route, GHOSTS)];
    expect(theirs.length).toBe(ghosts.length);
    for (const [index, { method, url, body }] of theirs.entries()) {
      const what = `${method} ${url} ${JSON.stringify(body) ?? ''}`;
      const answer = await mallory(method, url, body);
      const ghost = ghosts[index]!;
      const never = await mallory(ghost.method, ghost.url, ghost.body);
      expect(withoutNames(answer, victims), what).toBe(withoutNames(never, GHOSTS));
      const names = Object.values(victims).some((name) => decodeURIComponent(what).includes(name));
      if (names && !url.includes('?')) expect(REFUSED, `${what}: ${answer.status}`).toContain(answer.status);
      if (names && url.startsWith('/v1/') && route.includes('{') && !url.includes('?')) {
        expect(answer.status, what).toBe(404);
      }
      if (!names || url.includes('?')) isAboutOwn(answer, what);
      tried += 1;
    }
  }
  expect(tried).toBeGreaterThan(60);
  expect(await ofVictim()).toEqual(before);
}, 60_000);

/** 422: a receipt that was never given to this account; 400: what SendGrid says of an unknown IP in a body. */
const REFUSED = [400, 404, 422];

function isAboutOwn({ body }: Answer, what: string): void {
  const text = JSON.stringify(body) ?? '';
  const asked = decodeURIComponent(what);
  for (const name of [victims.ipId, victims.poolId, victims.poolName, victims.address]) {
    if (!asked.includes(name)) expect(text, what).not.toContain(name);
  }
}

describe('lists', () => {
  test('show one’s own and nothing else', async () => {
    for (const { route, scope } of routes()) {
      const [method, path] = route.split(' ') as [string, string];
      if (method !== 'GET' || scope !== 'read' || path.includes('{')) continue;
      const answer = await mallory('GET', path);
      expect(answer.status, path).toBe(200);
      isAboutOwn(answer, `GET ${path}`);
    }
  });

  test('another’s cursor leads to one’s own things', async () => {
    const { key } = (await api.ask('POST', '/v1/keys', { account: 'victim' })).body;
    const victim = api.askAs(key);
    for (let n = 0; n < 3; n += 1) {
      await victim('POST', '/v1/dedicated-ips');
      await victim('POST', '/v1/dedicated-ips/pools', { name: `another ${n}` });
      await mallory('POST', '/v1/dedicated-ips');
    }
    for (const path of ['/v1/dedicated-ips', '/v1/dedicated-ips/pools', '/v1/changes']) {
      const { nextCursor } = (await victim('GET', `${path}?limit=1`)).body;
      expect(nextCursor, path).toEqual(expect.any(String));
      const name = path === '/v1/changes' ? 'since' : 'cursor';
      const answer = await mallory('GET', `${path}?${name}=${encodeURIComponent(nextCursor)}`);
      expect(answer.status, path).toBe(200);
      isAboutOwn(answer, path);
    }
    const { _metadata: metadata } = (await victim('GET', '/v3/send_ips/ips?limit=1')).body;
    const answer = await mallory('GET', `/v3/send_ips/ips?after_key=${metadata.next_params.after_key}`);
    expect(answer.status).toBe(200);
    isAboutOwn(answer, '/v3/send_ips/ips');
  });
});

test('nobody acts for another’s subuser', async () => {
  const [theirs, ghost] = await Promise.all(
    ['victims-subuser', 'nobodys-subuser'].map((name) =>
      mallory('GET', '/v3/send_ips/ips', undefined, { 'on-behalf-of': name }),
    ),
  );
  expect(theirs!.status).toBe(403);
  expect(theirs!.body).toEqual(ghost!.body);
});

test('the operator’s routes are for the operator', async () => {
  const before = await api.dump();
  for (const { route, scope } of routes()) {
    // Metrics are open to programs of this machine (`metrics.test.ts`).
    if (scope !== 'admin' || route === 'GET /metrics') continue;
    const [method, path] = route.split(' ') as [string, string];
    const url = path.replace('{account}', 'victim').replace('{id}', 'key_environment');
    const answer = await mallory(method, url, method === 'POST' ? {} : undefined);
    expect(answer.status, route).toBe(403);
    expect(JSON.stringify(answer.body)).not.toContain('victim');
  }
  expect(await api.dump()).toEqual(before);
});
