/** The operator's addresses: added here, and taken from here when an account creates a dedicated IP. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { findAccount } from '../fleet/accounts.ts';
import { addToInventory, bringIps, type InventoryEntry, listInventory } from '../fleet/inventory.ts';
import { invalid } from '../warmup/errors.ts';
import { flag, list, oneOf, parse, parseQuery, text, wholeNumberText } from '../wire/parse.ts';
import { IpShape, pageShape } from '../wire/shapes.ts';
import { ipOf, page } from '../wire/v1.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';

const AddBody = z.strictObject({
  addresses: list(text(100), 4096, 'addresses and ranges').describe('Addresses and CIDR ranges.'),
  region: text(64).nullable().optional().describe('Where they are.'),
  hostname: text(253).nullable().optional().describe('What EHLO says; for a single address.'),
  bind: text(100).nullable().optional().describe('The local address behind a NAT; for a single address.'),
  whitelabeled: flag().optional().describe('It has a reverse name of its own; true unless said.'),
  account: text(64).nullable().optional().describe('Puts them on this account at once, by its name or id.'),
  status: oneOf(['provisioning', 'active']).optional().describe('`active` is warm already; with an account.'),
  leased: flag().optional().describe('They go back to the inventory one day; with an account.'),
});

/** Redis walks a hash by numbers of 64 bits, and knows no larger one. */
const MOST_CURSOR = 2n ** 64n - 1n;
const NO_CURSOR = { error: 'is not a cursor; give back the nextCursor of the page before' };

const ListQuery = z.strictObject({
  limit: wholeNumberText(1, 1000).default(1000).describe('About how many a page has.'),
  cursor: z
    .string()
    .regex(/^\d{1,20}$/, NO_CURSOR)
    .refine((cursor) => !/^\d{1,20}$/.test(cursor) || BigInt(cursor) <= MOST_CURSOR, NO_CURSOR)
    .default('0')
    .describe('The `nextCursor` of the page before.'),
});

const EntryShape = z
  .strictObject({
    address: z.string(),
    region: z.string().nullable(),
    hostname: z.string().nullable().describe('What EHLO says.'),
    bind: z.string().nullable().describe('The local address to bind when it is another one.'),
    leased: z.boolean(),
    whitelabeled: z.boolean(),
    state: z.enum(['free', 'reserved', 'held']),
    account: z.string().nullable().describe('The id of the account that has it.'),
    ipId: z.string().nullable().describe('Its id there.'),
  })
  .meta({ id: 'InventoryEntry', description: "One of the operator's addresses." });

const ADD: RouteDocs = {
  summary: 'Add addresses, to the inventory or to an account at once',
  id: 'addToInventory',
  body: AddBody,
  answers: {
    201: z
      .strictObject({
        added: z.number().int().nonnegative(),
        account: z.string().optional().describe('Where they were put.'),
        data: z.array(IpShape).optional().describe('The IPs that the account has now.'),
      })
      .meta({ id: 'InventoryAdded' }),
  },
  refusals: [404, 409],
  example: { addresses: ['203.0.113.0/28', '2001:db8::5'], region: 'eu' },
};
const LIST: RouteDocs = {
  summary: 'List the inventory',
  description: 'It has no order; a page has about `limit` entries.',
  id: 'listInventory',
  query: ListQuery,
  answers: { 200: pageShape('InventoryPage', EntryShape) },
};

export function registerInventory(
  app: FastifyInstance,
  { engine, tenantOf, tenantFor, countedFor }: Context,
): void {
  app.post('/v1/inventory', { config: { scope: 'admin', docs: ADD } }, async (request, reply) => {
    const { account: named, status, leased, ...given } = parse(AddBody, request.body);
    if (named == null) {
      if (status !== undefined)
        throw invalid('status', 'an address without an account has no status yet; name the account too');
      if (leased === false)
        throw invalid('leased', 'only an account can bring an address of its own; name the account too');
      return reply.code(201).send({ added: await addToInventory(tenantOf(request).engine, given) });
    }
    const account = await findAccount(engine, named);
    const tenant = tenantFor(request, account);
    const ips = await bringIps(tenant, {
      ...given,
      status: status ?? 'provisioning',
      leased: leased ?? false,
    });
    const data = await Promise.all(ips.map(async (ip) => ipOf(ip, await countedFor(tenant, ip))));
    return reply.code(201).send({ added: ips.length, account: account.name, data });
  });

  /** `limit` is what a page has about: the inventory has no order, and the store hands it out in handfuls. */
  app.get('/v1/inventory', { config: { scope: 'admin', docs: LIST } }, async (request) => {
    const { limit, cursor } = parseQuery(ListQuery, request.query);
    const entries: InventoryEntry[] = [];
    let next = cursor;
    do {
      const found = await listInventory(engine, next, limit);
      entries.push(...found.entries);
      next = found.cursor;
    } while (next !== '0' && entries.length < limit);
    return page(entries.map(entryOf), next === '0' ? null : next);
  });
}

const entryOf = ({ account, ipId, ...entry }: InventoryEntry): z.output<typeof EntryShape> => ({
  ...entry,
  account: account ?? null,
  ipId: ipId ?? null,
});
