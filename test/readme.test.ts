import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { block as blockOf, root } from './docs/page.ts';
import { redisCliFolder, run, type Served, serve } from './docs/served.ts';
import { PYTHON } from './support/python.ts';
import { type Sink, startSink } from './support/smtp-sink.ts';
import { WARMLINE } from './support/warmline.ts';

// The README is the product's face, so what it says is run here, as it stands there: the console block, the commands, the
// curl lines and the programs, against a real server. What stands in docs/ is run by test/docs/, and
// test/docs/blocks.test.ts sees to it that nothing is left out.

const REDIS_CLI = redisCliFolder();

const block = (name: string) => blockOf('README.md', name);

let warmline: Served;
let sink: Sink;

beforeAll(async () => {
  sink = await startSink({});
  warmline = await serve();
  warmline.env.SMTP_PORT = String(sink.port);
  if (REDIS_CLI) warmline.env.PATH = `${REDIS_CLI}${delimiter}${process.env.PATH}`;
});

afterAll(async () => {
  await warmline.stop();
  await sink.close();
});

test('the dry run prints what the README opens with', async () => {
  const [, command, table] = /^\$ npx warmline (.*)\n([\s\S]*)/.exec(block('dry-run'))!;
  const { stdout } = await run(process.execPath, [WARMLINE, ...command!.split(' ')], {
    cwd: root,
  });
  expect(stdout.trimEnd()).toBe(table!.trimEnd());
});

test('the commands warm up an IP', async () => {
  const out = await warmline.shell(block('cli'));
  expect(out).toContain('203.0.113.0');
  expect(out).toContain('marketing');
});

test('the commands say why mail is held, and when a campaign is done', async () => {
  const out = await warmline.shell(block('explain'));
  expect(out).toMatch(/^1 send may go now, from 203\.0\.113\.0\.\n/);
  expect(out).toMatch(
    /The last of 500,000 messages leaves .*; the hourly cap holds it up most\.\nWith 2 more IPs: /,
  );
});

test('the curl lines do the same over HTTP', async () => {
  // What curl sends with -d and no content type is a form by name; the API takes it for the JSON that it is.
  const answers = (await warmline.shell(block('http')))
    .split(/(?<=\})(?=\{)/)
    .map((text) => JSON.parse(text));
  const [added, brought, started, taken] = answers;
  expect(added).toMatchObject({ added: 8 });
  expect(brought).toMatchObject({ added: 1 });
  expect(started).toMatchObject({ status: 'warming', warmingSchedule: { totalDays: 14 } });
  expect(taken).toMatchObject({ allowed: true, granted: [{ ip: '192.0.2.7', count: 3 }] });
});

test('the program that asks over Redis is granted three sends from the pool', async () => {
  expect(await warmline.program(block('sender'))).toMatch(/^3 from 203\.0\.113\.0\n$/);
});

test('the program that leases has one send from the pool at once', async () => {
  expect(await warmline.program(block('lease'))).toMatch(/^from 203\.0\.113\.0\n$/);
});

test('the program with Nodemailer asks for both recipients', async () => {
  // 203.0.113.0 is no address of this machine, so the pool gets one that is, already warm.
  await warmline.shell(`warmline inventory add 127.0.20.1 --account default --status active
warmline pools create local
warmline pools add local 127.0.20.1`);
  const program = block('nodemailer').replace("pool: 'marketing'", "pool: 'local'");
  expect(await warmline.program(program)).toBe('');
  expect(sink.delivered()).toEqual({ '127.0.20.1': 2 });
});

test.skipIf(!REDIS_CLI)(
  'plain Redis shows the published quota (skipped only where there is no redis-cli)',
  async () => {
    const out = await warmline.shell(block('redis'));
    expect(out).toMatch(/^dailyLimit\n50$/m);
    expect(out).toMatch(/^hourlyCap\n20$/m);
  },
);

test('the programs in TypeScript and Python warm up an IP each', async () => {
  expect(await warmline.program(block('client'))).toMatch(/^[\d.]+: warming \(7%\)\n$/);
  if (!PYTHON) return;
  const env = { ...warmline.env, PYTHONPATH: join(root, 'clients/python'), PYTHONDONTWRITEBYTECODE: '1' };
  const { stdout } = await run(PYTHON, ['-c', block('python')], { cwd: root, env });
  expect(stdout).toMatch(/^[\d.]+: warming \(7%\)\n$/);
});
