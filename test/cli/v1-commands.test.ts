import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN_KEY, type Api, startApi } from '../http/support.ts';
import { inProcess, type Run } from './in-process.ts';

// Pools and IPs changed from the command line, and the stream read there; against the real API, in this process.

let api: Api;
let url: string;
beforeAll(async () => {
  api = await startApi();
  url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.1', '192.0.2.2'], account: 'default' });
});
afterAll(() => api.stop());

const run = (name: string, ...args: string[]): Promise<Run> =>
  inProcess(name, ...(args.includes('--help') ? args : [...args, '--url', url, '--key', ADMIN_KEY]));

async function said(name: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await run(name, ...args);
  expect(err).toBe('');
  expect(code, out).toBe(0);
  return out;
}

test('pools: get, rename, default, delete', async () => {
  const pool = JSON.parse(await said('pools', 'create', 'Bulk mail', '--json'));
  await said('pools', 'add', 'Bulk mail', '192.0.2.1');
  expect(await said('pools', 'get', 'Bulk mail')).toMatch(
    new RegExp(`^pool +Bulk mail\nid +${pool.id}\nIPs +1\ncreated +2026-01-10 10:00 UTC\n$`),
  );
  expect(await said('pools', 'rename', 'Bulk mail', 'News')).toBe('pool Bulk mail is called News now\n');
  expect(JSON.parse(await said('pools', 'get', 'News', '--json'))).toMatchObject({ id: pool.id, ipCount: 1 });
  expect(await said('pools', 'default', 'News')).toBe('pool News is the default now\n');
  expect(await said('pools', 'get', pool.id)).toMatch(/^default +yes$/m);
  expect(await said('pools', 'default', 'News', '--off')).toBe('pool News is not the default now\n');
  expect(await said('pools', 'delete', 'News')).toBe('pool News was deleted; its 1 IP stayed, in no pool\n');
  expect(await run('pools', 'get', 'News')).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringMatching(/no pool "News"/),
  });
  expect(await run('pools', 'rename', 'News', '.x')).toMatchObject({ code: 1, out: '' });
});

test('ips update: what is named changes, and nothing else', async () => {
  expect(
    await said(
      ...([
        'ips',
        'update',
        '192.0.2.1',
        '--hostname',
        'mta1.example.com',
        '--label',
        'team=billing',
      ] as const),
      ...['--label', 'note=a=b', '--per-day', '20000'],
    ),
  ).toMatch(/^most a day +20,000\nlabels +team=billing, note=a=b\nhost name +mta1\.example\.com$/m);
  const ip = JSON.parse(
    await said(
      'ips',
      'update',
      '192.0.2.1',
      '--unlabel',
      'note',
      '--per-day',
      'none',
      '--per-hour',
      '50',
      '--json',
    ),
  );
  expect(ip).toMatchObject({
    hostname: 'mta1.example.com',
    labels: { team: 'billing' },
    ceiling: { perDay: null, perHour: 50 },
  });
  expect(await said('ips', 'update', '192.0.2.1', '--hostname', 'none')).not.toContain('host name');
  expect(await said('ips', 'list', '--label', 'team:billing')).toContain('192.0.2.1');
  expect(await said('ips', 'list', '--label', 'team:other')).toContain('no IPs');
});

test.each([
  [['ips', 'update', '192.0.2.1'], /say what to change/],
  [['ips', 'update', '192.0.2.1', '--label', 'team'], /name=value/],
  [['ips', 'update', '192.0.2.1', '--per-day', 'many'], /whole number/],
  [['ips', 'update', '192.0.2.01', '--per-day', '5'], /not an IP address/],
  [['changes', '--limit', '0'], /whole number/],
] as const)('%j is misuse', async ([name, ...args], says) => {
  const { code, out, err } = await run(name, ...args);
  expect(err).toMatch(says);
  expect({ code, out }).toEqual({ code: 2, out: '' });
});

test('changes: a table for people, everything for programs', async () => {
  await said('ips', 'start', '192.0.2.2');
  const table = await said('changes');
  expect(table.split('\n')[0]).toMatch(/^at +what +of +from +to +because +by +id$/);
  expect(table).toMatch(/^2026-01-10 10:00 UTC +status +192\.0\.2\.2 +provisioning +warming /m);
  const { data, gap } = JSON.parse(await said('changes', '--json'));
  expect(gap).toBe(false);
  expect(await said('changes', '--since', data.at(-1).id)).toBe('nothing changed\n');
  expect(await said('changes', '--since', '2026-01-11T00:00:00Z')).toBe('nothing changed\n');
  expect(await said('changes', '--limit', '1')).toContain(
    `there is more: warmline changes --since ${data[0].id}`,
  );
});

describe('help', () => {
  test.each([['pools'], ['ips'], ['changes']])('%s has examples', async (name) => {
    const { code, out } = await run(name, '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n {2}\$ warmline /);
  });
});
