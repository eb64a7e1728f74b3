/** `warmline explain`: why mail is held, for an IP, a pool or the whole account. Asking takes nothing. */
import type { Command } from 'commander';
import type { ExplainAnswer } from '../wire/explain.ts';
import { type ApiOptions, createClient, wholeNumber, withApi } from './client.ts';
import { asTable, coloured, grouped, lasting, limit, plain, say, sayJson, status } from './table.ts';

type ExplainOptions = ApiOptions & {
  ip?: string;
  pool?: string;
  count?: number;
  partial?: boolean;
  among?: string[];
  family?: '4' | '6';
};

export function register(command: Command): void {
  withApi(command)
    .option('--pool <pool>', 'a pool, by name or id (neither: the default pool, else any IP)')
    .option('--ip <ip>', 'one IP, by address or id')
    .option('--count <n>', 'sends wanted at once (default: 1)', wholeNumber)
    .option('--partial', 'fewer are welcome')
    .option('--among <ip...>', 'only these IPs: what a host can bind')
    .option('--family <4|6>', 'only IPv4, or only IPv6')
    .addHelpText(
      'after',
      `
Every IP that the take would consider, in the order of choice: what it used of its day and its hour, what binds it, and
when it has room again. It is the limiter that tells, so a take at the same moment is answered the same.

Examples:
  $ warmline explain --pool marketing
  $ warmline explain --ip 203.0.113.7 --count 500
  $ warmline explain --pool marketing --json | jq -r .sentence`,
    )
    .action(async ({ ip, pool, count, partial, among, family, ...options }: ExplainOptions) => {
      const asked = { ip, pool, count, partial, among, family: family && Number(family) };
      const found = await createClient(options).post<ExplainAnswer>('/v1/quota/explain', asked);
      if (options.json) return sayJson(found);
      say(inWords(found));
    });
}

type Row = ExplainAnswer['ips'][number];

function inWords({ sentence, answer, pool, ips, ipCount }: ExplainAnswer): string {
  const lines = [coloured(answer.allowed ? 'green' : 'red', plain(sentence))];
  if (pool?.ceiling)
    lines.push(
      `The pool itself: ${used(pool.ceiling.day)} in the day, ${used(pool.ceiling.hour)} in the hour.`,
    );
  if (pool && pool.warmingMay !== null) {
    lines.push(
      `Warming IPs may carry ${pool.warmingShare * 100}% of an hour while an active one has room: now ${grouped(pool.warmingMay)} more.`,
    );
  }
  if (ips.length > 0) lines.push('', asTable<Row>(COLUMNS, ips));
  if (ips.length < ipCount) lines.push('', `The first ${ips.length} of ${grouped(ipCount)} IPs.`);
  const told = ips.filter(({ granted, binds }) => granted === 0 && binds !== null);
  if (ips.length > 1 && told.length > 0)
    lines.push('', ...told.slice(0, MOST_TOLD).map((one) => plain(one.sentence)));
  return lines.join('\n');
}

/** What is longer than a screen nobody reads; the table has them all. */
const MOST_TOLD = 10;

const COLUMNS = [
  { head: 'address', cell: ({ ip }: Row) => ip },
  { head: 'status', cell: (row: Row) => status(row.status ?? '') },
  { head: 'used in the day', right: true, cell: ({ day }: Row) => used(day) },
  { head: 'in the hour', right: true, cell: ({ hour }: Row) => used(hour) },
  { head: 'room now', right: true, cell: ({ room }: Row) => limit(room) },
  { head: 'binds', cell: ({ binds }: Row) => binds ?? '' },
  { head: 'room in', right: true, cell: again },
  { head: 'gives', right: true, cell: ({ granted }: Row) => (granted > 0 ? grouped(granted) : '') },
];

const used = (window: { used: number; limit: number }) =>
  window.limit === -1 ? grouped(window.used) : `${grouped(window.used)} of ${grouped(window.limit)}`;

function again({ retryAfterMs }: Row): string {
  if (retryAfterMs === null) return 'never';
  return retryAfterMs === 0 ? '' : lasting(retryAfterMs);
}
