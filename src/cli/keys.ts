/** `warmline keys`: who may ask the API, and for what. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { addExamples } from './examples.ts';
import { asTable, coloured, plain, say, sayJson, shorten, time } from './table.ts';

type ApiKey = {
  id: string;
  account: string;
  name: string | null;
  prefix: string;
  last4: string;
  scopes: string[];
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
};
type CreateOptions = ApiOptions & {
  account: string;
  scope?: string[];
  prefix?: string;
  name?: string;
  expires?: string;
  poolIps?: string;
};

const EXAMPLES = `
Examples:
  $ warmline keys create --account acme                                 it may read, send and write
  $ warmline keys create --account acme --scope read,send --name mta7 --expires P90D
  $ warmline keys create --account acme --prefix SG.                    for clients that insist on it
  $ KEY=$(warmline keys create --account acme)                          the key and nothing else
  $ warmline keys list --account acme
  $ warmline keys revoke key_1x2y3z

A key is printed once, on stdout; Warmline keeps only its hash. The scope admin is for keys of the account default.
Your own key must be one of the operator (scope admin).`;

const SCOPES = ['read', 'send', 'write', 'admin'];

export function register(command: Command): void {
  addExamples(command, EXAMPLES);

  withApi(command.command('create').description('make a key and print it, this once'))
    .requiredOption('--account <account>', 'whose key it is (name or id)')
    .option('--scope <scopes>', 'what it may do: read, send, write, admin (default: read,send,write)', scopes)
    .option('--prefix <text>', 'what it begins with (default: wl_)')
    .option('--name <name>', 'what people call it')
    .option('--expires <when>', 'an instant, or a duration from now: P90D (default: never)')
    .addOption(
      new Option('--pool-ips <form>', 'how GET /v3/ips/pools/{pool_name} shows IPs to it').choices([
        'strings',
        'objects',
      ]),
    )
    .action(async (options: CreateOptions) => {
      const { account, scope, prefix, name, expires, poolIps } = options;
      const body = { account, scopes: scope, prefix, name, expires, poolIps };
      const made = await createClient(options).post<ApiKey & { key: string }>('/v1/keys', body);
      if (options.json) return sayJson(made);
      // On stdout alone, so that a script can take it from there.
      process.stderr.write(
        `key ${made.id} of ${made.account} may ${made.scopes.join(', ')}${made.expiresAt ? ` until ${time(made.expiresAt)}` : ''}; keep it now, it is not shown again:\n`,
      );
      say(made.key);
    });

  withApi(command.command('list').description('all keys, without the keys themselves'))
    .option('--account <account>', 'only those of this account (name or id)')
    .action(async (options: ApiOptions & { account?: string }) => {
      const query = new URLSearchParams({
        limit: '100',
        ...(options.account && { account: options.account }),
      });
      const keys = await createClient(options).all<ApiKey>(`/v1/keys?${query}`);
      if (options.json) return sayJson({ data: keys });
      if (keys.length === 0) return say('no keys; make one with: warmline keys create --account <account>');
      say(
        asTable<ApiKey>(
          [
            { head: 'account', cell: ({ account }) => account },
            { head: 'name', cell: ({ name }) => shorten(plain(name ?? '')) },
            { head: 'key', cell: ({ prefix, last4 }) => `${prefix}…${last4}` },
            { head: 'may', cell: ({ scopes: may }) => may.join(', ') },
            { head: 'made', cell: ({ createdAt }) => time(createdAt) },
            { head: 'expires', cell: ({ expiresAt }) => time(expiresAt) },
            { head: 'last used', cell: ({ lastUsedAt }) => time(lastUsedAt) },
            { head: 'id', cell: ({ id }) => coloured('dim', id) },
          ],
          keys,
        ),
      );
    });

  withApi(
    command
      .command('revoke')
      .description('end a key; it is refused within a second everywhere')
      .argument('<id>', 'the id of the key, from: warmline keys list'),
  ).action(async (id: string, options: ApiOptions) => {
    await createClient(options).remove(`/v1/keys/${encodeURIComponent(id)}`);
    if (options.json) sayJson({ id, revoked: true });
    else say(`key ${id} is revoked`);
  });
}

function scopes(text: string): string[] {
  const named = text.split(',').map((one) => one.trim());
  const unknown = named.find((one) => !SCOPES.includes(one));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`"${unknown}" is no scope; name some of ${SCOPES.join(', ')}.`);
  }
  return named;
}
