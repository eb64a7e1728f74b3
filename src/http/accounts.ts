/** Accounts: who owns IPs, pools and keys. Only the operator makes them; they are never deleted (see `fleet/accounts.ts`). */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { type Account, createAccount, findAccount, pageOfAccounts } from '../fleet/accounts.ts';
import { anyText, instant, parse, parseQuery, text } from '../wire/parse.ts';
import { pageShape } from '../wire/shapes.ts';
import { PageQuery, page } from '../wire/v1.ts';
import type { Context } from './context.ts';
import { cursorAfter, readCursor } from './cursor.ts';
import type { RouteDocs } from './openapi.ts';

const CreateBody = z.strictObject({
  name: anyText('a text of 1 to 64 characters').describe('Letters, digits, dots, dashes and underscores.'),
  parent: text(64)
    .nullable()
    .optional()
    .describe('Name or id of the account that it is a subuser of; not a subuser itself.'),
});

const AccountShape = z
  .strictObject({
    id: z.string(),
    number: z.number().int().describe('Given once in an installation; what clients of v3 name it by.'),
    name: z.string(),
    parentId: z.string().nullable().describe('The account that it is a subuser of.'),
    createdAt: z.string(),
  })
  .meta({ id: 'Account', description: 'Who owns IPs, pools and keys.' });

const CREATE: RouteDocs = {
  summary: 'Make an account',
  id: 'createAccount',
  body: CreateBody,
  answers: { 201: AccountShape },
  refusals: [404, 409],
  example: { name: 'acme' },
};
const LIST: RouteDocs = {
  summary: 'List accounts',
  description: 'In the order in which they were made.',
  id: 'listAccounts',
  query: PageQuery,
  answers: { 200: pageShape('AccountPage', AccountShape) },
};
const GET: RouteDocs = {
  summary: 'Get an account',
  id: 'getAccount',
  params: z.object({ account: z.string().describe('The name of an account, or its id.') }),
  answers: { 200: AccountShape },
};

export function registerAccounts(app: FastifyInstance, { tenantOf }: Context): void {
  app.post('/v1/accounts', { config: { scope: 'admin', docs: CREATE } }, async (request, reply) => {
    const { name, parent } = parse(CreateBody, request.body);
    const account = await createAccount(tenantOf(request).engine, name, { parent });
    return reply.code(201).send(accountOf(account));
  });

  app.get('/v1/accounts', { config: { scope: 'admin', docs: LIST } }, async (request) => {
    const { limit, cursor } = parseQuery(PageQuery, request.query);
    const afterNumber = cursor === undefined ? 0 : readCursor(cursor).atMs;
    const { accounts, more } = await pageOfAccounts(tenantOf(request).engine, { limit, afterNumber });
    const last = accounts.at(-1);
    return page(accounts.map(accountOf), more && last ? cursorAfter(last.number, last.id) : null);
  });

  app.get<{ Params: { account: string } }>(
    '/v1/accounts/:account',
    { config: { scope: 'admin', docs: GET } },
    async (request) => accountOf(await findAccount(tenantOf(request).engine, request.params.account)),
  );
}

const accountOf = ({ id, number, name, parentId, createdAtMs }: Account) => ({
  id,
  number,
  name,
  parentId,
  createdAt: instant(createdAtMs),
});
