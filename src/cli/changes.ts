/** `warmline changes`: who changed what in the account, and why. */
import type { Command } from 'commander';
import type { keptChangeOf, page } from '../wire/v1.ts';
import { type ApiOptions, createClient, wholeNumber, withApi } from './client.ts';
import { asTable, coloured, plain, say, sayJson, shorten, time } from './table.ts';

type Change = ReturnType<typeof keptChangeOf>;
type Answer = ReturnType<typeof page<Change>> & { gap: boolean };

export function register(command: Command): void {
  withApi(command)
    .option('--since <id or instant>', 'only what came after it (default: the oldest that is kept)')
    .option('--limit <n>', 'how many at most', wholeNumber, 100)
    .addHelpText(
      'after',
      `
Examples:
  $ warmline changes --since 2026-01-10T10:00:00Z
  $ warmline changes --limit 1000 --json | jq -r '.data[] | [.at, .ip, .what, .because] | @tsv'
  $ warmline changes --since 1768039200000-0        what came after this one; its id is in the last column`,
    )
    .action(async ({ since, limit, ...options }: ApiOptions & { since?: string; limit: number }) => {
      const query = new URLSearchParams({ ...(since && { since }), limit: String(limit) });
      const answer = await createClient(options).get<Answer>(`/v1/changes?${query}`);
      if (options.json) return sayJson(answer);
      if (answer.gap) say(coloured('yellow', 'older changes were dropped: the stream keeps about 100,000'));
      if (answer.data.length === 0) return say('nothing changed');
      say(
        asTable<Change>(
          [
            { head: 'at', cell: ({ at }) => time(at) },
            { head: 'what', cell: ({ what }) => what },
            { head: 'of', cell: ({ ip }) => ip ?? '' },
            { head: 'from', cell: ({ from }) => brief(from) },
            { head: 'to', cell: ({ to }) => brief(to) },
            { head: 'because', cell: ({ because }) => shorten(plain(because), 50) },
            { head: 'by', cell: ({ by }) => shorten(plain(by), 20) },
            { head: 'id', cell: ({ id }) => coloured('dim', id) },
          ],
          answer.data,
        ),
      );
      const last = answer.data.at(-1);
      if (answer.hasMore && last) say(`there is more: warmline changes --since ${last.id}`);
    });
}

/** A value in a column: a text as it is, the rest as JSON. */
const brief = (value: unknown) =>
  value === null || value === undefined
    ? ''
    : shorten(plain(typeof value === 'string' ? value : JSON.stringify(value)), 30);
