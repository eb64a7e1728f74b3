/** `warmline ips`: the account's dedicated IPs, from the inventory to active and back. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { invalid } from '../warmup/errors.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import type { ipOf, poolOf } from '../wire/v1.ts';
import { type ApiOptions, type Client, createClient, wholeNumber, withApi } from './client.ts';
import { addExamples } from './examples.ts';
import { ipPath } from './named.ts';
import { asTable, coloured, counted, limit, plain, say, sayJson, shorten, status, time } from './table.ts';

export type Ip = ReturnType<typeof ipOf>;
export type Pool = ReturnType<typeof poolOf>;

const EXAMPLES = `
Examples:
  $ warmline ips create
  $ warmline ips start 203.0.113.7 --zone Europe/Berlin --day-starts-at 04:00
  $ warmline ips start 203.0.113.7 --plan fourteen-day --start-day 5      an IP that comes half warm
  $ warmline ips list --status warming
  $ warmline ips list --json | jq -r '.data[] | [.ipAddress, .warmup.remainingToday] | @tsv'
  $ warmline ips list --label team:billing
  $ warmline ips update 203.0.113.7 --hostname mta7.example.com --label team=billing --per-day 20000
  $ warmline ips update 203.0.113.7 --per-day none --unlabel team
  $ warmline ips get 203.0.113.7
  $ warmline ips release 203.0.113.7
  $ warmline ips restore 203.0.113.7                                      out of its cooldown, with the day it had

An IP is named by its address or its id.`;

export function register(command: Command): void {
  addExamples(command, EXAMPLES);

  withApi(command.command('list').description('all IPs, with their day and what is left of it'))
    .addOption(new Option('--status <status>', 'only those in this status').choices([...STATUSES]))
    .option('--pool <pool>', 'only those of this pool (id or name)')
    .option('--label <label>', 'only those with this label (team:billing, or team for any value)')
    .action(async (options: ApiOptions & Filter) => list(createClient(options), options));

  withApi(
    command.command('create').description('take the address from the inventory that was free longest'),
  ).action(async (options: ApiOptions) => {
    const ip = await createClient(options).post<Ip>('/v1/dedicated-ips');
    told(
      ip,
      options,
      `${ip.ipAddress} (${ip.id}) is yours; start its warm-up with: warmline ips start ${ip.ipAddress}`,
    );
  });

  withApi(command.command('get').description('one IP in full').argument('<ip>', 'address or id')).action(
    async (named: string, options: ApiOptions) => {
      const ip = await createClient(options).get<Ip>(ipPath(named));
      told(ip, options, inFull(ip));
    },
  );

  withApi(command.command('start').description('start the warm-up').argument('<ip>', 'address or id'))
    .option(
      '--plan <plan>',
      'schedules enforced together, joined with + (default: fourteen-day+sendgrid-hourly)',
    )
    .option('--zone <zone>', 'IANA time zone whose clock turns the days (default: UTC)')
    .option('--day-starts-at <time>', 'when a day turns: "start", or a time of day like 04:00')
    .option(
      '--burst <n>',
      'most sends at once; 1 is an even drip (default: the whole hourly cap)',
      wholeNumber,
    )
    .option('--start-day <n>', 'the warm-up day to begin with', wholeNumber)
    .action(async (named: string, { url, key, json, ...start }: ApiOptions & object) => {
      const ip = await createClient({ ...(url && { url }), ...(key && { key }) }).post<Ip>(
        `${ipPath(named)}/warmup`,
        start,
      );
      told(ip, { ...(json && { json }) }, started(ip));
    });

  withApi(
    command
      .command('update')
      .description('change what an IP is called, binds, or may send at most')
      .argument('<ip>', 'address or id'),
  )
    .option('--hostname <name>', 'what EHLO says; "none" for nothing')
    .option('--bind <address>', 'the local address to bind behind a NAT; "none" for the IP itself')
    .option('--label <name=value>', 'set a label; may be given more than once', labelled, {})
    .option('--unlabel <name>', 'take a label off; may be given more than once', listed, [])
    .option('--per-day <n>', 'most sends in a day; "none" for no limit', numberOrNone)
    .option('--per-hour <n>', 'most sends in an hour; "none" for no limit', numberOrNone)
    .action(async (named: string, options: ApiOptions & Update) => {
      const client = createClient(options);
      const ip = await client.patch<Ip>(ipPath(named), await updateOf(client, named, options));
      told(ip, options, inFull(ip));
    });

  withApi(
    command
      .command('release')
      .description('give an IP back: no mail at once, free after its cooldown')
      .argument('<ip>', 'address or id'),
  ).action(async (named: string, options: ApiOptions) => {
    const client = createClient(options);
    const { id } = await client.get<Ip>(ipPath(named));
    await client.remove(ipPath(id));
    const ip = await client.get<Ip>(ipPath(id));
    const until = ip.cooldown ? `until ${time(ip.cooldown.until)}` : '';
    told(ip, options, `${ip.ipAddress} sends nothing any more; it is in ${ip.status} ${until}`.trim());
  });

  withApi(
    command
      .command('restore')
      .description('take an IP out of its cooldown again')
      .argument('<ip>', 'address or id'),
  ).action(async (named: string, options: ApiOptions) => {
    const ip = await createClient(options).post<Ip>(`${ipPath(named)}/restore`);
    told(ip, options, `${ip.ipAddress} is ${ip.status} again`);
  });
}

type Filter = { status?: string; pool?: string; label?: string };

type Update = {
  hostname?: string;
  bind?: string;
  label: Record<string, string>;
  unlabel: string[];
  perDay?: number | 'none';
  perHour?: number | 'none';
};

const NONE = 'none';
const orNull = <Value>(value: Value | 'none') => (value === NONE ? null : value);
const numberOrNone = (text: string) => (text === NONE ? NONE : wholeNumber(text));
const listed = (text: string, before: string[]) => [...before, text];

function labelled(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Write it as name=value (example: team=billing).');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** @throws WarmlineError `invalid` when nothing is to be changed */
async function updateOf(client: Client, named: string, options: Update): Promise<object> {
  const { hostname, bind, label, unlabel, perDay, perHour } = options;
  const ceiling = {
    ...(perDay === undefined ? {} : { perDay: orNull(perDay) }),
    ...(perHour === undefined ? {} : { perHour: orNull(perHour) }),
  };
  const relabels = Object.keys(label).length + unlabel.length > 0;
  const update = {
    ...(hostname === undefined ? {} : { hostname: orNull(hostname) }),
    ...(bind === undefined ? {} : { bind: orNull(bind) }),
    ...(Object.keys(ceiling).length > 0 ? { ceiling } : {}),
    ...(relabels ? { labels: await labelsOf(client, named, label, unlabel) } : {}),
  };
  if (Object.keys(update).length > 0) return update;
  throw invalid(
    'update',
    'say what to change: --hostname, --bind, --label, --unlabel, --per-day or --per-hour',
  );
}

/** The API replaces all labels; here one is set or taken off. */
async function labelsOf(client: Client, named: string, label: Record<string, string>, unlabel: string[]) {
  const { labels } = await client.get<Ip>(ipPath(named));
  const kept = Object.entries({ ...labels, ...label }).filter(([name]) => !unlabel.includes(name));
  return Object.fromEntries(kept);
}

/** One IP: for programs as the API has it, for people in words. */
export function told(ip: unknown, { json }: ApiOptions, words: string): void {
  if (json) sayJson(ip);
  else say(words);
}

async function list(client: Client, { status: only, pool, label, json }: ApiOptions & Filter) {
  const query = new URLSearchParams({
    ...(only && { status: only }),
    ...(pool && { pool }),
    ...(label && { label }),
  });
  const ips = await client.all<Ip>(`/v1/dedicated-ips${query.size > 0 ? `?${query}` : ''}`);
  if (json) return sayJson({ data: ips });
  if (ips.length === 0) return say('no IPs; take one from the inventory with: warmline ips create');
  const pools = await client.all<Pool>('/v1/dedicated-ips/pools');
  const names = new Map(pools.map(({ id, name }) => [id, plain(name)]));
  say(
    asTable<Ip>(
      [
        { head: 'address', cell: ({ ipAddress }) => ipAddress },
        {
          head: 'status',
          cell: (ip) => (ip.hold ? coloured('red', `${ip.status}, held`) : status(ip.status)),
        },
        { head: 'day', right: true, cell: ({ warmup }) => dayOf(warmup) },
        { head: 'used today', right: true, cell: ({ warmup }) => limit(warmup.usedToday) },
        { head: 'left today', right: true, cell: ({ warmup }) => limit(warmup.remainingToday) },
        { head: 'hourly cap', right: true, cell: ({ warmup }) => limit(warmup.currentHourlyLimit) },
        {
          head: 'pool',
          cell: ({ poolIds }) => shorten(poolIds.map((id) => names.get(id) ?? id).join(', '), 30),
        },
        { head: 'id', cell: ({ id }) => coloured('dim', id) },
      ],
      ips,
    ),
  );
}

const dayOf = ({ currentDay, totalDays }: Ip['warmup']) =>
  currentDay === null ? '' : `${currentDay}/${totalDays}`;

function started({ ipAddress, warmup }: Ip): string {
  const today =
    warmup.remainingToday === -1 ? 'no daily limit' : `${counted(warmup.remainingToday, 'send')} left today`;
  const complete = warmup.completesAt === null ? '' : `; complete on ${time(warmup.completesAt)}`;
  return `${ipAddress} is warming up: day ${warmup.currentDay} of ${warmup.totalDays}, ${today}${complete}`;
}

function inFull(ip: Ip): string {
  const { warmup, hold, ceiling } = ip;
  const rows: [string, string | null][] = [
    ['address', ip.ipAddress],
    ['id', ip.id],
    ['status', status(ip.status)],
    [
      'held',
      hold &&
        `${coloured('red', whatIsHeld(hold))}: ${plain(hold.because)}${hold.until ? `, until ${time(hold.until)}` : ''}`,
    ],
    ['pool', ip.poolIds.join(', ')],
    ['plan', warmup.plan],
    ['day', warmup.currentDay === null ? null : `${warmup.currentDay} of ${warmup.totalDays}`],
    ['used today', limit(warmup.usedToday)],
    ['left today', limit(warmup.remainingToday)],
    ['hourly cap', limit(warmup.currentHourlyLimit)],
    [
      'ceiling',
      ceiling.perDay === null && ceiling.perHour === null
        ? null
        : `${ceiling.perDay ?? 'none'} a day, ${ceiling.perHour ?? 'none'} an hour`,
    ],
    ['zone', warmup.zone],
    ['started', time(warmup.startedAt)],
    ['completes', time(warmup.completesAt)],
    ['completed', time(warmup.completedAt)],
    ['cooldown', ip.cooldown && `until ${time(ip.cooldown.until)}`],
    ['most a day', ip.ceiling.perDay === null ? null : limit(ip.ceiling.perDay)],
    ['most an hour', ip.ceiling.perHour === null ? null : limit(ip.ceiling.perHour)],
    [
      'labels',
      plain(
        Object.entries(ip.labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(', '),
      ),
    ],
    ['host name', ip.hostname],
    ['binds', ip.bind],
    ['region', ip.region && plain(ip.region)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows
    .filter(([, value]) => value)
    .map(([name, value]) => `${name.padEnd(width)}${value}`)
    .join('\n');
}

export const whatIsHeld = ({ sending, advance }: { sending: boolean; advance: boolean }) =>
  sending && advance ? 'no mail, no progress' : sending ? 'no mail' : 'no progress';
