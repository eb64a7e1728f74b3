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
import { IpPage, IpShape, LedgerShape } from '../../wire/shapes.ts';
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
import type { RouteDocs } from '../openapi.ts';
import { ipNamed } from './named.ts';

const CREATE: RouteDocs = {
  summary: 'Request a dedicated IP',
  description:
    'Takes the address that was free longest from the inventory; it joins the default pool if there is one with room.',
  id: 'createDedicatedIp',
  body: NoBody,
  answers: { 201: IpShape },
};
const LIST: RouteDocs = {
  summary: 'List dedicated IPs, oldest first',
  description: 'Released ones are left out. A page that is filtered may be short and not the last.',
  id: 'listDedicatedIps',
  query: ListIpsQuery,
  answers: { 200: IpPage },
  refusals: [404],
};
const GET: RouteDocs = {
  summary: 'One IP, with its progress',
  id: 'getDedicatedIp',
  answers: { 200: IpShape },
};
const UPDATE: RouteDocs = {
  summary: 'Change what an IP is called, binds, or may send at most',
  id: 'updateDedicatedIp',
  body: PATCH_IP_BODY,
  answers: { 200: IpShape },
  refusals: [409],
  example: { ceiling: { perDay: 20_000 } },
};
const START: RouteDocs = {
  summary: 'Start the warm-up',
  description: 'What is chosen here is fixed. On an IP that is warming already nothing changes.',
  id: 'startWarmup',
  body: START_BODY,
  answers: { 200: IpShape },
  refusals: [409],
  example: { zone: 'Europe/Berlin', dayStartsAt: '04:00' },
};
const RELEASE: RouteDocs = {
  summary: 'Release an IP',
  description: 'Out of its pools and without quota at once; free again when its cooldown is over.',
  id: 'releaseDedicatedIp',
  answers: { 204: null },
  refusals: [409],
};
const RESTORE: RouteDocs = {
  summary: 'Take an IP out of its cooldown, with the day it had',
  id: 'restoreDedicatedIp',
  body: NoBody,
  answers: { 200: IpShape },
  refusals: [409],
};
const LEDGER: RouteDocs = {
  summary: 'What was sent from an IP, by day and by hour',
  id: 'getLedger',
  answers: { 200: LedgerShape },
};

export function registerDedicatedIps(app: FastifyInstance, context: Context): void {
  const { tenantOf } = context;
  const named = (request: FastifyRequest) => ipNamed((request.params as { id: string }).id);

  app.post('/v1/dedicated-ips', { config: { docs: CREATE } }, async (request, reply) => {
    parse(NoBody, request.body);
    const tenant = tenantOf(request);
    return reply.code(201).send(await describeIp(context, tenant, await createIp(tenant)));
  });

  app.get('/v1/dedicated-ips', { config: { docs: LIST } }, async (request) => {
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

  app.get('/v1/dedicated-ips/:id', { config: { docs: GET } }, async (request) => {
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await getIp(tenant, named(request)));
  });

  app.patch('/v1/dedicated-ips/:id', { config: { docs: UPDATE } }, async (request) => {
    const ceiling = ceilingOf(parse(PATCH_IP_BODY, request.body));
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await setCeiling(tenant, named(request), ceiling));
  });

  app.post('/v1/dedicated-ips/:id/warmup', { config: { docs: START } }, async (request) => {
    const asked = checkStart(parse(START_BODY, request.body));
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await startWarmup(tenant, named(request), asked));
  });

  app.delete('/v1/dedicated-ips/:id', { config: { docs: RELEASE } }, async (request, reply) => {
    await releaseIp(tenantOf(request), named(request));
    return reply.code(204).send();
  });

  app.post('/v1/dedicated-ips/:id/restore', { config: { docs: RESTORE } }, async (request) => {
    parse(NoBody, request.body);
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await restoreIp(tenant, named(request)));
  });

  app.get('/v1/dedicated-ips/:id/ledger', { config: { docs: LEDGER } }, async (request) => {
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
