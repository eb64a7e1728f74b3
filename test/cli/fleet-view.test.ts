import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type FleetRow, frameOf, rowsThatFit } from '../../src/cli/fleet-frame.ts';
import type { Ip } from '../../src/cli/ips.ts';
import { ADMIN_KEY, type Api, ok, startApi } from '../http/support.ts';
import { eventually } from '../support/processes.ts';
import { HIDDEN, hasTerminal, onTerminal } from './terminal.ts';

// `warmline` alone: against the real API, on a real pseudo-terminal. Without `script` of util-linux there is none to have,
// and these are skipped.

let api: Api;
let env: NodeJS.ProcessEnv;
const open: { kill(): void }[] = [];

beforeAll(async () => {
  api = await startApi();
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  env = { WARMLINE_URL: url, WARMLINE_API_KEY: ADMIN_KEY };
  ok(await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.0/28'], account: 'default' }), 201);
  const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Marketing' }), 201);
  ok(await api.ask('POST', '/v1/dedicated-ips/192.0.2.1/warmup', { plan: 'fourteen-day+sendgrid-hourly' }));
  ok(await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: '192.0.2.1' }));
  ok(await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.1', count: 10 }));
});
afterAll(() => api.stop());
afterEach(() => {
  for (const view of open.splice(0)) view.kill();
});

function watching(more: NodeJS.ProcessEnv = {}, size = {}) {
  const view = onTerminal([], { ...env, ...more }, size);
  open.push(view);
  return view;
}

describe.skipIf(!hasTerminal)('on a terminal', () => {
  test('it shows the fleet, pages, filters, follows what happens, and gives the terminal back', async () => {
    const view = watching({}, { columns: 130, rows: 17 });
    await eventually('the first page', () => view.shown().includes('page 1'), 20_000);
    expect(view.shown()).toContain('16 IPs: 15 provisioning, 1 warming');
    expect(view.shown().match(/192\.0\.2\.\d+/g)).toHaveLength(10);

    view.press('n');
    await eventually('the second page', () => /page 2 +p previous/.test(view.shown()));
    await eventually('its IPs', () => view.shown().match(/192\.0\.2\.\d+/g)?.length === 6);
    view.press('\x1b[D');
    await eventually('the first page again', () => /page 1 +n next/.test(view.shown()));

    view.press('/warming\r');
    await eventually(
      'only one',
      () => /only warming/.test(view.shown()) && view.shown().match(/192\.0\.2\.\d+/g)?.length === 1,
    );
    expect(view.shown()).toMatch(
      /192\.0\.2\.1 +warming +1 of 14 +█+░+ 10 of 50 +█+░+ 10 of 20 +Marketing +day 2 11 Jan 10:00/,
    );
    ok(await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.1', count: 5 }));
    await eventually('what was taken', () => view.shown().includes('15 of 50'));
    view.press('/Marketing\r');
    await eventually('the pool', () => /only Marketing/.test(view.shown()));
    view.press('/team:none\r');
    await eventually('nothing', () => view.shown().includes('no IP here is "team:none"'));

    view.press('q');
    expect(await view.ended).toBe(0);
    expect(view.raw()).toContain(HIDDEN);
    expect(view.isRestored()).toBe(true);
  });

  test('Ctrl-C leaves it', async () => {
    const view = watching();
    await eventually('the first page', () => view.shown().includes('page 1'), 20_000);
    view.press('\x03');
    expect(await view.ended).toBe(0);
    expect(view.isRestored()).toBe(true);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('%s gives the terminal back', async (signal, code) => {
    const view = watching({ WARMLINE_TEST_MARK: signal });
    await eventually('the first page', () => view.shown().includes('page 1'), 20_000);
    process.kill(await processMarked(`WARMLINE_TEST_MARK=${signal}`), signal);
    expect(await view.ended).toBe(code);
    expect(view.raw()).toContain(HIDDEN);
    expect(view.isRestored()).toBe(true);
  });

  test('a narrow and low terminal shows less, and nothing wraps', async () => {
    const view = watching({}, { columns: 60, rows: 9 });
    await eventually('the first page', () => view.shown().includes('page 1'), 20_000);
    for (const line of view.shown().split('\r\n')) expect(line.length).toBeLessThanOrEqual(60);
    view.press('/192.0.2.1\r');
    await eventually('the one IP', () => /192\.0\.2\.1 +warming +1 of 14/.test(view.shown()));
    for (const line of view.shown().split('\r\n')) expect(line.length).toBeLessThanOrEqual(60);
    view.press('q');
    expect(await view.ended).toBe(0);
  });

  test('colours on a terminal, but not with NO_COLOR', async () => {
    for (const [NO_COLOR, coloured] of [
      ['', true],
      ['1', false],
    ] as const) {
      const view = watching({ NO_COLOR });
      await eventually('the first page', () => view.shown().includes('page 1'), 20_000);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what a colour is
      expect(/\x1b\[3\dm/.test(view.raw())).toBe(coloured);
      view.press('q');
      await view.ended;
    }
  });

  test('no API, or a wrong key: one sentence, and the terminal was never taken', async () => {
    const gone = watching({ WARMLINE_URL: 'http://127.0.0.1:1' });
    expect(await gone.ended).toBe(1);
    expect(gone.raw()).toContain(
      'warmline: no Warmline API answers at http://127.0.0.1:1; start it with npm start',
    );
    const wrong = watching({ WARMLINE_API_KEY: 'wl_wrong' });
    expect(await wrong.ended).toBe(1);
    expect(wrong.raw()).toMatch(/Invalid API key.*came from WARMLINE_API_KEY, give another one with --key/);
    expect(gone.raw() + wrong.raw()).not.toContain(HIDDEN);
  });

  test('a key without the scope admin sees its own fleet', async () => {
    ok(await api.ask('POST', '/v1/accounts', { name: 'acme' }), 201);
    const { key } = ok(await api.ask('POST', '/v1/keys', { account: 'acme', scopes: ['read'] }), 201);
    const view = watching({ WARMLINE_API_KEY: key });
    await eventually('an empty fleet', () => view.shown().includes('no IPs yet; add addresses'), 20_000);
    expect(view.shown()).toContain('0 IPs');
    view.press('q');
    expect(await view.ended).toBe(0);
  });
});

/** The node process that was started with this in its environment, by the kernel's own list. */
async function processMarked(mark: string): Promise<number> {
  const { readdirSync, readFileSync } = await import('node:fs');
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [environment, command] = ['environ', 'cmdline'].map((file) =>
        readFileSync(`/proc/${name}/${file}`, 'utf8'),
      );
      if (environment!.split('\0').includes(mark) && command!.startsWith(process.execPath))
        return Number(name);
    } catch {
      // It has ended, or is not ours.
    }
  }
  throw new Error(`no process was started with ${mark}`);
}

const row = (change: object = {}, used = {}): FleetRow =>
  ({
    ip: {
      ...{ ipAddress: '192.0.2.1', status: 'warming', hold: null, cooldown: null },
      ...{ warmup: { currentDay: 3, totalDays: 14 }, ...change },
    } as Ip,
    ...{ pool: 'Marketing', hour: { used: 0, limit: -1 } },
    day: { used: 500, limit: 500, resetsAt: '2026-01-13T10:00:00.000Z' },
    ...used,
  }) as FleetRow;

const FRAME = {
  ...{ url: 'http://127.0.0.1:8080', counts: { warming: 1, active: 10_000 }, page: 1, hasMore: true },
  ...{ filter: '', typing: null, problem: null },
};

test.each<[string, FleetRow, RegExp]>([
  ['a used-up day', row(), /3 of 14 +█{12} 500 of 500 .* 0 +Marketing +day 4 13 Jan 10:00$/],
  ['the last day', row({ warmup: { currentDay: 14, totalDays: 14 } }), /14 of 14 .* active 13 Jan 10:00$/],
  [
    'a hold without an end',
    row({ hold: { sending: true, until: null } }),
    /warming, held .* when it is resumed$/,
  ],
  [
    'a stop of progress',
    row({ hold: { sending: false, until: null } }),
    /warming, no progress .* when it is resumed$/,
  ],
  [
    'a cooldown',
    row({ status: 'cooldown', cooldown: { until: '2026-02-01T00:00:00Z' } }, { day: null, hour: null }),
    /free 1 Feb 00:00$/,
  ],
  [
    'one send of many shows',
    row({}, { day: { used: 1, limit: 50_000, resetsAt: null } }),
    / █░{11} 1 of 50,000/,
  ],
  [
    'and the last one that is left too',
    row({}, { day: { used: 49_999, limit: 50_000, resetsAt: null } }),
    / █{11}░ 49,999 of/,
  ],
])('%s', (_, one, line) => {
  const lines = frameOf({ ...FRAME, rows: [one] }, { columns: 160, rows: 24 });
  expect(lines[1]).toBe('10,001 IPs: 1 warming, 10,000 active');
  expect(lines[4]).toMatch(line);
});

test('whatever the size of the screen: no line is wider, and never more lines', () => {
  const rows = Array.from({ length: 60 }, () => row({ ipAddress: '2001:db8:1111:2222:3333:4444:5555:6666' }));
  for (const columns of [1, 20, 40, 60, 80, 100, 140, 200]) {
    for (const height of [1, 5, 8, 24, 200]) {
      const size = { columns, rows: height };
      expect(rowsThatFit(size)).toBeLessThanOrEqual(50);
      const lines = frameOf({ ...FRAME, rows, problem: 'the API is gone' }, size);
      expect(lines.length).toBeLessThanOrEqual(height);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    }
  }
});
