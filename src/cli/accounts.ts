/** `warmline accounts`: who owns IPs, pools and keys. */
import type { Command } from 'commander';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { told } from './ips.ts';
import { asTable, coloured, say, sayJson, time } from './table.ts';

export type Account = { id: string; name: string; parentId: string | null; createdAt: string };

const EXAMPLES = `
Examples:
  $ warmline accounts create acme
  $ warmline accounts list

The key must be one of the operator (scope admin).`;

export function register(command: Command): void {
  command.addHelpText('after', EXAMPLES);

  withApi(
    command
      .command('create')
      .description('make an account')
      .argument('<name>', 'letters, digits, dots, dashes'),
  ).action(async (name: string, options: ApiOptions) => {
    const account = await createClient(options).post<Account>('/v1/accounts', { name });
    told(account, options, `account ${account.name} (${account.id}) was made`);
  });

  withApi(command.command('list').description('all accounts')).action(async (options: ApiOptions) => {
    const accounts = await createClient(options).all<Account>('/v1/accounts');
    if (options.json) return sayJson({ data: accounts });
    say(
      asTable<Account>(
        [
          { head: 'name', cell: ({ name }) => name },
          { head: 'made', cell: ({ createdAt }) => time(createdAt) },
          { head: 'id', cell: ({ id }) => coloured('dim', id) },
        ],
        accounts,
      ),
    );
  });
}
