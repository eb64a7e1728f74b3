/**
 * `warmline dry-run`: what a plan will let an IP send, day by day, before anyone starts it. Nothing is asked of Redis or
 * of the network, and the numbers are those of the limiter itself.
 */
import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { Command } from 'commander';
import { DateTime } from 'luxon';
import { loadSchedules } from '../runtime/schedules.ts';
import { type Calendar, checkDayStartsAt, checkZone, parseStart } from '../warmup/calendar.ts';
import { invalid } from '../warmup/errors.ts';
import { buildPlan, DEFAULT_PLAN, type Plan, type ScheduleBook } from '../warmup/plan.ts';
import { type ProjectedDay, type Projection, projectPlan } from '../warmup/projection.ts';
import { HOUR_MS, MINUTE_MS } from '../warmup/units.ts';
import { wantsColours } from './table.ts';

/** As commander hands them over: the text that was typed. */
export type DryRunOptions = {
  plan?: string;
  start?: string;
  zone?: string;
  dayStartsAt?: string;
  volume?: string;
  ips?: string;
  json?: boolean;
  csv?: boolean;
};

const EXAMPLES = `
Examples:
  $ warmline dry-run
  $ warmline dry-run --plan fourteen-day --start 2026-12-01T10:00 --zone Europe/Berlin
  $ warmline dry-run --zone Europe/Berlin --day-starts-at 04:00    days turn at night, not in office hours
  $ warmline dry-run --volume 20000 --ips 2                        how much of it two new IPs carry
  $ warmline dry-run --plan sendgrid-hourly --csv > plan.csv
  $ warmline dry-run --json | jq '.days[] | [.warmupDay, .sendable]'

Your own schedules: one JSON file each in the folder WARMLINE_SCHEDULES, named after its id, for example
  three-days.json  {"id": "three-days", "days": [{"day": 1, "dailyLimit": 50}, ...]}`;

export function register(command: Command): void {
  command
    .option('--plan <plan>', 'schedules enforced together, joined with +', DEFAULT_PLAN)
    .option('--start <time>', 'when the warm-up starts, on the clock of the zone (default: now)')
    .option('--zone <zone>', 'IANA time zone whose clock turns the days', 'UTC')
    .option('--day-starts-at <time>', 'when a day turns: "start", or a time of day like 04:00', 'start')
    .option('--volume <n>', 'messages a day: shows what the new IPs carry and what overflows')
    .option('--ips <n>', 'new IPs that share the volume (default: 1)')
    .option('--json', 'one JSON object, instants in UTC')
    .option('--csv', 'one line a day after a header, instants in UTC')
    .addHelpText('after', EXAMPLES)
    .action(async (options: DryRunOptions) => {
      const { stdout, stderr, env } = process;
      if (options.ips !== undefined && options.volume === undefined) {
        stderr.write(
          'warmline: --ips changes nothing without --volume, since each IP is limited on its own\n',
        );
      }
      const colours = wantsColours();
      const folder = env.WARMLINE_SCHEDULES ?? null;
      stdout.write(await dryRun(options, { nowMs: Date.now(), folder, colours }));
    });
}

/** Everything that a dry run does not decide itself, so that a test can hand it in. */
export type DryRunWorld = { nowMs: number; folder: string | null; colours: boolean };

/** The whole output. @throws WarmlineError `invalid`, BadSchedule */
export async function dryRun(options: DryRunOptions, world: DryRunWorld): Promise<string> {
  if (options.json && options.csv) {
    throw invalid('csv', '--json and --csv exclude each other; give one of them');
  }
  const zone = checkZone(options.zone ?? 'UTC');
  const calendar: Calendar = {
    startedAtMs: options.start === undefined ? toTheMinute(world.nowMs) : startOf(options.start, zone),
    zone,
    dayStartsAt: checkDayStartsAt(options.dayStartsAt ?? 'start'),
  };
  const volume =
    options.volume === undefined ? undefined : wholeNumber('volume', options.volume, 1_000_000_000_000);
  const ips = options.ips === undefined ? 1 : wholeNumber('ips', options.ips, 10_000);
  const book = await loadSchedules({ folder: world.folder });
  const plan = buildPlan(options.plan ?? DEFAULT_PLAN, book);

  const run: Run = {
    plan,
    book,
    calendar,
    volume,
    ips,
    projection: projectPlan({ plan, calendar, volume, ips }),
  };
  if (options.json) return `${JSON.stringify(asJson(run), null, 2)}\n`;
  if (options.csv) return asCsv(run);
  return `${asTable(run, world.colours)}\n\n${inWords(run).join('\n')}\n`;
}

type Run = {
  plan: Plan;
  book: ScheduleBook;
  calendar: Calendar;
  volume: number | undefined;
  ips: number;
  projection: Projection;
};

/** The engine counts from 1970 on, as every instant in Redis does. */
function startOf(text: string, zone: string): number {
  const startedAtMs = parseStart(text, zone);
  if (startedAtMs >= 0) return startedAtMs;
  throw invalid('start', `"${text}" lies before 1970; give a later start (example: 2026-12-01T10:00)`);
}

const toTheMinute = (atMs: number) => Math.floor(atMs / MINUTE_MS) * MINUTE_MS;

function wholeNumber(name: 'volume' | 'ips', text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= most) return value;
  throw invalid(name, `--${name} is "${text}"; give a whole number from 1 to ${most}`);
}

// ---- for programs

const iso = (atMs: number) => new Date(atMs).toISOString();

function asJson({ plan, calendar, volume, ips, projection }: Run) {
  return {
    plan: plan.name,
    zone: calendar.zone,
    startsAt: iso(calendar.startedAtMs),
    days: projection.days.map((day) => record(day, volume !== undefined)),
    totalDays: projection.days.length,
    completesAt: iso(projection.completesAtMs),
    ...(volume === undefined ? {} : { volume, ips, fitsFromDay: projection.fitsFromDay }),
  };
}

function record(day: ProjectedDay, withVolume: boolean) {
  const { warmupDay, beginsAtMs, endsAtMs, dailyLimit, hourlyCap, binds, sendable, cumulative } = day;
  return {
    warmupDay,
    beginsAt: iso(beginsAtMs),
    endsAt: iso(endsAtMs),
    dailyLimit,
    hourlyCap,
    binds,
    sendable,
    cumulative,
    ...(withVolume ? { carried: day.carried, overflow: day.overflow } : {}),
  };
}

/** Unlimited is an empty field. No value holds a comma or a quote. */
function asCsv({ volume, projection }: Run): string {
  const records = projection.days.map((day) => record(day, volume !== undefined));
  const rows = [
    Object.keys(records[0]!),
    ...records.map((one) => Object.values(one).map((value) => value ?? '')),
  ];
  return rows.map((row) => `${row.join(',')}\n`).join('');
}

// ---- for people

const grouped = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ',');
const orUnlimited = (value: number | null) => (value === null ? 'unlimited' : grouped(value));
/** `1 IP`, `2 IPs` */
const counted = (count: number, noun: string) => `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`;

/** Date, clock and offset: `2026-03-29 10:00 +02`. Two digits of offset do, but where a zone is off by part of an hour. */
function onTheWall(atMs: number, zone: string): string {
  return DateTime.fromMillis(atMs, { zone }).toFormat('yyyy-MM-dd HH:mm ZZ').replace(/:00$/, '');
}

const hoursOf = ({ beginsAtMs, endsAtMs }: ProjectedDay) => (endsAtMs - beginsAtMs) / HOUR_MS;
const lengthOf = (day: ProjectedDay) => `${Math.round(hoursOf(day) * 100) / 100} h`;

type Column = { head: string; left?: true; cell: (day: ProjectedDay) => string };

/** Only the columns that say something, so that the usual table fits into 80 characters. */
function columnsOf({ plan, calendar, volume, projection }: Run): Column[] {
  const columns: (Column | false)[] = [
    { head: 'day', cell: (day) => String(day.warmupDay) },
    { head: 'begins', left: true, cell: (day) => onTheWall(day.beginsAtMs, calendar.zone) },
    projection.days.some((day) => hoursOf(day) !== 24) && {
      head: 'length',
      cell: (day) => (hoursOf(day) === 24 ? '' : lengthOf(day)),
    },
    plan.days.some(({ dailyLimit }) => dailyLimit !== null) && {
      head: 'daily\nlimit',
      cell: (day) => orUnlimited(day.dailyLimit),
    },
    plan.days.some(({ hourlyCap }) => hourlyCap !== null) && {
      head: 'hourly\ncap',
      cell: (day) => orUnlimited(day.hourlyCap),
    },
    { head: 'binds', left: true, cell: (day) => day.binds ?? '' },
    { head: 'can\nsend', cell: (day) => orUnlimited(day.sendable) },
    { head: 'so far', cell: (day) => orUnlimited(day.cumulative) },
    volume !== undefined && { head: 'carried', cell: (day) => grouped(day.carried!) },
    volume !== undefined && { head: 'overflow', cell: (day) => grouped(day.overflow!) },
  ];
  return columns.filter((column) => column !== false);
}

const EDGES = [
  ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
];

function asTable(run: Run, colours: boolean): string {
  const columns = columnsOf(run);
  const table = new Table({
    // Two blanks between columns and no lines: narrow, and it can be cut and pasted.
    chars: { ...Object.fromEntries(EDGES.map((edge) => [edge, ''])), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ left }) => (left ? 'left' : 'right')),
  });
  const bold = (text: string) =>
    colours && text !== '' ? styleText('bold', text, { validateStream: false }) : text;
  const heads = columns.map(({ head }) => (head.includes('\n') ? head.split('\n') : ['', head]));
  table.push(
    heads.map(([upper]) => bold(upper!)),
    heads.map(([, lower]) => bold(lower!)),
    ...run.projection.days.map((day) => columns.map(({ cell }) => cell(day))),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** What the table does not say by itself, in lines that fit into 80 columns too. */
function inWords({ plan, book, calendar, volume, ips, projection }: Run): string[] {
  const { days, completesAtMs, fitsFromDay } = projection;
  const last = days.at(-1)!;
  const lines = [
    `Plan ${plan.name}: ${counted(days.length, 'day')} in the zone ${calendar.zone}.`,
    `Complete on ${onTheWall(completesAtMs, calendar.zone)}: the IP is then active, without limits.`,
  ];
  const hourlyFrom = days[days.findLastIndex(({ binds }) => binds !== 'hour') + 1];
  const missed = days.findLast(({ binds, dailyLimit }) => binds === 'hour' && dailyLimit !== null);
  if (hourlyFrom && missed) {
    const daily = plan.name.split('+').filter((id) => 'daily' in book.get(id)!);
    lines.push(
      `From day ${hourlyFrom.warmupDay} on the hourly cap binds, so the daily table is not reached:`,
      `on day ${missed.warmupDay} one IP can send ${orUnlimited(missed.sendable)} and not ${orUnlimited(missed.dailyLimit)}, in all ${counted(days.length, 'day')} ${orUnlimited(last.cumulative)}.`,
      `--plan ${daily.join('+')} alone gives the whole daily table.`,
    );
  }
  if (volume !== undefined) {
    const carry = ips === 1 ? '1 IP carries' : `${grouped(ips)} IPs together carry`;
    lines.push(
      ...(fitsFromDay === null
        ? [
            `On day ${last.warmupDay}, the last of the plan, ${carry} ${grouped(last.carried!)} of ${grouped(volume)} messages;`,
            'all of it fits once the warm-up is complete.',
          ]
        : [
            `From day ${fitsFromDay} on ${carry} all of the ${grouped(volume)} messages a day${fitsFromDay === 1 ? '.' : ';'}`,
            ...(fitsFromDay === 1 ? [] : ['before that, what overflows has to go over other IPs.']),
          ]),
    );
  }
  return lines;
}
