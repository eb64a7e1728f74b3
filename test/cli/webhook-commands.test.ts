import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startWebhooks } from '../../src/worker/webhooks.ts';
import { ADMIN_KEY, type Api, startApi } from '../http/support.ts';
import { isSigned, type Receiver, startReceiver } from '../support/webhook-receiver.ts';
import { inProcess } from './in-process.ts';

// Against the real API, a real worker and a real receiver.

let api: Api;
let receiver: Receiver;
let worker: { stop(): Promise<void> };
let dataDir: string;
beforeAll(async () => {
  [api, receiver] = await Promise.all([startApi({ api: { webhooksMayBePrivate: true } }), startReceiver()]);
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  dataDir = mkdtempSync(join(tmpdir(), 'warmline-cli-'));
  vi.stubEnv('WARMLINE_URL', url);
  vi.stubEnv('WARMLINE_API_KEY', ADMIN_KEY);
  vi.stubEnv('WARMLINE_DATA_DIR', dataDir);
  vi.stubEnv('NO_COLOR', '1');
  worker = await startWebhooks({
    engine: api.engine,
    redisUrl: api.server.url,
    log: pino({ level: 'silent' }),
    allowPrivate: true,
    changesEveryMs: 50,
    backoffMs: () => 60_000,
  });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await worker.stop();
  await receiver.close();
  await api.stop();
  rmSync(dataDir, { recursive: true });
});

const webhooks = (...args: string[]) => inProcess('webhooks', ...args);

test('add, list, test, log, rotate, disable, enable, delete', async () => {
  const added = await webhooks(
    'add',
    receiver.url,
    '--event',
    'ip.status_changed',
    '--event',
    'ip.quota_used',
  );
  expect(added.err).toMatch(
    /^webhook hook_\w+ is told ip\.status_changed, ip\.quota_used; keep its secret now, it is not shown again:\n$/,
  );
  expect(added.out).toMatch(/^whsec_[\w-]{43}\n$/);
  const [id = ''] = /hook_\w+/.exec(added.err) ?? [];

  const listed = await webhooks('list');
  expect(listed.out).toContain(receiver.url);
  expect(listed.out).toMatch(/ip\.status_changed, ip\.quota_used +on +hook_/);
  expect(listed.out).not.toContain('whsec');

  expect((await webhooks('test', id)).out).toMatch(/^delivered: it answered 200 after \d+ ms\n$/);
  expect(receiver.received).toHaveLength(1);
  expect(isSigned(receiver.received[0]!, added.out.trim())).toBe(true);

  receiver.answer = { status: 500 };
  const failed = await webhooks('test', id);
  expect(failed).toMatchObject({
    code: 1,
    out: '',
    err: 'warmline: the test event did not arrive: it answered 500; it will be tried again\n',
  });
  const log = await webhooks('log', id);
  expect(log.out.split('\n')[1]).toMatch(/UTC +webhook\.test +1 +failed +500 +\d+ +it answered 500 +evt_/);
  expect(log.out.split('\n')[2]).toMatch(/UTC +webhook\.test +1 +delivered +200/);

  expect((await webhooks('rotate', id)).out).toMatch(/^whsec_/);
  expect((await webhooks('disable', id)).out).toBe(`webhook ${id} is switched off\n`);
  expect((await webhooks('list')).out).toContain('off: switched off by hand');
  expect((await webhooks('enable', id)).out).toBe(`webhook ${id} is switched on\n`);
  expect((await webhooks('delete', id)).out).toBe(`webhook ${id} is deleted\n`);
  expect(JSON.parse((await webhooks('list', '--json')).out)).toEqual({ data: [] });
  expect((await webhooks('list')).out).toBe('no webhooks; make one with: warmline webhooks add <url>\n');
});

test('what cannot be is a sentence', async () => {
  expect(await webhooks('add', 'https://u:secret@example.com/')).toMatchObject({
    code: 1,
    err: 'warmline: url holds a user or a password; every event is signed instead, so leave them out\n',
  });
  expect((await webhooks('log', 'hook_none')).err).toBe(
    'warmline: there is no webhook hook_none in this account; see: warmline webhooks list\n',
  );
  expect((await webhooks('add')).code).toBe(2);
});
