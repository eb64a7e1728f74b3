/** Accounts: who owns IPs, pools and keys. Only the operator makes them. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { type Account, createAccount, eachAccount } from '../fleet/accounts.ts';
import { anyText, instant, parse, parseQuery } from '../wire/parse.ts';
import { PageQuery, page } from '../wire/v1.ts';
import type { Context } from './context.ts';
import { cursorAfter, readCursor } from './cursor.ts';

const CreateBody = z.strictObject({ name: anyText('a text of 1 to 64 characters') });

export function registerAccounts(app: FastifyInstance, { engine }: Context): void {
  const operator = { config: { scope: 'admin' } } as const;

  app.post('/v1/accounts', operator, async (request, reply) => {
    const { name } = parse(CreateBody, request.body);
    return reply.code(201).send(accountOf(await createAccount(engine, name)));
  });

  /** In the order of their creation. */
  app.get('/v1/accounts', operator, async (request) => {
    const { limit, cursor } = parseQuery(PageQuery, request.query);
    const after = cursor === undefined ? null : readCursor(cursor);
    const known = new Map<string, Account>();
    for await (const account of eachAccount(engine)) known.set(account.id, account);
    const rest = [...known.values()]
      .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1))
      .filter(({ createdAtMs: at, id }) => !after || at > after.atMs || (at === after.atMs && id > after.id));
    const shown = rest.slice(0, limit);
    const last = shown.at(-1);
    return page(
      shown.map(accountOf),
      last && rest.length > shown.length ? cursorAfter(last.createdAtMs, last.id) : null,
    );
  });
}

const accountOf = ({ id, name, parentId, createdAtMs }: Account) => ({
  id,
  name,
  parentId,
  createdAt: instant(createdAtMs),
});
