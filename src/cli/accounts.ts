/** `warmline accounts`: who owns IPs, pools and keys. */
import type { Command } from 'commander';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { addExamples } from './examples.ts';
import { told } from './ips.ts';
import { asTable, coloured, say, sayJson, time } from './table.ts';

export type Account = {
  id: string;
  number: number;
  name: string;
  parentId: string | null;
  createdAt: string;
};

const EXAMPLES = `
Examples:
  $ warmline accounts create acme
  $ warmline accounts create acme-news --parent acme       a subuser of acme
  $ warmline accounts list
  $ warmline keys create --account acme                    a key with which it can ask

An account is never deleted; to lock it out, revoke its keys: warmline keys list --account acme
The key must be one of the operator (scope admin).`;

export function register(command: Command): void {
  addExamples(command, EXAMPLES);

  withApi(
    command
      .command('create')
      .description('make an account')
      .argument('<name>', 'letters, digits, dots, dashes')
      .option('--parent <account>', 'make it a subuser of this account (name or id)'),
  ).action(async (name: string, options: ApiOptions & { parent?: string }) => {
    const { parent } = options;
    const account = await createClient(options).post<Account>('/v1/accounts', { name, parent });
    const whose = parent === undefined ? '' : `, a subuser of ${parent},`;
    told(account, options, `account ${account.name} (${account.id})${whose} was made`);
  });

  withApi(command.command('list').description('all accounts')).action(async (options: ApiOptions) => {
    const accounts = await createClient(options).all<Account>('/v1/accounts?limit=100');
    if (options.json) return sayJson({ data: accounts });
    const names = new Map(accounts.map(({ id, name }) => [id, name]));
    say(
      asTable<Account>(
        [
          { head: 'name', cell: ({ name }) => name },
          { head: 'number', right: true, cell: ({ number }) => String(number) },
          { head: 'parent', cell: ({ parentId }) => (parentId ? (names.get(parentId) ?? parentId) : '') },
          { head: 'made', cell: ({ createdAt }) => time(createdAt) },
          { head: 'id', cell: ({ id }) => coloured('dim', id) },
        ],
        accounts,
      ),
    );
  });
}
