import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ADMIN_KEY } from '../http/support.ts';
import { type Served, serveApi } from './support.ts';

// The programs of the published documents, each in a file as its reader would write it, in the order of the page. Ids are
// random but here, so that even `ip_xxxxx` stands as it was printed.

let api: Served;

beforeAll(async () => {
  api = await serveApi({ clock: Date.UTC(2025, 0, 10, 10) });
  Object.assign(api.engine, { newId: (kind: string) => `${kind}_xxxxx` });
  // What is done under a key has ids that come out of the key.
  api.app.server.prependListener('request', ({ headers }) => {
    delete headers['idempotency-key'];
  });
  vi.stubEnv('WARMLINE_URL', api.url);
  vi.stubEnv('WARMLINE_API_KEY', ADMIN_KEY);
  await api.client.inventory.add({ addresses: ['10.123.45.67'] });
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await api.stop();
});

/** What it prints. */
async function run(snippet: () => Promise<unknown>): Promise<unknown[]> {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await snippet();
    return log.mock.calls.map(([printed]) => printed);
  } finally {
    log.mockRestore();
  }
}

test('request-ip.ts', async () => {
  expect(await run(() => import('./snippets/request-ip.ts'))).toEqual(['10.123.45.67', 'provisioning']);
});

test('start-warmup.ts', async () => {
  const [status, schedule] = await run(() => import('./snippets/start-warmup.ts'));
  expect(status).toBe('warming');
  const days = Array.from({ length: 14 }, () => expect.anything());
  days[0] = expect.objectContaining({ day: 1, dailyLimit: 50, cumulativeProgress: 0.07 });
  days[1] = expect.objectContaining({ day: 2, dailyLimit: 100, cumulativeProgress: 0.14 });
  days[13] = expect.objectContaining({ day: 14, dailyLimit: -1, cumulativeProgress: 1.0 });
  expect(schedule).toEqual({ totalDays: 14, days });
});

test('check-progress.ts', async () => {
  await api.advance({ days: 6 });
  expect(await run(() => import('./snippets/check-progress.ts'))).toEqual([
    0.5,
    5000,
    '2025-01-10T10:00:00Z',
  ]);
});

test('create-pool.ts', async () => {
  expect(await run(() => import('./snippets/create-pool.ts'))).toEqual(['pool_xxxxx', 'Transactional']);
});

test('add-ip-to-pool.ts', async () => {
  expect(await run(() => import('./snippets/add-ip-to-pool.ts'))).toEqual(['pool_xxxxx']);
});

test('list-pools.ts', async () => {
  expect(await run(() => import('./snippets/list-pools.ts'))).toEqual([
    'Transactional: 1 IPs (default: true)',
  ]);
});

test('list-ips.ts', async () => {
  expect(await run(() => import('./snippets/list-ips.ts'))).toEqual(['10.123.45.67: warming (50%)']);
});

test('release-ip.ts', async () => {
  expect(await run(() => import('./snippets/release-ip.ts'))).toEqual([]);
  const ip = await api.client.dedicatedIps.get('ip_xxxxx');
  expect([ip.status, ip.poolId]).toEqual(['cooldown', null]);
});
