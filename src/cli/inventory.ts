/** `warmline inventory`: the operator's addresses, for accounts to take from. */
import { type Command, Option } from 'commander';
import { expandAddresses } from '../warmup/address.ts';
import { invalid } from '../warmup/errors.ts';
import type { Account } from './accounts.ts';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { addExamples } from './examples.ts';
import type { Ip } from './ips.ts';
import { asTable, coloured, counted, plain, say, sayJson } from './table.ts';

type AddOptions = ApiOptions & {
  region?: string;
  hostname?: string;
  bind?: string;
  account?: string;
  status?: string;
  leased?: boolean;
};
type Entry = {
  address: string;
  state: string;
  account: string | null;
  region: string | null;
  hostname: string | null;
  bind: string | null;
};

const EXAMPLES = `
Examples:
  $ warmline inventory add 203.0.113.0/28 2001:db8::5 --region eu
  $ warmline inventory add 203.0.113.7 --hostname mta7.example.com --bind 10.0.1.7     behind a NAT
  $ warmline inventory add 198.51.100.7 --account acme --status active                 an account brings it, already warm
  $ warmline inventory list

The key must be one of the operator (scope admin).`;

export function register(command: Command): void {
  addExamples(command, EXAMPLES);

  withApi(command.command('add').description('add addresses and ranges, all or none'))
    .argument('<addresses...>', 'addresses and CIDR ranges')
    .option('--region <region>', 'where they are, in your own words')
    .option('--hostname <name>', 'what EHLO says; for a single address')
    .option('--bind <address>', 'the local address to bind when it differs; for a single address')
    .option('--account <account>', 'put them on this account at once (name or id)')
    .addOption(
      new Option('--status <status>', 'with --account: active if they are warm').choices([
        'provisioning',
        'active',
      ]),
    )
    .option('--leased', 'with --account: they are yours and come back to the inventory')
    .action(async (addresses: string[], options: AddOptions) => {
      const { region, hostname, bind, account, status, leased } = options;
      if (account === undefined && (status ?? leased) !== undefined) {
        throw invalid('account', '--status and --leased are about an account; name it with --account');
      }
      const named = expandAddresses(addresses);
      const body = { addresses, region, hostname, bind, account, status, leased };
      const answer = await createClient(options).post<{ added: number; data?: Ip[] }>(
        '/v1/inventory',
        body,
        `adding ${counted(named.length, 'address', 'addresses')}`,
      );
      if (options.json) return sayJson(answer);
      const what = counted(answer.added, 'address', 'addresses');
      say(account === undefined ? `${what} added to the inventory` : `${what} put on account ${account}`);
    });

  withApi(command.command('list').description('all addresses, free and held')).action(
    async (options: ApiOptions) => {
      const client = createClient(options);
      const found = await client.all<Entry>('/v1/inventory?limit=1000');
      // The store hands them out in no order, and one that is added meanwhile may come twice.
      const entries = [...new Map(found.map((entry) => [entry.address, entry])).values()].sort((a, b) =>
        a.address.localeCompare(b.address, 'en', { numeric: true }),
      );
      if (options.json) return sayJson({ data: entries });
      if (entries.length === 0)
        return say('the inventory is empty; add addresses with: warmline inventory add');
      const accounts = await client.all<Account>('/v1/accounts');
      const names = new Map(accounts.map(({ id, name }) => [id, name]));
      say(
        asTable<Entry>(
          [
            { head: 'address', cell: ({ address }) => address },
            { head: 'state', cell: ({ state }) => (state === 'free' ? coloured('green', state) : state) },
            { head: 'account', cell: ({ account }) => (account ? (names.get(account) ?? account) : '') },
            { head: 'region', cell: ({ region }) => plain(region ?? '') },
            { head: 'host name', cell: ({ hostname }) => hostname ?? '' },
            { head: 'binds', cell: ({ bind }) => bind ?? '' },
          ],
          entries,
        ),
      );
      const free = entries.filter(({ state }) => state === 'free').length;
      say(`\n${free} of ${counted(entries.length, 'address', 'addresses')} free`);
    },
  );
}
