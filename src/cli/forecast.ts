/** `warmline forecast`: over which IPs and on which days a campaign leaves, when it is done, and what would change that. */
import { type Command, InvalidArgumentError } from 'commander';
import { checkZone, parseStart } from '../warmup/calendar.ts';
import type { ForecastAnswer } from '../wire/forecast.ts';
import { type ApiOptions, createClient, wholeNumber, withApi } from './client.ts';
import { asTable, coloured, counted, grouped, plain, say, sayJson, shorten, status } from './table.ts';

type ForecastOptions = ApiOptions & {
  messages: number;
  pool?: string;
  start?: string;
  zone?: string;
  addIps?: number;
  plan?: string;
};

export function register(command: Command): void {
  withApi(command)
    .requiredOption('--messages <n>', 'sends of the campaign, one for each recipient', messages)
    .option('--pool <pool>', 'a pool, by name or id (default: the default pool, else all IPs)')
    .option(
      '--start <time>',
      'when the first message is offered, on the clock of --zone or UTC (default: now)',
    )
    .option('--zone <zone>', 'IANA time zone whose midnights part the days (default: that of the IPs)')
    .option('--add-ips <n>', 'compare: with so many new IPs, whose warm-up starts today', wholeNumber)
    .option('--plan <plan>', 'compare: the IPs that warm up go on by this plan, at the day they have reached')
    .addHelpText(
      'after',
      `
The rules of the engine on a clock that runs ahead, on a copy of the account as it is now; nothing changes by asking. Mail is
offered as fast as quota allows, nobody else sends over these IPs, and holds without an end stay.

Examples:
  $ warmline forecast --messages 500000 --pool marketing
  $ warmline forecast --messages 500000 --pool marketing --add-ips 2 --plan fourteen-day
  $ warmline forecast --messages 20000 --start 2026-12-01T10:00 --zone Europe/Berlin
  $ warmline forecast --messages 500000 --json | jq -r .finishesAt`,
    )
    .action(async ({ start, zone, ...options }: ForecastOptions) => {
      const { messages, pool, addIps, plan } = options;
      const asked = {
        ...{ messages, pool, zone, addIps, plan },
        start:
          start === undefined
            ? undefined
            : new Date(parseStart(start, zone === undefined ? 'UTC' : checkZone(zone))).toISOString(),
      };
      const found = await createClient(options).post<ForecastAnswer>(
        '/v1/forecast',
        asked,
        `forecasting ${counted(messages, 'message')}`,
      );
      if (options.json) return sayJson(found);
      say(inWords(found));
    });
}

function messages(text: string): number {
  if (!/^[1-9]\d{0,12}$/.test(text)) throw new InvalidArgumentError('Give a whole number, 1 or more.');
  return Number(text);
}

type Day = ForecastAnswer['days'][number];

/** A terminal is 80 columns wide, and the numbers need their room. */
const WIDEST_BAR = 24;
/** More days than this are no table for people; the first and the last say what there is to say. */
const MOST_DAYS_SHOWN = 60;
const MOST_IPS_SHOWN = 10;

function inWords(answer: ForecastAnswer): string {
  const { sentence, finishesAt, days, ips, ipCount, variants, zone, assumes } = answer;
  const lines = [coloured(finishesAt === null ? 'red' : 'green', plain(sentence))];
  lines.push(...variants.map((variant) => plain(variant.sentence)));
  const shown = days.length <= MOST_DAYS_SHOWN ? days : [...days.slice(0, MOST_DAYS_SHOWN - 1), days.at(-1)!];
  if (days.length > 0) lines.push('', dayTable(shown, zone));
  if (shown.length < days.length)
    lines.push(`${days.length - shown.length} days before the last are left out.`);
  const carriers = ips.filter((ip) => ip.sends > 0 || ip.never !== null).slice(0, MOST_IPS_SHOWN);
  if (carriers.length > 0) lines.push('', ipTable(carriers));
  if (carriers.length < ipCount)
    lines.push('', `${carriers.length} of ${grouped(ipCount)} IPs; --json has up to 128.`);
  lines.push('', assumes);
  return lines.join('\n');
}

function dayTable(days: readonly Day[], zone: string): string {
  const most = Math.max(...days.map(({ sends }) => sends));
  const bar = ({ sends }: Day) =>
    '#'.repeat(sends === 0 ? 0 : Math.max(1, Math.round((sends / most) * WIDEST_BAR)));
  return asTable<Day>(
    [
      { head: `day (${zone})`, cell: ({ date }) => date },
      { head: 'sends', right: true, cell: ({ sends }) => grouped(sends) },
      { head: 'in all', right: true, cell: ({ total }) => grouped(total) },
      { head: 'IPs', right: true, cell: ({ ipCount }) => grouped(ipCount) },
      { head: 'binds', cell: ({ binds }) => binds ?? '' },
      { head: '', cell: bar },
    ],
    days,
  );
}

const NEVER: Record<string, string> = {
  status: 'its status gives no mail',
  hold: 'held until somebody resumes it',
};

const ipTable = (ips: ForecastAnswer['ips']) =>
  asTable<ForecastAnswer['ips'][number]>(
    [
      { head: 'address', cell: ({ ip }) => shorten(ip) },
      { head: 'status', cell: (ip) => status(ip.status) },
      { head: 'sends', right: true, cell: ({ sends }) => grouped(sends) },
      { head: '', cell: ({ never }) => (never ? (NEVER[never] ?? '') : '') },
    ],
    ips,
  );
