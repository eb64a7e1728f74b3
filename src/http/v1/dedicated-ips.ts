/** `/v1/dedicated-ips`: an address from the inventory becomes an account's own, warms up, sends, and goes back. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { findIpId, loadIp, planOf } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { createIp } from '../../fleet/inventory.ts';
import { getIp, pageOfIps, releaseIp, restoreIp, setCeiling, startWarmup } from '../../fleet/ips.ts';
import { getPool } from '../../fleet/pools.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { WarmlineError } from '../../warmup/errors.ts';
import { parse, parseQuery } from '../../wire/parse.ts';
import {
  ceilingOf,
  checkStart,
  ipOf,
  ListIpsQuery,
  ledgerOf,
  NoBody,
  PATCH_IP_BODY,
  page,
  START_BODY,
} from '../../wire/v1.ts';
import type { Context } from '../context.ts';
import { cursorAfter, readCursor } from '../cursor.ts';
import { ipNamed } from './named.ts';

export function registerDedicatedIps(app: FastifyInstance, context: Context): void {
  const { tenantOf } = context;
  const named = (request: FastifyRequest) => ipNamed((request.params as { id: string }).id);

  app.post('/v1/dedicated-ips', async (request, reply) => {
    parse(NoBody, request.body);
    const tenant = tenantOf(request);
    return reply.code(201).send(await describeIp(context, tenant, await createIp(tenant)));
  });

  app.get('/v1/dedicated-ips', async (request) => {
    const { limit, cursor, ...filter } = parseQuery(ListIpsQuery, request.query);
    const tenant = tenantOf(request);
    const after = cursor === undefined ? null : readCursor(cursor);
    const { ips, next } =
      filter.address === undefined
        ? await pageOfIps(tenant, { limit, after, wanted: await filterOf(tenant, filter) })
        : { ips: await withAddress(tenant, filter.address, await filterOf(tenant, filter)), next: null };
    const data = await Promise.all(ips.map((ip) => describeIp(context, tenant, ip, { schedule: false })));
    return page(data, next && cursorAfter(next.atMs, next.id));
  });

  app.get('/v1/dedicated-ips/:id', async (request) => {
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await getIp(tenant, named(request)));
  });

  app.patch('/v1/dedicated-ips/:id', async (request) => {
    const ceiling = ceilingOf(parse(PATCH_IP_BODY, request.body));
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await setCeiling(tenant, named(request), ceiling));
  });

  app.post('/v1/dedicated-ips/:id/warmup', async (request) => {
    const asked = checkStart(parse(START_BODY, request.body));
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await startWarmup(tenant, named(request), asked));
  });

  app.delete('/v1/dedicated-ips/:id', async (request, reply) => {
    await releaseIp(tenantOf(request), named(request));
    return reply.code(204).send();
  });

  app.post('/v1/dedicated-ips/:id/restore', async (request) => {
    parse(NoBody, request.body);
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await restoreIp(tenant, named(request)));
  });

  app.get('/v1/dedicated-ips/:id/ledger', async (request) => {
    const tenant = tenantOf(request);
    const ip = await getIp(tenant, named(request));
    return ledgerOf(ip, await context.countedFor(tenant, ip));
  });
}

/** An IP in full, as every answer about it shows it. */
export async function describeIp(
  context: Context,
  tenant: Tenant,
  ip: DedicatedIp,
  { schedule = true } = {},
) {
  const [counted, plan] = await Promise.all([
    context.countedFor(tenant, ip),
    schedule ? planOf(tenant, ip) : null,
  ]);
  return ipOf(ip, counted, plan);
}

type Filter = { status?: DedicatedIp['status'] | undefined; pool?: string | undefined };

async function filterOf(tenant: Tenant, { status, pool }: Filter): Promise<(ip: DedicatedIp) => boolean> {
  const poolId = pool === undefined ? null : (await getPool(tenant, pool)).id;
  return (ip) =>
    (status === undefined || ip.status === status) && (poolId === null || ip.pools.includes(poolId));
}

/** The one IP that holds an address, or none: a filter that finds nothing is an empty list. */
async function withAddress(tenant: Tenant, address: string, wanted: (ip: DedicatedIp) => boolean) {
  try {
    const ip = await loadIp(tenant, await findIpId(tenant, ipNamed(address)));
    return wanted(ip) ? [ip] : [];
  } catch (error) {
    if (error instanceof WarmlineError && error.code === 'not_found') return [];
    throw error;
  }
}
