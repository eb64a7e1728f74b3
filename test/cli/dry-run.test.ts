/**
 * The dry run through its front door. Most of it runs in this process, since each start of node costs a fifth of a second;
 * what belongs to the process (exit codes, streams, pipes) is spawned. The tables in `test/golden` are meant to be read.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import fourteenDay from '../../schedules/fourteen-day.ts';
import { limitsOf } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { type DryRunOptions, dryRun } from '../../src/cli/dry-run.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { WARMLINE } from '../support/warmline.ts';

const WORLD = { nowMs: Date.UTC(2026, 11, 1, 9, 0, 42, 7), folder: null, colours: false };
const run = (options: DryRunOptions = {}, world: Partial<typeof WORLD> = {}) =>
  dryRun(options, { ...WORLD, ...world });

type Row = Record<
  'warmupDay' | 'dailyLimit' | 'hourlyCap' | 'sendable' | 'cumulative' | 'carried' | 'overflow',
  number | null
> & {
  beginsAt: string;
  endsAt: string;
  binds: string | null;
};
type Json = { days: Row[] } & Record<string, unknown>;
const json = async (options: DryRunOptions): Promise<Json> =>
  JSON.parse(await run({ ...options, json: true })) as Json;

/** `warmline ...` as a process of its own. */
async function warmline(args: string[], env: Record<string, string> = {}) {
  const { WARMLINE_SCHEDULES: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [WARMLINE, ...args], {
    cwd: new URL('../..', import.meta.url),
    env: { ...inherited, ...env },
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { stdout, stderr, code: code as number };
}

describe('for people', () => {
  const berlin = { start: '2026-12-01T10:00', zone: 'Europe/Berlin' };
  test.each<[file: string, options: DryRunOptions]>([
    ['dry-run-default', berlin],
    ['dry-run-fourteen-day', { ...berlin, plan: 'fourteen-day' }],
    ['dry-run-sendgrid-hourly', { ...berlin, plan: 'sendgrid-hourly' }],
    ['dry-run-volume', { ...berlin, volume: '20000', ips: '2' }],
    ['dry-run-volume-never', { ...berlin, volume: '100000' }],
    ['dry-run-summer-time', { start: '2026-03-27T10:00', zone: 'Europe/Berlin' }],
    [
      'dry-run-lord-howe-04-00',
      { start: '2026-03-30T10:10', zone: 'Australia/Lord_Howe', dayStartsAt: '04:00' },
    ],
  ])('%s', async (file, options) => {
    await expect(await run(options)).toMatchFileSnapshot(`../golden/${file}.txt`);
  });

  test('the usual tables fit into 80 columns, and no line ends in blanks', async () => {
    for (const plan of ['fourteen-day+sendgrid-hourly', 'fourteen-day', 'sendgrid-hourly']) {
      const [table] = (await run({ ...berlin, plan })).split('\n\n');
      for (const line of table!.split('\n')) {
        expect(line.length).toBeLessThanOrEqual(80);
        expect(line).toBe(line.trimEnd());
      }
    }
  });

  test('colours change nothing but the colours', async () => {
    const coloured = await run(berlin, { colours: true });
    expect(coloured).toContain('\u001b[1m');
    expect(stripVTControlCharacters(coloured)).toBe(await run(berlin));
  });
});

describe('for programs', () => {
  test('over the change to summer time: 14 rows of the published limits, one of them 23 hours long', async () => {
    const answer = await json({ start: '2026-03-27T10:00', zone: 'Europe/Berlin' });
    const { days, ...heading } = answer;
    expect(heading).toEqual({
      plan: 'fourteen-day+sendgrid-hourly',
      zone: 'Europe/Berlin',
      startsAt: '2026-03-27T09:00:00.000Z',
      totalDays: 14,
      completesAt: '2026-04-10T08:00:00.000Z',
    });
    expect(Object.keys(answer)).toEqual(['plan', 'zone', 'startsAt', 'days', 'totalDays', 'completesAt']);
    expect(days.map(({ warmupDay }) => warmupDay)).toEqual(
      Array.from({ length: 14 }, (_, index) => index + 1),
    );
    expect(days.map(({ dailyLimit }) => dailyLimit)).toEqual(limitsOf(fourteenDay).map(({ limit }) => limit));
    expect(days.map(({ hourlyCap }) => hourlyCap)).toEqual(
      limitsOf(sendgridHourly)
        .slice(0, 14)
        .map(({ limit }) => limit),
    );
    const hours = days.map(({ beginsAt, endsAt }) => (Date.parse(endsAt) - Date.parse(beginsAt)) / HOUR_MS);
    expect(hours).toEqual([24, 23, ...Array(12).fill(24)]);
    expect(days.slice(1).map(({ beginsAt }) => beginsAt)).toEqual(
      days.slice(0, -1).map(({ endsAt }) => endsAt),
    );
    expect(days[6]).toEqual({
      warmupDay: 7,
      beginsAt: '2026-04-02T08:00:00.000Z',
      endsAt: '2026-04-03T08:00:00.000Z',
      dailyLimit: 5_000,
      hourlyCap: 151,
      binds: 'hour',
      sendable: 3_624,
      cumulative: 8_024,
    });
  });

  test('sendgrid-hourly has 42 rows and no daily limit', async () => {
    const { days, totalDays } = await json({ plan: 'sendgrid-hourly' });
    expect([days.length, totalDays]).toEqual([42, 42]);
    expect(days.map(({ hourlyCap }) => hourlyCap)).toEqual(
      limitsOf(sendgridHourly).map(({ limit }) => limit),
    );
    expect(days.every(({ dailyLimit, binds }) => dailyLimit === null && binds === 'hour')).toBe(true);
  });

  test('with a volume each row says what is carried and what overflows', async () => {
    const answer = await json({ volume: '20000', ips: '2' });
    expect(answer).toMatchObject({ volume: 20_000, ips: 2, fitsFromDay: 11 });
    expect(answer.days[0]).toMatchObject({ carried: 100, overflow: 19_900 });
    expect(answer.days[10]).toMatchObject({ carried: 20_000, overflow: 0 });
    expect(await json({ volume: '100000' })).toMatchObject({ ips: 1, fitsFromDay: null });
  });

  test('unlimited is null, and what adds it up too', async () => {
    const { days } = await json({ plan: 'fourteen-day' });
    expect(days[13]).toMatchObject({
      dailyLimit: null,
      hourlyCap: null,
      binds: null,
      sendable: null,
      cumulative: null,
    });
  });

  test('the start is now, to the minute, unless it is given', async () => {
    expect((await json({})).startsAt).toBe('2026-12-01T09:00:00.000Z');
    expect((await json({ zone: 'Europe/Berlin', start: '2026-03-29T02:30' })).startsAt).toBe(
      '2026-03-29T01:30:00.000Z',
    );
    expect((await json({ zone: 'Europe/Berlin', start: '2026-10-25T02:30' })).startsAt).toBe(
      '2026-10-25T00:30:00.000Z',
    );
    expect((await json({ zone: 'Europe/Berlin', start: '2026-12-01T10:00Z' })).startsAt).toBe(
      '2026-12-01T10:00:00.000Z',
    );
  });

  test('as CSV: a header, one line a day, unlimited is empty', async () => {
    const lines = (await run({ csv: true, plan: 'fourteen-day', volume: '1000' })).split('\n');
    expect(lines).toHaveLength(16);
    expect(lines[0]).toBe(
      'warmupDay,beginsAt,endsAt,dailyLimit,hourlyCap,binds,sendable,cumulative,carried,overflow',
    );
    expect(lines[1]).toBe('1,2026-12-01T09:00:00.000Z,2026-12-02T09:00:00.000Z,50,,day,50,50,50,950');
    expect(lines[14]).toBe('14,2026-12-14T09:00:00.000Z,2026-12-15T09:00:00.000Z,,,,,,1000,0');
    expect(lines[15]).toBe('');
  });
});

describe('misuse is one sentence with the value', () => {
  test.each<[DryRunOptions, string]>([
    [{ zone: 'Berlin' }, '"Berlin" is not an IANA time zone (example: Europe/Berlin)'],
    [{ plan: 'fast' }, 'plan "fast": there is no schedule "fast"; known are fourteen-day, sendgrid-hourly'],
    [{ start: '2026-13-01' }, '"2026-13-01" is no date and time'],
    [{ start: '' }, '"" is no date and time'],
    [{ start: '1969-12-01' }, '"1969-12-01" lies before 1970; give a later start'],
    [{ dayStartsAt: '4am' }, '"4am" is no time of day'],
    [{ json: true, csv: true }, '--json and --csv exclude each other'],
    ...['0', '-5', '1.5', 'abc', '', '1e3', '0x10', ' 7', '1000000000001'].map(
      (volume): [DryRunOptions, string] => [
        { volume },
        `--volume is "${volume}"; give a whole number from 1 to 1000000000000`,
      ],
    ),
    ...['0', '-1', '1.5', 'abc', '10001'].map((ips): [DryRunOptions, string] => [
      { volume: '1', ips },
      `--ips is "${ips}"; give a whole number from 1 to 10000`,
    ]),
  ])('%j', async (options, sentence) => {
    await expect(run(options)).rejects.toThrow(sentence);
    await expect(run(options)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('as a process', () => {
  test('it ends with 0 and says nothing on stderr; without a terminal there are no colours', async () => {
    const { stdout, stderr, code } = await warmline([
      'dry-run',
      '--start',
      '2026-12-01T10:00',
      '--zone',
      'Europe/Berlin',
    ]);
    expect([stderr, code]).toEqual(['', 0]);
    await expect(stdout).toMatchFileSnapshot('../golden/dry-run-default.txt');
  });

  test.each([
    [
      ['dry-run', '--volume', '-5'],
      'warmline: --volume is "-5"; give a whole number from 1 to 1000000000000\n',
    ],
    [['dry-run', '--zon', 'UTC'], "warmline: unknown option '--zon' (Did you mean --zone?)\n"],
    [['dryrun'], "warmline: unknown command 'dryrun' (Did you mean dry-run?)\n"],
    [['launch'], "warmline: unknown command 'launch'; --help lists what there is\n"],
  ])('misuse ends with 2: %j', async (args, sentence) => {
    expect(await warmline(args)).toEqual({ stdout: '', stderr: sentence, code: 2 });
  });

  test('schedules of the folder WARMLINE_SCHEDULES are known, and a bad one is told without a stack', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'warmline-dry-run-'));
    const file = join(folder, 'mine.json');
    try {
      await writeFile(file, '{"id": "mine", "days": [{"day": 1, "dailyLimit": 7}]}');
      const args = ['dry-run', '--plan', 'mine', '--json'];
      const good = await warmline(args, { WARMLINE_SCHEDULES: folder });
      expect(JSON.parse(good.stdout)).toMatchObject({ plan: 'mine', days: [{ dailyLimit: 7, sendable: 7 }] });
      await writeFile(file, '{');
      const bad = await warmline(args, { WARMLINE_SCHEDULES: folder });
      expect([bad.code, bad.stdout]).toEqual([2, '']);
      expect(bad.stderr).toMatch(/^warmline: .*mine\.json: it is not valid JSON \(.*\n$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('the version is that of the package, and the help has examples', async () => {
    const [version, help] = await Promise.all([warmline(['--version']), warmline(['help', 'dry-run'])]);
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('warmline dry-run --volume 20000 --ips 2');
  });

  test('a reader that has seen enough ends it quietly', async () => {
    const child = spawn(process.execPath, [WARMLINE, 'dry-run', '--plan', 'sendgrid-hourly', '--json'], {
      cwd: new URL('../..', import.meta.url),
    });
    child.stdout.destroy();
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect([stderr, code]).toEqual(['', 0]);
  });
});
