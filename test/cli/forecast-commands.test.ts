import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { holdIp } from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import { ADMIN_KEY, type Api, startApi } from '../http/support.ts';
import { inProcess } from './in-process.ts';

// What people read who ask why their mail is held and when they will be done, on the real API.

let api: Api;
let dataDir: string;
beforeAll(async () => {
  api = await startApi();
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  dataDir = mkdtempSync(join(tmpdir(), 'warmline-cli-'));
  vi.stubEnv('WARMLINE_DATA_DIR', dataDir);
  vi.stubEnv('WARMLINE_URL', url);
  vi.stubEnv('WARMLINE_API_KEY', ADMIN_KEY);
  vi.stubEnv('NO_COLOR', '1');
  const pool = await pools.createPool(api.tenant, { name: 'marketing' });
  const first = await api.warming({ zone: 'Europe/Berlin' });
  const second = await api.warming({ zone: 'Europe/Berlin' });
  const third = await api.bring();
  for (const { id } of [first, second, third]) await pools.addIpToPool(api.tenant, pool.id, id);
  await holdIp(api.tenant, second.id, {
    ...{ sending: true, advance: true, because: 'complaints', untilMs: null },
  });
  await api.advance({ ms: 36 * 60_000 });
  await api.limiter.take({ pool: pool.id, count: 20 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  rmSync(dataDir, { recursive: true, force: true });
  await api.stop();
});

async function run(...[name = '', ...args]: string[]): Promise<string> {
  const { code, out, err } = await inProcess(name, ...args);
  expect(code, err).toBe(0);
  return out;
}

test('why is my mail held? Each IP that was considered, and one sentence', async () => {
  const out = await run('explain', '--pool', 'marketing');
  expect(out).toContain(
    'None of the 3 IPs of pool marketing has room: 1 used its hour, 1 is held, 1 has a status that gives no mail. First is 10.0.0.1, which used its 20 sends of this hour; 8 more from 12:00 (in 24 min).',
  );
  expect(out).toMatch(/10\.0\.0\.1 {2}warming +20 of 50 +20 of 20 +0 {2}hour +24 min\n/);
  expect(out).toMatch(/10\.0\.0\.2 {2}warming +0 of 50 +0 of 20 +0 {2}hold +never\n/);
  expect(out).toContain('10.0.0.2 is held by test, until somebody resumes it: complaints.');
  expect(out).toContain('10.0.0.3 is provisioning, and that status gives no mail; start its warm-up.');
});

test('of one IP, for more than it has, for more than it ever has, and for programs', async () => {
  expect(await run('explain', '--ip', '10.0.0.1', '--count', '20')).toContain(
    '10.0.0.1 used its 20 sends of this hour; 20 more from 12:36 (in 1 h).',
  );
  expect(await run('explain', '--ip', '10.0.0.1', '--count', '51')).toContain(
    '51 sends at once never fit its limits.',
  );
  const { ips, answer } = JSON.parse(await run('explain', '--ip', '10.0.0.2', '--json'));
  expect(answer).toMatchObject({ allowed: false, because: { code: 'hold' } });
  expect(ips[0]).toMatchObject({
    binds: 'hold',
    hold: { because: 'complaints', by: 'test' },
    retryAfterMs: null,
  });
});

test('when will we be done? The days with a bar each, and what would change it', async () => {
  const out = await run(
    ...['forecast', '--messages', '20000', '--pool', 'marketing', '--add-ips', '2', '--plan', 'fourteen-day'],
  );
  expect(out).toContain(
    'The last of 20,000 messages leaves Mon 19 Jan 10:08 (in 8 d 22 h), over 1 IP; the hourly cap holds it up most. 2 IPs send nothing: provisioning, held until somebody resumes it.',
  );
  expect(out).toContain('With 2 more IPs: 2 d 8 h earlier, Sat 17 Jan 02:00.');
  expect(out).toContain('With plan fourteen-day: 23 h 7 min earlier, Sun 18 Jan 11:00.');
  expect(out).toMatch(/day \(Europe\/Berlin\) +sends +in all +IPs +binds\n2026-01-10 +30 +30 +1 {2}day +#\n/);
  expect(out).toMatch(/2026-01-18 +6,156 +16,903 +1 {2}hour +#{24}\n/);
  expect(out).toMatch(/10\.0\.0\.2 +warming +0 {2}held until somebody resumes it\n/);
  const told = JSON.parse(await run('forecast', '--messages', '20000', '--pool', 'marketing', '--json'));
  expect(told).toMatchObject({ sent: 20_000, ipCount: 3, variants: [], zone: 'Europe/Berlin' });
  expect(told.days.at(-1).total).toBe(20_000);
});

test('a later start, on the clock of a zone', async () => {
  const start = ['--start', '2026-01-15T10:00', '--zone', 'Asia/Kolkata'];
  const told = JSON.parse(await run('forecast', '--messages', '200', ...start, '--json'));
  expect(told).toMatchObject({ start: '2026-01-15T04:30:00Z', zone: 'Asia/Kolkata' });
  expect(told.days.map(({ date }: { date: string }) => date)).toEqual(['2026-01-15']);
});

test('help has examples, and misuse is told', async () => {
  for (const name of ['explain', 'forecast']) {
    let help = '';
    const command = new Command(name).exitOverride().configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    (await COMMANDS.find((one) => one.name === name)!.load()).register(command);
    await expect(command.parseAsync(['--help'], { from: 'user' })).rejects.toThrow();
    expect(help).toContain(`$ warmline ${name} --`);
  }
  await expect(run('forecast')).rejects.toThrow('--messages');
  await expect(run('forecast', '--messages', 'many')).rejects.toThrow('whole number');
  await expect(run('forecast', '--messages', '5', '--zone', 'Berlin')).rejects.toThrow('IANA');
  await expect(run('explain', '--pool', 'nobody')).rejects.toThrow('there is no pool "nobody"');
  await expect(run('explain', '--ip', '192.0.2.1')).rejects.toThrow('there is no IP 192.0.2.1');
});

test('more IPs by the plan that the others have, also when another plan is compared beside it', async () => {
  const asked = ['--messages', '50000', '--pool', 'marketing', '--add-ips', '2'];
  const line = (out: string) => /^With 2 more IPs: .*$/m.exec(out)?.[0];
  const alone = line(await run('forecast', ...asked));
  expect(alone).toBeDefined();
  const out = await run('forecast', ...asked, '--plan', 'fourteen-day');
  expect(line(out)).toBe(alone);
  expect(out).toMatch(/^With plan fourteen-day: /m);
  expect(out).toMatch(/^With 2 more IPs and plan fourteen-day: /m);
});
