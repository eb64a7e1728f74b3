/** The operator's addresses: added here, and taken from here when an account creates a dedicated IP. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { findAccount } from '../fleet/accounts.ts';
import { tenantOf } from '../fleet/engine.ts';
import { addToInventory, bringIps, type InventoryEntry, listInventory } from '../fleet/inventory.ts';
import { invalid } from '../warmup/errors.ts';
import { flag, list, oneOf, parse, parseQuery, text, wholeNumberText } from '../wire/parse.ts';
import { ipOf, page } from '../wire/v1.ts';
import type { Context } from './context.ts';

const AddBody = z.strictObject({
  addresses: list(text(100), 4096, 'addresses and ranges'),
  region: text(64).nullable().optional(),
  hostname: text(253).nullable().optional(),
  bind: text(100).nullable().optional(),
  whitelabeled: flag().optional(),
  /** Name or id: the addresses are put on this account at once. */
  account: text(64).nullable().optional(),
  status: oneOf(['provisioning', 'active']).optional(),
  leased: flag().optional(),
});

const ListQuery = z.strictObject({
  limit: wholeNumberText(1, 1000).default(1000),
  cursor: z
    .string()
    .regex(/^\d{1,20}$/, { error: 'is not a cursor; give back the nextCursor of the page before' })
    .default('0'),
});

export function registerInventory(app: FastifyInstance, { engine, countedFor }: Context): void {
  const operator = { config: { scope: 'admin' } } as const;

  app.post('/v1/inventory', operator, async (request, reply) => {
    const { account: named, status, leased, ...given } = parse(AddBody, request.body);
    if (named == null) {
      if (status !== undefined)
        throw invalid('status', 'an address without an account has no status yet; name the account too');
      if (leased === false)
        throw invalid('leased', 'only an account can bring an address of its own; name the account too');
      return reply.code(201).send({ added: await addToInventory(engine, given) });
    }
    const account = await findAccount(engine, named);
    const tenant = tenantOf(engine, account, 'api');
    const ips = await bringIps(tenant, {
      ...given,
      status: status ?? 'provisioning',
      leased: leased ?? false,
    });
    const data = await Promise.all(ips.map(async (ip) => ipOf(ip, await countedFor(tenant, ip))));
    return reply.code(201).send({ added: ips.length, account: account.name, data });
  });

  /** `limit` is what a page has about: the inventory has no order, and the store hands it out in handfuls. */
  app.get('/v1/inventory', operator, async (request) => {
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

const entryOf = ({ account, ipId, ...entry }: InventoryEntry) => ({
  ...entry,
  account: account ?? null,
  ipId: ipId ?? null,
});
