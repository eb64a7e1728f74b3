/** `warmline pools`: names for groups of IPs. */
import type { Command } from 'commander';
import { invalid } from '../warmup/errors.ts';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { addExamples } from './examples.ts';
import { type Ip, type Pool, told, whatIsHeld } from './ips.ts';
import { ipPath, poolPath } from './named.ts';
import { asTable, coloured, counted, grouped, plain, say, sayJson, shorten, time } from './table.ts';

const EXAMPLES = `
Examples:
  $ warmline pools create Transactional --default
  $ warmline pools create Marketing --warming-share 0.2     new IPs carry at most a fifth while older ones have room
  $ warmline pools add Transactional 203.0.113.7
  $ warmline pools remove Transactional 203.0.113.7
  $ warmline pools list
  $ warmline pools get Transactional
  $ warmline pools rename Marketing Newsletters
  $ warmline pools default Newsletters
  $ warmline pools delete Newsletters

A pool is named by its name or its id, an IP by its address or its id. An IP is in one pool: adding it to another moves it.`;

export function register(command: Command): void {
  addExamples(command, EXAMPLES);

  withApi(command.command('list').description('all pools')).action(async (options: ApiOptions) => {
    const pools = await createClient(options).all<Pool>('/v1/dedicated-ips/pools');
    if (options.json) return sayJson({ data: pools });
    if (pools.length === 0) return say('no pools; make one with: warmline pools create <name>');
    say(
      asTable<Pool>(
        [
          { head: 'name', cell: ({ name }) => shorten(plain(name), 64) },
          { head: 'IPs', right: true, cell: ({ ipCount }) => String(ipCount) },
          { head: 'default', cell: ({ isDefault }) => (isDefault ? 'yes' : '') },
          { head: 'held', cell: ({ hold }) => (hold ? coloured('red', whatIsHeld(hold)) : '') },
          { head: 'id', cell: ({ id }) => coloured('dim', id) },
        ],
        pools,
      ),
    );
  });

  withApi(command.command('create').description('make a pool').argument('<name>', '1 to 64 characters'))
    .option('--default', 'mail that names no pool goes here, and new IPs join it')
    .option('--warming-share <share>', 'the part of an hour that warming IPs carry at most, 0 to 1', Number)
    .action(async (name: string, options: ApiOptions & { default?: boolean; warmingShare?: number }) => {
      const { default: isDefault = false, warmingShare } = options;
      if (warmingShare !== undefined && !(warmingShare >= 0 && warmingShare <= 1)) {
        throw invalid('warmingShare', '--warming-share must be a number from 0 to 1 (example: 0.2)');
      }
      const pool = await createClient(options).post<Pool>('/v1/dedicated-ips/pools', {
        name,
        isDefault,
        ...(warmingShare === undefined ? {} : { warmingShare }),
      });
      told(
        pool,
        options,
        `pool ${plain(pool.name)} (${pool.id}) was made${isDefault ? ', and is the default' : ''}`,
      );
    });

  withApi(command.command('get').description('one pool in full').argument('<pool>', 'name or id')).action(
    async (named: string, options: ApiOptions) => {
      const pool = await createClient(options).get<Pool>(poolPath(named));
      told(pool, options, inFull(pool));
    },
  );

  withApi(command.command('rename').description('give a pool another name'))
    .argument('<pool>', 'name or id')
    .argument('<name>', '1 to 64 characters')
    .action(async (named: string, name: string, options: ApiOptions) => {
      const pool = await createClient(options).patch<Pool>(poolPath(named), { name });
      told(pool, options, `pool ${plain(named)} is called ${plain(pool.name)} now`);
    });

  withApi(command.command('default').description('send mail that names no pool here, and new IPs too'))
    .argument('<pool>', 'name or id')
    .option('--off', 'leave the account without a default pool')
    .action(async (named: string, options: ApiOptions & { off?: boolean }) => {
      const isDefault = !options.off;
      const pool = await createClient(options).patch<Pool>(poolPath(named), { isDefault });
      told(pool, options, `pool ${plain(pool.name)} is ${isDefault ? 'the default' : 'not the default'} now`);
    });

  withApi(command.command('delete').description('delete a pool; its IPs stay'))
    .argument('<pool>', 'name or id')
    .action(async (named: string, options: ApiOptions) => {
      const client = createClient(options);
      const pool = await client.get<Pool>(poolPath(named));
      await client.remove(poolPath(pool.id));
      const stay = pool.ipCount === 0 ? '' : `; its ${counted(pool.ipCount, 'IP')} stayed, in no pool`;
      told(pool, options, `pool ${plain(pool.name)} was deleted${stay}`);
    });

  withApi(command.command('add').description('put an IP into a pool, and out of any other'))
    .argument('<pool>', 'name or id')
    .argument('<ip>', 'address or id')
    .action(async (pool: string, named: string, options: ApiOptions) => {
      const client = createClient(options);
      const { id: ipId } = await client.get<Ip>(ipPath(named));
      const ip = await client.post<Ip>(`${poolPath(pool)}/ips`, { ipId });
      told(ip, options, `${ip.ipAddress} is in pool ${plain(pool)}`);
    });

  withApi(command.command('remove').description('take an IP out of a pool'))
    .argument('<pool>', 'name or id')
    .argument('<ip>', 'address or id')
    .action(async (pool: string, named: string, options: ApiOptions) => {
      const client = createClient(options);
      const { id } = await client.get<Ip>(ipPath(named));
      await client.remove(`${poolPath(pool)}/ips/${id}`);
      const left = await client.get<Pool>(poolPath(pool));
      told(left, options, `pool ${plain(left.name)} has ${counted(left.ipCount, 'IP')} now`);
    });
}

function inFull(pool: Pool): string {
  const { perDay, perHour } = pool.ceiling;
  const rows: [string, string | null][] = [
    ['pool', plain(pool.name)],
    ['id', pool.id],
    ['default', pool.isDefault ? 'yes' : null],
    ['IPs', String(pool.ipCount)],
    ['warming share', pool.warmingShare === 1 ? null : String(pool.warmingShare)],
    ['most a day', perDay === null ? null : grouped(perDay)],
    ['most an hour', perHour === null ? null : grouped(perHour)],
    ['held', pool.hold && `${whatIsHeld(pool.hold)}: ${plain(pool.hold.because)}`],
    ['created', time(pool.createdAt)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows
    .filter(([, value]) => value)
    .map(([name, value]) => `${name.padEnd(width)}${value}`)
    .join('\n');
}
