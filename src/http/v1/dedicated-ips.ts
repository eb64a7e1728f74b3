/** `/v1/dedicated-ips`: an address from the inventory becomes an account's own, warms up, sends, and goes back. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { findIpId, loadIp, loadIps, planOf } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { createIp } from '../../fleet/inventory.ts';
import { getIp, pageOfIps, releaseIp, restoreIp, startWarmup, updateIp } from '../../fleet/ips.ts';
import { getPool, membersOf } from '../../fleet/pools.ts';

import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import { WarmlineError } from '../../warmup/errors.ts';
import { parse, parseQuery } from '../../wire/parse.ts';
import { idOrAddress } from '../../wire/quota.ts';
import { IpPage, IpShape, LedgerShape } from '../../wire/shapes.ts';
import {
  checkStart,
  ipOf,
  ipUpdateOf,
  ListIpsQuery,
  labelWanted,
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
  example: { hostname: 'mta7.example.com', labels: { team: 'billing' }, ceiling: { perDay: 20_000 } },
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
    const { limit, cursor, pool, address, ...filter } = parseQuery(ListIpsQuery, request.query);
    const tenant = tenantOf(request);
    const after = cursor === undefined ? null : readCursor(cursor);
    const wanted = filterOf(filter);
    const { ips, next } =
      address !== undefined
        ? { ips: await withAddress(tenant, address, pool, wanted), next: null }
        : pool !== undefined
          ? await pageOfPool(tenant, pool, { limit, after, wanted })
          : await pageOfIps(tenant, { limit, after, wanted });
    const data = await Promise.all(ips.map((ip) => describeIp(context, tenant, ip, { schedule: false })));
    return page(data, next && cursorAfter(next.atMs, next.id));
  });

  app.get('/v1/dedicated-ips/:id', { config: { docs: GET } }, async (request) => {
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await getIp(tenant, named(request)));
  });

  app.patch('/v1/dedicated-ips/:id', { config: { docs: UPDATE } }, async (request) => {
    const wanted = ipUpdateOf(parse(PATCH_IP_BODY, request.body));
    const tenant = tenantOf(request);
    return describeIp(context, tenant, await updateIp(tenant, named(request), wanted));
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

type Filter = Pick<z.output<typeof ListIpsQuery>, 'status' | 'label'>;

function filterOf({ status, label }: Filter): (ip: DedicatedIp) => boolean {
  const hasLabel = label === undefined ? () => true : labelWanted(label);
  return (ip) => (status === undefined || ip.status === status) && hasLabel(ip.labels);
}

/** A pool has few IPs, so a page is cut out of all of them. */
async function pageOfPool(tenant: Tenant, pool: string, { limit, after, wanted }: PageRequest) {
  const { id: poolId } = await getPool(tenant, pool);
  const ips = await loadIps(tenant, await membersOf(tenant, poolId));
  const rest = ips
    .filter((ip) => ip.pools.includes(poolId) && wanted(ip))
    .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1))
    .filter(({ createdAtMs: at, id }) => !after || at > after.atMs || (at === after.atMs && id > after.id));
  const shown = rest.slice(0, limit);
  const last = shown.at(-1);
  return { ips: shown, next: last && rest.length > limit ? { atMs: last.createdAtMs, id: last.id } : null };
}
type PageRequest = Parameters<typeof pageOfIps>[1] & { wanted: (ip: DedicatedIp) => boolean };

/** The one IP that holds an address, or none: a filter that finds nothing is an empty list. */
async function withAddress(
  tenant: Tenant,
  address: string,
  pool: string | undefined,
  wanted: (ip: DedicatedIp) => boolean,
) {
  const poolId = pool === undefined ? null : (await getPool(tenant, pool)).id;
  const named = idOrAddress(address, 'address');
  try {
    const ip = await loadIp(tenant, await findIpId(tenant, named));
    return (poolId === null || ip.pools.includes(poolId)) && wanted(ip) ? [ip] : [];
  } catch (error) {
    if (error instanceof WarmlineError && error.code === 'not_found') return [];
    throw error;
  }
}
