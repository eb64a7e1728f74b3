/** `warmline quota`: what an IP or a pool may send at this moment. Looking takes nothing. */
import type { Command } from 'commander';
import type { DemandAnswer } from '../wire/demand.ts';
import type { IpQuota, PoolQuota } from '../wire/quota.ts';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { sentenceOf } from './demand.ts';
import { namesIp, pathOf } from './named.ts';
import { asTable, coloured, lasting, limit, plain, say, sayJson, status, time } from './table.ts';
import { WHY } from './why.ts';

export function register(command: Command): void {
  withApi(command)
    .argument('<ip or pool>', 'an address, an id, or the name of a pool')
    .addHelpText(
      'after',
      `
Examples:
  $ warmline quota 203.0.113.7
  $ warmline quota Marketing
  $ warmline quota 203.0.113.7 --json | jq .remaining`,
    )
    .action(async (named: string, options: ApiOptions) => {
      const client = createClient(options);
      const look = await client.get<IpQuota | PoolQuota>(`${pathOf(named)}/quota`);
      if (options.json) return sayJson(look);
      const isIp = namesIp(named);
      const query = new URLSearchParams({ [isIp ? 'ip' : 'pool']: named });
      const demand = await client.get<DemandAnswer>(`/v1/quota/demand?${query}`);
      say(isIp ? ofIp(look as IpQuota) : ofPool(look as PoolQuota));
      say(`\n${sentenceOf(demand, isIp ? (look as IpQuota).ip : 'it')} in this hour and the last`);
    });
}

function verdict(allowed: boolean, because: string | null, retryAfterMs: number | null): string {
  if (allowed) return coloured('green', 'may send now');
  const when = retryAfterMs === null ? 'and no time is known' : `again in ${lasting(retryAfterMs)}`;
  return coloured('red', `may not send now: ${WHY[because ?? ''] ?? because ?? 'no room'}, ${when}`);
}

function ofIp(look: IpQuota): string {
  const { day, hour, bucket } = look;
  const rows = [
    { what: 'day', ...day },
    { what: 'hour', ...hour },
    ...(bucket
      ? [
          {
            what: 'bucket',
            limit: bucket.size,
            used: bucket.size - bucket.level,
            remaining: bucket.level,
            resetsAt: bucket.fullAt,
          },
        ]
      : []),
  ];
  return [
    `${look.ip} (${status(look.status)}) ${verdict(look.allowed, look.binds, look.retryAfterMs)}`,
    '',
    asTable(
      [
        { head: '', cell: ({ what }) => what },
        { head: 'limit', right: true, cell: (row) => limit(row.limit) },
        { head: 'used', right: true, cell: (row) => limit(row.used) },
        { head: 'left', right: true, cell: (row) => limit(row.remaining) },
        { head: 'resets', cell: (row) => time(row.resetsAt) },
        { head: '', cell: ({ what }) => (isBinding(look.binds, what) ? 'binds' : '') },
      ],
      rows,
    ),
  ].join('\n');
}

const isBinding = (binds: string | null, what: string) =>
  binds === what || (binds === 'burst' && what === 'bucket');

function ofPool(look: PoolQuota): string {
  const head = `pool ${plain(look.name)} ${verdict(look.allowed, look.because?.code ?? null, look.retryAfterMs)}`;
  if (look.ips.length === 0) return `${head}\nit has no IPs`;
  return [
    head,
    '',
    asTable<IpQuota>(
      [
        { head: 'address', cell: ({ ip }) => ip },
        { head: 'status', cell: (ip) => status(ip.status) },
        { head: 'left now', right: true, cell: ({ remaining }) => limit(remaining) },
        { head: 'used in the day', right: true, cell: ({ day }) => limit(day.used) },
        { head: 'of', right: true, cell: ({ day }) => limit(day.limit) },
        { head: 'binds', cell: ({ binds }) => binds ?? '' },
        {
          head: 'again in',
          right: true,
          cell: (ip) => (ip.allowed || ip.retryAfterMs === null ? '' : lasting(ip.retryAfterMs)),
        },
      ],
      look.ips,
    ),
  ].join('\n');
}
