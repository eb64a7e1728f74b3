/** `/v1/dedicated-ips/pools`: names for groups of IPs. Here an IP is in one pool: adding it to another one moves it. */
import type { FastifyInstance } from 'fastify';
import { findIpId } from '../../fleet/change.ts';
import { nowIn, type Tenant } from '../../fleet/engine.ts';
import type { Pool } from '../../fleet/pool.ts';
import {
  createPool,
  deletePool,
  describePool,
  getPool,
  listPools,
  moveIpToPool,
  removeIpFromPool,
  updatePool,
} from '../../fleet/pools.ts';
import { parse, parseQuery } from '../../wire/parse.ts';
import { IpShape, PoolPage, PoolShape } from '../../wire/shapes.ts';
import {
  AddIpBody,
  CreatePoolBody,
  PATCH_POOL_BODY,
  PageQuery,
  page,
  poolOf,
  poolUpdateOf,
} from '../../wire/v1.ts';
import type { Context } from '../context.ts';
import { cursorAfter, readCursor } from '../cursor.ts';
import type { RouteDocs } from '../openapi.ts';
import { describeIp } from './dedicated-ips.ts';
import { ipNamed } from './named.ts';

const CREATE: RouteDocs = {
  summary: 'Create a pool',
  description: 'A new default takes the flag from the old one.',
  id: 'createPool',
  body: CreatePoolBody,
  answers: { 201: PoolShape },
  refusals: [409],
  example: { name: 'Transactional', isDefault: true },
};
const LIST: RouteDocs = {
  summary: 'List pools, oldest first',
  id: 'listPools',
  query: PageQuery,
  answers: { 200: PoolPage },
};
const GET: RouteDocs = { summary: 'One pool', id: 'getPool', answers: { 200: PoolShape } };
const UPDATE: RouteDocs = {
  summary: 'Rename a pool, or make it the default',
  description: 'At most one pool is the default: a new one takes the flag from the old one.',
  id: 'updatePool',
  body: PATCH_POOL_BODY,
  answers: { 200: PoolShape },
  refusals: [409],
  example: { name: 'Newsletters', isDefault: false },
};
const DELETE: RouteDocs = {
  summary: 'Delete a pool',
  description: 'Its IPs stay on the account, out of this pool and from under its hold.',
  id: 'deletePool',
  answers: { 204: null },
};
const ADD_IP: RouteDocs = {
  summary: 'Put an IP into a pool, and out of any other',
  id: 'addIpToPool',
  body: AddIpBody,
  answers: { 200: IpShape },
  refusals: [409],
  example: { ipId: 'ip_xxxxx' },
};
const REMOVE_IP: RouteDocs = {
  summary: 'Take an IP out of a pool',
  id: 'removeIpFromPool',
  answers: { 204: null },
};

export function registerPools(app: FastifyInstance, context: Context): void {
  const { tenantOf } = context;

  app.post('/v1/dedicated-ips/pools', { config: { docs: CREATE } }, async (request, reply) => {
    const tenant = tenantOf(request);
    const pool = await createPool(tenant, parse(CreatePoolBody, request.body));
    return reply.code(201).send(await wire(tenant, pool));
  });

  app.get('/v1/dedicated-ips/pools', { config: { docs: LIST } }, async (request) => {
    const { limit, cursor } = parseQuery(PageQuery, request.query);
    const tenant = tenantOf(request);
    const [pools, nowMs] = await Promise.all([listPools(tenant), nowIn(tenant)]);
    // An account has at most 100 pools, so a page is cut out of all of them.
    const after = cursor === undefined ? null : readCursor(cursor);
    // Of those that were made in the same instant, the number says which came first.
    const rest = pools.filter(
      ({ createdAtMs: at, number }) =>
        !after || at > after.atMs || (at === after.atMs && number > Number(after.id)),
    );
    const last = rest[limit - 1];
    const next = last && rest.length > limit ? cursorAfter(last.createdAtMs, String(last.number)) : null;
    return page(
      rest.slice(0, limit).map((pool) => poolOf(pool, nowMs)),
      next,
    );
  });

  app.get<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId',
    { config: { docs: GET } },
    async (request) => {
      const tenant = tenantOf(request);
      return wire(tenant, await getPool(tenant, request.params.poolId));
    },
  );

  app.patch<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId',
    { config: { docs: UPDATE } },
    async (request) => {
      const wanted = poolUpdateOf(parse(PATCH_POOL_BODY, request.body));
      const tenant = tenantOf(request);
      return wire(tenant, await updatePool(tenant, request.params.poolId, wanted));
    },
  );

  app.delete<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId',
    { config: { docs: DELETE } },
    async (request, reply) => {
      await deletePool(tenantOf(request), request.params.poolId);
      return reply.code(204).send();
    },
  );

  app.post<{ Params: { poolId: string } }>(
    '/v1/dedicated-ips/pools/:poolId/ips',
    { config: { docs: ADD_IP } },
    async (request) => {
      const { ipId } = parse(AddIpBody, request.body);
      const tenant = tenantOf(request);
      const pool = await getPool(tenant, request.params.poolId);
      const ip = await moveIpToPool(tenant, pool.id, await findIpId(tenant, ipNamed(ipId)));
      return describeIp(context, tenant, ip);
    },
  );

  app.delete<{ Params: { poolId: string; ipId: string } }>(
    '/v1/dedicated-ips/pools/:poolId/ips/:ipId',
    { config: { docs: REMOVE_IP } },
    async (request, reply) => {
      const tenant = tenantOf(request);
      const pool = await getPool(tenant, request.params.poolId);
      await removeIpFromPool(tenant, pool.id, await findIpId(tenant, ipNamed(request.params.ipId)));
      return reply.code(204).send();
    },
  );
}

/** A pool in full, as every answer about it shows it. */
export async function wire(tenant: Tenant, pool: Pool) {
  const [description, nowMs] = await Promise.all([describePool(tenant, pool), nowIn(tenant)]);
  return poolOf(description, nowMs);
}
