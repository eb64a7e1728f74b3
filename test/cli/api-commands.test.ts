import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ADMIN_KEY, type Api, startApi } from '../http/support.ts';
import { WARMLINE } from '../support/warmline.ts';
import { inProcess, type Run } from './in-process.ts';

// Every command against the real API. Most of them run in this process, since each start of node costs half a second; what
// belongs to the process (exit codes, streams, the environment) is spawned.

let api: Api;
let url: string;
let dataDir: string;
beforeAll(async () => {
  api = await startApi();
  url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  dataDir = mkdtempSync(join(tmpdir(), 'warmline-cli-'));
  writeFileSync(join(dataDir, 'api.json'), `${JSON.stringify({ url })}\n`);
  writeFileSync(join(dataDir, 'api-key'), `${ADMIN_KEY}\n`);
  vi.stubEnv('WARMLINE_DATA_DIR', dataDir);
  for (const name of ['WARMLINE_URL', 'WARMLINE_API_KEY']) vi.stubEnv(name, undefined);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  rmSync(dataDir, { recursive: true, force: true });
  await api.stop();
});

/** `warmline ...` as a process of its own. */
function warmline(args: string[], env: Record<string, string> = {}): Promise<Run> {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^WARMLINE_|COLOR/.test(name)),
  );
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [WARMLINE, ...args],
      { env: { ...clean, WARMLINE_DATA_DIR: dataDir, ...env } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}

const run = ([name = '', ...args]: string[]) => inProcess(name, ...args);

async function said(...args: string[]): Promise<string> {
  const { code, out, err } = await run(args);
  expect(err).toBe('');
  expect(code, out).toBe(0);
  return out;
}

function isRefusal(run: Run, code: number, says: RegExp): void {
  expect(run.err).toMatch(says);
  expect(run.err).toMatch(/^warmline: [^\n]+\n$/);
  expect(run).toMatchObject({ code, out: '' });
}

test('a whole life on the command line', async () => {
  expect(await said('inventory', 'list')).toBe(
    'the inventory is empty; add addresses with: warmline inventory add\n',
  );
  expect(await said('ips', 'list')).toContain('no IPs');
  expect(await said('inventory', 'add', '203.0.113.0/30', '2001:db8::5', '--region', 'eu')).toBe(
    '5 addresses added to the inventory\n',
  );
  expect(await said('pools', 'create', 'Bulk mail', '--default')).toMatch(
    /^pool Bulk mail \(pool_\w+\) was made, and is the default\n$/,
  );
  expect(await said('ips', 'create')).toMatch(/^203\.0\.113\.0 \(ip_\w+\) is yours/);
  expect(await said('ips', 'start', '203.0.113.0', '--zone', 'Europe/Berlin')).toBe(
    '203.0.113.0 is warming up: day 1 of 14, 50 sends left today; complete on 2026-01-24 10:00 UTC\n',
  );
  await api.ask('POST', '/v1/quota/take', { ip: '203.0.113.0', count: 20 });

  const [ips, pools, inventory, quota, pool, one] = [
    await said('ips', 'list'),
    await said('pools', 'list'),
    await said('inventory', 'list'),
    await said('quota', '203.0.113.0'),
    await said('quota', 'Bulk mail'),
    await said('ips', 'get', '203.0.113.0'),
  ];
  expect(ips).toMatch(
    /^address +status +day +used today +left today +hourly cap +pool +id\n203\.0\.113\.0 +warming +1\/14 +20 +30 +20 +Bulk mail +ip_/,
  );
  expect(pools).toMatch(/^name +IPs +default +held +id\nBulk mail +1 +yes +pool_/);
  expect(inventory).toMatch(/203\.0\.113\.0 +held +default +eu/);
  expect(inventory).toMatch(/2001:db8::5 +free +eu/);
  expect(inventory).toMatch(/\n4 of 5 addresses free\n$/);
  expect(quota).toMatch(/^203\.0\.113\.0 \(warming\) may not send now: the hour is used up, again in 1 h\n/);
  expect(quota).toMatch(/\nhour +20 +20 +0 +2026-01-10 11:00 UTC +binds\n/);
  expect(pool).toMatch(/^pool Bulk mail may not send now: the hour is used up, again in 1 h\n/);
  expect(one).toMatch(/\nplan +fourteen-day\+sendgrid-hourly\n/);
  for (const text of [ips, pools, inventory, quota, pool, one]) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a pipe is no terminal, so there is no colour
    expect(text).not.toMatch(/\u001b/);
    for (const line of text.split('\n')) expect(line).toBe(line.trimEnd());
  }

  expect(
    await said(
      'hold',
      '203.0.113.0',
      '--because',
      'a blocklist',
      '--until',
      '2026-01-12T10:00:00Z',
      '--no-advance',
    ),
  ).toBe('203.0.113.0 is held: no mail, until 2026-01-12 10:00 UTC\n');
  expect(await said('hold', 'Bulk mail', '--because', 'complaints', '--no-sending')).toBe(
    'pool Bulk mail is held: no progress, until somebody resumes it\n',
  );
  expect(await said('resume', '203.0.113.0')).toMatch(
    /^203\.0\.113\.0 is resumed; no progress all the same, by the hold of pool pool_\w+ \(complaints\)\n$/,
  );
  expect(await said('resume', 'Bulk mail')).toBe('pool Bulk mail is resumed\n');
  expect(await said('pools', 'create', 'Other')).toContain('pool Other');
  expect(await said('pools', 'add', 'Other', '203.0.113.0')).toBe('203.0.113.0 is in pool Other\n');
  expect(await said('pools', 'remove', 'Other', '203.0.113.0')).toBe('pool Other has 0 IPs now\n');
  expect(await said('ips', 'release', '203.0.113.0')).toBe(
    '203.0.113.0 sends nothing any more; it is in cooldown until 2026-02-09 10:00 UTC\n',
  );
  expect(await said('ips', 'restore', '203.0.113.0')).toBe('203.0.113.0 is warming again\n');
  expect(await said('accounts', 'create', 'acme')).toMatch(/^account acme \(acct_\w+\) was made\n$/);
  expect(await said('inventory', 'add', '198.51.100.7', '--account', 'acme', '--status', 'active')).toBe(
    '1 address put on account acme\n',
  );
  expect(await said('accounts', 'list')).toMatch(/\nacme +/);
});

test('a key is made, works, is listed without itself and revoked', async () => {
  await said('accounts', 'create', 'keyed');
  expect(await said('accounts', 'create', 'keyed-news', '--parent', 'keyed')).toMatch(
    /^account keyed-news \(acct_\w+\), a subuser of keyed, was made\n$/,
  );
  expect(await said('accounts', 'list')).toMatch(/\nkeyed-news +\d+ +keyed +2026/);
  expect(await said('keys', 'list', '--account', 'keyed')).toBe(
    'no keys; make one with: warmline keys create --account <account>\n',
  );

  const made = await run(['keys', 'create', '--account', 'keyed', '--scope', 'read, send', '--name', 'mta7']);
  const [key] = made.out.split('\n');
  expect(key).toMatch(/^wl_\w{43}$/);
  expect(made.err).toMatch(/^key key_\w+ of keyed may read, send; keep it now, it is not shown again:\n$/);
  expect((await api.askAs(key!)('GET', '/v1/dedicated-ips')).status).toBe(200);
  expect((await api.askAs(key!)('POST', '/v1/dedicated-ips')).status).toBe(403);

  const json = JSON.parse(
    await said('keys', 'create', '--account', 'keyed', '--prefix', 'SG.', '--expires', 'P90D', '--json'),
  );
  expect(json).toMatchObject({ key: expect.stringMatching(/^SG\./), expiresAt: '2026-04-10T10:00:00Z' });
  const listed = await said('keys', 'list', '--account', 'keyed');
  expect(listed).toContain(`wl_…${key!.slice(-4)}`);
  expect(listed).toContain('2026-04-10 10:00 UTC');
  expect(listed).not.toContain(key);
  const id = /key_\w+/.exec(made.err)![0];
  expect(await said('keys', 'revoke', id)).toBe(`key ${id} is revoked\n`);
  api.passRealTime(1_000);
  expect((await api.askAs(key!)('GET', '/v1/dedicated-ips')).status).toBe(401);

  isRefusal(await run(['keys', 'revoke', id]), 1, /no API key key_/);
  isRefusal(await run(['keys', 'create', '--account', 'nobody']), 1, /no account "nobody"/);
  isRefusal(await run(['keys', 'create', '--account', 'keyed', '--scope', 'admin']), 1, /leave admin out/);
  isRefusal(await run(['keys', 'create', '--account', 'keyed', '--scope', 'root']), 2, /"root" is no scope/);
  isRefusal(await run(['keys', 'create']), 2, /--account/);
});

test('--json is what the API answers', async () => {
  await api.ask('POST', '/v1/inventory', {
    addresses: ['192.0.2.1', '192.0.2.2'],
    account: 'default',
    status: 'active',
  });
  const json = async (...args: string[]) => JSON.parse(await said(...args, '--json'));
  const one = (await api.ask('GET', '/v1/dedicated-ips/192.0.2.1')).body;
  expect(await json('ips', 'get', '192.0.2.1')).toEqual(one);
  expect((await json('ips', 'list')).data.map(({ id }: { id: string }) => id)).toContain(one.id);
  expect(await json('quota', one.id)).toEqual(
    (await api.ask('GET', '/v1/dedicated-ips/192.0.2.1/quota')).body,
  );
  expect((await json('inventory', 'list')).data).toContainEqual(
    expect.objectContaining({ address: '192.0.2.1', state: 'held', ipId: one.id }),
  );
  expect((await json('accounts', 'list')).data).toContainEqual(expect.objectContaining({ name: 'default' }));
  const held = await json('hold', '192.0.2.1', '--because', 'x');
  expect(held).toMatchObject({ id: one.id, hold: { because: 'x', sending: true, advance: true } });
  expect(await json('resume', '192.0.2.1')).toMatchObject({ hold: null });
  expect(await json('ips', 'release', '192.0.2.1')).toMatchObject({ status: 'cooldown' });
});

test('a long list comes whole, page after page', async () => {
  await api.ask('POST', '/v1/inventory', { addresses: ['10.1.0.0/24'], account: 'default' });
  const { data } = JSON.parse(await said('ips', 'list', '--status', 'provisioning', '--json'));
  const addresses = data.map(({ ipAddress }: { ipAddress: string }) => ipAddress);
  expect(addresses.filter((address: string) => address.startsWith('10.1.0.'))).toHaveLength(256);
  expect(new Set(addresses).size).toBe(addresses.length);
});

describe('what a person gets wrong', () => {
  test.each<[string, number, RegExp, string[]]>([
    [
      'a malformed address',
      2,
      /"203\.0\.113\.999" is not an IP address/,
      ['inventory', 'add', '203.0.113.999'],
    ],
    ['a malformed range', 2, /not a range/, ['inventory', 'add', '203.0.113.0/64']],
    ['the address of an IP', 2, /not an IP address/, ['quota', '203.0.113.1000']],
    ['a status that is none', 2, /choices/, ['ips', 'list', '--status', 'sleeping']],
    [
      'a status without an account',
      2,
      /--account/,
      ['inventory', 'add', '203.0.113.9', '--status', 'active'],
    ],
    ['no reason', 2, /--because/, ['hold', 'Bulk']],
    ['no name', 2, /missing required argument/, ['pools', 'create']],
    ['a burst in words', 2, /whole number/, ['ips', 'start', '203.0.113.9', '--burst', 'many']],
    ['a share of 20', 2, /0 to 1/, ['pools', 'create', 'X', '--warming-share', '20']],
    ['an unknown option', 2, /unknown option/, ['ips', 'list', '--fast']],
    ['an unknown subcommand', 2, /unknown command|too many/, ['ips', 'destroy', '1']],
    ['an unknown IP', 1, /no IP 203\.0\.113\.200/, ['ips', 'get', '203.0.113.200']],
    ['an unknown pool', 1, /no pool "nobody"/, ['quota', 'nobody']],
    ['an unknown plan', 1, /no schedule "fast"/, ['ips', 'start', '192.0.2.77', '--plan', 'fast']],
    ['a URL that is none', 2, /is no URL/, ['ips', 'list', '--url', 'localhost:8080']],
    [
      'a host that is none',
      1,
      /(no host|no Warmline API)/,
      ['ips', 'list', '--url', 'http://nowhere.invalid'],
    ],
    [
      'a key that nobody has',
      1,
      /Invalid API key provided; the key came from --key/,
      ['ips', 'list', '--key', 'wl_x'],
    ],
  ])('%s', async (_, code, says, args) => isRefusal(await run(args), code, says));

  test('a name that would move the cursor is shown harmless', async () => {
    await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'red \u001b[31malert\u0007' });
    expect(await said('pools', 'list')).toContain('red �[31malert�');
  });
});

describe('as a process', () => {
  /** A port that nobody listens on, as it was free a moment ago. */
  async function closedUrl(): Promise<string> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return `http://127.0.0.1:${port}`;
  }

  test('0 when it worked, 1 when the API refused, 2 when it was called wrongly; one line on stderr', async () => {
    const [list, help, unknown, misuse, option] = await Promise.all([
      warmline(['accounts', 'list']),
      warmline(['--help']),
      warmline(['ips', 'get', '203.0.113.200']),
      warmline(['inventory', 'add', '203.0.113.999']),
      warmline(['ips', 'list', '--fast']),
    ]);
    expect(list).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^name +number +parent +made +id\ndefault /),
    });
    expect(help.code).toBe(0);
    isRefusal(unknown!, 1, /no IP 203\.0\.113\.200/);
    isRefusal(misuse!, 2, /not an IP address/);
    isRefusal(option!, 2, /unknown option/);
  });

  test('nobody is there, or something else', async () => {
    const nowhere = mkdtempSync(join(tmpdir(), 'warmline-nowhere-'));
    const closed = await closedUrl();
    const other = createServer((_, response) => response.end('<h1>It works!</h1>')).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
    const [unknown, keyless, gone, badKey, strange] = await Promise.all([
      warmline(['ips', 'list'], { WARMLINE_DATA_DIR: nowhere }),
      warmline(['ips', 'list', '--url', url], { WARMLINE_DATA_DIR: nowhere }),
      warmline(['ips', 'list', '--url', closed]),
      warmline(['ips', 'list'], { WARMLINE_API_KEY: 'wl_nobody' }),
      warmline(['ips', 'list'], { WARMLINE_URL: otherUrl }),
    ]);
    isRefusal(unknown!, 1, /no Warmline API runs in .*; start it with npm start/);
    isRefusal(keyless!, 2, /no API key is known/);
    isRefusal(gone!, 1, new RegExp(`no Warmline API answers at ${closed}; start it with npm start`));
    isRefusal(badKey!, 1, /Invalid API key provided; the key came from WARMLINE_API_KEY/);
    isRefusal(strange!, 1, /is not Warmline/);
    other.close();
    rmSync(nowhere, { recursive: true });
  });
});
