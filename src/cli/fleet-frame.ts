/** The fleet as lines of a terminal: a pure function of what was read and of how large the screen is. */
import { DateTime } from 'luxon';
import type { Ip } from './ips.ts';
import type { Size } from './screen.ts';
import { type Colour, coloured, colourOfStatus, counted, grouped, plain, shorten } from './table.ts';

export type Gauge = { used: number; limit: number };
export type FleetRow = {
  ip: Ip;
  pool: string;
  /** Until they are known: an IP that sends nothing has none. */
  day: (Gauge & { resetsAt: string | null }) | null;
  hour: Gauge | null;
};
export type Counts = Readonly<Record<string, number>>;
export type Frame = {
  url: string;
  /** `null`: this key may not count them. */
  counts: Counts | null;
  rows: readonly FleetRow[];
  page: number;
  hasMore: boolean;
  filter: string;
  /** What is being typed as a filter, or `null`. */
  typing: string | null;
  /** Why what is shown may be old. */
  problem: string | null;
};

/** Title, counts, a blank, the heads; a blank, the keys, a message. */
const LINES_AROUND = 7;
/** More than a screen has is not asked for, and more than this not even then: each row costs the API a look. */
const MOST_ROWS = 50;
export const rowsThatFit = ({ rows }: Size) => Math.max(1, Math.min(MOST_ROWS, rows - LINES_AROUND));

type Cell = { text: string; colour?: Colour };
type Line = readonly Cell[];
type Column = { head: string; right?: true; cell: (row: FleetRow) => Line };

export function frameOf(frame: Frame, size: Size): string[] {
  const { columns } = size;
  const table = tableOf(frame.rows.slice(0, rowsThatFit(size)), columns);
  const lines: Line[] = [
    [{ text: 'Warmline', colour: 'bold' }, { text: `  ${frame.url}` }],
    countsOf(frame),
    [],
    ...(frame.rows.length > 0 ? table : [[], [{ text: emptyBecause(frame) }]]),
    [],
    [{ text: keysOf(frame), colour: 'dim' }],
    ...(frame.problem === null ? [] : [[{ text: plain(frame.problem), colour: 'red' } satisfies Cell]]),
  ];
  return lines.slice(0, size.rows).map((line) => painted(line, columns));
}

const STATUSES_IN_ORDER = ['provisioning', 'warming', 'active', 'cooldown'];

function countsOf({ counts, rows, page, hasMore, filter }: Frame): Line {
  const known = counts ?? (page === 1 && !hasMore && filter === '' ? countedHere(rows) : null);
  if (!known)
    return [{ text: 'how many there are in all is told to keys with the scope admin', colour: 'dim' }];
  const all = Object.values(known).reduce((sum, one) => sum + one, 0);
  const parts = STATUSES_IN_ORDER.filter((status) => known[status]).flatMap((status, index): Cell[] => [
    { text: index === 0 ? ': ' : ', ' },
    { text: `${grouped(known[status]!)} ${status}`, ...colour(colourOfStatus(status)) },
  ]);
  return [{ text: counted(all, 'IP') }, ...parts];
}

function countedHere(rows: readonly FleetRow[]): Counts {
  const counts: Record<string, number> = {};
  for (const { ip } of rows) counts[ip.status] = (counts[ip.status] ?? 0) + 1;
  return counts;
}

function emptyBecause({ filter, page }: Frame): string {
  if (filter !== '') return `no IP here is "${plain(filter)}"; press / and Enter to see all`;
  if (page > 1) return 'nothing more; p goes back';
  return 'no IPs yet; add addresses with: warmline inventory add, and take one with: warmline ips create';
}

function keysOf({ page, hasMore, filter, typing }: Frame): string {
  if (typing !== null) return `status, address, pool or label: ${plain(typing)}_   Enter, Esc`;
  const paging = [hasMore ? 'n next' : '', page > 1 ? 'p previous' : ''].filter(Boolean).join('  ');
  const shown = filter === '' ? '' : `only ${plain(filter)}`;
  return [`page ${grouped(page)}`, shown, paging, '/ filter  q quit'].filter(Boolean).join('  ');
}

// ---- the table

/** From the widest layout to the narrowest; the first that fits is taken. */
const LAYOUTS = [
  { bar: 12, without: [] },
  { bar: 8, without: [] },
  { bar: 8, without: ['pool'] },
  { bar: 5, without: ['pool'] },
  { bar: 0, without: ['pool'] },
  { bar: 5, without: ['pool', 'next change (UTC)'] },
  { bar: 0, without: ['pool', 'next change (UTC)', 'this hour'] },
];
const BETWEEN = '  ';

function tableOf(rows: readonly FleetRow[], columns: number): Line[] {
  let lines: Line[] = [];
  for (const { bar, without } of LAYOUTS) {
    lines = laidOut(
      columnsWith(bar).filter(({ head }) => !without.includes(head)),
      rows,
    );
    if (Math.max(...lines.map(lengthOf)) <= columns) break;
  }
  return lines;
}

const columnsWith = (bar: number): Column[] => [
  { head: 'address', cell: ({ ip }) => [{ text: ip.ipAddress }] },
  { head: 'status', cell: ({ ip }) => [statusOf(ip)] },
  { head: 'day', right: true, cell: ({ ip }) => [{ text: dayOf(ip) }] },
  { head: 'today', cell: ({ day }) => gauge(day, bar) },
  { head: 'this hour', cell: ({ hour }) => gauge(hour, bar) },
  { head: 'pool', cell: ({ pool }) => [{ text: shorten(plain(pool), 20) }] },
  { head: 'next change (UTC)', cell: (row) => [{ text: nextOf(row) }] },
];

function laidOut(columns: readonly Column[], rows: readonly FleetRow[]): Line[] {
  const cells: Line[][] = [
    columns.map(({ head }) => [{ text: head, colour: 'bold' }]),
    ...rows.map((row) => columns.map(({ cell }) => cell(row))),
  ];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => lengthOf(line[at]!))));
  return cells.map((line) =>
    line.flatMap((cell, at): Line => {
      const isLast = at === columns.length - 1;
      const blanks = { text: ' '.repeat(widths[at]! - lengthOf(cell)) };
      const aligned = columns[at]!.right ? [blanks, ...cell] : isLast ? cell : [...cell, blanks];
      return isLast ? aligned : [...aligned, { text: BETWEEN }];
    }),
  );
}

const statusOf = ({ status, hold }: Ip): Cell =>
  hold
    ? { text: `${status}, ${hold.sending ? 'held' : 'no progress'}`, colour: hold.sending ? 'red' : 'yellow' }
    : { text: status, ...colour(colourOfStatus(status)) };

const dayOf = ({ warmup: { currentDay, totalDays } }: Ip) =>
  currentDay === null ? '' : `${currentDay} of ${totalDays}`;

function gauge(of: Gauge | null, width: number): Line {
  if (of === null || (of.limit === 0 && of.used === 0)) return [];
  if (of.limit === -1) return [{ text: `${' '.repeat(width)}${width > 0 ? ' ' : ''}${grouped(of.used)}` }];
  const share = of.limit === 0 ? 1 : Math.min(1, of.used / of.limit);
  // What is used shows, and what is left too: neither is rounded away.
  const full = share === 0 || share === 1 ? share * width : clamp(Math.round(share * width), 1, width - 1);
  const bar: Line =
    width === 0
      ? []
      : [
          { text: '█'.repeat(full), colour: share === 1 ? 'red' : share >= 0.8 ? 'yellow' : 'green' },
          { text: `${'░'.repeat(width - full)} `, colour: 'dim' },
        ];
  return [...bar, { text: `${grouped(of.used)} of ${grouped(of.limit)}` }];
}

const clamp = (value: number, least: number, most: number) => Math.min(most, Math.max(least, value));

function nextOf({ ip, day }: FleetRow): string {
  const { hold, warmup, status, cooldown } = ip;
  if (hold) return hold.until === null ? 'when it is resumed' : `resumes ${short(hold.until)}`;
  if (cooldown) return `free ${short(cooldown.until)}`;
  if (status === 'provisioning') return 'when it is started';
  if (status !== 'warming' || warmup.currentDay === null || !day?.resetsAt) return '';
  return warmup.currentDay === warmup.totalDays
    ? `active ${short(day.resetsAt)}`
    : `day ${warmup.currentDay + 1} ${short(day.resetsAt)}`;
}

const short = (iso: string) => DateTime.fromISO(iso, { zone: 'utc', locale: 'en' }).toFormat('d LLL HH:mm');

// ---- lines

const lengthOf = (line: Line) => line.reduce((sum, { text }) => sum + text.length, 0);
const colour = (name: Colour | undefined) => (name === undefined ? {} : { colour: name });

/** Cut where the screen ends: colours take no room. */
function painted(line: Line, columns: number): string {
  let left = columns;
  let shown = '';
  for (const { text, colour: wanted } of line) {
    const part = text.slice(0, left);
    left -= part.length;
    if (part !== '') shown += wanted === undefined ? part : coloured(wanted, part);
  }
  return shown;
}
