/** Schedules are files: what lies in a folder is known, and a bad file says what is wrong with it and what to do. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BadSchedule, limitsOf } from '../../schedules/schedule.ts';
import { loadSchedules } from '../../src/runtime/schedules.ts';
import { buildPlan } from '../../src/warmup/plan.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warmline-schedules-'));
});
afterEach(() => rm(folder, { recursive: true }));

const put = (name: string, content: unknown) =>
  writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));

const days = [
  { day: 1, dailyLimit: 50 },
  { day: 2, dailyLimit: null },
];

test('those of the package are there without a folder', async () => {
  for (const none of [undefined, null, '']) {
    expect([...(await loadSchedules({ folder: none as string | null })).keys()]).toEqual([
      'fourteen-day',
      'sendgrid-hourly',
    ]);
  }
});

test('a JSON file of the folder is known by its id, with daily limits or hourly caps', async () => {
  await put('two-days.json', { id: 'two-days', title: 'Two days', source: 'ours', days });
  await put('slow.json', `\uFEFF${JSON.stringify({ id: 'slow', ages: [{ ageDays: 0, hourlyCap: 20 }] })}`);
  await put('README.md', 'no schedule');
  await put('.hidden.json', 'no schedule');
  const book = await loadSchedules({ folder });
  expect([...book.keys()]).toEqual(['fourteen-day', 'sendgrid-hourly', 'slow', 'two-days']);
  expect(limitsOf(book.get('two-days')!)).toEqual([
    { number: 1, limit: 50 },
    { number: 2, limit: null },
  ]);
  expect(book.get('slow')).toMatchObject({ title: 'slow', source: 'slow.json' });
  expect(buildPlan('two-days+slow', book).days).toEqual([
    { dailyLimit: 50, hourlyCap: 20 },
    { dailyLimit: null, hourlyCap: 20 },
  ]);
});

describe('a file is refused with its name, its value and what to do', () => {
  test.each<[name: string, content: unknown, sentence: string]>([
    ['no JSON', '{"id": "mine",}', 'it is not valid JSON ('],
    ['empty', '', 'it is not valid JSON ('],
    ['a list', [], 'it holds []; a schedule is an object'],
    ['null', null, 'it holds null; a schedule is an object'],
    [
      'an unknown field',
      { id: 'mine', days, note: 1 },
      'the field "note" is unknown; known are id, title, source, days, ages',
    ],
    ['no id', { days }, 'id is missing; give a text in quotes'],
    ['a number as id', { id: 7, days }, 'id is 7; give a text in quotes'],
    ['an empty title', { id: 'mine', title: ' ', days }, 'title is " "; give a text in quotes'],
    [
      'another id than its name',
      { id: 'other', days },
      'its id is "other", but a file is named after its id; call the file other.json or the id "mine"',
    ],
    ['neither days nor ages', { id: 'mine' }, 'it has neither days (daily limits) nor ages (hourly caps)'],
    ['both', { id: 'mine', days, ages: [] }, 'it has both days and ages'],
    [
      'days that are no list',
      { id: 'mine', days: 14 },
      'days is 14; give a list of rows like {"day": 1, "dailyLimit": 50}',
    ],
    [
      'a row that is no object',
      { id: 'mine', days: [50] },
      'days[0] is 50; give a row like {"day": 1, "dailyLimit": 50}',
    ],
    [
      'a field of the other kind',
      { id: 'mine', days: [{ day: 1, hourlyCap: 5 }] },
      'days[0] has the unknown field "hourlyCap"; known are day, dailyLimit',
    ],
    [
      'a limit in quotes',
      { id: 'mine', days: [{ day: 1, dailyLimit: '50' }] },
      'days[0].dailyLimit is "50"; give a whole number of sends, or null for unlimited',
    ],
    [
      'no limit',
      { id: 'mine', days: [{ day: 1 }] },
      'days[0].dailyLimit is missing; give a whole number of sends, or null',
    ],
    ['no day', { id: 'mine', days: [{ dailyLimit: 1 }] }, 'days[0].day is missing; give a whole number'],
    [
      'an age in quotes',
      { id: 'mine', ages: [{ ageDays: '0', hourlyCap: 1 }] },
      'ages[0].ageDays is "0"; give a whole number',
    ],
    ['half a send', { id: 'mine', days: [{ day: 1, dailyLimit: 0.5 }] }, 'day 1 has daily limit 0.5'],
    [
      'a gap',
      { id: 'mine', days: [days[0], { day: 3, dailyLimit: 60 }] },
      'row 2 has day 3 where day 2 is due',
    ],
    [
      'a falling table',
      { id: 'mine', days: [days[0], { day: 2, dailyLimit: 40 }] },
      'daily limit must not fall: day 2 has 40 after 50',
    ],
    ['no rows', { id: 'mine', ages: [] }, 'it has no rows; give at least one day'],
  ])('%s', async (_, content, sentence) => {
    await put('mine.json', content);
    const failure = await loadSchedules({ folder }).catch((error: unknown) => error as Error);
    expect(failure).toBeInstanceOf(BadSchedule);
    const { message } = failure as Error;
    expect(message).toContain(`${join(folder, 'mine.json')}: `);
    expect(message).toContain(sentence);
    expect(message).not.toContain('\n');
  });

  test('an id that is taken', async () => {
    await put('fourteen-day.json', { id: 'fourteen-day', days });
    await expect(loadSchedules({ folder })).rejects.toThrow(
      /fourteen-day\.json: the id "fourteen-day" is taken by .*schedules.fourteen-day\.ts; give one of them another id/,
    );
  });

  test('a folder named like a file', async () => {
    await mkdir(join(folder, 'mine.json'));
    await expect(loadSchedules({ folder })).rejects.toThrow(
      'mine.json: the file is a folder; make it readable or take it away',
    );
  });

  test('a folder that is not there, or a file in its place', async () => {
    const missing = join(folder, 'nowhere');
    await expect(loadSchedules({ folder: missing })).rejects.toThrow(
      `WARMLINE_SCHEDULES: the folder "${missing}" does not exist; create it`,
    );
    await put('file', '');
    await expect(loadSchedules({ folder: join(folder, 'file') })).rejects.toThrow('is a file; create it');
  });
});
