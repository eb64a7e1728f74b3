/** What a part found, and how it is shown: a table for people, JSON for programs, markdown for the README, bars for a glance. */
import Table from 'cli-table3';
import type { Measured, Spread } from './measure.ts';

/** What a figure should reach. `atMost`: the smaller the better. */
export type Mark = { wanted: number; stretch?: number; atMost?: boolean };

export type Row = {
  figure: string;
  measured: Spread;
  /** What the number counts: `N`, `R`, `ms`, `B`. */
  unit: string;
  /** Without one the row is for information. */
  mark?: Mark;
};

/** A bar of the chart: how many times as fast as `RateLimiterRedis.consume` in the same round. */
export type Bar = { label: string; value: number; ours: boolean };

/** An absolute figure, of this machine and hour: never to be compared between two runs. */
export type Rate = {
  name: string;
  perSecond: number;
  p50Ms: number | null;
  p99Ms: number | null;
  /** CPU time of one call, in the process that is measured and in Redis. */
  clientUs: number | null;
  redisUs: number | null;
};

export type Result = { rows: Row[]; rates?: Rate[]; bars?: Bar[]; notes?: string[] };

export type Report = {
  machine: Record<string, string | number | boolean>;
  parts: ({ part: string; title: string } & (Result | { failed: string }))[];
};

export type Verdict = 'stretch' | 'met' | 'missed' | 'for information';

export function verdictOf({ measured: { median }, mark }: Row): Verdict {
  if (!mark) return 'for information';
  const reaches = (goal: number | undefined) =>
    goal !== undefined && (mark.atMost ? median <= goal : median >= goal);
  if (reaches(mark.stretch)) return 'stretch';
  return reaches(mark.wanted) ? 'met' : 'missed';
}

const HEAD = ['figure', 'measured (quartiles)', 'wanted', 'stretch', 'verdict'];

function cellsOf(row: Row): string[] {
  const { measured, unit, mark } = row;
  const { median, low, high } = measured;
  const goal = (value: number | undefined) =>
    value === undefined ? '' : `${mark?.atMost ? '≤' : '≥'} ${short(value)} ${unit}`;
  const around = low === high ? '' : ` (${short(low)} – ${short(high)})`;
  const verdict = verdictOf(row);
  return [
    row.figure,
    `${short(median)} ${unit}${around}`,
    goal(mark?.wanted),
    goal(mark?.stretch),
    verdict === 'for information' ? '' : verdict,
  ];
}

/** Three digits tell as much as the noise allows: 0.84, 12.3, 1 040. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '?';
  const size = Math.abs(value);
  if (size >= 100) return grouped(Math.round(value));
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(size >= 10 ? 1 : 2);
}

const grouped = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ' ');

export function asTables({ machine, parts }: Report): string {
  const text = [
    `${Object.entries(machine)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}`,
  ];
  for (const part of parts) {
    text.push('', `${part.part}: ${part.title}`);
    if ('failed' in part) {
      text.push(`could not be measured: ${part.failed}`);
      continue;
    }
    text.push(tableOf(HEAD, part.rows.map(cellsOf)));
    if (part.rates?.length) text.push(ratesTable(part.rates));
    for (const note of part.notes ?? []) text.push(note);
  }
  const bars = barsOf({ machine, parts });
  if (bars.length > 0) text.push('', ...terminalBars(bars));
  text.push(
    '',
    'Figures are medians of the ratios of each round. N: a plain ioredis no-op EVALSHA. R: RateLimiterRedis.consume of',
    'rate-limiter-flexible. R3: three of those in parallel. What they mean: bench/README.md.',
  );
  return text.join('\n');
}

/** Columns that nobody in a part has are left out. */
function ratesTable(rates: readonly Rate[]): string {
  const columns: [head: string, cell: (rate: Rate) => string][] = [
    ['a second, here and now', ({ name }) => name],
    ['median', ({ perSecond }) => grouped(Math.round(perSecond))],
    ['p50', ({ p50Ms }) => (p50Ms === null ? '' : `${short(p50Ms)} ms`)],
    ['p99', ({ p99Ms }) => (p99Ms === null ? '' : `${short(p99Ms)} ms`)],
    [
      'CPU of a call',
      ({ clientUs }) =>
        clientUs === null ? '' : `${clientUs < 0.1 ? clientUs.toFixed(3) : short(clientUs)} µs`,
    ],
    ['in Redis', ({ redisUs }) => (redisUs === null ? '' : `${short(redisUs)} µs`)],
  ];
  const used = columns.filter(([, cell]) => rates.some((rate) => cell(rate) !== ''));
  return tableOf(
    used.map(([head]) => head),
    rates.map((rate) => used.map(([, cell]) => cell(rate))),
  );
}

function tableOf(head: string[], rows: string[][]): string {
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  table.push(...rows);
  return table.toString();
}

export function asMarkdown({ machine, parts }: Report): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const lines = [line(HEAD), line(HEAD.map(() => '---'))];
  for (const part of parts) {
    if ('failed' in part) lines.push(line([part.title, 'could not be measured', '', '', '']));
    else for (const row of part.rows) lines.push(line(cellsOf(row)));
  }
  const on = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  return `${lines.join('\n')}\n\n${on.join(', ')}\n`;
}

export function asJson({ machine, parts }: Report): string {
  const judged = parts.map((part) =>
    'failed' in part
      ? part
      : { ...part, rows: part.rows.map((row) => ({ ...row, verdict: verdictOf(row) })) },
  );
  return JSON.stringify({ machine, parts: judged }, null, 2);
}

export const barsOf = ({ parts }: Report): Bar[] =>
  parts.flatMap((part) => ('failed' in part ? [] : (part.bars ?? []))).sort((a, b) => a.value - b.value);

const BAR_WIDTH = 44;

/** On a logarithmic axis: the fastest is thousands of times the slowest. */
function terminalBars(bars: readonly Bar[]): string[] {
  const widest = Math.max(...bars.map(({ label }) => label.length));
  const logs = bars.map(({ value }) => Math.log10(value));
  const [from, to] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
  return [
    'times RateLimiterRedis.consume, logarithmic',
    ...bars.map(({ label, value, ours }, index) => {
      const length = Math.max(1, Math.round((BAR_WIDTH * (logs[index]! - from)) / Math.max(1, to - from)));
      return `${label.padEnd(widest)} ${(ours ? '█' : '░').repeat(length)} ${short(value)}`;
    }),
  ];
}

/** Everybody who took part, as absolute rates. */
export const ratesOf = (measured: Measured, names: readonly string[] = measured.names): Rate[] => {
  const known = ({ median }: Spread) => (Number.isNaN(median) ? null : median);
  return names.map((name) => ({
    name,
    perSecond: measured.perSecond(name).median,
    p50Ms: known(measured.p50Ms(name)),
    p99Ms: known(measured.p99Ms(name)),
    clientUs: known(measured.clientUs(name)),
    redisUs: known(measured.redisUs(name)),
  }));
};
