/** `warmline demand`: what senders wanted, what they were granted, and what was held, by the hour. */
import type { Command } from 'commander';
import type { DemandAnswer } from '../wire/demand.ts';
import { type ApiOptions, createClient, wholeNumber, withApi } from './client.ts';
import { namesIp } from './named.ts';
import { asTable, coloured, grouped, plain, say, sayJson, time } from './table.ts';
import { WHY } from './why.ts';

export function register(command: Command): void {
  withApi(command)
    .argument('[ip or pool]', 'an address, an id, or the name of a pool; without one the whole account')
    .option('--hours <n>', 'how many hours, up to 48; the running one is the last (default: 2)', wholeNumber)
    .addHelpText(
      'after',
      `
Who asks again for what was held wants it again. Senders tell every ten seconds what they were asked.

Examples:
  $ warmline demand
  $ warmline demand Marketing --hours 24
  $ warmline demand 203.0.113.7 --json | jq .held`,
    )
    .action(async (named: string | undefined, { hours, ...options }: ApiOptions & { hours?: number }) => {
      const query = new URLSearchParams({
        ...(named === undefined ? {} : { [namesIp(named) ? 'ip' : 'pool']: named }),
        ...(hours === undefined ? {} : { hours: String(hours) }),
      });
      const found = await createClient(options).get<DemandAnswer>(`/v1/quota/demand?${query}`);
      if (options.json) return sayJson(found);
      say(inWords(named, found));
    });
}

function inWords(named: string | undefined, found: DemandAnswer): string {
  const of = named === undefined ? 'the account' : namesIp(named) ? named : `pool ${plain(named)}`;
  const span = found.hours.length === 1 ? 'this hour' : `the last ${found.hours.length} hours`;
  return [
    `${sentenceOf(found, of)} in ${span}`,
    '',
    asTable<DemandAnswer['hours'][number]>(
      [
        { head: 'hour from', cell: ({ from }) => time(from) },
        { head: 'wanted', right: true, cell: ({ wanted }) => grouped(wanted) },
        { head: 'granted', right: true, cell: ({ granted }) => grouped(granted) },
        { head: 'held', right: true, cell: ({ held }) => grouped(held) },
        { head: 'because', cell: ({ heldBy }) => reasons(heldBy) },
      ],
      found.hours,
    ),
  ].join('\n');
}

type Sums = Pick<DemandAnswer, 'wanted' | 'granted' | 'held' | 'heldBy'>;

/** `1 200 wanted of pool news, 1 000 granted, 200 held (the day is used up)` */
export function sentenceOf({ wanted, granted, held, heldBy }: Sums, of: string): string {
  if (wanted === 0) return `nothing was wanted of ${of}`;
  const [most] = Object.keys(heldBy);
  const why =
    most === undefined ? '' : ` (${Object.keys(heldBy).length > 1 ? 'most: ' : ''}${WHY[most] ?? most})`;
  const stopped = held === 0 ? 'none held' : coloured('red', `${grouped(held)} held${why}`);
  return `${grouped(wanted)} wanted of ${of}, ${grouped(granted)} granted, ${stopped}`;
}

const reasons = (heldBy: Sums['heldBy']) =>
  Object.entries(heldBy)
    .map(([code, sends]) => `${code} ${grouped(sends)}`)
    .join(', ');
