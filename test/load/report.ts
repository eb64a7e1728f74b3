/** What came out of a run, as tables for people. */
import Table from 'cli-table3';
import { type Judgment, SHORTEST_JUDGED_MS, sumOf } from './judge.ts';
import type { LoadRun } from './run.ts';

const MB = 1024 * 1024;

export function asTables(run: LoadRun, { judged, trends, kept, wrong }: Judgment): string {
  const lines: string[] = [`${ratesOf(run)}\n`];
  const table = new Table({
    head: ['', 'third quarter', 'last quarter', 'growth in the second half', 'allowed', ''],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
  });
  for (const { figure, unit, before, after, growth, allowed, flat } of trends) {
    const verdict = judged ? (flat ? 'flat' : 'GROWS') : '';
    table.push([
      figure,
      `${short(before)} ${unit}`,
      `${short(after)} ${unit}`,
      short(growth),
      short(allowed),
      verdict,
    ]);
  }
  lines.push(table.toString(), '\nKept on purpose (keys at the end):');
  for (const { pattern, keys, bytes, because } of kept)
    lines.push(
      `  ${pattern.padEnd(36)} ${grouped(keys).padStart(8)} ${`${short(bytes / MB)} MB`.padStart(9)}  ${because}`,
    );

  const { hours, granted, over, unbalanced, unspent } = run.books;
  lines.push(
    `\nBooks: ${grouped(granted)} sends in ${grouped(hours)} hours of ${grouped(run.ipCount)} IPs; ${over} over a limit, ${unbalanced} in one book alone, ${grouped(unspent)} leased and not spent.`,
  );
  if (!judged)
    lines.push(`Shorter than ${SHORTEST_JUDGED_MS / 60_000} minutes: growth is told and not judged.`);
  lines.push(
    wrong.length === 0
      ? judged
        ? 'Flat, and nothing over.'
        : 'Nothing over.'
      : wrong.map((sentence) => `WRONG: ${sentence}`).join('\n'),
  );
  return lines.join('\n');
}

/** In one paragraph: how much it was, and what it weighed. */
export function ratesOf({ samples, pace, fullSpeed, ipCount, created, released }: LoadRun): string {
  const seconds = sumOf(samples.map(({ lengthMs }) => lengthMs)) / 1000;
  const perSecond = (count: number) => grouped(Math.round(count / seconds));
  const counted = (what: string) => sumOf(samples.map(({ counts }) => counts[what] ?? 0));
  const last = samples.at(-1)!;
  const speed = fullSpeed
    ? ` of ${short(fullSpeed.sender)} and ${short(fullSpeed.client)} at full speed`
    : '';
  return (
    `${short(seconds / 60)} minutes, ${grouped(ipCount)} IPs, ${short(pace.sender)} rounds a second of each sender and ${short(pace.client)} of the client${speed}. ` +
    `A second: ${perSecond(counted('granted'))} takes granted, ${perSecond(counted('denied'))} denied, ${perSecond(counted('leased'))} sends out of leases, ` +
    `${perSecond(sumOf(samples.map(({ requests, httpTakes }) => requests.count + httpTakes.count)))} requests; ${grouped(created)} IPs came and ${grouped(released)} went. ` +
    `At the end Redis had ${short(last.redis.usedBytes / MB)} MB, ${grouped(sumOf(Object.values(last.keys)))} keys and a file of ${short(last.redis.fileBytes / MB)} MB.`
  );
}

export const grouped = (value: number) => value.toLocaleString('en-US');

export function short(value: number): string {
  if (Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  return value.toLocaleString('en-US', { maximumFractionDigits: size >= 100 ? 0 : size >= 10 ? 1 : 2 });
}
